//! From a pod's name to its container, node and address.

use knarr_machinery::{Machinery, Resource, Status};
use knarr_value::Value;

/// The kubelet's port where a node does not tell.
const KUBELET_PORT: i64 = 10_250;
/// Node addresses in the order they are tried: what works without DNS first.
const ADDRESS_TYPES: [&str; 3] = ["InternalIP", "ExternalIP", "Hostname"];

/// Where a kubelet listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub host: String,
    pub port: u16,
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (host, port) = (&self.host, self.port);
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

pub fn pod(machinery: &Machinery, namespace: &str, name: &str) -> Result<Value, Status> {
    let missing = || Status::not_found(Resource { group: "", plural: "pods" }, name);
    machinery.read("", "pods", namespace, name).ok_or_else(missing)
}

/// The names of all containers: init, ordinary, ephemeral.
fn containers(pod: &Value) -> Vec<&str> {
    let kinds = ["initContainers", "containers", "ephemeralContainers"];
    let lists = kinds.iter().filter_map(|kind| pod.path(&["spec", kind]).and_then(Value::as_list));
    lists.flatten().map(|container| container.str_at(&["name"])).collect()
}

/// The container meant: the one named, or the only one. Errors: 400 in Kubernetes' words.
pub fn container(pod: &Value, wanted: &str) -> Result<String, Status> {
    let name = pod.str_at(&["metadata", "name"]);
    let all = containers(pod);
    if !wanted.is_empty() {
        return if all.contains(&wanted) {
            Ok(wanted.to_owned())
        } else {
            Err(Status::bad_request(format!("container {wanted} is not valid for pod {name}")))
        };
    }
    match pod.path(&["spec", "containers"]).and_then(Value::as_list) {
        Some([only]) => Ok(only.str_at(&["name"]).to_owned()),
        _ => Err(Status::bad_request(format!(
            "a container name must be specified for pod {name}, choose one of: [{}]",
            all.join(" ")
        ))),
    }
}

/// Where the pod's kubelet listens; None when the pod has no node yet. Errors: the node is gone or tells no address.
pub fn pod_node(machinery: &Machinery, pod: &Value) -> Result<Option<Address>, Status> {
    match pod.str_at(&["spec", "nodeName"]) {
        "" => Ok(None),
        node => address(machinery, node).map(Some),
    }
}

/// Where a node's kubelet listens.
pub fn address(machinery: &Machinery, name: &str) -> Result<Address, Status> {
    let missing = || Status::not_found(Resource { group: "", plural: "nodes" }, name);
    let node = machinery.read("", "nodes", "", name).ok_or_else(missing)?;
    address_of(&node)
        .ok_or_else(|| super::failure(500, format!("no preferred addresses found; known addresses: [] (node {name})")))
}

fn address_of(node: &Value) -> Option<Address> {
    let known = node.path(&["status", "addresses"]).and_then(Value::as_list)?;
    let of = |kind: &str| known.iter().find(|address| address.str_at(&["type"]) == kind);
    let found = ADDRESS_TYPES.iter().find_map(|kind| of(kind))?;
    let port = node.path(&["status", "daemonEndpoints", "kubeletEndpoint", "Port"]).and_then(Value::as_i64);
    let port = port.filter(|port| *port > 0).unwrap_or(KUBELET_PORT);
    Some(Address { host: found.str_at(&["address"]).to_owned(), port: u16::try_from(port).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value {
        knarr_value::json::parse(text.as_bytes()).expect("JSON").value
    }

    #[test]
    fn a_container_is_named_or_the_only_one() {
        let one =
            value(r#"{"metadata":{"name":"p"},"spec":{"initContainers":[{"name":"i"}],"containers":[{"name":"c"}]}}"#);
        assert_eq!(container(&one, "").expect("the only one"), "c");
        assert_eq!(container(&one, "i").expect("an init container"), "i");
        assert_eq!(container(&one, "x").expect_err("unknown").message, "container x is not valid for pod p");
        let two = value(r#"{"metadata":{"name":"p"},"spec":{"containers":[{"name":"a"},{"name":"b"}]}}"#);
        let message = container(&two, "").expect_err("which?").message;
        assert_eq!(message, "a container name must be specified for pod p, choose one of: [a b]");
    }

    #[test]
    fn a_nodes_internal_address_and_port_are_used() {
        let node = value(
            r#"{"status":{"addresses":[{"type":"Hostname","address":"n"},{"type":"InternalIP","address":"10.0.0.7"}],
                "daemonEndpoints":{"kubeletEndpoint":{"Port":10260}}}}"#,
        );
        assert_eq!(address_of(&node).expect("an address").to_string(), "10.0.0.7:10260");
        let bare = value(r#"{"status":{"addresses":[{"type":"InternalIP","address":"fd00::7"}]}}"#);
        assert_eq!(address_of(&bare).expect("an address").to_string(), "[fd00::7]:10250");
        assert_eq!(address_of(&value("{}")), None);
    }
}
