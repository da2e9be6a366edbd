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
