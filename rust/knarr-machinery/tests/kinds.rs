//! Goal: what is special about pods, namespaces, Services, Scale, Leases, Events and apply is as in kube-apiserver 1.34.
//! Method: requests against a store in memory; texts and states as the real one gave them.

mod common;

use common::{World, frames};
use knarr_value::Value;

fn revision(object: &Value) -> u64 {
    object.str_at(&["metadata", "resourceVersion"]).parse().expect("a revision")
}

#[test]
fn pods_go_gracefully_when_they_run_and_at_once_when_not() {
    let world = World::new();
    let pod = |name: &str, node: &str| {
        let node = if node.is_empty() { String::new() } else { format!(r#""nodeName":"{node}","#) };
        let body =
            format!(r#"{{"metadata":{{"name":"{name}"}},"spec":{{{node}"containers":[{{"name":"c","image":"i"}}]}}}}"#);
        world.ok("POST pods", &body)
    };
    pod("waiting", "");
    let gone = world.ok("DELETE pods/waiting", "");
    assert_eq!(gone.str_at(&["kind"]), "Pod", "a pod's deletion answers the pod");
    world.fails("GET pods/waiting", "");
    let running = pod("running", "n1");
    let going = world.ok("DELETE pods/running", "");
    assert_eq!(going.str_at(&["metadata", "deletionTimestamp"]), "2026-11-23T20:00:30Z");
    assert_eq!(going.path(&["metadata", "deletionGracePeriodSeconds"]).and_then(Value::as_i64), Some(30));
    assert_eq!(going.path(&["metadata", "generation"]).and_then(Value::as_i64), Some(2));
    assert_eq!(world.ok("DELETE pods/running", ""), going, "nothing new was said");
    let sooner = world.ok("DELETE pods/running?gracePeriodSeconds=5", "");
    assert_eq!(sooner.str_at(&["metadata", "deletionTimestamp"]), "2026-11-23T20:00:05Z");
    assert_eq!(world.ok("DELETE pods/running?gracePeriodSeconds=20", ""), sooner, "never later");
    // The kubelet's own delete: with the uid, without grace.
    let uid = running.str_at(&["metadata", "uid"]);
    world.ok("DELETE pods/running", &format!(r#"{{"gracePeriodSeconds":0,"preconditions":{{"uid":"{uid}"}}}}"#));
    world.fails("GET pods/running", "");
}

/// What a number holds is more seconds than the calendar: such a pod goes at the calendar's end, and sooner when told so.
#[test]
fn a_grace_period_without_end_is_granted() {
    let world = World::new();
    let spec = r#"{"nodeName":"n","terminationGracePeriodSeconds":9223372036854775807,"containers":[{"name":"c","image":"i"}]}"#;
    for (name, query) in [
        ("asked", "?gracePeriodSeconds=9223372036854775807"),
        ("declared", ""),
        ("years", "?gracePeriodSeconds=400000000000"),
    ] {
        world.ok("POST pods", &format!(r#"{{"metadata":{{"name":"{name}"}},"spec":{spec}}}"#));
        let going = world.ok(&format!("DELETE pods/{name}{query}"), "");
        assert_eq!(going.str_at(&["metadata", "deletionTimestamp"]), "9999-12-31T23:59:59Z");
        assert_eq!(world.ok(&format!("GET pods/{name}"), ""), going);
        let sooner = world.ok(&format!("DELETE pods/{name}?gracePeriodSeconds=1"), "");
        assert_eq!(sooner.path(&["metadata", "deletionGracePeriodSeconds"]).and_then(Value::as_i64), Some(1));
        world.ok(&format!("DELETE pods/{name}?gracePeriodSeconds=0"), "");
        assert!(world.fails(&format!("GET pods/{name}"), "").starts_with("404"));
    }
}

#[test]
fn a_binding_gives_a_pod_its_node_once() {
    let world = World::new();
    world.ok("POST pods", r#"{"metadata":{"name":"q"},"spec":{"containers":[{"name":"c","image":"i"}]}}"#);
    assert_eq!(
        world.fails("POST pods/q/binding", r#"{"target":{"kind":"Node","name":"n1"}}"#),
        "400 BadRequest: name in URL does not match name in Binding object"
    );
    assert_eq!(
        world.fails("POST pods/q/binding", r#"{"metadata":{"name":"q"},"target":{"kind":"Foo","name":"n2"}}"#),
        "500 : target.kind: Unsupported value: \"Foo\": supported values: \"Node\", \"<empty>\""
    );
    let mut mine = world.watch("GET pods?watch=1&fieldSelector=spec.nodeName%3Dn1");
    assert!(frames(&mut mine).is_empty());
    let (code, status) =
        world.call("POST pods/q/binding", r#"{"metadata":{"name":"q"},"target":{"kind":"Node","name":"n1"}}"#);
    assert_eq!((code, status.str_at(&["status"])), (201, "Success"));
    assert_eq!(world.ok("GET pods/q", "").str_at(&["spec", "nodeName"]), "n1");
    assert_eq!(frames(&mut mine).len(), 1, "the node's agent is told");
    assert_eq!(
        world.fails("POST pods/q/binding", r#"{"metadata":{"name":"q"},"target":{"kind":"Node","name":"n2"}}"#),
        "409 Conflict: Operation cannot be fulfilled on pods/binding \"q\": pod q is already assigned to node \"n1\""
    );
}

#[test]
fn many_pods_are_bound_side_by_side_each_with_its_revision() {
    let world = World::new();
    let mut bindings = Vec::new();
    for n in 0..100 {
        let name = format!("p{n}");
        world.ok(
            "POST pods",
            &format!(r#"{{"metadata":{{"name":"{name}"}},"spec":{{"containers":[{{"name":"c","image":"i"}}]}}}}"#),
        );
        bindings.push(knarr_machinery::Binding {
            namespace: "default".into(),
            name: name.as_str().into(),
            node: "n1".into(),
            ..Default::default()
        });
    }
    bindings.push(knarr_machinery::Binding { namespace: "default".into(), name: "nope".into(), ..Default::default() });
    let mut watcher = world.watch(&format!("GET pods?watch=1&resourceVersion={}", revision(&world.ok("GET pods", ""))));
    let results = common::run(world.machinery.bind_many(std::sync::Arc::default(), bindings));
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 100);
    assert_eq!(results[100].as_ref().expect_err("missing").code, 404);
    let revisions: std::collections::BTreeSet<String> = frames(&mut watcher)
        .iter()
        .map(|frame| frame.str_at(&["object", "metadata", "resourceVersion"]).to_owned())
        .collect();
    assert_eq!(revisions.len(), 100);
}

#[test]
fn a_namespace_goes_by_way_of_terminating() {
    let world = World::new();
    let made = world.ok("POST namespaces", r#"{"metadata":{"name":"nn"}}"#);
    assert_eq!(made.str_at(&["status", "phase"]), "Active");
    let going = world.ok("DELETE namespaces/nn", "");
    assert_eq!(going.str_at(&["status", "phase"]), "Terminating");
    let (code, status) = world.call("POST nn:configmaps", r#"{"metadata":{"name":"a"}}"#);
    assert_eq!(code, 403);
    assert_eq!(
        status.str_at(&["message"]),
        "configmaps \"a\" is forbidden: unable to create new content in namespace nn because it is being terminated"
    );
    let cause = status.path(&["details", "causes"]).and_then(Value::as_list).expect("causes")[0].clone();
    assert_eq!(cause.str_at(&["reason"]), "NamespaceTerminating");
    assert_eq!(world.ok("DELETE namespaces/nn", ""), going);
    world.ok("PATCH namespaces/nn", r#"{"spec":{"finalizers":null}}"#);
    world.ok("GET namespaces/nn", "");
    world.ok("PUT namespaces/nn/finalize", r#"{"metadata":{"name":"nn"},"spec":{"finalizers":[]}}"#);
    world.fails("GET namespaces/nn", "");
}

#[test]
fn services_are_given_addresses_and_ports_and_give_them_back() {
    let world = World::new();
    let service = |name: &str, spec: &str| {
        (r#"{"metadata":{"name":"NAME"},"spec":SPEC}"#).replace("NAME", name).replace("SPEC", spec)
    };
    let first = world.ok("POST services", &service("s1", r#"{"ports":[{"port":80}]}"#));
    let address = first.str_at(&["spec", "clusterIP"]).to_owned();
    assert!(address.starts_with("10.96."), "{address}");
    assert_eq!(first.path(&["spec", "clusterIPs"]).map(ToString::to_string), Some(format!("[\"{address}\"]")));
    world.ok("POST services", &service("k", r#"{"clusterIP":"10.96.0.1","ports":[{"port":443}]}"#));
    let refuse = |spec: &str, expected: &str| assert_eq!(world.fails("POST services", &service("x", spec)), expected);
    refuse(
        r#"{"clusterIP":"10.96.0.1","ports":[{"port":80}]}"#,
        "422 Invalid: Service \"x\" is invalid: spec.clusterIPs: Invalid value: [\"10.96.0.1\"]: failed to allocate IP 10.96.0.1: provided IP is already allocated",
    );
    refuse(
        r#"{"clusterIP":"10.97.0.1","ports":[{"port":80}]}"#,
        "422 Invalid: Service \"x\" is invalid: spec.clusterIPs: Invalid value: [\"10.97.0.1\"]: failed to allocate IP 10.97.0.1: the provided network does not match the current range",
    );
    let node = |number: &str| format!(r#"{{"type":"NodePort","ports":[{{"port":80,"nodePort":{number}}}]}}"#);
    world.ok("POST services", &service("n", &node("31000")));
    refuse(
        &node("31000"),
        "422 Invalid: Service \"x\" is invalid: spec.ports[0].nodePort: Invalid value: 31000: provided port is already allocated",
    );
    refuse(
        &node("80"),
        "422 Invalid: Service \"x\" is invalid: spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid ports is 30000-32767",
    );
    let gone = world.ok("DELETE services/n", "");
    assert_eq!(gone.str_at(&["kind"]), "Service");
    world.ok("POST services", &service("x", &node("31000")));
    let shared = world.ok(
        "POST services",
        &service("dns", r#"{"type":"NodePort","ports":[{"name":"a","port":53,"protocol":"TCP"},{"name":"b","port":53,"protocol":"UDP"}]}"#),
    );
    let ports = shared.path(&["spec", "ports"]).and_then(Value::as_list).expect("ports");
    assert_eq!(ports[0].get("nodePort"), ports[1].get("nodePort"));
    // An update keeps what it does not name; a change of type takes and gives back.
    let mut bare = first.clone();
    bare.remove_path(&["spec", "clusterIP"]);
    bare.remove_path(&["spec", "clusterIPs"]);
    assert_eq!(world.ok("PUT services/s1", &bare.to_string()).str_at(&["spec", "clusterIP"]), address);
    let open = world.ok("PATCH services/s1", r#"{"spec":{"type":"NodePort"}}"#);
    let port =
        open.path(&["spec", "ports"]).and_then(|ports| ports.as_list()?[0].get("nodePort")?.as_i64()).expect("a port");
    let closed = world.ok("PATCH services/s1", r#"{"spec":{"type":"ClusterIP"}}"#);
    assert_eq!(closed.path(&["spec", "ports"]).and_then(|ports| ports.as_list()?[0].get("nodePort").cloned()), None);
    world.ok("POST services", &service("reuse", &node(&port.to_string())));
    let named =
        world.ok("PATCH services/s1", r#"{"spec":{"type":"ExternalName","externalName":"x.y","clusterIP":null}}"#);
    assert_eq!(named.path(&["spec", "clusterIP"]), None, "{named}");
    world.ok("POST services", &service("again", &format!(r#"{{"clusterIP":"{address}","ports":[{{"port":80}}]}}"#)));
    let headless =
        world.ok("POST services", &service("h", r#"{"clusterIP":"None","selector":{"a":"b"},"ports":[{"port":80}]}"#));
    assert_eq!(headless.path(&["spec", "clusterIPs"]).map(ToString::to_string).as_deref(), Some("[\"None\"]"));
}

#[test]
fn node_ports_change_hands_within_a_service() {
    let world = World::new();
    let service = |name: &str, first: &str, second: &str| {
        r#"{"metadata":{"name":"NAME"},"spec":{"type":"NodePort","ports":[{"name":"a","port":80,FIRST},{"name":"b","port":81,SECOND}]}}"#
            .replace("NAME", name)
            .replace("FIRST", first)
            .replace("SECOND", second)
    };
    let ports = |service: &Value| -> Vec<i64> {
        let ports = service.path(&["spec", "ports"]).and_then(Value::as_list).expect("ports");
        ports.iter().filter_map(|port| port.get("nodePort").and_then(Value::as_i64)).collect()
    };
    world.ok("POST services", &service("s", r#""nodePort":30100"#, r#""nodePort":30101"#));
    let swapped = world.ok("PUT services/s", &service("s", r#""nodePort":30101"#, r#""nodePort":30100"#));
    assert_eq!(ports(&swapped), [30101, 30100]);
    for port in [30100, 30101] {
        let said = world.fails("POST services", &service("t", &format!(r#""nodePort":{port}"#), r#""nodePort":30102"#));
        assert!(said.contains("provided port is already allocated"), "{said}");
    }
    // One moves to a free port and the other takes its place.
    let moved = world.ok("PUT services/s", &service("s", r#""nodePort":30102"#, r#""nodePort":30101"#));
    assert_eq!(ports(&moved), [30102, 30101]);
    world.ok("POST services", &service("t", r#""nodePort":30100"#, r#""nodePort":30103"#));
    world.ok("DELETE services/s", "");
    world.ok("POST services", &service("u", r#""nodePort":30101"#, r#""nodePort":30102"#));
    // TCP and UDP of one Service share a number.
    let both = service("v", r#""nodePort":30200,"protocol":"TCP""#, r#""nodePort":30200,"protocol":"UDP""#);
    assert_eq!(ports(&world.ok("POST services", &both)), [30200, 30200]);
}

#[test]
fn scale_is_another_form_of_the_object() {
    let world = World::new();
    let body = r#"{"metadata":{"name":"d"},"spec":{"replicas":2,"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}"#;
    world.ok("POST deployments.apps", body);
    let scale = world.ok("GET deployments.apps/d/scale", "");
    assert_eq!(scale.str_at(&["kind"]), "Scale");
    assert_eq!(scale.path(&["spec", "replicas"]).and_then(Value::as_i64), Some(2));
    assert_eq!(scale.str_at(&["status", "selector"]), "a=b");
    world.ok("PUT deployments.apps/d/scale", r#"{"metadata":{"name":"d"},"spec":{"replicas":3}}"#);
    world.ok("PATCH deployments.apps/d/scale", r#"{"spec":{"replicas":4}}"#);
    let object = world.ok("GET deployments.apps/d", "");
    assert_eq!(object.path(&["spec", "replicas"]).and_then(Value::as_i64), Some(4));
    assert_eq!(object.path(&["metadata", "generation"]).and_then(Value::as_i64), Some(3));
    assert_eq!(
        world.fails("PUT deployments.apps/d/scale", r#"{"metadata":{"name":"d"},"spec":{"replicas":-3}}"#),
        "422 Invalid: Scale.autoscaling \"d\" is invalid: spec.replicas: Invalid value: -3: must be greater than or equal to 0"
    );
    assert_eq!(
        world.fails(
            "PUT deployments.apps/d/scale",
            r#"{"metadata":{"name":"d","resourceVersion":"1"},"spec":{"replicas":3}}"#
        ),
        "409 Conflict: Operation cannot be fulfilled on deployments.apps \"d\": the object has been modified; please apply your changes to the latest version and try again"
    );
}

#[test]
fn a_lease_is_created_by_an_update_and_needs_its_revision_after() {
    let world = World::new();
    let (code, lease) = world.call("PUT leases.coordination.k8s.io/x", r#"{"metadata":{"name":"x"},"spec":{}}"#);
    assert_eq!(code, 201, "{lease}");
    assert_eq!(
        world.fails("PUT leases.coordination.k8s.io/x", r#"{"metadata":{"name":"x"},"spec":{}}"#),
        "422 Invalid: leases.coordination.k8s.io \"x\" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update"
    );
    let mut renewed = lease.clone();
    renewed.set_path(&["spec", "renewTime"], "2026-11-23T20:00:01.000000Z");
    world.ok("PUT leases.coordination.k8s.io/x", &renewed.to_string());
}

#[test]
fn apply_creates_owns_and_conflicts() {
    let world = World::new();
    let apply = |query: &str, data: &str| {
        let body = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\ndata: {{k: {data}}}\n");
        world.typed(&format!("PATCH configmaps/a?{query}"), &body, "application/apply-patch+yaml")
    };
    let (code, object) = apply("fieldManager=one", "v");
    assert_eq!(code, 201, "{object}");
    assert_eq!(apply("fieldManager=one", "v"), (200, object.clone()), "nothing changed, nothing written");
    let (code, status) = apply("fieldManager=two", "w");
    assert_eq!((code, status.str_at(&["reason"])), (409, "Conflict"), "{status}");
    assert_eq!(
        status.path(&["details", "causes"]).and_then(|causes| causes.as_list()?[0].get("field")?.as_str()),
        Some(".data.k")
    );
    let (code, forced) = apply("fieldManager=two&force=true", "w");
    assert_eq!((code, forced.str_at(&["data", "k"])), (200, "w"));
    let (code, status) = apply("", "w");
    assert_eq!(
        (code, status.str_at(&["message"])),
        (422, "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch")
    );
}

#[test]
fn events_have_two_forms_and_an_hour() {
    let world = World::new();
    world.ok(
        "POST events",
        r#"{"metadata":{"name":"e"},"involvedObject":{"kind":"Pod","name":"p"},"message":"hello","reason":"R"}"#,
    );
    let other = world.ok("GET events.events.k8s.io/e", "");
    assert_eq!((other.str_at(&["note"]), other.str_at(&["regarding", "name"])), ("hello", "p"));
    assert_eq!(other.str_at(&["apiVersion"]), "events.k8s.io/v1");
    world.ok(
        "POST events.events.k8s.io",
        r#"{"metadata":{"name":"f"},"regarding":{"kind":"Pod","name":"q"},"note":"there"}"#,
    );
    assert_eq!(world.ok("GET events/f", "").str_at(&["message"]), "there");
    let listed = world.ok("GET events?fieldSelector=involvedObject.name%3Dq", "");
    assert_eq!(listed.get("items").and_then(Value::as_list).map(<[Value]>::len), Some(1));
    for _ in 0..62 {
        common::run(world.machinery.tick());
        world.clock.0.fetch_add(60_000_000, std::sync::atomic::Ordering::Relaxed);
    }
    world.fails("GET events/e", "");
    world.ok("GET namespaces/default", "");
}

#[test]
fn a_kind_added_while_serving_is_served_at_once() {
    let world = World::new();
    let mut kind = knarr_value::json::from_slice(include_bytes!("../testdata/kinds.json"))
        .expect("kinds")
        .as_list()
        .expect("a list")[0]
        .clone();
    kind.set_path(&["kind"], "Secret");
    kind.set_path(&["plural"], "secrets");
    kind.set_path(&["type"], "io.k8s.api.core.v1.Secret");
    let before = world.machinery.registry().generation();
    world.add(&kind);
    assert_eq!(world.machinery.registry().generation(), before + 1);
    let mut watcher = world.watch("GET secrets?watch=1");
    world.ok("POST secrets", r#"{"metadata":{"name":"s"},"data":{"k":"dg=="}}"#);
    assert_eq!(frames(&mut watcher).len(), 1);
}
