use super::*;
use crate::value;
use proptest::prelude::*;

fn check(input: &str, expected: Result<&str, &str>) {
    let got = parse(input.as_bytes());
    match expected {
        Ok(text) => assert_eq!(String::from_utf8(to_vec(&got.unwrap().value)).unwrap(), text, "of {input}"),
        Err(message) => assert_eq!(got.unwrap_err().to_string(), message, "of {input}"),
    }
}

#[test]
fn documents_are_written_as_go_writes_them() {
    for (input, expected) in [
        ("null", "null"),
        (" [ ] ", "[]"),
        ("{ \"a\" : [ true , false , { } ] }", "{\"a\":[true,false,{}]}"),
        ("9223372036854775807", "9223372036854775807"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("9223372036854775808", "9223372036854776000"),
        ("18446744073709551616", "18446744073709552000"),
        ("-0", "0"),
        ("1.0", "1"),
        ("1e3", "1000"),
        ("0.1", "0.1"),
        ("1e-6", "0.000001"),
        ("1.5e-7", "1.5e-7"),
        ("1e20", "100000000000000000000"),
        ("1e21", "1e+21"),
        ("-1.25e300", "-1.25e+300"),
        ("-0.0", "-0"),
        (r#""<a>&\u2028\u2029\u20ac""#, r#""\u003ca\u003e\u0026\u2028\u2029€""#),
        (r#""\"\\\/\b\f\n\r\t\u0001\u007f""#, "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\u{7f}\""),
        (r#""\ud83d\ude00""#, "\"😀\""),
        (r#""\ud83d""#, "\"\u{fffd}\""),
        (r#""\ud83dx\ude00""#, "\"\u{fffd}x\u{fffd}\""),
        (r#""\ud83d\u0041""#, "\"\u{fffd}A\""),
    ] {
        check(input, Ok(expected));
    }
}

#[test]
fn errors_have_gos_words() {
    for (input, expected) in [
        ("", "unexpected end of JSON input"),
        ("{", "unexpected end of JSON input"),
        ("{]", "invalid character ']' looking for beginning of object key string"),
        ("{\"a\" 1}", "invalid character '1' after object key"),
        ("{\"a\":1 \"b\"}", "invalid character '\"' after object key:value pair"),
        ("[1 2]", "invalid character '2' after array element"),
        ("[1,]", "invalid character ']' looking for beginning of value"),
        ("1 2", "invalid character '2' after top-level value"),
        ("tru", "unexpected end of JSON input"),
        ("trux", "invalid character 'x' in literal true (expecting 'e')"),
        ("-x", "invalid character 'x' in numeric literal"),
        ("1.x", "invalid character 'x' after decimal point in numeric literal"),
        ("1ex", "invalid character 'x' in exponent of numeric literal"),
        ("01", "invalid character '1' after top-level value"),
        ("\"\n\"", "invalid character '\\n' in string literal"),
        ("\"\\x\"", "invalid character 'x' in string escape code"),
        ("\"\\u12g4\"", "invalid character 'g' in \\u hexadecimal character escape"),
        ("apiVersion: v1", "invalid character 'a' looking for beginning of value"),
        ("1e400", "json: cannot unmarshal number 1e400 into Go value of type float64"),
    ] {
        check(input, Err(expected));
    }
}

#[test]
fn invalid_utf8_is_replaced() {
    assert_eq!(from_slice(b"\"a\xffb\"").unwrap(), Value::from("a\u{fffd}b"));
}

#[test]
fn duplicates_are_reported_by_path_and_the_last_wins() {
    let parsed = parse(br#"{"a":1,"spec":{"containers":[{},{"name":"x","name":"y","name":"z"}]},"a":2}"#).unwrap();
    assert_eq!(parsed.duplicates, ["spec.containers[1].name", "a"]);
    assert_eq!(parsed.value.get("a"), Some(&Value::Int(2)));
    assert_eq!(parsed.strict_errors().next().unwrap(), r#"duplicate field "spec.containers[1].name""#);
}

#[test]
fn depth_is_bounded() {
    let nested = |n: usize| [vec![b'['; n], vec![b']'; n]].concat();
    assert!(parse(&nested(DEPTH_MAX)).is_ok());
    assert_eq!(parse(&nested(DEPTH_MAX + 1)), Err(Error::TooDeep));
    assert_eq!(parse(&vec![b'['; 1 << 20]), Err(Error::TooDeep));
}

#[test]
fn pretty_form_is_gos() {
    let mut out = Vec::new();
    write_pretty(&value!({"a": [], "b": [1, {"c": {}}]}), 2, &mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "{\n  \"a\": [],\n  \"b\": [\n    1,\n    {\n      \"c\": {}\n    }\n  ]\n}"
    );
}

/// Values whose JSON reads back equal: floats with a fraction (a whole one is written as an integer, as Go does).
pub(crate) fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<f64>().prop_filter("fraction", |f| f.is_finite() && f.fract() != 0.0).prop_map(Value::Float),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 8, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..8).prop_map(Value::List),
            proptest::collection::vec((".{0,8}", inner), 0..24)
                .prop_map(|pairs| Value::Map(pairs.into_iter().collect())),
        ]
    })
}

fn without_floats(v: Value) -> Value {
    match v {
        Value::Float(f) => Value::Int(f as i64),
        Value::List(l) => Value::List(l.into_iter().map(without_floats).collect()),
        Value::Map(m) => Value::Map(m.into_iter().map(|(k, v)| (k, without_floats(v))).collect()),
        other => other,
    }
}

proptest! {
    #[test]
    fn what_is_written_reads_back(v in values()) {
        prop_assert_eq!(from_slice(&to_vec(&v)), Ok(v.clone()));
        let mut pretty = Vec::new();
        write_pretty(&v, 4, &mut pretty);
        prop_assert_eq!(from_slice(&pretty), Ok(v));
    }

    #[test]
    fn agrees_with_serde_json(v in values()) {
        // Its own reading of floats is off by an ulp without a feature: left out.
        let v = without_floats(v);
        let bytes = to_vec(&v);
        let theirs: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        prop_assert_eq!(from_slice(&serde_json::to_vec(&theirs).unwrap()), Ok(v));
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let ours = parse(&bytes);
        if ours.is_err() && std::str::from_utf8(&bytes).is_ok() {
            prop_assert!(serde_json::from_slice::<serde_json::Value>(&bytes).is_err());
        }
    }

    #[test]
    fn arbitrary_json_like_text_does_not_panic(text in r#"[\[\]{}",:0-9eE.+\-tfn\\u a]{0,40}"#) {
        let theirs = serde_json::from_str::<serde_json::Value>(&text);
        if theirs.is_ok() {
            prop_assert!(parse(text.as_bytes()).is_ok());
        }
    }
}
