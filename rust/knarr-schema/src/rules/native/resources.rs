//! ResourceRequirements: names, amounts, requests within limits, huge pages, claims. Also maps of amounts (a node's capacity).

use super::super::{NULL, Scope};
use crate::error::{FieldError, Reason};
use crate::formats;
use crate::path::Path;
use knarr_value::{Quantity, Str, Value};
use std::collections::BTreeSet;

const HUGE: &str = "hugepages-";

fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

fn overcommits(name: &str) -> bool {
    is_native(name) && !name.starts_with(HUGE)
}

fn is_standard(name: &str) -> bool {
    matches!(name, "cpu" | "memory" | "ephemeral-storage") || name.starts_with(HUGE)
}

/// Counted things: quotas, and what has a domain of its own.
fn is_integer(name: &str) -> bool {
    matches!(
        name,
        "pods"
            | "services"
            | "replicationcontrollers"
            | "resourcequotas"
            | "secrets"
            | "configmaps"
            | "persistentvolumeclaims"
    ) || is_extended(name)
}

fn is_extended(name: &str) -> bool {
    if is_native(name) || name.starts_with("requests.") {
        return false;
    }
    formats::qualified_name(&format!("requests.{name}")).is_empty()
}

fn quantity(value: &Value) -> Option<Quantity> {
    Quantity::parse(value.as_str()?).ok()
}

/// The amount of one resource: not negative, whole where it counts things.
fn amount(name: &str, value: &Value, path: String, errors: &mut Vec<FieldError>) {
    let Some(quantity) = quantity(value) else { return };
    if quantity.is_negative() {
        errors.push(FieldError::invalid(path.clone(), quantity.canonical(), "must be greater than or equal to 0"));
    }
    if is_integer(name) && !quantity.is_integer() {
        errors.push(FieldError::invalid(path, quantity.canonical(), "must be an integer"));
    }
}

fn base_name(name: &str, path: &str, errors: &mut Vec<FieldError>) -> bool {
    let before = errors.len();
    for message in formats::qualified_name(name) {
        errors.push(FieldError::invalid(path, name, message));
    }
    if errors.len() > before {
        return false;
    }
    if !name.contains('/')
        && !is_standard(name)
        && !is_integer(name)
        && !matches!(name, "storage" | "requests.cpu" | "requests.memory" | "limits.cpu" | "limits.memory")
    {
        errors.push(FieldError::invalid(path, name, "must be a standard resource type or fully qualified"));
    }
    errors.len() == before
}

fn container_name(name: &str, path: &str, errors: &mut Vec<FieldError>) {
    base_name(name, path, errors);
    if !name.contains('/') {
        if !is_standard(name) {
            errors.push(FieldError::invalid(path, name, "must be a standard resource for containers"));
        }
    } else if !is_native(name) && !is_extended(name) {
        errors.push(FieldError::invalid(path, name, "doesn't follow extended resource name standard"));
    }
}

fn pod_name(name: &str, path: &str, errors: &mut Vec<FieldError>) {
    if base_name(name, path, errors) && !matches!(name, "cpu" | "memory") && !name.starts_with(HUGE) {
        errors.push(FieldError::not_supported(path, name, &["cpu", "hugepages-", "memory"]));
    }
}

/// A ResourceList of its own: a node's capacity. Its keys are steps of the path, as Kubernetes writes them there.
pub fn amounts(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    for (name, value) in scope.value.as_map().into_iter().flat_map(|map| map.iter()) {
        amount(name, value, scope.path.child(name), errors);
    }
}

pub fn container(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    requirements(scope, container_name, errors);
}

pub fn pod(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    requirements(scope, pod_name, errors);
}

fn huge(name: &str, value: &Value, path: String, errors: &mut Vec<FieldError>) {
    let (Some(size), Some(amount)) =
        (name.strip_prefix(HUGE).and_then(|size| Quantity::parse(size).ok()), quantity(value))
    else {
        return;
    };
    let (size, total) = (size.as_bytes_ceil(), amount.as_bytes_ceil());
    if size <= 0 || total % size != 0 {
        let text = amount.canonical();
        errors.push(FieldError::invalid(
            path,
            text.clone(),
            format!("{text} is not positive integer multiple of {name}"),
        ));
    }
}

fn requirements(scope: &Scope<'_>, check_name: fn(&str, &str, &mut Vec<FieldError>), errors: &mut Vec<FieldError>) {
    let (limits, requests) = (scope.get("limits"), scope.get("requests"));
    let (limit_path, request_path) = (scope.path.field("limits"), scope.path.field("requests"));
    let (mut plain, mut huge_pages) = (false, false);
    let mut one = |name: &str, value: &Value, list: &Path<'_>, errors: &mut Vec<FieldError>| {
        // The common names need no text unless something is wrong.
        let fine = matches!(name, "cpu" | "memory") && quantity(value).is_some_and(|q| !q.is_negative());
        plain |= matches!(name, "cpu" | "memory");
        if fine {
            return;
        }
        let path = list.key(name).text();
        check_name(name, &path, errors);
        amount(name, value, path.clone(), errors);
        if name.starts_with(HUGE) {
            huge_pages = true;
            huge(name, value, path, errors);
        }
    };
    for (name, value) in limits.as_map().into_iter().flat_map(|map| map.iter()) {
        one(name, value, &limit_path, errors);
    }
    for (name, value) in requests.as_map().into_iter().flat_map(|map| map.iter()) {
        one(name, value, &request_path, errors);
        let Some(request) = quantity(value) else { continue };
        match limits.get(name).and_then(quantity) {
            Some(limit) => {
                let words = match (overcommits(name), request.cmp(&limit)) {
                    (false, order) if order.is_ne() => "must be equal to",
                    (true, order) if order.is_gt() => "must be less than or equal to",
                    _ => continue,
                };
                let detail = format!("{words} {name} limit of {}", limit.canonical());
                errors.push(FieldError::invalid(request_path.text(), request.canonical(), detail));
            }
            None if !overcommits(name) => {
                let detail = "Limit must be set for non overcommitable resources";
                errors.push(FieldError::required(limit_path.text(), detail));
            }
            None => {}
        }
    }
    if huge_pages && !plain {
        errors.push(FieldError::forbidden(scope.path.text(), "HugePages require cpu or memory"));
    }
    claims(scope, errors);
}

/// The claims of a container are claims of its pod; the pod's spec is the caller's root.
fn claims(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    let list = scope.get("claims").as_list().unwrap_or(&[]);
    if list.is_empty() {
        return;
    }
    let known: BTreeSet<&str> = scope
        .frame
        .parent
        .map_or(&NULL, |f| f.value)
        .get("resourceClaims")
        .and_then(Value::as_list)
        .unwrap_or(&[])
        .iter()
        .filter_map(|claim| claim.get("name")?.as_str())
        .collect();
    let path = scope.path.field("claims");
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for (index, claim) in list.iter().enumerate() {
        let place = path.index(index).text();
        let text = |field: &str| claim.get(field).and_then(Value::as_str).unwrap_or("");
        let (name, request) = (text("name"), text("request"));
        if name.is_empty() {
            errors.push(FieldError::required(place.clone(), ""));
        } else {
            let key = if request.is_empty() { name.to_string() } else { format!("{name}/{request}") };
            let overlaps = request.is_empty() && seen.iter().any(|k| k.split_once('/').is_some_and(|(n, _)| n == name));
            if seen.contains(name) || overlaps {
                errors.push(FieldError::duplicate(place.clone(), name));
            } else if !seen.insert(key.clone()) {
                errors.push(FieldError::duplicate(place.clone(), key));
            }
        }
        if !known.contains(name) {
            let mut detail = String::from("must be one of the names in pod.spec.resourceClaims");
            match known.is_empty() {
                true => detail.push_str(" which is empty"),
                false => detail.push_str(&format!(": {}", known.iter().copied().collect::<Vec<_>>().join(", "))),
            }
            let value = Some(Value::Str(Str::from(name)));
            errors.push(FieldError { path: place, reason: Reason::NotFound, value, detail });
        }
    }
}
