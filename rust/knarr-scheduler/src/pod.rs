//! What the scheduler keeps of a pod: what its class is made of, and where it is.

use std::sync::Arc;

use knarr_value::{Str, Value};

use crate::resources::{DEFAULT_MEMORY, DEFAULT_MILLI_CPU, Resources, pod_requests};

/// A host port that a pod takes. `address` is empty for all addresses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    pub protocol: Str,
    pub address: Str,
    pub port: i64,
}

impl HostPort {
    /// Whether two pods could not share a node: same protocol and port, and addresses that meet.
    pub fn clashes(&self, other: &HostPort) -> bool {
        self.port == other.port
            && self.protocol == other.protocol
            && (self.address == other.address || self.address.is_empty() || other.address.is_empty())
    }
}

/// A toleration. An empty `operator` is Equal; empty `key` with Exists tolerates all; an empty `effect` matches all effects.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Toleration {
    pub key: Str,
    pub operator: Str,
    pub value: Str,
    pub effect: Str,
}

/// A requirement on a label or on metadata.name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Requirement {
    pub key: Str,
    pub operator: Str,
    pub values: Vec<Str>,
}

/// One term of node affinity: all of its requirements hold. A term without any matches nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Term {
    pub labels: Vec<Requirement>,
    pub fields: Vec<Requirement>,
}

/// Everything of a pod that decides where it may run. Two pods with equal demands are of one class.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Demands {
    pub requests: Resources,
    /// As scoring takes them: (cpu, memory) with defaults for containers that ask for nothing.
    pub nonzero: (i64, i64),
    pub node_name: Str,
    pub selector: Vec<(Str, Str)>,
    /// None: no required node affinity. Some: one of the terms must match.
    pub required: Option<Vec<Term>>,
    pub preferred: Vec<(i64, Term)>,
    pub tolerations: Vec<Toleration>,
    pub ports: Vec<HostPort>,
}

/// One pod as the scheduler sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Pod {
    pub namespace: Str,
    pub name: Str,
    pub uid: Str,
    /// Where it is bound; empty: nowhere yet.
    pub node: Str,
    pub scheduler: Str,
    pub priority: i64,
    /// Succeeded or Failed: it takes no resources any more.
    pub ended: bool,
    pub deleting: bool,
    pub gated: bool,
    pub demands: Arc<Demands>,
}

impl Pod {
    /// Read a Pod object.
    pub fn of(object: &Value) -> Pod {
        let empty = Value::Null;
        let spec = object.get("spec").unwrap_or(&empty);
        let text = |path: &[&str]| Str::from(object.str_at(path));
        let phase = object.str_at(&["status", "phase"]);
        Pod {
            namespace: text(&["metadata", "namespace"]),
            name: text(&["metadata", "name"]),
            uid: text(&["metadata", "uid"]),
            node: text(&["spec", "nodeName"]),
            scheduler: text(&["spec", "schedulerName"]),
            priority: spec.get("priority").and_then(Value::as_i64).unwrap_or(0),
            ended: phase == "Succeeded" || phase == "Failed",
            deleting: object.path(&["metadata", "deletionTimestamp"]).is_some(),
            gated: !list(spec, "schedulingGates").is_empty(),
            demands: Arc::new(demands(spec)),
        }
    }
}

fn demands(spec: &Value) -> Demands {
    let nonzero = pod_requests(spec, (DEFAULT_MILLI_CPU, DEFAULT_MEMORY));
    let affinity = spec.path(&["affinity", "nodeAffinity"]);
    let required = affinity
        .and_then(|a| a.path(&["requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms"]))
        .and_then(Value::as_list)
        .map(|terms| terms.iter().map(term).collect());
    let preferred = affinity
        .map(|a| list(a, "preferredDuringSchedulingIgnoredDuringExecution"))
        .unwrap_or_default()
        .iter()
        .filter_map(|each| Some((each.get("weight")?.as_i64()?, term(each.get("preference")?))))
        .collect();
    let mut selector: Vec<(Str, Str)> = spec
        .get("nodeSelector")
        .and_then(Value::as_map)
        .into_iter()
        .flat_map(|map| map.iter())
        .map(|(key, value)| (key.clone(), Str::from(value.as_str().unwrap_or_default())))
        .collect();
    selector.sort();
    Demands {
        requests: pod_requests(spec, (0, 0)),
        nonzero: (nonzero.milli_cpu, nonzero.memory),
        node_name: Str::from(spec.str_at(&["nodeName"])),
        selector,
        required,
        preferred,
        tolerations: list(spec, "tolerations").iter().map(toleration).collect(),
        ports: host_ports(spec),
    }
}

fn term(value: &Value) -> Term {
    let requirements = |field: &str| list(value, field).iter().map(requirement).collect();
    Term { labels: requirements("matchExpressions"), fields: requirements("matchFields") }
}

fn requirement(value: &Value) -> Requirement {
    Requirement {
        key: Str::from(value.str_at(&["key"])),
        operator: Str::from(value.str_at(&["operator"])),
        values: list(value, "values").iter().filter_map(Value::as_str).map(Str::from).collect(),
    }
}

fn toleration(value: &Value) -> Toleration {
    let text = |field: &str| Str::from(value.str_at(&[field]));
    Toleration { key: text("key"), operator: text("operator"), value: text("value"), effect: text("effect") }
}

/// Host ports of containers and of init containers that keep running.
fn host_ports(spec: &Value) -> Vec<HostPort> {
    let sidecars = list(spec, "initContainers").iter().filter(|c| c.str_at(&["restartPolicy"]) == "Always");
    let mut found = Vec::new();
    for container in list(spec, "containers").iter().chain(sidecars) {
        for port in list(container, "ports") {
            let number = port.get("hostPort").and_then(Value::as_i64).unwrap_or(0);
            if number > 0 {
                let address = port.str_at(&["hostIP"]);
                found.push(HostPort {
                    protocol: Str::from(if port.str_at(&["protocol"]).is_empty() {
                        "TCP"
                    } else {
                        port.str_at(&["protocol"])
                    }),
                    address: Str::from(if address == "0.0.0.0" { "" } else { address }),
                    port: number,
                });
            }
        }
    }
    found
}

pub(crate) fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value.get(field).and_then(Value::as_list).unwrap_or_default()
}
