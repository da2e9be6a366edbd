//! Every case of tests/differential, with the verdict a real kube-apiserver 1.34 gave (testdata/verdicts.json): the same object after
//! defaults, or the same causes; and the same words for what cannot be decoded. Kinds are compiled from testdata/kinds.json, which
//! a Python test compares with the declarations. Goal: a drift of either is seen here. `VERDICTS=name` shows one case in full.

#![allow(clippy::unwrap_used, clippy::result_large_err, reason = "a test fails by panicking, and need not be fast")]
#![allow(clippy::disallowed_methods, reason = "a test may read the clock and its environment; the crate may not")]

use knarr_base::User;
use knarr_schema::admission::Operation;
use knarr_schema::{AdmissionRequest, CompiledKind, FieldError, Read, Subresource};
use knarr_value::types::TypeTable;
use knarr_value::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

const KINDS: &str = include_str!("../testdata/kinds.json");
const VERDICTS: &str = include_str!("../testdata/verdicts.json");
const TYPES: &[u8] = include_bytes!("../../../python/knarr/api/_tables/types.json.zz");

fn kinds() -> BTreeMap<String, CompiledKind> {
    let types = Arc::new(TypeTable::load(TYPES).unwrap());
    let docs: BTreeMap<String, serde_json::Value> = serde_json::from_str(KINDS).unwrap();
    docs.into_iter()
        .map(|(name, doc)| {
            let kind = CompiledKind::compile(&serde_json::to_vec(&doc).unwrap(), &types);
            (name.clone(), kind.unwrap_or_else(|e| panic!("{name}: {e}")))
        })
        .collect()
}

fn value(json: &serde_json::Value) -> Value {
    json::parse(&serde_json::to_vec(json).unwrap()).unwrap().value
}

fn user() -> User {
    User { name: "admin".into(), uid: String::new(), groups: vec!["system:masters".into()], extra: Vec::new() }
}

/// What the server does before it stores a new object; Err: the message or the causes.
fn create(kind: &CompiledKind, given: &serde_json::Value) -> Result<Value, Verdict> {
    let mut given = value(given);
    for field in ["apiVersion", "kind"] {
        given.as_map_mut().unwrap().remove(field);
    }
    let decoded = kind.decode(given).map_err(|e| Verdict::Message(e.to_string()))?;
    if !decoded.unknown.is_empty() {
        return Err(Verdict::Message(format!("strict decoding error: {}", decoded.unknown.join(", "))));
    }
    let mut object = decoded.value;
    kind.default(&mut object);
    admit(kind, &mut object, None)?;
    kind.prepare_create(&mut object);
    let errors = kind.validate_create(&object);
    if errors.is_empty() { Ok(object) } else { Err(Verdict::Causes(errors)) }
}

fn admit(kind: &CompiledKind, object: &mut Value, old: Option<&Value>) -> Result<(), Verdict> {
    let (user, namespace) = (user(), object.str_at(&["metadata", "namespace"]).to_string());
    let request = AdmissionRequest {
        operation: if old.is_some() { Operation::Update } else { Operation::Create },
        group: &kind.group,
        resource: &kind.plural,
        subresource: "",
        namespace: if kind.namespaced { &namespace } else { "" },
        name: "",
        user: &user,
        old,
        suffix: "abcde",
    };
    let found = |read: &Read| match &read.resource[..] {
        "namespaces" => {
            Some(value(&serde_json::json!({"metadata": {"name": "default"}, "status": {"phase": "Active"}})))
        }
        "serviceaccounts" => Some(value(&serde_json::json!({"metadata": {"name": "default"}}))),
        _ => None,
    };
    let reads: Vec<_> =
        kind.admission_reads(&request, object).into_iter().map(|r| (r.clone(), found(&r).map(Arc::new))).collect();
    kind.admit(&request, object, &reads).map_err(|denied| Verdict::Message(denied.message))
}

#[derive(Debug)]
enum Verdict {
    Message(String),
    Causes(Vec<FieldError>),
}

/// The random name of the token volume is the only thing that may differ.
fn steady(text: String) -> String {
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find("kube-api-access-") {
        out.push_str(&rest[..at]);
        out.push_str("kube-api-access-xxxxx");
        rest = &rest[at + "kube-api-access-".len() + 5..];
    }
    out + rest
}

fn text(value: &Value) -> String {
    steady(String::from_utf8(json::to_vec(value)).unwrap())
}

fn causes(errors: &[FieldError]) -> Vec<(String, String, String)> {
    let mut all: Vec<_> = errors.iter().map(|e| (e.reason.cause().to_string(), e.path.clone(), e.message())).collect();
    all.sort();
    // Kubernetes repeats a cause that several of its functions find; the message of the Status names it once.
    all.dedup();
    all
}

fn expected_causes(case: &serde_json::Value) -> Vec<(String, String, String)> {
    let text = |v: &serde_json::Value| v.as_str().unwrap().to_string();
    let mut all: Vec<_> =
        case["causes"].as_array().unwrap().iter().map(|c| (text(&c[0]), text(&c[1]), text(&c[2]))).collect();
    all.sort();
    // Kubernetes repeats a cause that several of its functions find; the message of the Status names it once.
    all.dedup();
    all
}

fn key(case: &serde_json::Value) -> String {
    format!("{}/{}", case["given"]["apiVersion"].as_str().unwrap(), case["given"]["kind"].as_str().unwrap())
}

/// In any order: Go's maps have none.
fn same_warnings(case: &serde_json::Value, mut got: Vec<String>) -> Result<(), String> {
    let none = Vec::new();
    let expected = case.get("warnings").and_then(serde_json::Value::as_array).unwrap_or(&none);
    let mut expected: Vec<_> = expected.iter().map(|line| line.as_str().unwrap().to_owned()).collect();
    got.sort();
    expected.sort();
    if got == expected {
        return Ok(());
    }
    Err(format!("{} {}\n  warned  {got:#?}\n  not     {expected:#?}", key(case), case["name"]))
}

fn check(case: &serde_json::Value, kind: &CompiledKind, got: Result<Value, Verdict>) -> Result<(), String> {
    let place = format!("{} {}", key(case), case["name"]);
    match (got, case.get("object"), case.get("causes"), case.get("message")) {
        (Ok(object), Some(expected), ..) => {
            same_warnings(case, kind.warnings(&object, None))?;
            let mut expected = value(expected);
            for field in ["apiVersion", "kind"] {
                expected.as_map_mut().unwrap().remove(field);
            }
            allocated(&mut expected, &object);
            let (got, expected) = (text(&object), text(&expected));
            if got == expected { Ok(()) } else { Err(format!("{place}\n  got  {got}\n  want {expected}")) }
        }
        (Err(Verdict::Causes(errors)), _, Some(_), _) => {
            let (got, expected) = (causes(&errors), expected_causes(case));
            if got == expected {
                return Ok(());
            }
            let show = |all: &[(String, String, String)], other: &[(String, String, String)]| {
                let lines: Vec<_> = all.iter().filter(|c| !other.contains(c)).map(|c| format!("    {c:?}")).collect();
                lines.join("\n")
            };
            Err(format!("{place}\n  got only\n{}\n  want only\n{}", show(&got, &expected), show(&expected, &got)))
        }
        (Err(Verdict::Message(got)), _, _, Some(expected)) => {
            let expected = expected.as_str().unwrap();
            if expected.contains(&got) { Ok(()) } else { Err(format!("{place}\n  got  {got}\n  want {expected}")) }
        }
        (got, ..) => Err(format!("{place}\n  got  {got:?}\n  want {case}")),
    }
}

/// What machinery allocates after these steps is not theirs to make; TaintNodesByCondition, which taints every new node until its
/// controller finds it ready, is no plugin here.
fn allocated(expected: &mut Value, got: &Value) {
    if got.path(&["spec", "taints"]).is_none() {
        expected.remove_path(&["spec", "taints"]);
    }
    for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        if got.path(&["spec", field]).is_none() && expected.path(&["spec", "ports"]).is_some() {
            expected.remove_path(&["spec", field]);
        }
    }
}

fn judge(case: &serde_json::Value, kind: &CompiledKind) -> Result<(), String> {
    check(case, kind, create(kind, &case["given"]))
}

#[test]
fn new_objects_are_judged_as_by_kubernetes() {
    let kinds = kinds();
    let verdicts: serde_json::Value = serde_json::from_str(VERDICTS).unwrap();
    let only = std::env::var("VERDICTS").ok();
    let cases: Vec<_> = verdicts["create"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|case| only.as_ref().is_none_or(|only| case["name"].as_str() == Some(only)))
        .collect();
    let wrong: Vec<_> = cases.iter().filter_map(|case| judge(case, &kinds[&key(case)]).err()).collect();
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// The stored object, but for what the recorder leaves out.
fn same_object(new: &Value, case: &serde_json::Value) -> bool {
    let plain = |mut object: Value| {
        for field in ["apiVersion", "kind"] {
            object.as_map_mut().unwrap().remove(field);
        }
        for field in ["uid", "creationTimestamp", "resourceVersion"] {
            object.remove_path(&["metadata", field]);
        }
        text(&object)
    };
    let (got, expected) = (plain(new.clone()), plain(value(&case["object"])));
    if got != expected {
        println!("{} {}\n  got  {got}\n  want {expected}", key(case), case["name"]);
    }
    got == expected
}

#[test]
fn updates_are_judged_as_by_kubernetes() {
    let kinds = kinds();
    let verdicts: serde_json::Value = serde_json::from_str(VERDICTS).unwrap();
    let mut wrong = Vec::new();
    let cases = verdicts["update"].as_array().unwrap();
    for case in cases {
        let kind = &kinds[&key(case)];
        let plain = |which: &str| {
            let mut object = value(&case[which]);
            for field in ["apiVersion", "kind"] {
                object.as_map_mut().unwrap().remove(field);
            }
            kind.decode(object).unwrap().value
        };
        let (old, mut new) = (plain("given"), plain("new"));
        kind.default(&mut new);
        admit(kind, &mut new, Some(&old)).unwrap();
        kind.prepare_update(&mut new, &old, Subresource::None);
        let errors = kind.validate_update(&new, &old, Subresource::None);
        let agreed = match case.get("causes") {
            None => {
                wrong.extend(same_warnings(case, kind.warnings(&new, Some(&old))).err());
                errors.is_empty() && same_object(&new, case)
            }
            // What Kubernetes says of a pod's spec ends in a dump of Go structs.
            Some(_) => {
                let cut = |all: Vec<(String, String, String)>| -> Vec<_> {
                    all.into_iter()
                        .map(|(r, p, m)| (r, p, m.split('\n').next().unwrap_or("").to_string()))
                        .collect::<Vec<_>>()
                };
                cut(causes(&errors)) == cut(expected_causes(case))
            }
        };
        if !agreed {
            wrong.push(format!(
                "{} {}\n  got  {:?}\n  want {}",
                key(case),
                case["name"],
                causes(&errors),
                case["causes"]
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
