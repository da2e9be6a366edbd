//! Goal: byte for byte what the Go types make. Method: k8s.io/api ships golden objects of every kind as JSON and as protobuf; each is
//! taken through all four directions. They are read from the Go module cache; to get them:
//! `go mod download k8s.io/api@v0.34.2` (without them that test says so and fails, for it would prove nothing).

use super::*;
use crate::{json, value};
use proptest::prelude::*;
use std::path::PathBuf;
use std::sync::LazyLock;

static TYPES: LazyLock<TypeTable> = LazyLock::new(|| {
    TypeTable::load(include_bytes!("../../../../python/knarr/api/_tables/types.json.zz")).expect("the committed table")
});

fn golden() -> PathBuf {
    let cache = std::env::var_os("GOMODCACHE").map(PathBuf::from).unwrap_or_else(|| {
        let home = std::env::var_os("GOPATH").map(PathBuf::from);
        home.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").expect("HOME")).join("go")).join("pkg/mod")
    });
    cache.join("k8s.io/api@v0.34.2/testdata/HEAD")
}

#[test]
#[allow(clippy::disallowed_methods, reason = "the golden objects are files")]
fn golden_objects_of_every_kind_go_both_ways() {
    let files = std::fs::read_dir(golden()).expect("golden objects: run `go mod download k8s.io/api@v0.34.2`");
    let (mut seen, mut failures) = (0, Vec::new());
    for path in files.map(|f| f.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "pb")) {
        let bytes = std::fs::read(&path).unwrap();
        let envelope = unwrap(&bytes).unwrap();
        let (group, version) = envelope.api_version.split_once('/').unwrap_or(("", envelope.api_version));
        let Some(id) = TYPES.kind(group, version, envelope.kind) else { continue };
        seen += 1;
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let mut expected = json::from_slice(&std::fs::read(path.with_extension("json")).unwrap()).unwrap();
        match encode(&TYPES, id, &expected) {
            Ok(raw) if wrap(envelope.api_version, envelope.kind, &raw) == bytes => {}
            Ok(raw) => {
                failures.push(format!("{name}: encoded differently, {} bytes for {}", raw.len(), envelope.raw.len()))
            }
            Err(e) => failures.push(format!("{name}: {e}")),
        }
        expected.remove_path(&["kind"]);
        expected.remove_path(&["apiVersion"]);
        match decode(&TYPES, id, envelope.raw) {
            // Compared as text: the order of fields is part of it.
            Ok(got) if json::to_vec(&got) == json::to_vec(&expected) => {}
            Ok(got) => failures.push(format!("{name}: decoded differently\n got {got}\nwant {expected}")),
            Err(e) => failures.push(format!("{name}: {e}")),
        }
    }
    assert!(failures.is_empty(), "{} of {seen}:\n{}", failures.len(), failures.join("\n"));
    assert!(seen > 70, "only {seen} golden kinds were found");
}

fn id(kind: &str) -> TypeId {
    TYPES.kind("", "v1", kind).unwrap()
}

#[test]
fn zeros_are_written_and_read_as_gos_marshallers_do() {
    // Bytes from `(&corev1.Pod{}).Marshal()`: metadata, spec and status are not pointers.
    let bytes = encode(&TYPES, id("Pod"), &value!({})).unwrap();
    assert_eq!(bytes[..2], [0x0a, 0x10], "metadata has strings 1 to 6, generation and creationTimestamp, each empty");
    assert_eq!(bytes[2..18], [0x0a, 0, 0x12, 0, 0x1a, 0, 0x22, 0, 0x2a, 0, 0x32, 0, 0x38, 0, 0x42, 0]);
    let back = decode(&TYPES, id("Pod"), &bytes).unwrap();
    assert_eq!(back.to_string(), r#"{"metadata":{},"spec":{"containers":null},"status":{}}"#);
    let empty = decode(&TYPES, id("Pod"), &[]).unwrap();
    assert_eq!(empty, back);
}

#[test]
fn pointers_keep_their_zeros() {
    let pod = value!({"spec": {"containers": [], "terminationGracePeriodSeconds": 0, "hostNetwork": false, "automountServiceAccountToken": false}});
    let back = decode(&TYPES, id("Pod"), &encode(&TYPES, id("Pod"), &pod).unwrap()).unwrap();
    assert_eq!(
        back.get("spec").unwrap().to_string(),
        r#"{"containers":null,"terminationGracePeriodSeconds":0,"automountServiceAccountToken":false}"#
    );
}

#[test]
fn quantities_are_answered_canonical() {
    let pod = value!({"spec": {"containers": [{"resources": {"limits": {"memory": "0.5Gi", "cpu": 2}}}]}});
    let back = decode(&TYPES, id("Pod"), &encode(&TYPES, id("Pod"), &pod).unwrap()).unwrap();
    let container = &back.path(&["spec", "containers"]).unwrap().as_list().unwrap()[0];
    assert_eq!(container.path(&["resources", "limits"]).unwrap().to_string(), r#"{"cpu":"2","memory":"512Mi"}"#);
}

#[test]
fn errors_name_the_path() {
    let pod = value!({"spec": {"containers": [{"ports": [{"containerPort": "x"}]}]}});
    let e = encode(&TYPES, id("Pod"), &pod).unwrap_err();
    assert_eq!(e.to_string(), "protobuf: spec.containers[0].ports[0].containerPort: expected an integer, got string");
    let e = decode(&TYPES, id("Pod"), &[0x12, 0x03, 0xf8, 0x7f, 0x01]).unwrap_err();
    assert_eq!(e.to_string(), "protobuf: spec: unknown field 2047 of io.k8s.api.core.v1.PodSpec");
    assert!(decode_with(&TYPES, id("Pod"), &[0x12, 0x03, 0xf8, 0x7f, 0x01], UnknownFields::Skip).is_ok());
    let table = encode(&TYPES, TYPES.kind("meta.k8s.io", "v1", "Table").unwrap(), &value!({})).unwrap_err();
    assert_eq!(table.to_string(), "protobuf: io.k8s.apimachinery.pkg.apis.meta.v1.Table has no protobuf form");
}

#[test]
fn lists_are_put_together_from_encoded_items() {
    let pod =
        value!({"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", "resources": {}}]}, "status": {}});
    let item = encode(&TYPES, id("Pod"), &pod).unwrap();
    let meta = value!({"resourceVersion": "7"});
    let mut built = list_head(&TYPES, &meta).unwrap();
    for _ in 0..2 {
        item_head(item.len(), &mut built);
        built.extend_from_slice(&item);
    }
    let list = encode(&TYPES, id("PodList"), &value!({"metadata": meta, "items": [pod.clone(), pod]})).unwrap();
    assert_eq!(built, list);
    let frame = watch_event("ADDED", &wrap("v1", "Pod", &item));
    assert_eq!(u32::from_be_bytes(frame[..4].try_into().unwrap()) as usize, frame.len() - 4);
    let event = decode(&TYPES, id("WatchEvent"), &frame[4..]).unwrap();
    assert_eq!(event.str_at(&["type"]), "ADDED");
    assert_eq!(event.str_at(&["object", "kind"]), "Pod");
    assert_eq!(event.str_at(&["object", "metadata", "name"]), "a");
}

/// A value of a type, as a client could have sent it: some fields, shallow.
fn of_shape(shape: &crate::Shape, depth: u32) -> BoxedStrategy<Value> {
    use crate::Shape;
    match shape {
        Shape::Str => "[a-z]{1,8}".prop_map(Value::from).boxed(),
        Shape::Int32 => any::<i32>().prop_map(Value::from).boxed(),
        Shape::Int64 => any::<i64>().prop_map(Value::from).boxed(),
        Shape::Bool => Just(Value::Bool(true)).boxed(),
        Shape::Double => (-1000i64..1000).prop_map(|n| Value::Float(n as f64 + 0.5)).boxed(),
        Shape::Bytes => Just(Value::from("AAEC")).boxed(),
        Shape::Time => (0i64..4_000_000_000)
            .prop_map(|seconds| Value::Str(crate::time::Timestamp { seconds, nanos: 0 }.rfc3339()))
            .boxed(),
        Shape::MicroTime => (0i64..4_000_000_000, 0u32..1_000_000)
            .prop_map(|(seconds, us)| Value::Str(crate::time::Timestamp { seconds, nanos: us * 1000 }.rfc3339_micros()))
            .boxed(),
        Shape::Quantity => (1i64..10_000, "(m|k|Ki|Mi|)")
            .prop_map(|(n, s)| Value::Str(crate::quantity::canonicalize(&format!("{n}{s}")).unwrap()))
            .boxed(),
        Shape::IntOrString => {
            prop_oneof![any::<i32>().prop_map(Value::from), "[a-z]{1,5}%?".prop_map(Value::from)].boxed()
        }
        Shape::Fields | Shape::Raw => Just(value!({"f:spec": {"a": [1, null, "<x>"]}})).boxed(),
        Shape::Any => crate::json::tests::values().prop_filter("null is absence", |v| !v.is_null()).boxed(),
        Shape::Struct(id) => of_type(*id, depth),
        Shape::OrBool(id) => prop_oneof![any::<bool>().prop_map(Value::Bool), of_type(*id, depth)].boxed(),
        Shape::OrList(id) => {
            prop_oneof![proptest::collection::vec(of_type(*id, depth), 1..3).prop_map(Value::List), of_type(*id, depth)]
                .boxed()
        }
        Shape::OrStrings(id) => prop_oneof![
            proptest::collection::vec("[a-z]{0,3}".prop_map(Value::from), 1..3).prop_map(Value::List),
            of_type(*id, depth)
        ]
        .boxed(),
        Shape::List(inner) => proptest::collection::vec(of_shape(inner, depth), 1..3).prop_map(Value::List).boxed(),
        Shape::Map(inner) => proptest::collection::btree_map("[a-z]{1,5}", of_shape(inner, depth), 1..4)
            .prop_map(|m| Value::Map(m.into_iter().collect()))
            .boxed(),
    }
}

fn of_type(id: TypeId, depth: u32) -> BoxedStrategy<Value> {
    let t = TYPES.get(id);
    let given = t.fields.iter().filter(|f| f.number > 0 || !matches!(f.name.as_str(), "kind" | "apiVersion"));
    let fields: Vec<BoxedStrategy<Option<Value>>> = given
        .clone()
        .map(|f| match depth {
            0 => Just(None).boxed(),
            _ => proptest::option::weighted(0.3, of_shape(&f.shape, depth - 1)).boxed(),
        })
        .collect();
    let names: Vec<_> = given.cloned().collect();
    fields
        .prop_map(move |values| {
            let mut map = crate::Map::new();
            for (f, v) in names.iter().zip(values) {
                match v.filter(|v| !(f.elide_zero && v.is_zero())) {
                    Some(v) => {
                        map.insert(f.name.clone(), v);
                    }
                    None if f.always => {
                        map.insert(f.name.clone(), TYPES.zero(f));
                    }
                    None => {}
                }
            }
            Value::Map(map)
        })
        .boxed()
}

fn round_trips(group: &str, version: &str, kind: &str) {
    let id = TYPES.kind(group, version, kind).unwrap();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(64));
    let law = |v: Value| {
        let bytes = encode(&TYPES, id, &v).unwrap();
        prop_assert_eq!(decode(&TYPES, id, &bytes).unwrap().to_string(), v.to_string());
        Ok(())
    };
    runner.run(&of_type(id, 4), law).unwrap();
}

#[test]
fn generated_values_come_back() {
    for (group, version, kind) in [
        ("", "v1", "Pod"),
        ("", "v1", "Service"),
        ("", "v1", "Event"),
        ("apps", "v1", "Deployment"),
        ("coordination.k8s.io", "v1", "Lease"),
        ("apiextensions.k8s.io", "v1", "CustomResourceDefinition"),
        ("authentication.k8s.io", "v1", "TokenReview"),
        ("networking.k8s.io", "v1", "Ingress"),
    ] {
        round_trips(group, version, kind);
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 0usize..400, flip: u8) {
        for kind in ["Pod", "PodList", "WatchEvent", "Secret"] {
            let _ = (decode(&TYPES, id(kind), &bytes), decode_with(&TYPES, id(kind), &bytes, UnknownFields::Skip));
        }
        let _ = unwrap(&[MAGIC, &bytes].concat());
        let mut good = encode(&TYPES, id("Pod"), &value!({"metadata": {"name": "a", "labels": {"x": "y"}}, "spec": {"volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1Gi"}}]}})).unwrap();
        good.truncate(cut);
        if let Some(last) = good.last_mut() { *last ^= flip; }
        let _ = decode(&TYPES, id("Pod"), &good);
    }
}
