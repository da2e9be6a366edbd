//! NodeRestriction: a kubelet changes its own node, its own lease, the pods bound to it, and asks tokens for those only.

use super::{AdmissionRequest, Denied, Operation, Read, Reads, found, not_found};
use crate::rules::NULL;
use crate::rules::immutable::same;
use knarr_value::Value;
use serde::Deserialize;
use std::collections::BTreeSet;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeRestriction {}

const MIRROR: &str = "kubernetes.io/config.mirror";

/// Labels of Kubernetes' own that a kubelet may set.
const KUBELET_LABELS: &[&str] = &[
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/instance-type",
    "node.kubernetes.io/instance-type",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
];

/// The node behind a user: None if the user is no node, empty if its name says none.
fn node_of<'u>(request: &'u AdmissionRequest<'_>) -> Option<&'u str> {
    let name = request.user.name.strip_prefix("system:node:")?;
    request.user.groups.iter().any(|group| group == "system:nodes").then_some(name)
}

impl NodeRestriction {
    pub fn reads(&self, request: &AdmissionRequest<'_>, value: &Value, reads: &mut Vec<Read>) {
        let Some(node) = node_of(request) else { return };
        match (request.resource, request.subresource, request.operation) {
            ("pods", "", Operation::Create) => reads.push(Read::new("", "nodes", "", node)),
            ("pods", "eviction", _) => reads.push(Read::new("", "pods", request.namespace, request.name)),
            ("serviceaccounts", "token", _) => {
                let pod = value.str_at(&["spec", "boundObjectRef", "name"]);
                if !pod.is_empty() {
                    reads.push(Read::new("", "pods", request.namespace, pod));
                }
            }
            _ => {}
        }
    }

    pub fn run(&self, request: &AdmissionRequest<'_>, value: &Value, reads: Reads<'_>) -> Result<(), Denied> {
        let Some(node) = node_of(request) else { return Ok(()) };
        if node.is_empty() {
            let why = format!("could not determine node from user {}", crate::error::quote(&request.user.name));
            return Err(request.forbidden(value, why));
        }
        match (request.group, request.resource) {
            ("", "pods") => pod(request, node, value, reads),
            ("", "nodes") => own_node(request, node, value),
            ("", "serviceaccounts") => token(request, node, value, reads),
            ("coordination.k8s.io", "leases") => lease(request, node, value),
            _ => Ok(()),
        }
    }
}

fn pod(request: &AdmissionRequest<'_>, node: &str, value: &Value, reads: Reads<'_>) -> Result<(), Denied> {
    let old_node = request.old.map_or("", |old| old.str_at(&["spec", "nodeName"]));
    let deny = |why: String| Err(request.forbidden(value, why));
    match (request.subresource, request.operation) {
        ("", Operation::Create) => mirror(request, node, value, reads),
        ("", Operation::Delete) if old_node == node => Ok(()),
        ("", Operation::Delete) => {
            deny(format!("node \"{node}\" can only delete pods with spec.nodeName set to itself"))
        }
        ("", Operation::Update) => {
            deny(format!("unexpected operation \"UPDATE\", node \"{node}\" can only create and delete mirror pods"))
        }
        ("status", Operation::Update) => {
            if old_node != node {
                return deny(format!(
                    "node \"{node}\" can only update pod status for pods with spec.nodeName set to itself"
                ));
            }
            let labels =
                |pod: Option<&Value>| pod.and_then(|p| p.path(&["metadata", "labels"])).unwrap_or(&NULL).clone();
            if !same(&labels(Some(value)), &labels(request.old)) {
                return deny(format!("node \"{node}\" cannot update labels through pod status"));
            }
            Ok(())
        }
        ("eviction", _) => match found(reads, "pods", request.name) {
            None => Err(not_found("pods", request.name)),
            Some(pod) if pod.str_at(&["spec", "nodeName"]) == node => Ok(()),
            Some(_) => deny(format!("node {node} can only evict pods with spec.nodeName set to itself")),
        },
        (other, _) => deny(format!(
            "unexpected pod subresource {}, only 'status' and 'eviction' are allowed",
            crate::error::quote(other)
        )),
    }
}

fn mirror(request: &AdmissionRequest<'_>, node: &str, pod: &Value, reads: Reads<'_>) -> Result<(), Denied> {
    let deny = |why: String| Err(request.forbidden(pod, why));
    if pod.path(&["metadata", "annotations", MIRROR]).is_none() {
        return deny(format!("pod does not have \"{MIRROR}\" annotation, node \"{node}\" can only create mirror pods"));
    }
    if pod.str_at(&["spec", "nodeName"]) != node {
        return deny(format!("node \"{node}\" can only create pods with spec.nodeName set to itself"));
    }
    let owners = pod.path(&["metadata", "ownerReferences"]).and_then(Value::as_list).unwrap_or(&[]);
    let [owner] = owners else {
        let word = if owners.is_empty() { "an" } else { "a single" };
        return deny(format!("node \"{node}\" can only create pods with {word} owner reference set to itself"));
    };
    let text = |field: &str| owner.get(field).and_then(Value::as_str).unwrap_or("");
    if text("apiVersion") != "v1" || text("kind") != "Node" || text("name") != node {
        return deny(format!("node \"{node}\" can only create pods with an owner reference set to itself"));
    }
    if owner.get("controller").and_then(Value::as_bool) != Some(true) {
        return deny(format!("node \"{node}\" can only create pods with a controller owner reference set to itself"));
    }
    if owner.get("blockOwnerDeletion").and_then(Value::as_bool) == Some(true) {
        return deny(format!("node \"{node}\" must not set blockOwnerDeletion on an owner reference"));
    }
    let Some(object) = found(reads, "nodes", node) else { return Err(not_found("nodes", node)) };
    let uid = object.str_at(&["metadata", "uid"]);
    if text("uid") != uid {
        return deny(format!("node {node} UID mismatch: expected {} got {uid}", text("uid")));
    }
    Ok(())
}

fn own_node(request: &AdmissionRequest<'_>, node: &str, value: &Value) -> Result<(), Denied> {
    let deny = |why: String| Err(request.forbidden(value, why));
    let requested = match request.name {
        "" => value.str_at(&["metadata", "name"]),
        name => name,
    };
    if requested != node {
        return deny(format!("node \"{node}\" is not allowed to modify node \"{requested}\""));
    }
    let Some(old) = request.old else {
        if request.operation == Operation::Create {
            let bad = forbidden_labels(value, &NULL);
            if !bad.is_empty() {
                return deny(format!("node \"{node}\" is not allowed to set the following labels: {bad}"));
            }
        }
        return Ok(());
    };
    if request.operation != Operation::Update {
        return Ok(());
    }
    let differs = |path: &[&str]| !same(value.path(path).unwrap_or(&NULL), old.path(path).unwrap_or(&NULL));
    if differs(&["spec", "taints"]) {
        return deny(format!("node \"{node}\" is not allowed to modify taints"));
    }
    if differs(&["metadata", "ownerReferences"]) {
        return deny(format!("node \"{node}\" is not allowed to modify ownerReferences"));
    }
    let bad = forbidden_labels(value, old);
    if !bad.is_empty() {
        return deny(format!("is not allowed to modify labels: {bad}"));
    }
    Ok(())
}

/// The changed labels that are not a kubelet's to change, in order.
fn forbidden_labels(new: &Value, old: &Value) -> String {
    let labels =
        |value: &'_ Value| value.path(&["metadata", "labels"]).and_then(Value::as_map).cloned().unwrap_or_default();
    let (new, old) = (labels(new), labels(old));
    let mut bad = BTreeSet::new();
    for (key, _) in new.iter().chain(old.iter()) {
        if new.get(key) != old.get(key) && !allowed_label(key) {
            bad.insert(key.to_string());
        }
    }
    bad.into_iter().collect::<Vec<_>>().join(", ")
}

fn allowed_label(key: &str) -> bool {
    let space = key.split_once('/').map_or("", |(space, _)| space);
    let under = |domain: &str| space == domain || space.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    if under("node-restriction.kubernetes.io") {
        return false;
    }
    let kubernetes = under("kubernetes.io") || under("k8s.io");
    !kubernetes || KUBELET_LABELS.contains(&key) || under("kubelet.kubernetes.io") || under("node.kubernetes.io")
}

fn token(request: &AdmissionRequest<'_>, node: &str, value: &Value, reads: Reads<'_>) -> Result<(), Denied> {
    if request.subresource != "token" || request.operation != Operation::Create {
        return Ok(());
    }
    let deny = |why: String| Err(request.forbidden(value, why));
    let text = |field: &str| value.str_at(&["spec", "boundObjectRef", field]);
    if text("apiVersion") != "v1" || text("kind") != "Pod" || text("name").is_empty() {
        return deny("node requested token not bound to a pod".into());
    }
    if text("uid").is_empty() {
        return deny("node requested token with a pod binding without a uid".into());
    }
    let Some(pod) = found(reads, "pods", text("name")) else { return Err(not_found("pods", text("name"))) };
    if pod.str_at(&["metadata", "uid"]) != text("uid") {
        return deny(format!(
            "the UID in the bound object reference ({}) does not match the UID in record. The object might have been deleted and then recreated",
            text("uid")
        ));
    }
    if pod.str_at(&["spec", "nodeName"]) != node {
        return deny("node requested token bound to a pod scheduled on a different node".into());
    }
    Ok(())
}

fn lease(request: &AdmissionRequest<'_>, node: &str, value: &Value) -> Result<(), Denied> {
    const NAMESPACE: &str = "kube-node-lease";
    let deny = |why: String| Err(request.forbidden(value, why));
    let name = match request.name {
        "" => value.str_at(&["metadata", "name"]),
        name => name,
    };
    if request.namespace != NAMESPACE {
        return deny(format!("can only access leases in the \"{NAMESPACE}\" system namespace"));
    }
    if name != node {
        return deny("can only access node lease with the same name as the requesting node".into());
    }
    Ok(())
}
