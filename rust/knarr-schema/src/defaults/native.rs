//! Defaults no declaration can say: what depends on an image's tag, on sums, or on the keys of a map.

use crate::error::CompileError;
use crate::rules::{NULL, read};
use knarr_value::{Map, Str, Value};
use serde::Deserialize;
use serde_json::Value as Json;

/// The defaults by name.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Native {
    /// Container, image volume: Always for `:latest` or no tag, else IfNotPresent.
    ImagePullPolicy,
    /// Pod: each container's missing requests from its limits.
    RequestsFromLimits,
    /// Pod: pod-level requests from its limits and its containers' requests.
    PodLevelRequests,
    /// Pod: on the host network a port is the host's too.
    HostNetworkPorts,
    /// Namespace: the label with its own name.
    NamespaceLabel,
    /// Secret: `stringData`, written by clients and never kept, as base64 in `data`. Kubernetes does so while it decodes, before
    /// anybody comes to own a field.
    StringData,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Doc {
    name: Native,
}

impl Native {
    pub fn build(at: &str, doc: &Json) -> Result<Self, CompileError> {
        let doc: Doc = read(at, doc)?;
        Ok(doc.name)
    }

    pub fn run(self, value: &mut Value) {
        match self {
            Native::ImagePullPolicy => image_pull_policy(value),
            Native::RequestsFromLimits => {
                for_containers(value, |container| {
                    if let Some(resources) = container.get_mut("resources") {
                        requests_from_limits(resources);
                    }
                });
            }
            Native::PodLevelRequests => pod_level_requests(value),
            Native::HostNetworkPorts => {
                if value.path(&["spec", "hostNetwork"]).and_then(Value::as_bool) == Some(true) {
                    for_containers(value, host_network_ports);
                }
            }
            Native::NamespaceLabel => namespace_label(value),
            Native::StringData => string_data(value),
        }
    }
}

fn for_containers(pod: &mut Value, mut f: impl FnMut(&mut Value)) {
    for list in ["containers", "initContainers"] {
        let containers = pod.path_mut(&["spec", list]).and_then(Value::as_list_mut);
        containers.into_iter().flatten().for_each(&mut f);
    }
}

fn image_pull_policy(value: &mut Value) {
    let Some(map) = value.as_map_mut() else { return };
    let (policy, image) = match map.contains_key("reference") {
        true => ("pullPolicy", "reference"),
        false => ("imagePullPolicy", "image"),
    };
    if map.get(policy).is_some_and(|v| !v.is_empty()) {
        return;
    }
    let latest = tag_is_latest(map.get(image).and_then(Value::as_str).unwrap_or(""));
    map.insert(policy, if latest { "Always" } else { "IfNotPresent" });
}

/// Whether an image's tag is `latest`, said or not. A digest without a tag is none; a reference that cannot be parsed has none either.
fn tag_is_latest(image: &str) -> bool {
    if image.is_empty() || image.bytes().any(|b| b.is_ascii_whitespace()) {
        return false;
    }
    let (name, digest) = match image.split_once('@') {
        Some((name, _)) => (name, true),
        None => (image, false),
    };
    let last = name.rsplit('/').next().unwrap_or("");
    let path = if let Some((path, tag)) = last.rsplit_once(':') {
        if tag != "latest" || tag.is_empty() {
            return false;
        }
        path
    } else if digest {
        return false;
    } else {
        last
    };
    // Only a parsable reference has a tag at all: repositories are lower case.
    !path.is_empty() && !path.bytes().any(|b| b.is_ascii_uppercase())
}

fn requests_from_limits(resources: &mut Value) {
    let Some(limits) = resources.get("limits").and_then(Value::as_map).cloned() else { return };
    let Some(resources) = resources.as_map_mut() else { return };
    if resources.get("requests").is_none_or(Value::is_null) {
        resources.insert("requests", Value::Map(Map::new()));
    }
    let Some(requests) = resources.get_mut("requests").and_then(Value::as_map_mut) else { return };
    let before = requests.len();
    for (key, limit) in limits.iter() {
        if !requests.contains_key(key) {
            requests.insert(Str::from(&key[..]), limit.clone());
        }
    }
    if requests.is_empty() {
        resources.remove("requests");
    } else if requests.len() != before {
        sort(requests);
    }
    // claims, limits, requests is not the table's order of this struct: limits, requests, claims.
    if let Some(claims) = resources.remove("claims") {
        resources.insert("claims", claims);
    }
}

fn sort(map: &mut Map) {
    let mut entries: Vec<(Str, Value)> = std::mem::take(map).into_iter().collect();
    entries.sort_by(|(a, _), (b, _)| a.cmp(b));
    *map = entries.into_iter().collect();
}

fn pod_level_requests(pod: &mut Value) {
    let limits = match pod.path(&["spec", "resources", "limits"]).and_then(Value::as_map) {
        Some(limits) if !limits.is_empty() => limits.clone(),
        _ => return,
    };
    let mut requests =
        pod.path(&["spec", "resources", "requests"]).and_then(Value::as_map).cloned().unwrap_or_default();
    let supported = |key: &str| key == "cpu" || key == "memory" || key.starts_with("hugepages-");
    for (key, sum) in crate::prepare::qos::sum_of_requests(pod) {
        if supported(&key) && !key.starts_with("hugepages-") && !requests.contains_key(&key) {
            requests.insert(key, sum);
        }
    }
    for (key, limit) in limits.iter() {
        if supported(key) && !requests.contains_key(key) {
            requests.insert(Str::from(&key[..]), limit.clone());
        }
    }
    if requests.is_empty() {
        return;
    }
    sort(&mut requests);
    pod.set_path(&["spec", "resources", "requests"], Value::Map(requests));
}

fn host_network_ports(container: &mut Value) {
    for port in container.get_mut("ports").and_then(Value::as_list_mut).into_iter().flatten() {
        let number = port.get("containerPort").unwrap_or(&NULL).clone();
        let Some(port) = port.as_map_mut() else { continue };
        if port.get("hostPort").is_none_or(|v| v.is_zero() || v.is_null()) && !number.is_zero() && !number.is_null() {
            let mut entries: Vec<(Str, Value)> =
                std::mem::take(port).into_iter().filter(|(k, _)| k != "hostPort").collect();
            let place = entries.iter().position(|(k, _)| k != "name").unwrap_or(entries.len());
            entries.insert(place, ("hostPort".into(), number));
            *port = entries.into_iter().collect();
        }
    }
}

fn namespace_label(namespace: &mut Value) {
    let name = namespace.str_at(&["metadata", "name"]).to_string();
    if name.is_empty() {
        return;
    }
    namespace.set_path(&["metadata", "labels", "kubernetes.io/metadata.name"], name.as_str());
    if let Some(labels) = namespace.path_mut(&["metadata", "labels"]).and_then(Value::as_map_mut) {
        sort(labels);
    }
}

fn string_data(secret: &mut Value) {
    use base64::Engine;
    let Some(map) = secret.as_map_mut() else { return };
    let Some(Value::Map(texts)) = map.remove("stringData") else { return };
    if texts.is_empty() {
        return;
    }
    let mut data = match map.remove("data") {
        Some(Value::Map(data)) => data,
        _ => Map::new(),
    };
    for (key, text) in texts {
        let bytes = base64::engine::general_purpose::STANDARD.encode(text.as_str().unwrap_or(""));
        data.insert(key, Value::from(bytes));
    }
    map.insert("data", Value::Map(data));
}

#[cfg(test)]
mod tests {
    use super::tag_is_latest;

    #[test]
    fn latest_is_the_missing_tag() {
        for image in ["nginx", "nginx:latest", "reg:5000/a/nginx", "reg:5000/a/nginx:latest"] {
            assert!(tag_is_latest(image), "{image}");
        }
        for image in ["nginx:1", "nginx@sha256:00", "", "reg:5000/nginx:v1", "Nginx"] {
            assert!(!tag_is_latest(image), "{image}");
        }
    }
}
