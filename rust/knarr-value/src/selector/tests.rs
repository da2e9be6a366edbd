use super::*;
use crate::{Str, value};
use proptest::prelude::*;

fn labels(pairs: &[(&str, &str)]) -> Vec<(Str, Str)> {
    pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect()
}

fn check(text: &str, expected: Result<&str, &str>) {
    match (LabelSelector::parse(text), expected) {
        (Ok(s), Ok(shown)) => assert_eq!(s.to_string(), shown, "of {text:?}"),
        (Err(e), Err(message)) => assert_eq!(e.to_string(), message, "of {text:?}"),
        (got, want) => panic!("{text:?}: {got:?}, expected {want:?}"),
    }
}

#[test]
fn texts_are_read_as_apimachinery_reads_them() {
    for (text, shown) in [
        ("", ""),
        ("a", "a"),
        ("!a", "!a"),
        ("b=1,a==2", "a==2,b=1"),
        ("x in (foo,,baz),y,z notin ()", "x in (,baz,foo),y,z notin ()"),
        (" a  in ( in , notin ) ", "a in (in,notin)"),
        ("a in (,)", "a in ()"),
        ("a=", "a="),
        ("a!=b,c", "a!=b,c"),
        ("a>1,b<2", "a>1,b<2"),
        ("in", "in"),
        ("app.kubernetes.io/name=web", "app.kubernetes.io/name=web"),
    ] {
        check(text, Ok(shown));
    }
    for (text, message) in [
        ("a,", "found '', expected: identifier after ','"),
        (",", "found ',', expected: !, identifier, or 'end of string'"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a=b=c", "found '=', expected: ',' or 'end of string'"),
        ("!a=b", "found '=', expected: ',' or 'end of string'"),
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("a=(", "unable to parse requirement: found '(', expected: identifier"),
        (
            "a>x",
            "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer",
        ),
        (
            "-a",
            "unable to parse requirement: <nil>: Invalid value: \"-a\": name part must consist of alphanumeric characters, '-', '_' \
             or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex \
             used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
        ),
        (
            "a=-b",
            "unable to parse requirement: values[0][a]: Invalid value: \"-b\": a valid label must be an empty string or consist of \
             alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or \
             'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
        ),
    ] {
        check(text, Err(message));
    }
}

#[test]
fn matching() {
    let l = labels(&[("app", "web"), ("n", "5")]);
    for (text, expected) in [
        ("", true),
        ("app", true),
        ("!app", false),
        ("app=web,n", true),
        ("app!=web", false),
        ("zone!=a", true),
        ("zone notin (a)", true),
        ("app in (db,web)", true),
        ("app notin (db,web)", false),
        ("n>4,n<6", true),
        ("n>5", false),
        ("app>1", false),
        ("zone", false),
    ] {
        assert_eq!(LabelSelector::parse(text).unwrap().matches(&l), expected, "of {text}");
    }
    assert!(!LabelSelector::nothing().matches(&l));
}

#[test]
fn object_form() {
    let selector =
        value!({"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "n", "operator": "In", "values": ["5"]}]});
    let s = LabelSelector::from_value(&selector).unwrap();
    assert!(s.matches(&labels(&[("app", "web"), ("n", "5")])) && !s.matches(&labels(&[("app", "web")])));
    assert_eq!(s.requires_equal(), Some(labels(&[("app", "web"), ("n", "5")])));
    assert!(LabelSelector::from_value(&value!(null)).unwrap().is_nothing());
    assert!(LabelSelector::from_value(&value!({})).unwrap().is_everything());
    let bad = |e: crate::Value| LabelSelector::from_value(&value!({"matchExpressions": [e]})).unwrap_err().to_string();
    assert_eq!(bad(value!({"key": "a", "operator": "Near"})), "\"Near\" is not a valid label selector operator");
    assert_eq!(
        bad(value!({"key": "a", "operator": "In"})),
        "values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty"
    );
}

#[test]
fn field_selectors() {
    let s = FieldSelector::parse(r"status.phase!=Running,,metadata.name==a\,b").unwrap();
    assert_eq!(s.to_string(), r"metadata.name=a\,b,status.phase!=Running");
    assert_eq!(s.requires_equal("metadata.name"), Some("a,b"));
    assert!(s.matches(|f| if f == "metadata.name" { Some("a,b") } else { None }));
    assert!(!s.matches(|f| Some(if f == "metadata.name" { "a,b" } else { "Running" })));
    assert!(FieldSelector::parse("").unwrap().is_everything());
    for (text, message) in [
        ("metadata.name", "invalid selector: 'metadata.name'; can't understand 'metadata.name'"),
        (r"a=\x", r"invalid field selector: invalid escape sequence: \x"),
        ("a=b\\", "invalid field selector: invalid escape sequence: \\"),
        ("a=b=c", "invalid field selector: unescaped character in value: 61"),
    ] {
        assert_eq!(FieldSelector::parse(text).unwrap_err().to_string(), message);
    }
}

proptest! {
    #[test]
    fn shown_text_reads_back(text in r"(!?[a-c]{1,3}|[a-c](=|==|!=)[a-c]{0,2}|[a-c] (in|notin) \([a-c,]{0,6}\))(,[a-d])?") {
        if let Ok(s) = LabelSelector::parse(&text) {
            prop_assert_eq!(LabelSelector::parse(&s.to_string()), Ok(s));
        }
    }

    #[test]
    fn any_field_value_survives_escaping(v in ".*") {
        let s = FieldSelector::parse(&format!("a={}", escape_value(&v))).unwrap();
        prop_assert_eq!(s.requires_equal("a"), Some(v.as_str()));
    }

    #[test]
    fn arbitrary_text_does_not_panic(text in ".*", close in r"[a-c!=<>(), \\in]{0,30}") {
        for t in [&text, &close] {
            let _ = (LabelSelector::parse(t), FieldSelector::parse(t));
        }
    }
}
