use super::*;
use crate::value;
use proptest::prelude::*;

fn one(text: &str) -> Value {
    parse_all(text.as_bytes()).unwrap().remove(0).value
}

#[test]
fn scalars_are_what_kubectls_users_know() {
    for (text, expected) in [
        ("0644", value!(420)),
        ("0o644", value!(420)),
        ("0x1F", value!(31)),
        ("0b101", value!(5)),
        ("1_000", value!(1000)),
        ("08", value!(8)),
        ("-12", value!(-12)),
        ("+12", value!(12)),
        ("9223372036854775808", value!(9223372036854775808.0)),
        ("1.0", value!(1)),
        ("1.5", value!(1.5)),
        ("1e3", value!(1000)),
        (".5", value!(0.5)),
        ("1e", value!("1e")),
        ("y", value!(true)),
        ("No", value!(false)),
        ("on", value!(true)),
        ("OFF", value!(false)),
        ("yEs", value!("yEs")),
        ("'y'", value!("y")),
        ("\"0644\"", value!("0644")),
        ("!!str 0644", value!("0644")),
        ("!!int \"7\"", value!(7)),
        ("2001-12-14", value!("2001-12-14")),
        ("2001-12-14T21:59:43Z", value!("2001-12-14T21:59:43Z")),
        ("1:30", value!("1:30")),
        ("1.2.3", value!("1.2.3")),
        ("500m", value!("500m")),
        ("0xg", value!("0xg")),
        ("{a: ~, b: , c: null}", value!({"a": null, "b": null, "c": null})),
        ("{1: a, true: b, 1.5: c}", value!({"1": "a", "true": "b", "1.5": "c"})),
        ("- a\n- - b", value!(["a", ["b"]])),
        ("a: |\n  x\n  y\nb: >-\n  x\n  y", value!({"a": "x\ny\n", "b": "x y"})),
        ("{\"a\": [1, \"\\u00e9\"]}", value!({"a": [1, "é"]})),
        ("a: &x {b: 1}\nc: *x\nd: {<<: *x, e: 2}", value!({"a": {"b": 1}, "c": {"b": 1}, "d": {"e": 2, "b": 1}})),
        ("a: {<<: {b: 1}, b: 2}", value!({"a": {"b": 2}})),
    ] {
        assert_eq!(one(text), expected, "of {text}");
    }
}

#[test]
fn streams_hold_documents() {
    let docs = parse_all(b"# head\n---\na: 1\n---\n---\n# nothing\n---\nb: 2\n...\n").unwrap();
    assert_eq!(docs.iter().map(|d| d.value.to_string()).collect::<Vec<_>>(), [r#"{"a":1}"#, r#"{"b":2}"#]);
    assert!(parse_all(b"").unwrap().is_empty());
    assert!(parse_all(b"# only\n").unwrap().is_empty());
}

#[test]
fn duplicates_are_reported_by_path() {
    let parsed = parse_all(b"a:\n- x: 1\n  x: 2\nb: 1\nb: 2\n").unwrap().remove(0);
    assert_eq!(parsed.duplicates, ["a[0].x", "b"]);
    assert_eq!(parsed.value, value!({"a": [{"x": 2}], "b": 2}));
}

#[test]
fn errors_say_where() {
    for text in ["a: b: c", "a: [1", "a:\n\tb: 1", "a: *nowhere", "a: .nan", "{[1]: 2}", "a: 'x", "%", "<<: 1"] {
        match parse_all(text.as_bytes()) {
            Err(Error::Yaml { line, message, .. }) => {
                assert!(line > 0 && !message.is_empty(), "{text}: {line} {message}")
            }
            other => panic!("{text}: {other:?}"),
        }
    }
    assert_eq!(parse_all(b"a: 1\nb: .inf").unwrap_err().to_string(), "yaml: line 2: unsupported value: +Inf");
}

#[test]
fn depth_and_aliases_are_bounded() {
    assert!(parse_all("[".repeat(100_000).as_bytes()).is_err());
    assert!(parse_all(format!("{}{}", "[".repeat(2000), "]".repeat(2000)).as_bytes()).is_err());
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for i in 1..12 {
        let list = vec![format!("*a{}", i - 1); 10].join(", ");
        laughs.push_str(&format!("a{i}: &a{i} [{list}]\n"));
    }
    assert!(parse_all(laughs.as_bytes()).unwrap_err().to_string().contains("excessive aliasing"));
}

/// What an anchor names is kept, and one anchor may stand within the next: 200 of them would keep the values 200 times. An alias is
/// one value, but that may be as long as the body.
#[test]
fn copies_are_bounded_by_their_bytes() {
    let excessive = |text: String| parse_all(text.as_bytes()).unwrap_err().to_string().contains("excessive aliasing");
    let long = "x".repeat(1 << 20);
    assert!(excessive(format!("a: &a {long}\nb: [{}]", "*a,".repeat(1000))));
    assert!(excessive(format!("a: &a {{? {long} : 1}}\nb: [{}]", "*a,".repeat(1000))));
    assert!(parse_all(format!("a: &a {long}\nb: [*a, *a]").as_bytes()).is_ok());
    let nested = |depth: usize, values: usize| {
        let open: String = (0..depth).map(|i| format!("&a{i} [")).collect();
        format!("{open}{}{}", "0,".repeat(values), "]".repeat(depth))
    };
    assert!(excessive(nested(200, 100_000)));
    assert!(parse_all(nested(200, 100).as_bytes()).is_ok());
    // One may be as large as a body.
    assert!(parse_all(nested(1, 1_000_000).as_bytes()).is_ok());
}

#[test]
fn the_written_form_is_kubectls() {
    let v = value!({
        "metadata": {"name": "a", "labels": {"b": "y", "a": "1", "c": ""}},
        "kind": "Pod",
        "list": [{"name": "x", "args": ["-c", "echo: hi", "- x", "#no", "it's"]}, [1, [2]], {}, []],
        "text": "line 1\nline 2\n",
        "strip": "a\nb",
        "keep": "a\n\n",
        "tab": "a\tb",
        "date": "2024-01-02T03:04:05Z",
        "clock": "1:30",
        "n": 1.5,
        "nothing": null,
        "key10": 1, "key9": 2, "0": 3,
        "long": "word ".repeat(30).trim_end(),
    });
    let expected = r#""0": 3
clock: "1:30"
date: "2024-01-02T03:04:05Z"
keep: |+
  a

key9: 2
key10: 1
kind: Pod
list:
- args:
  - -c
  - 'echo: hi'
  - '- x'
  - '#no'
  - it's
  name: x
- - 1
  - - 2
- {}
- []
long: word word word word word word word word word word word word word word word word
  word word word word word word word word word word word word word word
metadata:
  labels:
    a: "1"
    b: "y"
    c: ""
  name: a
"n": 1.5
nothing: null
strip: |-
  a
  b
tab: "a\tb"
text: |
  line 1
  line 2
"#;
    assert_eq!(to_string(&v), expected);
    assert_eq!(one(expected), v);
}

proptest! {
    #[test]
    fn what_is_written_reads_back(v in crate::json::tests::values()) {
        let v = value!({"v": v});
        let text = to_string(&v);
        let docs = parse_all(text.as_bytes());
        prop_assert!(docs.as_ref().is_ok_and(|d| d.len() == 1 && d[0].value == v), "{} gave {:?}", text, docs);
    }

    #[test]
    fn texts_read_back(s in r"[ \n\t:#'\x22a-y0-9.,\[\]{}&*!|>%@`~?<=-]{0,120}") {
        let v = value!({"s": (s.clone()), "l": [s]});
        let text = to_string(&v);
        let docs = parse_all(text.as_bytes());
        prop_assert!(docs.as_ref().is_ok_and(|d| d.len() == 1 && d[0].value == v), "{} gave {:?}", text, docs);
    }

    #[test]
    fn arbitrary_input_does_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64), close in r"[-a: \n\[\]{}&*!|>'\x22#?,%]{0,40}") {
        let _ = (parse_all(&bytes), parse_all(close.as_bytes()));
    }
}
