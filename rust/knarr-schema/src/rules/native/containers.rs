//! What holds between the containers of a pod: host ports, names.

use super::super::Scope;
use crate::error::FieldError;
use knarr_value::Value;
use std::collections::BTreeSet;

/// At a list of containers that run together: no two take the same port of the host.
pub fn host_ports(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    let mut seen = BTreeSet::new();
    for (index, container) in scope.value.as_list().unwrap_or(&[]).iter().enumerate() {
        let place = scope.path.index(index);
        let list = place.field("ports");
        let ports = container.get("ports").and_then(Value::as_list).unwrap_or(&[]);
        for (index, port) in ports.iter().enumerate() {
            let number = port.get("hostPort").and_then(Value::as_i64).unwrap_or(0);
            if number == 0 {
                continue;
            }
            let text = |field: &str| port.get(field).and_then(Value::as_str).unwrap_or("");
            let key = format!("{}/{}/{number}", text("protocol"), text("hostIP"));
            if !seen.insert(key.clone()) {
                errors.push(FieldError::duplicate(list.index(index).child("hostPort"), key));
            }
        }
    }
}

/// At a PodSpec: an init container's name is no other container's.
pub fn init_names(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    let name = |container: &Value| container.get("name").and_then(Value::as_str).unwrap_or("").to_string();
    let mut seen: BTreeSet<String> = scope.get("containers").as_list().unwrap_or(&[]).iter().map(name).collect();
    let path = scope.path.field("initContainers");
    for (index, container) in scope.get("initContainers").as_list().unwrap_or(&[]).iter().enumerate() {
        let name = name(container);
        if seen.contains(&name) {
            errors.push(FieldError::duplicate(path.index(index).child("name"), name));
        } else if !name.is_empty() {
            seen.insert(name);
        }
    }
}

/// At a PodSpec on the host network: a port is the host's own. A template may leave it out, it is filled in when the pod is made.
pub fn host_network_ports(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    // A pod has a status, a template none.
    let template = scope.frame.parent.is_some_and(|f| f.value.get("status").is_none());
    let list = scope.path.field("containers");
    for (index, container) in scope.get("containers").as_list().unwrap_or(&[]).iter().enumerate() {
        let place = list.index(index);
        let ports = place.field("ports");
        for (index, port) in container.get("ports").and_then(Value::as_list).unwrap_or(&[]).iter().enumerate() {
            let number = |field: &str| port.get(field).and_then(Value::as_i64).unwrap_or(0);
            let (host, own) = (number("hostPort"), number("containerPort"));
            if host != own && !(template && host == 0) {
                let detail = "must match `containerPort` when `hostNetwork` is true";
                errors.push(FieldError::invalid(ports.index(index).child("hostPort"), Value::Int(host), detail));
            }
        }
    }
}

/// At a container: each `envFrom` has one source. Kubernetes reports a missing or double one at the list.
pub fn env_from(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    let list = scope.path.field("envFrom");
    for (index, source) in scope.get("envFrom").as_list().unwrap_or(&[]).iter().enumerate() {
        let place = list.index(index);
        let prefix = source.get("prefix").and_then(Value::as_str).unwrap_or("");
        if !prefix.is_empty() {
            for message in crate::formats::by_name("relaxedEnvVarName").map(|f| f(prefix)).unwrap_or_default() {
                errors.push(FieldError::invalid(place.child("prefix"), prefix, message));
            }
        }
        let mut count = 0;
        for field in ["configMapRef", "secretRef"] {
            let Some(reference) = source.get(field) else { continue };
            count += 1;
            let name = reference.get("name").and_then(Value::as_str).unwrap_or("");
            let path = place.field(field);
            if name.is_empty() {
                errors.push(FieldError::required(path.child("name"), ""));
                continue;
            }
            for message in crate::formats::dns1123_subdomain(&crate::formats::mask_trailing_dash(name)) {
                errors.push(FieldError::invalid(path.child("name"), name, message));
            }
        }
        let detail = match count {
            0 => "must specify one of: `configMapRef` or `secretRef`",
            1 => continue,
            _ => "may not have more than one field specified at a time",
        };
        errors.push(FieldError::invalid(list.text(), "", detail));
    }
}

/// At a container: how it is resized in place.
pub fn resize_policy(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    let path = scope.path.field("resizePolicy");
    let never = scope.frame.parent.and_then(|f| f.value.get("restartPolicy")).and_then(Value::as_str) == Some("Never");
    let mut seen = BTreeSet::new();
    for (index, policy) in scope.get("resizePolicy").as_list().unwrap_or(&[]).iter().enumerate() {
        let text = |field: &str| policy.get(field).and_then(Value::as_str).unwrap_or("");
        let (resource, restart) = (text("resourceName"), text("restartPolicy"));
        if !seen.insert(resource) {
            errors.push(FieldError::duplicate(path.index(index).text(), resource));
        }
        for (value, valid) in [(resource, ["cpu", "memory"]), (restart, ["NotRequired", "RestartContainer"])] {
            if value.is_empty() {
                errors.push(FieldError::required(path.text(), ""));
            } else if !valid.contains(&value) {
                errors.push(FieldError::not_supported(path.text(), value, &valid));
            }
        }
        if never && restart != "NotRequired" {
            let detail = "must be 'NotRequired' when `restartPolicy` is 'Never'";
            errors.push(FieldError::invalid(path.text(), restart, detail));
        }
    }
}

/// A SecurityContext as Go's internal struct prints: its fields by their Go names, null where unset.
fn shown(context: &Value) -> Value {
    let fields = [
        ("Capabilities", "capabilities"),
        ("Privileged", "privileged"),
        ("SELinuxOptions", "seLinuxOptions"),
        ("WindowsOptions", "windowsOptions"),
        ("RunAsUser", "runAsUser"),
        ("RunAsGroup", "runAsGroup"),
        ("RunAsNonRoot", "runAsNonRoot"),
        ("ReadOnlyRootFilesystem", "readOnlyRootFilesystem"),
        ("AllowPrivilegeEscalation", "allowPrivilegeEscalation"),
        ("ProcMount", "procMount"),
        ("SeccompProfile", "seccompProfile"),
        ("AppArmorProfile", "appArmorProfile"),
    ];
    let mut map = knarr_value::Map::new();
    for (go, json) in fields {
        let mut value = context.get(json).cloned().unwrap_or_default();
        if go == "Capabilities" && !value.is_null() {
            let list = |field: &str| value.get(field).cloned().unwrap_or_default();
            let mut inner = knarr_value::Map::new();
            inner.insert("Add", list("add"));
            inner.insert("Drop", list("drop"));
            value = Value::Map(inner);
        }
        map.insert(go, value);
    }
    Value::Map(map)
}

pub fn escalation_privileged(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    let detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
    errors.push(FieldError::invalid(scope.path.text(), shown(scope.value), detail));
}

pub fn escalation_capabilities(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    let added = scope.value.path(&["capabilities", "add"]).and_then(Value::as_list).unwrap_or(&[]);
    for _ in added.iter().filter(|cap| cap.as_str() == Some("CAP_SYS_ADMIN")) {
        let detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
        errors.push(FieldError::invalid(scope.path.text(), shown(scope.value), detail));
    }
}
