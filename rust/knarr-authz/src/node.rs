//! The node authorizer: a node reads what the pods bound to it refer to, and writes what is its own.
//!
//! The graph holds no entry per pod: pods of one template refer to the same things, so a node has counted, shared sets of
//! references, and a pod's own binding is asked of [`PodNodes`]. Source: kubernetes `plugin/pkg/auth/authorizer/node`, with the
//! feature AuthorizeNodeWithSelectors (on by default in 1.34). What a node may put *into* the objects it writes is admission's.

use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};
use knarr_base::User;
use knarr_value::Value;

use crate::attributes::{Attributes, Target};
use crate::rule::Rule;

const NODES: &str = "system:nodes";
const NODE_PREFIX: &str = "system:node:";
const NODE_LEASES: &str = "kube-node-lease";

/// Where pods run, read from whoever holds them: `spec.nodeName` of a pod, None when there is no such pod.
pub type PodNodes = Box<dyn Fn(&str, &str) -> Option<String> + Send + Sync>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ReferenceKind {
    Secret,
    ConfigMap,
    Claim,
    ServiceAccount,
}

/// Something a pod refers to, in the pod's namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    pub kind: ReferenceKind,
    pub namespace: String,
    pub name: String,
}

type References = Arc<[Reference]>;

#[derive(Default)]
pub(crate) struct Graph {
    /// Node to the sets of references of its pods, with how many pods have each.
    nodes: HashMap<String, Vec<(References, u32)>, FixedState>,
    /// Equal sets are stored once.
    shared: HashSet<References, FixedState>,
}

impl Graph {
    pub(crate) fn bind(&mut self, node: &str, mut references: Vec<Reference>) {
        references.sort_unstable();
        references.dedup();
        let shared = match self.shared.get(references.as_slice()) {
            Some(known) => known.clone(),
            None => {
                let new: References = references.into();
                self.shared.insert(new.clone());
                new
            }
        };
        let sets = self.nodes.entry_ref(node).or_default();
        match sets.iter_mut().find(|(known, _)| Arc::ptr_eq(known, &shared)) {
            Some((_, pods)) => *pods += 1,
            None => sets.push((shared, 1)),
        }
    }

    pub(crate) fn unbind(&mut self, node: &str, mut references: Vec<Reference>) {
        references.sort_unstable();
        references.dedup();
        let Some(sets) = self.nodes.get_mut(node) else { return };
        if let Some(at) = sets.iter().position(|(known, _)| **known == *references) {
            sets[at].1 -= 1;
            if sets[at].1 == 0 {
                let (set, _) = sets.swap_remove(at);
                // The graph's own and this one: no other node has it.
                if Arc::strong_count(&set) == 2 {
                    self.shared.remove(&set);
                }
            }
        }
        if sets.is_empty() {
            self.nodes.remove(node);
        }
    }

    fn refers(&self, node: &str, kind: ReferenceKind, namespace: &str, name: &str) -> bool {
        let same = |known: &Reference| known.kind == kind && known.name == name && known.namespace == namespace;
        self.nodes.get(node).is_some_and(|sets| sets.iter().any(|(set, _)| set.iter().any(same)))
    }
}

/// The node's name when the user is one: group `system:nodes` and a name `system:node:NAME`.
pub(crate) fn node_of(user: &User) -> Option<&str> {
    let name = user.name.strip_prefix(NODE_PREFIX)?;
    user.groups.iter().any(|group| group == NODES).then_some(name)
}

/// Allowed, or why this authorizer has no opinion.
pub(crate) fn authorize(
    graph: &Graph,
    pods: &PodNodes,
    node: &str,
    attributes: &Attributes<'_>,
    otherwise: impl FnOnce() -> bool,
) -> Result<(), String> {
    let Target::Resource { group, resource, subresource, namespace, name, node_name } = attributes.target else {
        return if otherwise() { Ok(()) } else { Err(String::new()) };
    };
    let verb = attributes.verb;
    let allow_if = |allowed: bool, reason: &str| if allowed { Ok(()) } else { Err(reason.to_owned()) };
    let unrelated = || format!("no relationship found between node '{node}' and this object");
    let related = |kind: ReferenceKind| {
        if name.is_empty() {
            return Err("No Object name found".to_owned());
        }
        if graph.refers(node, kind, namespace, name) { Ok(()) } else { Err(unrelated()) }
    };
    let read = |kind: ReferenceKind| match verb {
        "get" | "list" | "watch" if !subresource.is_empty() => Err("cannot read subresource".to_owned()),
        "get" | "list" | "watch" if namespace.is_empty() => {
            Err("can only read namespaced object of this type".to_owned())
        }
        "get" | "list" | "watch" => related(kind),
        _ => Err("can only read resources of this type".to_owned()),
    };
    let own_pod = || {
        if !name.is_empty() && pods(namespace, name).is_some_and(|bound| bound == node) {
            Ok(())
        } else {
            Err(unrelated())
        }
    };
    match (group, resource) {
        ("", "secrets") => read(ReferenceKind::Secret),
        ("", "configmaps") => read(ReferenceKind::ConfigMap),
        ("", "persistentvolumeclaims") => match (subresource, verb) {
            ("", "get") | ("status", "update" | "patch") => related(ReferenceKind::Claim),
            ("status", _) => Err("can only get/update/patch this type".to_owned()),
            ("", _) => Err("can only get individual resources of this type".to_owned()),
            _ => Err("cannot get subresource".to_owned()),
        },
        ("", "serviceaccounts") => match (subresource, verb) {
            ("", "get") => read(ReferenceKind::ServiceAccount),
            ("token", "create") if !name.is_empty() => related(ReferenceKind::ServiceAccount),
            (_, "create") if !name.is_empty() => Err("can only create token subresource of serviceaccount".to_owned()),
            _ => Err("can only create tokens for individual service accounts".to_owned()),
        },
        ("coordination.k8s.io", "leases") => {
            if !matches!(verb, "get" | "create" | "update" | "patch" | "delete") {
                return Err("can only get, create, update, patch, or delete a node lease".to_owned());
            }
            if namespace != NODE_LEASES {
                return Err(format!("can only access leases in the {NODE_LEASES:?} system namespace"));
            }
            allow_if(
                verb == "create" || name == node,
                "can only access node lease with the same name as the requesting node",
            )
        }
        ("storage.k8s.io", "csinodes") => {
            if !matches!(verb, "get" | "create" | "update" | "patch" | "delete") {
                return Err("can only get, create, update, patch, or delete a CSINode".to_owned());
            }
            if !subresource.is_empty() {
                return Err("cannot authorize CSINode subresources".to_owned());
            }
            allow_if(
                verb == "create" || name == node,
                "can only access CSINode with the same name as the requesting node",
            )
        }
        ("", "nodes") => match (subresource, verb) {
            ("", "create" | "update" | "patch") | ("status", "update" | "patch") => Ok(()),
            ("", "get" | "list" | "watch") if name == node => Ok(()),
            ("", "get" | "list" | "watch") if name.is_empty() => {
                Err(format!("node '{node}' cannot read all nodes, only its own Node object"))
            }
            ("", "get" | "list" | "watch") => {
                Err(format!("node '{node}' cannot read '{name}', only its own Node object"))
            }
            _ => Err(String::new()),
        },
        ("", "pods") => match (subresource, verb) {
            ("", "get") => own_pod(),
            ("", "list" | "watch") if node_name == Some(node) => Ok(()),
            ("", "list" | "watch") if !name.is_empty() => own_pod(),
            ("", "list" | "watch") => Err("can only list/watch pods with spec.nodeName field selector".to_owned()),
            ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => Ok(()),
            _ => Err(String::new()),
        },
        _ => allow_if(otherwise(), ""),
    }
}

/// The rules that hold for every node beyond what is decided above, and all that a ClusterRole `system:node` lists.
pub(crate) fn rules() -> Vec<Rule> {
    let read = ["get", "list", "watch"];
    vec![
        Rule::resources(&["create"], "authentication.k8s.io", &["tokenreviews"]),
        Rule::resources(&["create"], "authorization.k8s.io", &["subjectaccessreviews", "localsubjectaccessreviews"]),
        Rule::resources(&read, "", &["services"]),
        Rule::resources(&["create", "update", "patch"], "", &["events"]),
        Rule::resources(&["get"], "", &["endpoints"]),
        Rule::resources(&["create", "get", "list", "watch"], "certificates.k8s.io", &["certificatesigningrequests"]),
        Rule::resources(&["get"], "storage.k8s.io", &["volumeattachments"]),
        Rule::resources(&read, "storage.k8s.io", &["csidrivers"]),
        Rule::resources(&read, "node.k8s.io", &["runtimeclasses"]),
    ]
}

/// Everything a pod's spec refers to in its namespace. A mirror pod refers to nothing: it could name what its node may not read.
pub fn references_of_pod(namespace: &str, pod: &Value) -> Vec<Reference> {
    let mut found = Vec::new();
    let annotations = pod.path(&["metadata", "annotations"]);
    if annotations.and_then(|map| map.get("kubernetes.io/config.mirror")).is_some() {
        return found;
    }
    let Some(spec) = pod.get("spec") else { return found };
    let mut add = |kind: ReferenceKind, name: &str| {
        if !name.is_empty() {
            found.push(Reference { kind, namespace: namespace.to_owned(), name: name.to_owned() });
        }
    };
    add(ReferenceKind::ServiceAccount, spec.str_at(&["serviceAccountName"]));
    let list = |value: &Value, key: &str| -> Vec<Value> {
        value.get(key).and_then(Value::as_list).unwrap_or_default().to_vec()
    };
    for secret in list(spec, "imagePullSecrets") {
        add(ReferenceKind::Secret, secret.str_at(&["name"]));
    }
    for containers in ["initContainers", "containers", "ephemeralContainers"] {
        for container in list(spec, containers) {
            for source in list(&container, "envFrom") {
                add(ReferenceKind::Secret, source.str_at(&["secretRef", "name"]));
                add(ReferenceKind::ConfigMap, source.str_at(&["configMapRef", "name"]));
            }
            for variable in list(&container, "env") {
                add(ReferenceKind::Secret, variable.str_at(&["valueFrom", "secretKeyRef", "name"]));
                add(ReferenceKind::ConfigMap, variable.str_at(&["valueFrom", "configMapKeyRef", "name"]));
            }
        }
    }
    for volume in list(spec, "volumes") {
        add(ReferenceKind::Secret, volume.str_at(&["secret", "secretName"]));
        add(ReferenceKind::ConfigMap, volume.str_at(&["configMap", "name"]));
        add(ReferenceKind::Claim, volume.str_at(&["persistentVolumeClaim", "claimName"]));
        if volume.get("ephemeral").is_some() {
            let claim = format!("{}-{}", pod.str_at(&["metadata", "name"]), volume.str_at(&["name"]));
            add(ReferenceKind::Claim, &claim);
        }
        for secret in [
            ["azureFile", "secretName"].as_slice(),
            &["cephfs", "secretRef", "name"],
            &["cinder", "secretRef", "name"],
            &["csi", "nodePublishSecretRef", "name"],
            &["flexVolume", "secretRef", "name"],
            &["iscsi", "secretRef", "name"],
            &["rbd", "secretRef", "name"],
            &["scaleIO", "secretRef", "name"],
            &["storageos", "secretRef", "name"],
        ] {
            add(ReferenceKind::Secret, volume.str_at(secret));
        }
        if let Some(projected) = volume.get("projected") {
            for source in list(projected, "sources") {
                add(ReferenceKind::Secret, source.str_at(&["secret", "name"]));
                add(ReferenceKind::ConfigMap, source.str_at(&["configMap", "name"]));
            }
        }
    }
    found
}
