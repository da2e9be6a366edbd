//! A pod's update: images, deadlines, new tolerations, fewer scheduling gates; nothing else of its spec.

use super::super::immutable::same;
use super::super::{NULL, Scope};
use super::list;
use crate::error::FieldError;
use knarr_value::{Str, Value};

const UPDATABLE: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// At `spec`, on update.
pub fn run(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    let (new, old) = (scope.value, scope.old.unwrap_or(&NULL));
    for field in ["containers", "initContainers"] {
        if !images(scope, field, list(new, field), list(old, field), errors) {
            return;
        }
    }
    if !deadline(scope, new, old, errors) {
        return;
    }
    tolerations(scope, new, old, errors);
    gates(scope, new, old, errors);
    if same(new, old) {
        return;
    }
    let munged = munge(new, old, scope, errors);
    if !same(&munged, old) {
        let detail = format!("{UPDATABLE}\n{}", diff(old, &munged));
        errors.push(FieldError::forbidden(scope.path.text(), detail));
    }
}

/// False: nothing more can be compared.
fn images(scope: &Scope<'_>, field: &str, new: &[Value], old: &[Value], errors: &mut Vec<FieldError>) -> bool {
    let path = scope.path.field(field);
    if new.len() != old.len() {
        errors.push(FieldError::forbidden(path.text(), "pod updates may not add or remove containers"));
        return false;
    }
    for (index, container) in new.iter().enumerate() {
        let image = container.get("image").and_then(Value::as_str).unwrap_or("");
        let place = path.index(index);
        if image.is_empty() {
            errors.push(FieldError::required(place.child("image"), ""));
        }
        if image.trim() != image {
            let detail = "must not have leading or trailing whitespace";
            errors.push(FieldError::invalid(place.child("image"), image, detail));
        }
    }
    true
}

fn deadline(scope: &Scope<'_>, new: &Value, old: &Value, errors: &mut Vec<FieldError>) -> bool {
    const FIELD: &str = "activeDeadlineSeconds";
    let seconds = |spec: &Value| spec.get(FIELD).and_then(Value::as_i64);
    let detail = match (seconds(new), seconds(old)) {
        (Some(now), _) if now < 0 || now > i64::from(i32::MAX) => "must be between 0 and 2147483647, inclusive",
        (Some(now), Some(was)) if was < now => "must be less than or equal to previous value",
        (None, Some(_)) => {
            let detail = "must not update from a positive integer to nil value";
            errors.push(FieldError::invalid(scope.path.child(FIELD), Value::Null, detail));
            return true;
        }
        _ => return true,
    };
    let value = new.get(FIELD).cloned().unwrap_or_default();
    errors.push(FieldError::invalid(scope.path.child(FIELD), value, detail));
    false
}

/// Old ones stay, except for the seconds of a NoExecute one.
fn tolerations(scope: &Scope<'_>, new: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    let comparable = |toleration: &Value| {
        let mut one = toleration.clone();
        if let Some(map) = one.as_map_mut() {
            map.remove("tolerationSeconds");
        }
        one
    };
    let now: Vec<Value> = list(new, "tolerations").iter().map(comparable).collect();
    for was in list(old, "tolerations") {
        if !now.contains(&comparable(was)) {
            let detail = "existing toleration can not be modified except its tolerationSeconds";
            errors.push(FieldError::forbidden(scope.path.child("tolerations"), detail));
            return;
        }
    }
}

fn gates(scope: &Scope<'_>, new: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    let known = list(old, "schedulingGates");
    for (index, gate) in list(new, "schedulingGates").iter().enumerate() {
        if !known.contains(gate) {
            let path = scope.path.field("schedulingGates").index(index).text();
            errors.push(FieldError::forbidden(path, "only deletion is allowed, but found new scheduling gate"));
        }
    }
}

/// The new spec with all that may change put back, so that what is left of the difference is forbidden.
fn munge(new: &Value, old: &Value, scope: &Scope<'_>, errors: &mut Vec<FieldError>) -> Value {
    let mut out = new.clone();
    for field in ["containers", "initContainers"] {
        let olds = list(old, field);
        let containers = out.get_mut(field).and_then(Value::as_list_mut);
        for (container, was) in containers.into_iter().flatten().zip(olds) {
            put(container, "image", was.get("image"));
        }
    }
    for field in ["activeDeadlineSeconds", "tolerations", "schedulingGates"] {
        put(&mut out, field, old.get(field));
    }
    let grace = |spec: &Value| spec.get("terminationGracePeriodSeconds").and_then(Value::as_i64);
    if grace(old).is_some_and(|was| was < 0) && grace(new) == Some(1) {
        put(&mut out, "terminationGracePeriodSeconds", old.get("terminationGracePeriodSeconds"));
    }
    if !list(old, "schedulingGates").is_empty() {
        gated_selector(&mut out, old, scope, errors);
    }
    out
}

/// The node selector of a gated pod may grow.
fn gated_selector(out: &mut Value, old: &Value, scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    let (now, was) = (out.get("nodeSelector").unwrap_or(&NULL), old.get("nodeSelector").unwrap_or(&NULL));
    if same(now, was) {
        return;
    }
    let kept = was.as_map().is_none_or(|was| was.iter().all(|(key, value)| now.get(key) == Some(value)));
    if !kept {
        let detail = "only additions are allowed (no mutations or deletions)";
        errors.push(FieldError::invalid(scope.path.child("nodeSelector"), now.clone(), detail));
    }
    put(out, "nodeSelector", old.get("nodeSelector"));
}

fn put(value: &mut Value, field: &str, new: Option<&Value>) {
    let Some(map) = value.as_map_mut() else { return };
    match new {
        Some(new) => {
            map.insert(Str::from(field), new.clone());
        }
        None => {
            map.remove(field);
        }
    }
}

/// The differing fields, old and new, as lines; Kubernetes prints Go structs here, which nobody can match word for word.
fn diff(old: &Value, new: &Value) -> String {
    let mut lines = vec!["  core.PodSpec{".to_string()];
    let mut fields: Vec<&str> = Vec::new();
    for spec in [old, new] {
        for (name, _) in spec.as_map().into_iter().flat_map(|map| map.iter()) {
            if !fields.contains(&&name[..]) {
                fields.push(name);
            }
        }
    }
    for field in fields {
        let (was, is) = (old.get(field).unwrap_or(&NULL), new.get(field).unwrap_or(&NULL));
        if same(was, is) {
            continue;
        }
        for (sign, value) in [('-', was), ('+', is)] {
            let json = String::from_utf8(knarr_value::json::to_vec(value)).unwrap_or_default();
            lines.push(format!("{sign} \t{field}: {json},"));
        }
    }
    lines.push("  }".into());
    lines.join("\n") + "\n"
}
