//! Goal: what a request costs grows with its size, not with its square: one that takes minutes holds a thread from everybody. Method:
//! objects of very many small parts by every verb; all of them together may take a fraction of what one took that compared each
//! part with each.

mod common;

use std::time::{Duration, Instant};

use common::World;

const PARTS: usize = 10_000;
/// 2 to 4 s on two busy cores; with each manager of managedFields merged for itself, one create alone took 52 s.
const ALL: Duration = Duration::from_secs(45);

fn list(part: impl Fn(usize) -> String) -> String {
    // Not in order: what is kept sorted would find them cheap.
    let parts: Vec<String> = (0..PARTS).map(|i| part(i * 7919 % PARTS)).collect();
    format!("[{}]", parts.join(","))
}

#[test]
#[allow(clippy::disallowed_methods)] // it is about time
fn very_many_parts_cost_as_much_as_they_are() {
    let world = World::new();
    let owner = |i| format!(r#"{{"apiVersion":"v1","kind":"Pod","name":"p{i}","uid":"u{i}"}}"#);
    let entry = |i| {
        format!(
            r#"{{"manager":"m{i}","operation":"Update","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{{"f:data":{{"f:k{i}":{{}}}}}}}}"#
        )
    };
    let keys: Vec<String> = (0..PARTS).map(|i| format!(r#""k{}":"v""#, i * 7919 % PARTS)).collect();
    let config =
        |metadata: String| format!(r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"a"{metadata}}}}}"#);
    let pod = |spec: String| {
        format!(
            r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"a"}},"spec":{{"containers":[{{"name":"c","image":"i"{spec}}}]}}}}"#
        )
    };
    let start = Instant::now();
    for (plural, body) in [
        ("configmaps", config(format!(r#","ownerReferences":{}"#, list(owner)))),
        ("configmaps", config(format!(r#","finalizers":{}"#, list(|i| format!(r#""a.b/f{i}""#))))),
        ("configmaps", config(format!(r#"}},"data":{{{}"#, keys.join(",")))),
        ("configmaps", config(format!(r#","managedFields":{}}},"data":{{{}"#, list(entry), keys.join(",")))),
        ("pods", pod(format!(r#","env":{}"#, list(|i| format!(r#"{{"name":"E{i}","value":"x"}}"#))))),
        ("pods", pod(format!(r#","ports":{}"#, list(|i| format!(r#"{{"containerPort":{}}}"#, i + 1))))),
    ] {
        let answers = [
            world.typed(&format!("POST {plural}"), &body, "application/json").0,
            world.typed(&format!("PATCH {plural}/a"), &body, "application/strategic-merge-patch+json").0,
            world
                .typed(&format!("PATCH {plural}/a?fieldManager=x&force=true"), &body, "application/apply-patch+yaml")
                .0,
        ];
        assert!(answers.iter().all(|code| *code < 300 || *code == 400), "{plural}: {answers:?}");
        world.ok(&format!("PATCH {plural}/a"), r#"{"metadata":{"finalizers":null}}"#);
        world.ok(&format!("DELETE {plural}/a?gracePeriodSeconds=0"), "");
        assert!(start.elapsed() < ALL, "{:?} after {plural} of {} bytes", start.elapsed(), body.len());
    }
}
