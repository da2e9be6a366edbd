//! Goal: an object is the same in every form it is asked for in: Event of core and of events.k8s.io, Tables, protobuf, whole or as a
//! watch's frames. Method: texts as recorded from kube-apiserver 1.34; protobuf is decoded again and compared with the JSON.

mod common;

use common::{World, frames};
use knarr_machinery::{Accept, Encoding, Form, Response};
use knarr_value::{Value, json, protobuf};
use knarr_watch::{WatchItem, Watcher};
use std::task::{Context, Poll, Waker};

/// Without what differs from run to run.
fn plain(mut value: Value) -> String {
    for field in ["uid", "resourceVersion", "creationTimestamp", "managedFields"] {
        value.remove_path(&["metadata", field]);
    }
    value.to_string()
}

const NEW: &str = r#"{"metadata":{"name":"e1"},"eventTime":"2026-01-02T03:04:05.678901Z","reportingController":"ctl.example/x","reportingInstance":"ins","action":"Act","reason":"Rsn","type":"Normal","note":"hello","regarding":{"kind":"Pod","name":"p","namespace":"default"}}"#;
const OLD: &str = r#"{"metadata":{"name":"e2"},"firstTimestamp":"2026-01-02T03:04:05Z","lastTimestamp":"2026-01-02T03:05:05Z","count":4,"source":{"component":"kubelet","host":"h"},"reason":"Rsn","type":"Warning","message":"world","involvedObject":{"kind":"Pod","name":"q","namespace":"default"}}"#;

#[test]
fn events_are_shown_in_the_order_and_with_the_zeros_of_either_form() {
    let world = World::new();
    world.ok("POST events.events.k8s.io", NEW);
    world.ok("POST events", OLD);
    assert_eq!(
        plain(world.ok("GET events/e1", "")),
        r#"{"kind":"Event","apiVersion":"v1","metadata":{"name":"e1","namespace":"default"},"involvedObject":{"kind":"Pod","namespace":"default","name":"p"},"reason":"Rsn","message":"hello","source":{},"firstTimestamp":null,"lastTimestamp":null,"type":"Normal","eventTime":"2026-01-02T03:04:05.678901Z","action":"Act","reportingComponent":"ctl.example/x","reportingInstance":"ins"}"#
    );
    assert_eq!(
        plain(world.ok("GET events.events.k8s.io/e2", "")),
        r#"{"kind":"Event","apiVersion":"events.k8s.io/v1","metadata":{"name":"e2","namespace":"default"},"eventTime":null,"reason":"Rsn","regarding":{"kind":"Pod","namespace":"default","name":"q"},"note":"world","type":"Warning","deprecatedSource":{"component":"kubelet","host":"h"},"deprecatedFirstTimestamp":"2026-01-02T03:04:05Z","deprecatedLastTimestamp":"2026-01-02T03:05:05Z","deprecatedCount":4}"#
    );
    let unchanged = world.ok("GET events/e2", "");
    let patched = world.ok("PATCH events.events.k8s.io/e2", r#"{"metadata":{"labels":{"a":"b"}}}"#);
    assert_eq!(patched.str_at(&["note"]), "world");
    let mut again = world.ok("GET events/e2", "");
    again.remove_path(&["metadata", "labels"]);
    assert_eq!(plain(again), plain(unchanged));
}

#[test]
fn events_are_selected_by_the_names_of_either_form() {
    let world = World::new();
    world.ok("POST events.events.k8s.io", NEW);
    world.ok("POST events", OLD);
    let names = |line: &str| {
        let listed = world.ok(line, "");
        let items = listed.get("items").and_then(Value::as_list).expect("items").to_vec();
        items.iter().map(|item| item.str_at(&["metadata", "name"]).to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("GET events.events.k8s.io?fieldSelector=regarding.name%3Dq"), ["e2"]);
    assert_eq!(names("GET events.events.k8s.io?fieldSelector=regarding.name!%3Dq"), ["e1"]);
    assert_eq!(names("GET events.events.k8s.io?fieldSelector=reportingController%3Dctl.example/x"), ["e1"]);
    assert_eq!(names("GET events?fieldSelector=involvedObject.name%3Dp"), ["e1"]);
    let mut watcher = world.watch("GET events.events.k8s.io?watch=1&fieldSelector=regarding.name%3Dq");
    world.ok("POST events", &OLD.replace("e2", "e3"));
    world.ok("POST events", &OLD.replace("e2", "e4").replace("\"q\"", "\"other\""));
    let seen: Vec<String> = frames(&mut watcher)
        .iter()
        .map(|frame| {
            format!("{} {}", frame.str_at(&["object", "apiVersion"]), frame.str_at(&["object", "metadata", "name"]))
        })
        .collect();
    assert_eq!(seen, ["events.k8s.io/v1 e2", "events.k8s.io/v1 e3"]);
    let mut request = world.request("GET events.events.k8s.io/e2", "", "");
    request.accept = Accept { encoding: Encoding::Json, form: Form::Table { version: "v1" } };
    let table = json::from_slice(&world.send(request).body()).expect("a table");
    let row = &table.get("rows").and_then(Value::as_list).expect("rows")[0];
    assert_eq!(row.get("cells").map(ToString::to_string).as_deref(), Some(r#"["Rsn","pod/q","world"]"#));
}

fn accepting(world: &World, line: &str, encoding: Encoding, form: Form) -> Response {
    let mut request = world.request(line, "", "");
    request.accept = Accept { encoding, form };
    world.send(request)
}

fn watcher(response: Response) -> Watcher {
    match response {
        Response::Watch { watcher, .. } => watcher,
        Response::Whole { .. } => panic!("{}", String::from_utf8_lossy(&response.body())),
    }
}

#[test]
fn a_watch_of_tables_defines_its_columns_once() {
    let world = World::new();
    world.ok("POST configmaps", r#"{"metadata":{"name":"a"}}"#);
    let mut watch = watcher(accepting(&world, "GET configmaps?watch=1", Encoding::Json, Form::Table { version: "v1" }));
    world.ok("PATCH configmaps/a", r#"{"data":{"k":"v"}}"#);
    world.ok("DELETE configmaps/a", "");
    let seen = frames(&mut watch);
    let types: Vec<&str> = seen.iter().map(|frame| frame.str_at(&["type"])).collect();
    assert_eq!(types, ["ADDED", "MODIFIED", "DELETED"]);
    for (n, frame) in seen.iter().enumerate() {
        assert_eq!(frame.str_at(&["object", "kind"]), "Table");
        let definitions = frame.path(&["object", "columnDefinitions"]);
        assert_eq!(definitions.is_some_and(|definitions| definitions.as_list().is_some()), n == 0, "{frame}");
        let rows = frame.path(&["object", "rows"]).and_then(Value::as_list).expect("rows");
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].get("cells").map(ToString::to_string).as_deref(), Some(r#"["a"]"#));
        assert_eq!(rows[0].str_at(&["object", "kind"]), "PartialObjectMetadata");
        assert_eq!(rows[0].path(&["object", "data"]), None);
    }
}

/// A length-delimited protobuf field's bytes, and what follows it.
fn field(bytes: &[u8], number: u8) -> (&[u8], &[u8]) {
    assert_eq!(bytes[0], number << 3 | 2);
    let (mut length, mut shift, mut at) = (0usize, 0, 1);
    loop {
        let byte = bytes[at];
        length |= usize::from(byte & 0x7f) << shift;
        (shift, at) = (shift + 7, at + 1);
        if byte < 0x80 {
            break;
        }
    }
    (&bytes[at..at + length], &bytes[at + length..])
}

#[test]
fn a_watch_in_protobuf_carries_enveloped_objects() {
    let world = World::new();
    world.ok("POST configmaps", r#"{"metadata":{"name":"a"},"data":{"k":"v"}}"#);
    let response = accepting(&world, "GET configmaps?watch=1", Encoding::Protobuf, Form::Object);
    let Response::Watch { content_type, .. } = &response else { panic!("no watch") };
    assert_eq!(*content_type, "application/vnd.kubernetes.protobuf;stream=watch");
    let mut watch = watcher(response);
    world.ok("PATCH configmaps/a", r#"{"data":{"k":"w"}}"#);
    let mut seen = Vec::new();
    while let Poll::Ready(Some(item)) = watch.poll_next(&mut Context::from_waker(Waker::noop())) {
        let (WatchItem::Frame(bytes) | WatchItem::End(bytes)) = item;
        let length = u32::from_be_bytes(bytes[..4].try_into().expect("four bytes")) as usize;
        assert_eq!(bytes.len(), length + 4);
        let (kind, rest) = field(&bytes[4..], 1);
        let (raw, rest) = field(rest, 2);
        assert!(rest.is_empty());
        let (enveloped, _) = field(raw, 1);
        let unknown = protobuf::unwrap(enveloped).expect("an envelope");
        assert_eq!((unknown.api_version, unknown.kind), ("v1", "ConfigMap"));
        let id = world.types.id("io.k8s.api.core.v1.ConfigMap").expect("a type");
        let object = protobuf::decode(&world.types, id, unknown.raw).expect("a ConfigMap");
        seen.push(format!("{} {}", String::from_utf8_lossy(kind), object.str_at(&["data", "k"])));
    }
    assert_eq!(seen, ["ADDED v", "MODIFIED w"]);
}

#[test]
fn a_list_in_protobuf_is_the_list_in_json() {
    let world = World::new();
    for n in 0..300 {
        let body = format!(
            r#"{{"metadata":{{"name":"p{n}","labels":{{"even":"{}"}}}},"spec":{{"containers":[{{"name":"c","image":"i"}}]}}}}"#,
            n % 2
        );
        world.ok("POST pods", &body);
    }
    let id = world.types.id("io.k8s.api.core.v1.PodList").expect("a type");
    for line in
        ["GET pods", "GET pods?limit=7", "GET pods?labelSelector=even%3D1", "GET pods?limit=7&labelSelector=even%3D1"]
    {
        let whole = world.ok(line, "");
        let body = accepting(&world, line, Encoding::Protobuf, Form::Object).body();
        let unknown = protobuf::unwrap(&body).expect("an envelope");
        assert_eq!((unknown.api_version, unknown.kind), ("v1", "PodList"));
        let list = protobuf::decode(&world.types, id, unknown.raw).expect("a PodList");
        let names = |list: &Value| {
            let items = list.get("items").and_then(Value::as_list).expect("items");
            items
                .iter()
                .map(|pod| pod.path(&["metadata"]).map(ToString::to_string).unwrap_or_default())
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&list).len(), names(&whole).len(), "{line}");
        assert_eq!(
            list.path(&["metadata", "remainingItemCount"]).and_then(Value::as_i64),
            whole.path(&["metadata", "remainingItemCount"]).and_then(Value::as_i64)
        );
        for field in ["name", "uid", "resourceVersion"] {
            let of = |list: &Value| {
                let items = list.get("items").and_then(Value::as_list).expect("items");
                items.iter().map(|pod| pod.str_at(&["metadata", field]).to_owned()).collect::<Vec<_>>()
            };
            assert_eq!(of(&list), of(&whole), "{line}");
        }
    }
}

#[test]
fn what_remains_of_a_list_is_told_on_every_page() {
    let world = World::new();
    for n in 0..10 {
        world.ok("POST configmaps", &format!(r#"{{"metadata":{{"name":"c{n}"}}}}"#));
    }
    let mut line = "GET configmaps?limit=4".to_owned();
    let mut told = Vec::new();
    loop {
        let page = world.ok(&line, "");
        told.push(page.path(&["metadata", "remainingItemCount"]).and_then(Value::as_i64));
        // A list is of one revision: what comes meanwhile is not in it.
        world.ok("POST configmaps", &format!(r#"{{"metadata":{{"name":"z{}"}}}}"#, told.len()));
        match page.str_at(&["metadata", "continue"]) {
            "" => break,
            token => line = format!("GET configmaps?limit=4&continue={token}"),
        }
    }
    assert_eq!(told, [Some(6), Some(2), None]);
    let selected = world.ok("GET configmaps?limit=4&labelSelector=!none", "");
    assert_eq!(selected.path(&["metadata", "remainingItemCount"]), None);
    assert_ne!(selected.str_at(&["metadata", "continue"]), "");
    let gone = world.ok("DELETE configmaps?limit=3", "");
    assert_eq!(gone.get("items").and_then(Value::as_list).map(<[Value]>::len), Some(3), "{gone}");
    assert_eq!(world.ok("GET configmaps", "").get("items").and_then(Value::as_list).map(<[Value]>::len), Some(10));
}

/// What a write answers in protobuf is encoded from the object at hand, not from what is stored: it must be the same.
#[test]
fn a_write_in_protobuf_answers_what_a_get_does() {
    let world = World::new();
    let pod = r#"{"metadata":{"name":"a","labels":{"z":"1","b":"2"}},
        "spec":{"containers":[{"name":"c","image":"i","env":[{"name":"A","value":"b"}]}],"terminationGracePeriodSeconds":0}}"#;
    let written = |method: &str, query: &str, body: &str| {
        let content_type = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let name = if method == "POST" { "" } else { "/a" };
        let mut request = world.request(&format!("{method} pods{name}{query}"), body, content_type);
        request.accept = Accept { encoding: Encoding::Protobuf, form: Form::Object };
        let response = world.send(request);
        assert!(response.code() < 300, "{method}: {}", String::from_utf8_lossy(&response.body()));
        response.body()
    };
    let stored = || accepting(&world, "GET pods/a", Encoding::Protobuf, Form::Object).body();
    let dry = written("POST", "?dryRun=All", pod);
    let unknown = protobuf::unwrap(&dry).expect("an envelope");
    let id = world.types.id("io.k8s.api.core.v1.Pod").expect("Pod");
    let shown = protobuf::decode(&world.types, id, unknown.raw).expect("a Pod");
    assert_eq!(shown.str_at(&["metadata", "resourceVersion"]), "");
    assert_eq!(shown.str_at(&["metadata", "name"]), "a");
    assert_eq!(written("POST", "", pod), stored());
    assert_eq!(written("PATCH", "", r#"{"metadata":{"labels":{"b":"3"}}}"#), stored());
    let mut changed = world.ok("GET pods/a", "");
    changed.set_path(&["metadata", "annotations"], Value::default());
    changed.set_path(&["metadata", "annotations", "k"], "v");
    assert_eq!(written("PUT", "", &changed.to_string()), stored());
    // What changes nothing is answered from what is stored.
    assert_eq!(written("PATCH", "", r#"{"metadata":{"labels":{"b":"3"}}}"#), stored());
}
