//! Goal: what a binding and an apply of a Scale leave on the object is what kube-apiserver 1.34 leaves there, and an object that is
//! too large by its managedFields alone is stored without them. Method: requests as recorded from it.

mod common;

use common::World;
use knarr_value::{Value, json};

const APPLY: &str = "application/apply-patch+yaml";

#[test]
fn a_binding_leaves_its_annotations_and_the_condition() {
    let world = World::new();
    let pod = |name: &str| {
        let body = r#"{"metadata":{"name":"NAME","labels":{"app":"x"}},"spec":{"schedulerName":"s","containers":[{"name":"c","image":"i"}]}}"#;
        world.ok("POST pods", &body.replace("NAME", name))
    };
    pod("p");
    let refused = r#"{"status":{"conditions":[{"type":"PodScheduled","status":"False","reason":"Unschedulable","lastTransitionTime":"2020-01-01T00:00:00Z"}],"nominatedNodeName":"zz"}}"#;
    world.ok("PATCH pods/p/status", refused);
    let owners = world.ok("GET pods/p", "").path(&["metadata", "managedFields"]).cloned();
    let binding = r#"{"metadata":{"name":"p","labels":{"app":"y"},"annotations":{"a":"2"}},"target":{"kind":"Node","name":"n1"}}"#;
    let made = world.ok("POST bindings", binding);
    assert_eq!((made.str_at(&["kind"]), made.str_at(&["status"])), ("Status", "Success"));
    let bound = world.ok("GET pods/p", "");
    assert_eq!(bound.str_at(&["spec", "nodeName"]), "n1");
    assert_eq!(bound.str_at(&["metadata", "annotations", "a"]), "2");
    assert_eq!(bound.str_at(&["metadata", "labels", "app"]), "x", "labels are copied by an alpha feature only");
    assert_eq!(bound.str_at(&["status", "nominatedNodeName"]), "zz");
    assert_eq!(bound.path(&["metadata", "managedFields"]).cloned(), owners);
    let text = |value: Option<&Value>| value.map(ToString::to_string).unwrap_or_default();
    assert_eq!(
        text(bound.path(&["status", "conditions"])),
        r#"[{"type":"PodScheduled","status":"True","lastProbeTime":null,"lastTransitionTime":"2026-11-23T20:00:00Z"}]"#
    );
    let order = |value: &Value, of: &str, fields: [&str; 3]| {
        let keys: Vec<String> =
            value.path(&[of]).and_then(Value::as_map).expect(of).keys().map(ToString::to_string).collect();
        let at: Vec<_> = fields.iter().map(|field| keys.iter().position(|key| key == field)).collect();
        assert!(at.iter().all(Option::is_some) && at.is_sorted(), "{of}: {keys:?}");
    };
    order(&bound, "spec", ["containers", "nodeName", "schedulerName"]);
    order(&bound, "status", ["phase", "conditions", "qosClass"]);
}

#[test]
fn a_binding_is_for_the_pod_that_was_decided_on() {
    let world = World::new();
    let made = world.ok("POST pods", r#"{"metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i"}]}}"#);
    let revision = made.str_at(&["metadata", "resourceVersion"]);
    let says = |metadata: &str| {
        let body = format!(r#"{{"metadata":{{"name":"p",{metadata}}},"target":{{"name":"n1"}}}}"#);
        world.fails("POST pods/p/binding", &body)
    };
    assert_eq!(
        says(r#""resourceVersion":"1""#),
        format!(
            "409 Conflict: Operation cannot be fulfilled on pods \"p\": StorageError: invalid object, Code: 4, Key: \
             /registry/pods/default/p, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: ResourceVersion in \
             precondition: 1, ResourceVersion in object meta: {revision}"
        )
    );
    assert!(says(r#""uid":"other""#).contains("Precondition failed: UID in precondition: other, UID in object meta: "));
    assert_eq!(
        world.fails("POST bindings", r#"{"metadata":{},"target":{"name":"n1"}}"#),
        "400 BadRequest: Name parameter required."
    );
    assert_eq!(
        world.fails("POST bindings", r#"{"metadata":{"name":"zz"},"target":{"name":"n1"}}"#),
        "404 NotFound: pods \"zz\" not found"
    );
    assert!(world.fails("GET bindings", "").starts_with("405 MethodNotAllowed: "));
}

#[test]
fn an_apply_of_a_scale_owns_the_replicas() {
    let world = World::new();
    let body = r#"{"metadata":{"name":"d"},"spec":{"replicas":1,"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}"#;
    world.ok("POST deployments.apps?fieldManager=curl", body);
    let apply = |query: &str, spec: &str| {
        let config = format!(
            r#"{{"kind":"Scale","apiVersion":"autoscaling/v1","metadata":{{"name":"d","namespace":"default"}},"spec":{spec}}}"#
        );
        world.typed(&format!("PATCH deployments.apps/d/scale?{query}"), &config, APPLY)
    };
    let replicas = |value: &Value| value.path(&["spec", "replicas"]).and_then(Value::as_i64);
    let owners = || {
        let object = world.ok("GET deployments.apps/d", "");
        let entries = object.path(&["metadata", "managedFields"]).and_then(Value::as_list).expect("owners").to_vec();
        let owns = |entry: &&Value| entry.path(&["fieldsV1", "f:spec", "f:replicas"]).is_some();
        entries.iter().filter(owns).map(ToString::to_string).collect::<Vec<_>>()
    };
    let (code, status) = apply("fieldManager=m", r#"{"replicas":3}"#);
    assert_eq!(code, 409);
    assert_eq!(
        status.str_at(&["message"]),
        "Apply failed with 1 conflict: conflict with \"curl\" using autoscaling/v1: .spec.replicas"
    );
    let (code, scale) = apply("fieldManager=m&force=true", r#"{"replicas":3}"#);
    assert_eq!((code, scale.str_at(&["kind"]), replicas(&scale)), (200, "Scale", Some(3)));
    assert_eq!(scale.path(&["metadata", "managedFields"]), None);
    assert_eq!(
        owners(),
        [
            r#"{"manager":"m","operation":"Apply","apiVersion":"apps/v1","fieldsType":"FieldsV1","fieldsV1":{"f:spec":{"f:replicas":{}}},"subresource":"scale"}"#
        ]
    );
    let object = world.ok("GET deployments.apps/d", "");
    assert_eq!(
        (replicas(&object), object.path(&["metadata", "generation"]).and_then(Value::as_i64)),
        (Some(3), Some(2))
    );
    let before = object.str_at(&["metadata", "resourceVersion"]).to_owned();
    let (_, again) = apply("fieldManager=m", r#"{"replicas":3}"#);
    assert_eq!(again.str_at(&["metadata", "resourceVersion"]), before, "nothing new was said");
    let (code, emptied) = apply("fieldManager=m", "{}");
    assert_eq!((code, replicas(&emptied)), (200, None), "{emptied}");
    assert_eq!(replicas(&world.ok("GET deployments.apps/d", "")), Some(0));
    assert!(owners().len() == 1 && owners()[0].contains(r#""manager":"m""#), "an empty spec owns its replicas");
    world.ok("PATCH deployments.apps/d/scale?fieldManager=u", r#"{"spec":{"replicas":5}}"#);
    assert_eq!(
        apply("fieldManager=m2", r#"{"replicas":3}"#).1.str_at(&["message"]),
        "Apply failed with 1 conflict: conflict with \"u\" with subresource \"scale\" using autoscaling/v1: .spec.replicas"
    );
    let (code, status) = apply("fieldManager=m&force=true", r#"{"replicas":2,"foo":1}"#);
    assert_eq!(code, 500);
    assert_eq!(
        status.str_at(&["message"]),
        "failed to create typed patch object (default/d; autoscaling/v1, Kind=Scale): .spec.foo: field not declared in schema"
    );
    let other = r#"{"kind":"Deployment","apiVersion":"apps/v1","metadata":{"name":"d"},"spec":{"replicas":2}}"#;
    let (code, status) = world.typed("PATCH deployments.apps/d/scale?fieldManager=m", other, APPLY);
    assert_eq!((code, status.str_at(&["message"])), (400, "invalid object type: apps/v1, Kind=Deployment"));
}

#[test]
fn managed_fields_go_before_an_object_is_too_large() {
    let world = World::new();
    let value = "v".repeat(1 << 20);
    let mut data = knarr_value::Map::new();
    // Long keys: their names are in the object once, and in managedFields once more.
    for n in 0..1500 {
        data.insert(format!("{n:0200}"), "");
    }
    data.insert("large", value);
    let body = knarr_value::value!({ "metadata": { "name": "m" }, "data": (Value::Map(data.clone())) });
    let made = world.ok("POST configmaps", &String::from_utf8(json::to_vec(&body)).expect("text"));
    assert_eq!(made.path(&["metadata", "managedFields"]), None, "they would not fit");
    assert_eq!(made.get("data").and_then(Value::as_map).map(knarr_value::Map::len), Some(data.len()));
    world.ok("PATCH configmaps/m", r#"{"data":{"more":"1"}}"#);
    data.insert("larger", "v".repeat(1 << 20));
    let body = knarr_value::value!({ "metadata": { "name": "n" }, "data": (Value::Map(data)) });
    assert_eq!(
        world.fails("POST configmaps", &String::from_utf8(json::to_vec(&body)).expect("text")),
        "500 : etcdserver: request is too large"
    );
}
