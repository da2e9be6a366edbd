use super::*;
use proptest::prelude::*;

#[test]
fn canonical_forms_are_kubernetes() {
    for (text, canonical, answered) in [
        ("0", "0", "0"),
        ("0m", "0", "0"),
        ("1", "1", "1"),
        ("100m", "100m", "100m"),
        ("1000m", "1", "1"),
        ("0.5", "500m", "500m"),
        ("1.5Gi", "1536Mi", "1536Mi"),
        ("0.5Gi", "512Mi", "512Mi"),
        ("1024Mi", "1Gi", "1Gi"),
        ("1025Mi", "1025Mi", "1025Mi"),
        ("1000Ki", "1000Ki", "1000Ki"),
        ("512", "512", "512"),
        ("1Ki", "1Ki", "1Ki"),
        ("0.1Ki", "102400m", "102400m"),
        ("1e3", "1e3", "1e3"),
        ("1000e0", "1e3", "1e3"),
        ("1E3", "1e3", "1E3"),
        ("12e6", "12e6", "12e6"),
        ("1e4", "10e3", "10e3"),
        ("1e-3", "1e-3", "1e-3"),
        ("1k", "1k", "1k"),
        ("1000k", "1M", "1M"),
        ("123456789", "123456789", "123456789"),
        ("1.500", "1500m", "1.500"),
        ("+1Ki", "1Ki", "+1Ki"),
        ("-1", "-1", "-1"),
        ("-1.5", "-1500m", "-1500m"),
        ("0.0000000001", "1n", "1n"),
        ("1n", "1n", "1n"),
        ("1.", "1", "1."),
        (".5", "500m", "500m"),
        ("8Ei", "9223372036854775807", "9223372036854775807"),
        ("100E", "100E", "100E"),
        ("93707357044279348792E", "10000000000E", "10000000000E"),
        ("m", "0", "0"),
        (".", "0", "0"),
    ] {
        assert_eq!(Quantity::parse(text).unwrap().canonical(), canonical, "of {text}");
        assert_eq!(canonicalize(text).unwrap(), answered, "of {text}");
    }
}

#[test]
fn errors_have_apimachinerys_words() {
    let format = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
    let suffix = "unable to parse quantity's suffix";
    for (text, expected) in [
        ("", format),
        ("1x", format),
        ("one", format),
        ("1 Gi", format),
        ("1.2.3", format),
        ("1Gii", suffix),
        ("1K", suffix),
        ("1mi", suffix),
        ("1e", suffix),
        ("1i", suffix),
        ("Pi", "unable to parse numeric part of quantity"),
    ] {
        assert_eq!(Quantity::parse(text).unwrap_err().to_string(), expected, "of {text:?}");
    }
}

#[test]
fn values_round_away_from_zero() {
    for (text, units, milli) in
        [("1500m", 2, 1500), ("1u", 1, 1), ("-1500m", -2, -1500), ("1Gi", 1 << 30, 1000 << 30), ("2", 2, 2000)]
    {
        let q = Quantity::parse(text).unwrap();
        assert_eq!((q.as_bytes_ceil(), q.as_milli()), (units, milli), "of {text}");
    }
    assert_eq!(Quantity::parse("1e30").unwrap().as_milli(), i64::MAX);
}

#[test]
fn zero_takes_the_others_format() {
    let zero = Quantity::new(0);
    assert_eq!(zero.add(&Quantity::parse("1Gi").unwrap()).canonical(), "1Gi");
    assert_eq!(Quantity::parse("1Gi").unwrap().add(&Quantity::new(1024)).canonical(), "1048577Ki");
    assert_eq!(Quantity::parse("1").unwrap().sub(&Quantity::parse("100m").unwrap()).canonical(), "900m");
}

fn quantities() -> impl Strategy<Value = Quantity> {
    let suffix = proptest::sample::select(vec!["", "n", "u", "m", "k", "M", "G", "Ki", "Mi", "Gi", "Ti", "e3", "e-6"]);
    (-1_000_000_000i64..1_000_000_000, 0u32..1_000_000, suffix)
        .prop_map(|(n, f, s)| Quantity::parse(&format!("{n}.{f:06}{s}")).unwrap())
}

proptest! {
    #[test]
    fn canonical_text_reads_back_equal_and_is_a_fixed_point(q in quantities()) {
        let text = q.canonical();
        let back = Quantity::parse(&text).unwrap();
        prop_assert_eq!(back, q);
        prop_assert_eq!(back.canonical(), text.clone());
        prop_assert_eq!(canonicalize(&text).unwrap().to_string(), text);
    }

    #[test]
    fn arithmetic_laws(a in quantities(), b in quantities(), c in quantities()) {
        prop_assert_eq!(a.add(&b), b.add(&a));
        prop_assert_eq!(a.add(&b).add(&c), a.add(&b.add(&c)));
        prop_assert_eq!(a.add(&b).sub(&b), a);
        prop_assert_eq!(a.cmp(&b), a.sub(&b).as_nanos().cmp(&0));
        prop_assert_eq!(a.mul(3), a.add(&a).add(&a));
        prop_assert_eq!(a.neg().as_nanos(), -a.as_nanos());
        prop_assert_eq!(a.neg().canonical(), if a.is_zero() { "0".to_owned() } else { format!("-{a}").replace("--", "") });
    }

    #[test]
    fn order_does_not_depend_on_the_suffix(n in 0i64..1_000_000) {
        prop_assert_eq!(parse(&format!("{n}Ki")).unwrap(), parse(&format!("{}", n * 1024)).unwrap());
        prop_assert_eq!(parse(&format!("{n}m")).unwrap(), parse(&format!("{n}e-3")).unwrap());
        prop_assert_eq!(parse(&format!("{n}.5")).unwrap().as_milli(), n * 1000 + 500);
    }

    #[test]
    fn arbitrary_text_does_not_panic(text in "[+-]?[0-9.]{0,60}[eEinumkKMGTP]{0,3}[+-]?[0-9]{0,8}", other in ".*") {
        let _ = (Quantity::parse(&text).map(|q| q.canonical()), canonicalize(&text), Quantity::parse(&other), canonicalize(&other));
    }
}
