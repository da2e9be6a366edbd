//! Goal: each verb answers what kube-apiserver 1.34 answered to the same request. Method: requests against a store in memory;
//! the expected codes, reasons and texts were taken from the real one.

mod common;

use common::{World, brief, frames};
use knarr_machinery::{Accept, Encoding, Form};
use knarr_value::Value;

fn revision(object: &Value) -> u64 {
    object.str_at(&["metadata", "resourceVersion"]).parse().expect("a revision")
}

#[test]
fn a_configmap_is_created_read_updated_and_deleted() {
    let world = World::new();
    let created = world.ok("POST configmaps", r#"{"metadata":{"name":"a"},"data":{"k":"v"}}"#);
    assert_eq!(created.str_at(&["kind"]), "ConfigMap");
    assert_eq!(created.str_at(&["metadata", "namespace"]), "default");
    assert_eq!(created.str_at(&["metadata", "creationTimestamp"]), "2026-11-23T20:00:00Z");
    assert_eq!(created.str_at(&["metadata", "uid"]).len(), 36);
    let managed = created.path(&["metadata", "managedFields"]).and_then(Value::as_list).expect("managedFields");
    assert_eq!(managed.len(), 1);
    assert_eq!(managed[0].str_at(&["manager"]), "curl");
    assert_eq!(world.ok("GET configmaps/a", ""), created);
    let mut changed = created.clone();
    changed.set_path(&["data", "k"], "w");
    let updated = world.ok("PUT configmaps/a", &changed.to_string());
    assert!(revision(&updated) > revision(&created));
    // What changes nothing writes nothing.
    let again = world.ok("PUT configmaps/a", &updated.to_string());
    assert_eq!(again, updated);
    let (code, status) = world.call("DELETE configmaps/a", "");
    assert_eq!((code, status.str_at(&["status"])), (200, "Success"));
    assert_eq!(status.str_at(&["details", "uid"]), created.str_at(&["metadata", "uid"]));
    assert_eq!(status.get("code"), None);
    assert_eq!(world.fails("GET configmaps/a", ""), "404 NotFound: configmaps \"a\" not found");
    assert_eq!(world.fails("DELETE configmaps/a", ""), "404 NotFound: configmaps \"a\" not found");
}

#[test]
fn refusals_are_worded_as_in_kubernetes() {
    let world = World::new();
    world.ok("POST configmaps", r#"{"metadata":{"name":"a"}}"#);
    let check = |line: &str, body: &str, expected: &str| assert_eq!(world.fails(line, body), expected, "{line} {body}");
    let post = "POST configmaps";
    check(post, r#"{"metadata":{"name":"a"}}"#, "409 AlreadyExists: configmaps \"a\" already exists");
    check(
        post,
        r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a"}}"#,
        "400 BadRequest: Pod in version \"v1\" cannot be handled as a ConfigMap: converting (v1.Pod) to (core.ConfigMap): unknown conversion",
    );
    check(
        post,
        r#"{"kind":"Foo","apiVersion":"v1","metadata":{"name":"a"}}"#,
        "400 BadRequest: Foo in version \"v1\" cannot be handled as a ConfigMap: no kind \"Foo\" is registered for version \"v1\" in scheme \"pkg/runtime/scheme.go:110\"",
    );
    check(
        post,
        r#"{"kind":"ConfigMap","apiVersion":"apps/v1","metadata":{"name":"a"}}"#,
        "400 BadRequest: ConfigMap in version \"v1\" cannot be handled as a ConfigMap: no kind \"ConfigMap\" is registered for version \"apps/v1\" in scheme \"pkg/runtime/scheme.go:110\"",
    );
    check(
        post,
        r#"{"metadata":{"name":"b","namespace":"x"}}"#,
        "400 BadRequest: the namespace of the provided object does not match the namespace sent on the request",
    );
    check(
        post,
        r#"{"metadata":"#,
        "400 BadRequest: the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: unexpected end of JSON input ({\"metadata\":)",
    );
    check(
        post,
        "",
        "400 BadRequest: the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: unexpected end of JSON input (<empty>)",
    );
    check(
        "POST configmaps?fieldValidation=Strict",
        r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"b","name":"b"},"foo":1}"#,
        "400 BadRequest: ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: duplicate field \"metadata.name\", unknown field \"foo\"",
    );
    check(
        "POST configmaps?fieldValidation=X",
        r#"{"metadata":{"name":"b"}}"#,
        "422 Invalid: CreateOptions.meta.k8s.io \"\" is invalid: fieldValidation: Unsupported value: \"X\": supported values: \"\", \"Ignore\", \"Strict\", \"Warn\"",
    );
    check(
        "POST configmaps?dryRun=X",
        r#"{"metadata":{"name":"b"}}"#,
        "422 Invalid: CreateOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: [\"X\"]: supported values: \"All\"",
    );
    check("POST nope:configmaps", r#"{"metadata":{"name":"b"}}"#, "404 NotFound: namespaces \"nope\" not found");
    check("PUT configmaps/b", r#"{"metadata":{"name":"b"}}"#, "404 NotFound: configmaps \"b\" not found");
    check(
        "PUT configmaps/a",
        r#"{"metadata":{"name":"b"}}"#,
        "400 BadRequest: the name of the object (b) does not match the name on the URL (a)",
    );
    check(
        "PUT configmaps/a",
        r#"{"metadata":{"name":"a","resourceVersion":"1"}}"#,
        "409 Conflict: Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes to the latest version and try again",
    );
    check(
        "PUT configmaps/a",
        r#"{"metadata":{"name":"a","resourceVersion":"x"}}"#,
        "500 : strconv.ParseUint: parsing \"x\": invalid syntax",
    );
    check(
        "GET configmaps?fieldSelector=foo%3D1",
        "",
        "400 BadRequest: \"foo\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
    );
    check("GET pods?fieldSelector=foo%3D1", "", "400 BadRequest: field label not supported: foo");
    check("GET configmaps?fieldSelector=foo", "", "400 BadRequest: invalid selector: 'foo'; can't understand 'foo'");
    check(
        "GET configmaps?labelSelector=a b",
        "",
        "400 BadRequest: unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt",
    );
    check(
        "GET configmaps?resourceVersion=x",
        "",
        "400 BadRequest: invalid resource version: resourceVersion: Invalid value: \"x\": strconv.ParseUint: parsing \"x\": invalid syntax",
    );
    check(
        "GET configmaps?sendInitialEvents=true",
        "",
        "422 Invalid: ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list",
    );
    check(
        "GET configmaps?watch=1&sendInitialEvents=true",
        "",
        "422 Invalid: ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
    );
    check(
        "DELETE configmaps/a",
        r#"{"propagationPolicy":"Foo"}"#,
        "422 Invalid: DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: \"Foo\": supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\"",
    );
    check(
        "DELETE namespaces/default",
        "",
        "403 Forbidden: namespaces \"default\" is forbidden: this namespace may not be deleted",
    );
    let (code, status) = world.typed(post, "{}", "text/plain");
    assert_eq!(
        (code, status.str_at(&["message"])),
        (
            415,
            "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf"
        )
    );
    let big = format!(r#"{{"metadata":{{"name":"b"}},"data":{{"k":"{}"}}}}"#, "a".repeat(3 << 20));
    check(post, &big, "413 RequestEntityTooLarge: Request entity too large: limit is 3145728");
    let refused = world.fails("GET configmaps?resourceVersion=99999999", "");
    assert!(refused.starts_with("504 Timeout: Timeout: Too large resource version: 99999999, current: "), "{refused}");
}

#[test]
fn generated_names_are_tried_until_one_is_free() {
    let world = World::new();
    let names: std::collections::BTreeSet<String> = (0..50)
        .map(|_| {
            world
                .ok("POST configmaps", r#"{"metadata":{"generateName":"g-"}}"#)
                .str_at(&["metadata", "name"])
                .to_owned()
        })
        .collect();
    assert_eq!(names.len(), 50);
    assert!(names.iter().all(|name| name.len() == 7 && name.starts_with("g-")));
}

#[test]
fn a_dry_run_answers_and_writes_nothing() {
    let world = World::new();
    let before = world.ok("GET configmaps", "");
    let (code, object) = world.call("POST configmaps?dryRun=All", r#"{"metadata":{"name":"b"}}"#);
    assert_eq!(code, 201);
    assert_eq!(object.path(&["metadata", "resourceVersion"]), None, "{object}");
    assert_eq!(world.ok("GET configmaps", ""), before);
    world.ok("POST configmaps", r#"{"metadata":{"name":"b"}}"#);
    let stored = world.ok("GET configmaps/b", "");
    world.ok("PATCH configmaps/b?dryRun=All", r#"{"data":{"x":"y"}}"#);
    world.ok("DELETE configmaps/b?dryRun=All", "");
    assert_eq!(world.ok("GET configmaps/b", ""), stored);
}

#[test]
fn lists_are_paged_at_one_revision() {
    let world = World::new();
    for n in 0..5 {
        world.ok("POST configmaps", &format!(r#"{{"metadata":{{"name":"c{n}","labels":{{"odd":"{}"}}}}}}"#, n % 2));
    }
    let first = world.ok("GET configmaps?limit=2", "");
    let names = |list: &Value| -> Vec<String> {
        let items = list.get("items").and_then(Value::as_list).expect("items");
        items.iter().map(|item| item.str_at(&["metadata", "name"]).to_owned()).collect()
    };
    assert_eq!(names(&first), ["c0", "c1"]);
    assert_eq!(first.path(&["metadata", "remainingItemCount"]).and_then(Value::as_i64), Some(3));
    assert!(first.path(&["items"]).and_then(Value::as_list).expect("items")[0].get("kind").is_none());
    let token = first.str_at(&["metadata", "continue"]).to_owned();
    world.ok("DELETE configmaps/c2", "");
    let second = world.ok(&format!("GET configmaps?limit=2&continue={token}"), "");
    assert_eq!(names(&second), ["c2", "c3"], "as it was");
    assert_eq!(revision(&second), revision(&first));
    let third = world.ok(&format!("GET configmaps?limit=2&continue={}", second.str_at(&["metadata", "continue"])), "");
    assert_eq!(names(&third), ["c4"]);
    assert_eq!(third.str_at(&["metadata", "continue"]), "");
    let odd = world.ok("GET configmaps?limit=1&labelSelector=odd%3D1", "");
    assert_eq!((names(&odd), odd.path(&["metadata", "remainingItemCount"])), (vec!["c1".to_owned()], None));
    assert_eq!(names(&world.ok("GET configmaps?fieldSelector=metadata.name%3Dc3", "")), ["c3"]);
    // History is gone: the token can be exchanged for one that goes on without consistency.
    use knarr_store::{KeySpace, Store};
    world.store.compact(KeySpace::Cluster, world.store.revision(KeySpace::Cluster)).expect("compacted");
    let (code, status) = world.call(&format!("GET configmaps?limit=2&continue={token}"), "");
    assert_eq!((code, status.str_at(&["reason"])), (410, "Expired"));
    let token = status.str_at(&["metadata", "continue"]);
    assert_eq!(names(&world.ok(&format!("GET configmaps?continue={token}"), "")), ["c3", "c4"]);
}

#[test]
fn a_watch_sees_every_change_with_its_revision() {
    let world = World::new();
    let created = world.ok("POST configmaps", r#"{"metadata":{"name":"a","labels":{"on":"1"}}}"#);
    let from = revision(&created);
    let mut all = world.watch("GET configmaps?watch=1");
    let mut later = world.watch(&format!("GET configmaps?watch=1&resourceVersion={from}"));
    let mut labelled = world.watch(&format!("GET configmaps?watch=1&resourceVersion={from}&labelSelector=on"));
    let mut listed = world.watch(
        "GET configmaps?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true",
    );
    let patched = world.ok("PATCH configmaps/a", r#"{"metadata":{"labels":{"on":null}}}"#);
    world.ok("DELETE configmaps/a", "");
    let (p, d) = (revision(&patched), revision(&patched) + 1);
    let check = |watcher: &mut knarr_watch::Watcher, expected: &[String]| {
        assert_eq!(frames(watcher).iter().map(brief).collect::<Vec<_>>(), expected);
    };
    let added = format!("ADDED a@{from}");
    let (modified, deleted) = (format!("MODIFIED a@{p}"), format!("DELETED a@{d}"));
    check(&mut all, &[added.clone(), modified.clone(), deleted.clone()]);
    check(&mut later, &[modified.clone(), deleted.clone()]);
    check(&mut labelled, &[format!("DELETED a@{p}")]);
    let got = frames(&mut listed);
    assert_eq!(got.iter().map(brief).collect::<Vec<_>>(), [added, format!("BOOKMARK @{from}"), modified, deleted]);
    let bookmark = r#"{"type":"BOOKMARK","object":{"kind":"ConfigMap","apiVersion":"v1","metadata":{"resourceVersion":"FROM","annotations":{"k8s.io/initial-events-end":"true"}}}}"#;
    assert_eq!(got[1].to_string(), bookmark.replace("FROM", &from.to_string()));
}

#[test]
fn a_pod_bookmark_is_the_empty_pod() {
    let world = World::new();
    let mut watcher = world
        .watch("GET pods?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true");
    let text = frames(&mut watcher)[0].to_string();
    let at = text.find("\"resourceVersion\":\"").expect("a revision");
    assert_eq!(&text[..at], r#"{"type":"BOOKMARK","object":{"kind":"Pod","apiVersion":"v1","metadata":{"#);
    assert!(
        text.ends_with(
            r#""annotations":{"k8s.io/initial-events-end":"true"}},"spec":{"containers":null},"status":{}}}"#
        ),
        "{text}"
    );
}

#[test]
fn finalizers_hold_an_object_until_they_are_gone() {
    let world = World::new();
    world.ok("POST configmaps", r#"{"metadata":{"name":"a","finalizers":["x/y"]}}"#);
    let deleting = world.ok("DELETE configmaps/a", "");
    assert_eq!(deleting.str_at(&["metadata", "deletionTimestamp"]), "2026-11-23T20:00:00Z");
    assert_eq!(deleting.path(&["metadata", "deletionGracePeriodSeconds"]).and_then(Value::as_i64), Some(0));
    assert_eq!(world.ok("DELETE configmaps/a", ""), deleting, "already going");
    assert_eq!(
        world.fails("POST configmaps", r#"{"metadata":{"name":"a"}}"#),
        "409 AlreadyExists: object is being deleted: configmaps \"a\" already exists"
    );
    let mut watcher = world.watch(&format!("GET configmaps?watch=1&resourceVersion={}", revision(&deleting)));
    let last = world.ok("PUT configmaps/a", r#"{"metadata":{"name":"a"}}"#);
    assert_eq!(revision(&last), revision(&deleting), "the answer is the state that was written on");
    assert_eq!(world.fails("GET configmaps/a", ""), "404 NotFound: configmaps \"a\" not found");
    assert_eq!(
        frames(&mut watcher).iter().map(brief).collect::<Vec<_>>(),
        [format!("DELETED a@{}", revision(&deleting) + 1)]
    );
    for (policy, finalizer) in [("Foreground", "foregroundDeletion"), ("Orphan", "orphan")] {
        world.ok("POST configmaps", r#"{"metadata":{"name":"b"}}"#);
        let held = world.ok(&format!("DELETE configmaps/b?propagationPolicy={policy}"), "");
        assert_eq!(
            held.path(&["metadata", "finalizers"]).and_then(|list| list.as_list()?[0].as_str()),
            Some(finalizer)
        );
        world.ok("PATCH configmaps/b", r#"{"metadata":{"finalizers":null}}"#);
        world.fails("GET configmaps/b", "");
    }
}

#[test]
fn deletions_keep_their_preconditions() {
    let world = World::new();
    let object = world.ok("POST configmaps", r#"{"metadata":{"name":"a"}}"#);
    let uid = object.str_at(&["metadata", "uid"]);
    assert_eq!(
        world.fails("DELETE configmaps/a", r#"{"preconditions":{"uid":"x"}}"#),
        format!(
            "409 Conflict: Operation cannot be fulfilled on ConfigMap \"a\": the UID in the precondition (x) does not match the UID in record ({uid}). The object might have been deleted and then recreated"
        )
    );
    assert_eq!(
        world.fails("DELETE configmaps/a", r#"{"preconditions":{"resourceVersion":"1"}}"#),
        format!(
            "409 Conflict: Operation cannot be fulfilled on ConfigMap \"a\": the ResourceVersion in the precondition (1) does not match the ResourceVersion in record ({}). The object might have been modified",
            revision(&object)
        )
    );
    world.ok("DELETE configmaps/a", &format!(r#"{{"preconditions":{{"uid":"{uid}"}}}}"#));
}

#[test]
fn a_collection_is_deleted_and_answered() {
    let world = World::new();
    for n in 0..100 {
        world.ok("POST configmaps", &format!(r#"{{"metadata":{{"name":"c{n}","labels":{{"a":"{}"}}}}}}"#, n % 2));
    }
    let gone = world.ok("DELETE configmaps?labelSelector=a%3D1", "");
    assert_eq!(gone.get("items").and_then(Value::as_list).map(<[Value]>::len), Some(50));
    assert_eq!(world.ok("GET configmaps", "").get("items").and_then(Value::as_list).map(<[Value]>::len), Some(50));
}

#[test]
fn every_form_and_encoding_is_answered() {
    let world = World::new();
    let created = world.ok("POST configmaps", r#"{"metadata":{"name":"a"},"data":{"k":"}\"{"}}"#);
    let ask = |line: &str, accept: Accept| {
        let mut request = world.request(line, "", "");
        request.accept = accept;
        world.send(request).body()
    };
    let partial = Accept { encoding: Encoding::Json, form: Form::PartialObjectMetadata { version: "v1" } };
    let one = knarr_value::json::from_slice(&ask("GET configmaps/a", partial)).expect("json");
    assert_eq!(one.get("metadata"), created.get("metadata"));
    assert_eq!((one.str_at(&["kind"]), one.get("data")), ("PartialObjectMetadata", None));
    let list = knarr_value::json::from_slice(&ask("GET configmaps", partial)).expect("json");
    assert_eq!(list.path(&["items"]).and_then(Value::as_list).map(|items| items[0].clone()), Some(one));
    let table = Accept { encoding: Encoding::Json, form: Form::Table { version: "v1" } };
    let rows = knarr_value::json::from_slice(&ask("GET configmaps", table)).expect("json");
    let rows = rows.get("rows").and_then(Value::as_list).expect("rows");
    assert_eq!(rows[0].path(&["cells"]).and_then(|cells| cells.as_list()?[0].as_str()), Some("a"));
    assert_eq!(rows[0].path(&["object", "metadata"]), created.get("metadata"));
    let yaml = Accept { encoding: Encoding::Yaml, form: Form::Object };
    let parsed = knarr_value::yaml::parse_all(&ask("GET configmaps/a", yaml)).expect("yaml").remove(0).value;
    assert_eq!(parsed, created);
    let protobuf = Accept { encoding: Encoding::Protobuf, form: Form::Object };
    let bytes = ask("GET configmaps/a", protobuf);
    let unknown = knarr_value::protobuf::unwrap(&bytes).expect("an envelope");
    let id = world.types.id("io.k8s.api.core.v1.ConfigMap").expect("a type");
    let decoded = knarr_value::protobuf::decode(&world.types, id, unknown.raw).expect("a message");
    assert_eq!(decoded.str_at(&["data", "k"]), "}\"{");
    // A protobuf body is taken too.
    let mut request = world.request("POST configmaps", "", "application/vnd.kubernetes.protobuf");
    let value = knarr_value::value!({"metadata": {"name": "p"}, "data": {"x": "y"}});
    let message = knarr_value::protobuf::encode(&world.types, id, &value).expect("encoded");
    request.body = knarr_value::protobuf::wrap("v1", "ConfigMap", &message).into();
    assert_eq!(world.send(request).code(), 201);
    assert_eq!(world.ok("GET configmaps/p", "").str_at(&["data", "x"]), "y");
}
