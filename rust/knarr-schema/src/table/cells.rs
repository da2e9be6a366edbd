//! The computed cells of all kinds but Pod, each as the printer of kube-apiserver 1.34 computes it.

use knarr_value::{LabelSelector, Value};

use super::{Row, since as time_since};

/// Entries a cell shows before it says `+ N more...`.
const SHOWN_MAX: usize = 3;

fn list<'a>(value: &'a Value, path: &[&str]) -> &'a [Value] {
    value.path(path).and_then(Value::as_list).unwrap_or_default()
}

fn number(value: &Value, path: &[&str]) -> i64 {
    value.path(path).and_then(Value::as_i64).unwrap_or_default()
}

fn at_path<'a>(row: &Row<'a>) -> Option<&'a Value> {
    row.path.split('.').filter(|p| !p.is_empty()).try_fold(row.object, |at, part| at.get(part))
}

fn none_if_empty(text: String) -> Value {
    if text.is_empty() { "<none>".into() } else { text.into() }
}

pub(super) fn text_or(row: &Row<'_>, path: &[&str], missing: &str) -> Value {
    let text = row.object.str_at(path);
    if text.is_empty() { missing } else { text }.into()
}

pub(super) fn age(row: &Row<'_>) -> Value {
    time_since(row.object.path(&["metadata", "creationTimestamp"]), row.now).into()
}

pub(super) fn since(row: &Row<'_>) -> Value {
    time_since(at_path(row), row.now).into()
}

/// A number that is 0 where it is missing.
pub(super) fn integer(row: &Row<'_>) -> Value {
    at_path(row).and_then(Value::as_i64).unwrap_or_default().into()
}

/// How many entries a list or map has.
pub(super) fn count(row: &Row<'_>) -> Value {
    let n = match at_path(row) {
        Some(Value::List(items)) => items.len(),
        Some(Value::Map(map)) => map.len(),
        _ => 0,
    };
    (n as i64).into()
}

pub(super) fn node_status(row: &Row<'_>) -> Value {
    // The last condition of a type counts, should there be several.
    let ready = list(row.object, &["status", "conditions"]).iter().rev().find(|c| c.str_at(&["type"]) == "Ready");
    let mut status = match ready.map(|c| c.str_at(&["status"])) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if row.object.path(&["spec", "unschedulable"]).and_then(Value::as_bool) == Some(true) {
        status.push_str(",SchedulingDisabled");
    }
    status.into()
}

pub(super) fn node_roles(row: &Row<'_>) -> Value {
    let labels = row.object.path(&["metadata", "labels"]).and_then(Value::as_map);
    let mut roles: Vec<&str> = labels
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| match key.strip_prefix("node-role.kubernetes.io/") {
            Some(role) => Some(role),
            None if key == "kubernetes.io/role" => value.as_str(),
            None => None,
        })
        .filter(|role| !role.is_empty())
        .collect();
    roles.sort_unstable();
    roles.dedup();
    none_if_empty(roles.join(","))
}

pub(super) fn node_address(row: &Row<'_>, kind: &str) -> Value {
    let found = list(row.object, &["status", "addresses"]).iter().find(|a| a.str_at(&["type"]) == kind);
    found.map_or("<none>", |a| a.str_at(&["address"])).into()
}

pub(super) fn service_cluster_ip(row: &Row<'_>) -> Value {
    let first = list(row.object, &["spec", "clusterIPs"]).first().and_then(Value::as_str);
    first.unwrap_or("<none>").into()
}

pub(super) fn service_external_ip(row: &Row<'_>) -> Value {
    let given: Vec<&str> = list(row.object, &["spec", "externalIPs"]).iter().filter_map(Value::as_str).collect();
    match row.object.str_at(&["spec", "type"]) {
        "ClusterIP" | "NodePort" => none_if_empty(given.join(",")),
        "LoadBalancer" => {
            let mut all: Vec<&str> = list(row.object, &["status", "loadBalancer", "ingress"])
                .iter()
                .map(|i| if i.str_at(&["ip"]).is_empty() { i.str_at(&["hostname"]) } else { i.str_at(&["ip"]) })
                .filter(|s| !s.is_empty())
                .collect();
            all.sort_unstable();
            all.dedup();
            all.extend(given);
            if all.is_empty() { "<pending>".into() } else { all.join(",").into() }
        }
        "ExternalName" => row.object.str_at(&["spec", "externalName"]).into(),
        _ => "<unknown>".into(),
    }
}

pub(super) fn service_ports(row: &Row<'_>) -> Value {
    let shown = |port: &Value| {
        let (number_, protocol) = (number(port, &["port"]), port.str_at(&["protocol"]));
        match number(port, &["nodePort"]) {
            n if n > 0 => format!("{number_}:{n}/{protocol}"),
            _ => format!("{number_}/{protocol}"),
        }
    };
    none_if_empty(list(row.object, &["spec", "ports"]).iter().map(shown).collect::<Vec<_>>().join(","))
}

/// A selector that is a map of labels.
pub(super) fn selector_labels(row: &Row<'_>) -> Value {
    let selector = row.object.path(&["spec", "selector"]).and_then(Value::as_map);
    let mut pairs: Vec<String> =
        selector.into_iter().flatten().map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default())).collect();
    pairs.sort_unstable();
    none_if_empty(pairs.join(","))
}

pub(super) fn deployment_ready(row: &Row<'_>) -> Value {
    format!("{}/{}", number(row.object, &["status", "readyReplicas"]), number(row.object, &["spec", "replicas"])).into()
}

pub(super) fn containers(row: &Row<'_>, field: &str) -> Value {
    let containers = list(row.object, &["spec", "template", "spec", "containers"]);
    containers.iter().map(|c| c.str_at(&[field])).collect::<Vec<_>>().join(",").into()
}

pub(super) fn workload_selector(row: &Row<'_>) -> Value {
    match row.object.path(&["spec", "selector"]).map(LabelSelector::from_value) {
        Some(Ok(selector)) => none_if_empty(selector.to_string()),
        Some(Err(_)) => "<invalid>".into(),
        None => "<none>".into(),
    }
}

pub(super) fn config_map_data(row: &Row<'_>) -> Value {
    let len = |key: &str| row.object.get(key).and_then(Value::as_map).map_or(0, |m| m.len() as i64);
    (len("data") + len("binaryData")).into()
}

pub(super) fn event_first_seen(row: &Row<'_>) -> Value {
    let first = row.object.get("firstTimestamp").filter(|v| !v.is_null());
    time_since(first.or(row.object.get("eventTime")), row.now).into()
}

pub(super) fn event_last_seen(row: &Row<'_>) -> Value {
    if let Some(series) = row.object.get("series").filter(|v| !v.is_null()) {
        return time_since(series.get("lastObservedTime"), row.now).into();
    }
    match row.object.get("lastTimestamp").filter(|v| !v.is_null()) {
        Some(last) => time_since(Some(last), row.now).into(),
        None => event_first_seen(row),
    }
}

pub(super) fn event_object(row: &Row<'_>) -> Value {
    let kind = row.object.str_at(&["involvedObject", "kind"]).to_lowercase();
    match row.object.str_at(&["involvedObject", "name"]) {
        "" => kind.into(),
        name => format!("{kind}/{name}").into(),
    }
}

pub(super) fn event_source(row: &Row<'_>) -> Value {
    let first = |a: &[&str], b: &[&str]| match row.object.str_at(a) {
        "" => row.object.str_at(b).to_owned(),
        text => text.to_owned(),
    };
    let component = first(&["source", "component"], &["reportingComponent"]);
    match first(&["source", "host"], &["reportingInstance"]) {
        host if host.is_empty() => component.into(),
        host => format!("{component}, {host}").into(),
    }
}

pub(super) fn event_count(row: &Row<'_>) -> Value {
    match row.object.get("series").filter(|v| !v.is_null()) {
        Some(series) => number(series, &["count"]),
        None => number(row.object, &["count"]).max(1),
    }
    .into()
}

pub(super) fn event_message(row: &Row<'_>) -> Value {
    row.object.str_at(&["message"]).trim().into()
}

fn with_more(shown: Vec<String>, count: usize) -> Value {
    let text = shown.iter().take(SHOWN_MAX).cloned().collect::<Vec<_>>().join(",");
    match count {
        0 => "<none>".into(),
        n if n > SHOWN_MAX => format!("{text} + {} more...", n - SHOWN_MAX).into(),
        _ => text.into(),
    }
}

pub(super) fn endpoints(row: &Row<'_>) -> Value {
    let subsets = list(row.object, &["subsets"]);
    if subsets.is_empty() {
        return "<none>".into();
    }
    let mut all = Vec::new();
    for subset in subsets {
        let addresses = || list(subset, &["addresses"]).iter().map(|a| a.str_at(&["ip"]));
        let ports = list(subset, &["ports"]);
        if ports.is_empty() {
            all.extend(addresses().map(str::to_owned));
        }
        for port in ports {
            let port = number(port, &["port"]);
            all.extend(
                addresses().map(|ip| if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }),
            );
        }
    }
    let count = all.len();
    // A subset whose addresses are all not ready shows nothing at all.
    if count == 0 { "".into() } else { with_more(all, count) }
}

pub(super) fn slice_ports(row: &Row<'_>) -> Value {
    let ports = list(row.object, &["ports"]);
    let shown = ports
        .iter()
        .map(|p| match (p.get("port").and_then(Value::as_i64), p.get("name").and_then(Value::as_str)) {
            (Some(port), _) => port.to_string(),
            (None, Some(name)) => name.to_owned(),
            (None, None) => "*".into(),
        })
        .collect();
    // Kubernetes shows <unset> for a slice without ports.
    if ports.is_empty() { "<unset>".into() } else { with_more(shown, ports.len()) }
}

pub(super) fn slice_endpoints(row: &Row<'_>) -> Value {
    let all: Vec<String> = list(row.object, &["endpoints"])
        .iter()
        .flat_map(|e| list(e, &["addresses"]))
        .filter_map(|a| a.as_str().map(str::to_owned))
        .collect();
    let count = all.len();
    if count == 0 { "<unset>".into() } else { with_more(all, count) }
}

pub(super) fn role_ref(row: &Row<'_>) -> Value {
    format!("{}/{}", row.object.str_at(&["roleRef", "kind"]), row.object.str_at(&["roleRef", "name"])).into()
}

pub(super) fn subjects(row: &Row<'_>, kind: &str) -> Value {
    let of_kind = list(row.object, &["subjects"]).iter().filter(|s| s.str_at(&["kind"]) == kind);
    let names = of_kind.map(|s| match kind {
        "ServiceAccount" => format!("{}/{}", s.str_at(&["namespace"]), s.str_at(&["name"])),
        _ => s.str_at(&["name"]).to_owned(),
    });
    names.collect::<Vec<_>>().join(", ").into()
}
