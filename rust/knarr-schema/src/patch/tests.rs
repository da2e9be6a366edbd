//! Goal: patches do what kube-apiserver does. The recorded answers are replayed by `ownership::tests`; here are the laws of the
//! RFCs and the cases that no recording shows.

use knarr_value::{Value, json};
use proptest::prelude::*;

use super::*;

fn value(text: &str) -> Value {
    json::parse(text.as_bytes()).expect("JSON").value
}

fn check_json(doc: &str, patch: &str, expected: Result<&str, &str>) {
    let got = json_patch(value(doc), &value(patch));
    match expected {
        Ok(text) => assert_eq!(got.expect("applies"), value(text), "{patch}"),
        Err(text) => assert_eq!(got.expect_err("is refused").detail(), text, "{patch}"),
    }
}

#[test]
fn json_patch_as_the_library_does_it() {
    let doc = r#"{"a":[1,2,3],"o":{"x":null,"~/":1}}"#;
    check_json(doc, r#"[{"op":"add","path":"/a/1","value":9}]"#, Ok(r#"{"a":[1,9,2,3],"o":{"x":null,"~/":1}}"#));
    check_json(doc, r#"[{"op":"add","path":"/a/-","value":9}]"#, Ok(r#"{"a":[1,2,3,9],"o":{"x":null,"~/":1}}"#));
    check_json(doc, r#"[{"op":"remove","path":"/a/-1"}]"#, Ok(r#"{"a":[1,2],"o":{"x":null,"~/":1}}"#));
    check_json(doc, r#"[{"op":"remove","path":"/o/~0~1"}]"#, Ok(r#"{"a":[1,2,3],"o":{"x":null}}"#));
    check_json(doc, r#"[{"op":"test","path":"/o/absent"}]"#, Ok(doc));
    check_json(doc, r#"[{"op":"test","path":"/o/x","value":null}]"#, Ok(doc));
    let missing = |op: &str| format!("{op} operation does not apply: doc is missing path: \"/n/n\": missing value");
    check_json(doc, r#"[{"op":"add","path":"/n/n","value":1}]"#, Err(&missing("add")));
    check_json(doc, r#"[{"op":"remove","path":"/n/n"}]"#, Err(&missing("remove")));
    check_json(
        doc,
        r#"[{"op":"replace","path":"/a/7","value":1}]"#,
        Err("replace operation does not apply: doc is missing key: /a/7: missing value"),
    );
    check_json(
        doc,
        r#"[{"op":"add","path":"/a/x","value":1}]"#,
        Err(
            "error in add for path: '/a/x': value was not a proper array index: 'x': strconv.Atoi: parsing \"x\": invalid syntax",
        ),
    );
    check_json(
        doc,
        r#"[{"op":"remove","path":"/a/3"}]"#,
        Err("error in remove for path: '/a/3': Unable to access invalid index: 3: invalid index referenced"),
    );
    check_json(doc, r#"[{"op":"test","path":"/a/0","value":2}]"#, Err("testing value /a/0 failed: test failed"));
    check_json(doc, r#"[{"op":"remove"}]"#, Err("remove operation failed to decode path: missing value"));
    check_json(doc, r#"[{"op":"jump"}]"#, Err("Unexpected kind: jump"));
}

/// Each operation alone is small; together they would nest deeper than any reader follows, and than a stack holds.
#[test]
fn json_patch_nests_no_deeper_than_a_document() {
    let down = |levels: usize| "/x".repeat(levels);
    let grow = |op: &str, levels: usize, rest: &str| format!(r#"{{"op":"{op}","path":"{}"{rest}}}"#, down(levels));
    let mut copies = vec![grow("add", 1, r#","value":{}"#)];
    copies.extend((0..16).map(|n| grow("copy", (1 << n) + 1, r#","from":"/x""#)));
    let nested = format!(r#","value":{}{}"#, r#"{"x":"#.repeat(400), "0".to_owned() + &"}".repeat(400));
    let adds: Vec<String> = (0..40).map(|n| grow("add", 1 + n * 400, &nested)).collect();
    let replaces: Vec<String> = adds.iter().map(|op| op.replace(r#""add""#, r#""replace""#)).collect();
    let moves: Vec<String> = (1..200)
        .flat_map(|_| {
            [
                grow("add", 1, &nested).replace("/x", "/y"),
                r#"{"op":"move","from":"/x","path":"/y"#.to_owned() + &down(399) + r#""}"#,
                r#"{"op":"move","from":"/y","path":"/x"}"#.to_owned(),
            ]
        })
        .collect();
    let moves = std::iter::once(grow("add", 1, &nested)).chain(moves).collect();
    for ops in [copies, adds, replaces, moves] {
        let refused = json_patch(value("{}"), &value(&format!("[{}]", ops.join(",")))).expect_err("too deep");
        assert!(refused.detail().ends_with("exceeded max depth"), "{refused}");
        assert_eq!(refused.code(), 422);
    }
}

#[test]
fn json_patch_bounds() {
    let big = format!(r#"{{"a":"{}","l":[]}}"#, "x".repeat(1 << 20));
    let copy = r#"{"op":"copy","from":"/a","path":"/l/-"}"#;
    let refused = json_patch(value(&big), &value(&format!("[{copy},{copy},{copy}]"))).expect_err("too large");
    assert!(
        refused.detail().starts_with("Unable to complete the copy, the accumulated size increase of copy is "),
        "{refused}"
    );
    assert!(json_patch(value(&big), &value(&format!("[{copy},{copy}]"))).is_ok());
    let many = Value::List(vec![value(r#"{"op":"test","path":"/b"}"#); JSON_PATCH_OPERATIONS_MAX + 1]);
    let refused = json_patch(value("{}"), &many).expect_err("too many");
    assert_eq!(
        (refused.code(), refused.answer().as_ref()),
        (413, "Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001")
    );
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0i64..4).prop_map(Value::from),
        "[a-c]{0,2}".prop_map(Value::from)
    ];
    leaf.prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::List),
            prop::collection::vec(("[a-c]", inner), 0..3).prop_map(|m| Value::Map(m.into_iter().collect()))
        ]
    })
}

/// The merge patch that turns one value into another, where there is one (a value without nulls).
fn difference(old: &Value, new: &Value) -> Value {
    let (Value::Map(old), Value::Map(new)) = (old, new) else { return new.clone() };
    let mut out = knarr_value::Map::default();
    for (key, value) in new {
        match old.get(key) {
            Some(have) if have == value => {}
            Some(have) => {
                out.insert(key.clone(), difference(have, value));
            }
            None => {
                out.insert(key.clone(), value.clone());
            }
        }
    }
    for key in old.keys().filter(|k| !new.contains_key(k)) {
        out.insert(key.clone(), Value::Null);
    }
    Value::Map(out)
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Map(map) => {
            Value::Map(map.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k, without_nulls(v))).collect())
        }
        other => other,
    }
}

proptest! {
    #[test]
    fn a_merge_patch_applied_twice_is_applied_once(doc in any_json(), patch in any_json()) {
        let once = merge_patch(doc, patch.clone());
        prop_assert_eq!(merge_patch(once.clone(), patch), once);
    }

    #[test]
    fn the_difference_leads_from_one_to_the_other(old in any_json(), new in any_json()) {
        let (old, new) = (without_nulls(old), without_nulls(new));
        let patch = difference(&old, &new);
        prop_assert_eq!(merge_patch(old, patch), new);
    }

    #[test]
    fn json_patch_agrees_with_the_oracle(
        doc in any_json(),
        ops in prop::collection::vec((prop::sample::select(vec!["add", "remove", "test", "copy", "move", "replace"]), "(/[a-c01]){1,3}", "(/[a-c01]){1,3}", any_json()), 1..4)
    ) {
        let doc = Value::Map([("a", doc)].into_iter().collect());
        let ops: Vec<Value> = ops.into_iter().map(|(op, path, from, v)| {
            let mut map = knarr_value::Map::default();
            map.insert("op", op);
            map.insert("path", path);
            if op == "copy" || op == "move" {
                map.insert("from", from);
            } else if op != "remove" {
                map.insert("value", v);
            }
            Value::Map(map)
        }).collect();
        let patch = Value::List(ops);
        let text = |v: &Value| String::from_utf8(json::to_vec(v)).expect("UTF-8");
        let mut theirs: serde_json::Value = serde_json::from_str(&text(&doc)).expect("JSON");
        let oracle: json_patch::Patch = serde_json::from_str(&text(&patch)).expect("a patch");
        // Where the RFC's patch applies, so does ours, with the same result; ours takes more (null is absent, replace adds).
        if json_patch::patch_unsafe(&mut theirs, &oracle).is_ok() {
            let mine = json_patch(doc, &patch);
            prop_assert!(mine.is_ok(), "{:?}", mine);
            let mine = mine.unwrap_or_default();
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&text(&mine)).expect("JSON"), theirs);
        }
    }
}
