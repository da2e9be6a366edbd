//! References into the pod itself (downward API) and to ports.

use super::super::Scope;
use crate::error::FieldError;
use crate::formats;
use knarr_value::{Quantity, Value};

const ENV_FIELDS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
const VOLUME_FIELDS: &[&str] =
    &["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
const RESOURCES: &[&str] = &[
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];

pub fn env_field(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    field(scope, ENV_FIELDS, errors);
}

pub fn volume_field(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    field(scope, VOLUME_FIELDS, errors);
}

/// The paths the downward API knows at all, whatever uses it.
fn convertible(path: &str) -> bool {
    matches!(
        path,
        "metadata.annotations"
            | "metadata.labels"
            | "metadata.name"
            | "metadata.namespace"
            | "metadata.uid"
            | "spec.nodeName"
            | "spec.restartPolicy"
            | "spec.serviceAccountName"
            | "spec.schedulerName"
            | "status.phase"
            | "status.hostIP"
            | "status.hostIPs"
            | "status.podIP"
            | "status.podIPs"
            | "spec.host"
    )
}

fn field(scope: &Scope<'_>, expressions: &[&str], errors: &mut Vec<FieldError>) {
    let (version, path) = (scope.text("apiVersion"), scope.text("fieldPath"));
    if version.is_empty() {
        errors.push(FieldError::required(scope.path.child("apiVersion"), ""));
        return;
    }
    if path.is_empty() {
        errors.push(FieldError::required(scope.path.child("fieldPath"), ""));
        return;
    }
    let place = scope.path.child("fieldPath");
    let convert =
        |what: String| FieldError::invalid(place.clone(), path, format!("error converting fieldPath: {what}"));
    if version != "v1" {
        errors.push(convert(format!("unsupported pod version: {version}")));
        return;
    }
    let subscript = path.strip_suffix("']").and_then(|rest| rest.split_once("['"));
    if let Some((base, key)) = subscript {
        match base {
            "metadata.annotations" | "metadata.labels" => {
                let key = if base == "metadata.annotations" { key.to_lowercase() } else { key.to_string() };
                for message in formats::qualified_name(&key) {
                    errors.push(FieldError::invalid(scope.path.text(), key.as_str(), message));
                }
            }
            other => errors.push(convert(format!("field label does not support subscript: {other}['{key}']"))),
        }
        return;
    }
    if !convertible(path) {
        errors.push(convert(format!("field label not supported: {path}")));
        return;
    }
    let path = if path == "spec.host" { "spec.nodeName" } else { path };
    if !expressions.contains(&path) {
        errors.push(FieldError::not_supported(place, path, expressions));
    }
}

pub fn env_resource(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    resource(scope, false, errors);
}

pub fn volume_resource(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    resource(scope, true, errors);
}

fn resource(scope: &Scope<'_>, volume: bool, errors: &mut Vec<FieldError>) {
    let name = scope.text("resource");
    let huge = name.starts_with("requests.hugepages-") || name.starts_with("limits.hugepages-");
    if volume && scope.text("containerName").is_empty() {
        errors.push(FieldError::required(scope.path.child("containerName"), ""));
    } else if name.is_empty() {
        errors.push(FieldError::required(scope.path.child("resource"), ""));
    } else if !RESOURCES.contains(&name) && !huge {
        errors.push(FieldError::not_supported(scope.path.child("resource"), name, RESOURCES));
    }
    let Some(divisor) = scope.get("divisor").as_str().and_then(|d| Quantity::parse(d).ok()) else { return };
    if divisor.is_zero() {
        return;
    }
    const BYTES: &[&str] = &["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];
    let text = divisor.canonical();
    let (fine, words) = match name.split_once('.').map_or("", |(_, what)| what) {
        "cpu" => (text == "1m" || text == "1", "1m and 1 are supported with the cpu resource".to_string()),
        what => {
            let word = match what {
                "memory" => "memory",
                "ephemeral-storage" => "local ephemeral storage",
                _ if huge => "hugepages",
                _ => return,
            };
            (BYTES.contains(&&text[..]), format!("{} are supported with the {word} resource", BYTES.join(", ")))
        }
    };
    if !fine {
        errors.push(FieldError::invalid(scope.path.child("divisor"), name, format!("only divisor's values {words}")));
    }
}

/// A port by number or by name.
pub fn port(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    match scope.value {
        Value::Str(name) => {
            for message in formats::by_name("portName").map(|f| f(name)).unwrap_or_default() {
                errors.push(FieldError::invalid(scope.path.text(), name.clone(), message));
            }
        }
        other => {
            let number = other.as_i64().unwrap_or(0);
            if !(1..=65535).contains(&number) {
                let detail = "must be between 1 and 65535, inclusive";
                errors.push(FieldError::invalid(scope.path.text(), Value::Int(number), detail));
            }
        }
    }
}
