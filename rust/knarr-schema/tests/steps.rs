//! Steps around validation, by kind: what is kept on an update, generations, quality of service, and what admission refuses, in
//! Kubernetes' words. Given objects, expected change or message.

#![allow(clippy::unwrap_used, clippy::result_large_err, reason = "a test fails by panicking, and need not be fast")]

use knarr_base::User;
use knarr_schema::admission::Operation;
use knarr_schema::{AdmissionRequest, CompiledKind, Denied, Subresource};
use knarr_value::types::TypeTable;
use knarr_value::{Value, json};
use serde_json::json as j;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

static KINDS: LazyLock<BTreeMap<String, CompiledKind>> = LazyLock::new(|| {
    let table = include_bytes!("../../../python/knarr/api/_tables/types.json.zz");
    let types = Arc::new(TypeTable::load(table).unwrap());
    let docs: BTreeMap<String, serde_json::Value> =
        serde_json::from_str(include_str!("../testdata/kinds.json")).unwrap();
    docs.into_iter()
        .map(|(name, doc)| (name, CompiledKind::compile(&serde_json::to_vec(&doc).unwrap(), &types).unwrap()))
        .collect()
});

fn value(json: serde_json::Value) -> Value {
    json::parse(&serde_json::to_vec(&json).unwrap()).unwrap().value
}

fn made(kind: &str, json: serde_json::Value) -> Value {
    let kind = &KINDS[kind];
    let mut object = kind.decode(value(json)).unwrap().value;
    kind.default(&mut object);
    kind.prepare_create(&mut object);
    object
}

fn pod(resources: serde_json::Value) -> Value {
    made(
        "v1/Pod",
        j!({"metadata": {"name": "p", "namespace": "n"}, "status": {"phase": "Running"},
            "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "i", "resources": resources}]}}),
    )
}

#[test]
fn a_new_pod_has_the_status_and_class_it_deserves() {
    let class = |resources| pod(resources).str_at(&["status", "qosClass"]).to_string();
    assert_eq!(pod(j!({})).str_at(&["status", "phase"]), "Pending");
    assert_eq!(class(j!({})), "BestEffort");
    assert_eq!(class(j!({"requests": {"cpu": "1"}})), "Burstable");
    assert_eq!(class(j!({"limits": {"cpu": "1"}})), "Burstable");
    assert_eq!(class(j!({"limits": {"cpu": "1", "memory": "1Gi"}})), "Guaranteed");
    assert_eq!(class(j!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}})), "Burstable");
}

#[test]
fn a_negative_grace_period_is_the_least_there_is() {
    let pod = |seconds: i64| {
        made(
            "v1/Pod",
            j!({"metadata": {"name": "p", "namespace": "n"},
                "spec": {"terminationGracePeriodSeconds": seconds, "containers": [{"name": "c", "image": "i"}]}}),
        )
    };
    let grace = |seconds| pod(seconds).path(&["spec", "terminationGracePeriodSeconds"]).and_then(Value::as_i64);
    assert_eq!([grace(-1), grace(0), grace(5)], [Some(1), Some(0), Some(5)]);
    let (old, mut new) = (pod(-1), pod(-1));
    new.set_path(&["spec", "terminationGracePeriodSeconds"], -1i64);
    KINDS["v1/Pod"].prepare_update(&mut new, &old, Subresource::None);
    assert_eq!(new, old);
}

#[test]
fn status_and_spec_change_apart_and_generation_counts_specs() {
    let kind = &KINDS["apps/v1/Deployment"];
    let old = made(
        "apps/v1/Deployment",
        j!({"metadata": {"name": "d", "namespace": "n", "generation": 7}, "spec": {"selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}}),
    );
    let generation = |v: &Value| v.path(&["metadata", "generation"]).and_then(Value::as_i64);
    assert_eq!(generation(&old), Some(1));
    let mut changed = old.clone();
    changed.set_path(&["spec", "replicas"], 5i64);
    changed.set_path(&["status", "replicas"], 5i64);
    let mut new = changed.clone();
    kind.prepare_update(&mut new, &old, Subresource::None);
    assert_eq!((generation(&new), new.path(&["status", "replicas"])), (Some(2), None));
    let mut new = changed;
    kind.prepare_update(&mut new, &old, Subresource::Status);
    assert_eq!((generation(&new), new.path(&["spec", "replicas"]).and_then(Value::as_i64)), (Some(1), Some(1)));
    assert_eq!(new.path(&["status", "replicas"]).and_then(Value::as_i64), Some(5));
}

#[test]
fn finalizers_of_a_namespace_change_through_finalize_only() {
    let kind = &KINDS["v1/Namespace"];
    let old = made("v1/Namespace", j!({"metadata": {"name": "n"}}));
    let without = || {
        let mut new = old.clone();
        new.set_path(&["spec", "finalizers"], Value::List(Vec::new()));
        new
    };
    let count = |v: &Value| v.path(&["spec", "finalizers"]).and_then(Value::as_list).map_or(0, <[Value]>::len);
    let (mut main, mut finalize) = (without(), without());
    kind.prepare_update(&mut main, &old, Subresource::None);
    kind.prepare_update(&mut finalize, &old, Subresource::from_name("finalize"));
    assert_eq!((count(&main), count(&finalize)), (1, 0));
}

#[test]
fn a_service_keeps_what_was_allocated() {
    let kind = &KINDS["v1/Service"];
    let mut old = made(
        "v1/Service",
        j!({"metadata": {"name": "s", "namespace": "n"}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}}),
    );
    old.set_path(&["spec", "clusterIP"], "10.0.0.1");
    old.set_path(&["spec", "clusterIPs"], Value::List(vec!["10.0.0.1".into()]));
    old.path_mut(&["spec", "ports"]).unwrap().as_list_mut().unwrap()[0].set_path(&["nodePort"], 30_001i64);
    let mut new = made(
        "v1/Service",
        j!({"metadata": {"name": "s", "namespace": "n"}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}}),
    );
    kind.prepare_update(&mut new, &old, Subresource::None);
    assert_eq!(new.str_at(&["spec", "clusterIP"]), "10.0.0.1");
    assert_eq!(new.path(&["spec", "ports"]).unwrap().as_list().unwrap()[0].get("nodePort"), Some(&Value::Int(30_001)));
    assert!(kind.validate_update(&new, &old, Subresource::None).is_empty());
}

struct Case<'a> {
    kind: &'a str,
    operation: Operation,
    subresource: &'a str,
    name: &'a str,
    user: &'a str,
    old: Option<&'a Value>,
}

fn admit(case: &Case<'_>, object: &mut Value, found: &[(&str, Value)]) -> Result<(), Denied> {
    let kind = &KINDS[case.kind];
    let groups = if case.user.starts_with("system:node:") { vec!["system:nodes".to_string()] } else { Vec::new() };
    let user = User { name: case.user.into(), uid: String::new(), groups, extra: Vec::new() };
    let namespace = object.str_at(&["metadata", "namespace"]).to_string();
    let request = AdmissionRequest {
        operation: case.operation,
        group: &kind.group,
        resource: &kind.plural,
        subresource: case.subresource,
        namespace: &namespace,
        name: case.name,
        user: &user,
        old: case.old,
        suffix: "abcde",
    };
    let reads: Vec<_> = kind
        .admission_reads(&request, object)
        .into_iter()
        .map(|read| {
            let value =
                found.iter().find(|(resource, _)| *resource == read.resource).map(|(_, value)| Arc::new(value.clone()));
            (read, value)
        })
        .collect();
    kind.admit(&request, object, &reads)
}

fn active() -> (&'static str, Value) {
    ("namespaces", value(j!({"metadata": {"name": "n"}, "status": {"phase": "Active"}})))
}

#[test]
fn admission_refuses_in_the_words_of_kubernetes() {
    let account = || ("serviceaccounts", value(j!({"metadata": {"name": "default"}})));
    let create = Case { kind: "v1/Pod", operation: Operation::Create, subresource: "", name: "", user: "u", old: None };
    let refused =
        |case: &Case<'_>, mut object: Value, found: &[(&str, Value)]| admit(case, &mut object, found).unwrap_err();

    let missing = refused(&create, pod(j!({})), &[account()]);
    assert_eq!((missing.code, &missing.message[..]), (404, "namespaces \"n\" not found"));
    let dying = ("namespaces", value(j!({"status": {"phase": "Terminating"}})));
    let denied = refused(&create, pod(j!({})), &[dying, account()]);
    assert_eq!(
        denied.message,
        "pods \"p\" is forbidden: unable to create new content in namespace n because it is being terminated"
    );
    assert_eq!(denied.causes[0].0, "NamespaceTerminating");
    assert_eq!(
        refused(&create, pod(j!({})), &[active()]).message,
        "pods \"p\" is forbidden: error looking up service account n/default: serviceaccount \"default\" not found"
    );
    let mut classy = pod(j!({}));
    classy.set_path(&["spec", "priorityClassName"], "gold");
    assert_eq!(
        refused(&create, classy, &[active(), account()]).message,
        "pods \"p\" is forbidden: no PriorityClass with name gold was found"
    );
    let delete = Case { kind: "v1/Namespace", operation: Operation::Delete, name: "kube-system", ..create };
    assert_eq!(
        refused(&delete, value(j!({"metadata": {"name": "kube-system"}})), &[]).message,
        "namespaces \"kube-system\" is forbidden: this namespace may not be deleted"
    );
}

#[test]
fn a_new_node_takes_no_pods_until_it_is_ready() {
    const TAINT: &str = r#"{"key":"node.kubernetes.io/not-ready","effect":"NoSchedule"}"#;
    let create = Case {
        kind: "v1/Node",
        operation: Operation::Create,
        subresource: "",
        name: "",
        user: "system:node:n1",
        old: None,
    };
    let taints = |case: &Case<'_>, spec: serde_json::Value| {
        let mut node = value(j!({"metadata": {"name": "n1"}, "spec": spec}));
        admit(case, &mut node, &[]).unwrap();
        node.path(&["spec", "taints"]).map(ToString::to_string).unwrap_or_default()
    };
    assert_eq!(taints(&create, j!({})), format!("[{TAINT}]"));
    let other = j!({"taints": [{"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"}]});
    assert_eq!(
        taints(&create, other),
        format!(r#"[{{"key":"node.kubernetes.io/not-ready","effect":"NoExecute"}},{TAINT}]"#)
    );
    let there = j!({"taints": [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]});
    assert_eq!(taints(&create, there), format!("[{TAINT}]"), "once");
    let old = value(j!({"metadata": {"name": "n1"}, "spec": {}}));
    let update = Case { operation: Operation::Update, name: "n1", old: Some(&old), ..create };
    assert_eq!(taints(&update, j!({})), "", "its end is the node lifecycle's");
}

#[test]
fn a_kubelet_stays_on_its_node() {
    let old = pod(j!({}));
    let status = |user| Case {
        kind: "v1/Pod",
        operation: Operation::Update,
        subresource: "status",
        name: "p",
        user,
        old: Some(&old),
    };
    assert!(admit(&status("system:node:n1"), &mut old.clone(), &[active()]).is_ok());
    let denied = admit(&status("system:node:n2"), &mut old.clone(), &[active()]).unwrap_err();
    assert_eq!(
        denied.message,
        "pods \"p\" is forbidden: node \"n2\" can only update pod status for pods with spec.nodeName set to itself"
    );
    let create = Case {
        kind: "v1/Pod",
        operation: Operation::Create,
        subresource: "",
        name: "",
        user: "system:node:n1",
        old: None,
    };
    assert!(admit(&create, &mut old.clone(), &[active()]).unwrap_err().message.contains("can only create mirror pods"));
    let lease = Case { kind: "coordination.k8s.io/v1/Lease", name: "n2", operation: Operation::Update, ..create };
    let mut object = value(j!({"metadata": {"name": "n2", "namespace": "kube-node-lease"}}));
    assert_eq!(
        admit(&lease, &mut object, &[active()]).unwrap_err().message,
        "leases.coordination.k8s.io \"n2\" is forbidden: can only access node lease with the same name as the requesting node"
    );
}

#[test]
fn the_token_is_mounted_unless_declined() {
    let create = Case { kind: "v1/Pod", operation: Operation::Create, subresource: "", name: "", user: "u", old: None };
    let mounts =
        |pod: &Value| pod.path(&["spec", "containers"]).unwrap().as_list().unwrap()[0].get("volumeMounts").is_some();
    let account = |extra| ("serviceaccounts", value(extra));
    let mut plain = pod(j!({}));
    admit(&create, &mut plain, &[active(), account(j!({"metadata": {"name": "default"}}))]).unwrap();
    assert!(mounts(&plain));
    assert_eq!(
        plain.path(&["spec", "volumes"]).unwrap().as_list().unwrap()[0].str_at(&["name"]),
        "kube-api-access-abcde"
    );
    let mut declined = pod(j!({}));
    admit(
        &create,
        &mut declined,
        &[active(), account(j!({"automountServiceAccountToken": false, "imagePullSecrets": [{"name": "x"}]}))],
    )
    .unwrap();
    assert!(!mounts(&declined));
    assert_eq!(declined.path(&["spec", "imagePullSecrets"]).unwrap().as_list().unwrap().len(), 1);
}

#[test]
fn selectable_fields_have_kubernetes_defaults() {
    let kind = &KINDS["v1/Node"];
    let fields = kind.selectable(&value(j!({"metadata": {"name": "a"}})));
    assert_eq!(fields.iter().find(|(f, _)| f == "spec.unschedulable").unwrap().1, "false");
}
