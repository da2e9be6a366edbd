//! Small rules of a PodSpec whose errors stand elsewhere, or show something else, than what they check.

use super::super::{Scope, is_unset};
use super::text;
use crate::error::FieldError;
use crate::formats;
use knarr_value::Value;

/// All search paths with a space between them, in bytes.
const SEARCH_LIST_MAX: usize = 2048;

pub fn searches(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    let list = scope.value.as_list().unwrap_or(&[]);
    let length: usize = list.iter().map(|s| s.as_str().map_or(0, str::len) + 1).sum();
    if length > SEARCH_LIST_MAX + 1 {
        let detail =
            format!("must not have more than {SEARCH_LIST_MAX} characters (including spaces) in the search list");
        errors.push(FieldError::invalid(scope.path.text(), scope.value.clone(), detail));
    }
    for (index, search) in list.iter().enumerate() {
        let search = search.as_str().unwrap_or("");
        if search == "." {
            continue;
        }
        let name = search.strip_suffix('.').unwrap_or(search);
        for message in formats::dns1123_subdomain_underscore(name) {
            errors.push(FieldError::invalid(scope.path.index(index).text(), name, message));
        }
    }
}

/// Named at the gate, not at its name.
pub fn gate_name(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    let name = scope.text("name");
    for message in formats::qualified_name(name) {
        errors.push(FieldError::invalid(scope.path.text(), name, message));
    }
}

/// One constraint per key and action.
pub fn spread_repeated(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    let list = scope.value.as_list().unwrap_or(&[]);
    for (index, one) in list.iter().enumerate() {
        let key = |c: &Value| (text(c, "topologyKey").to_string(), text(c, "whenUnsatisfiable").to_string());
        if list[index + 1..].iter().any(|other| key(other) == key(one)) {
            let (topology, action) = key(one);
            let path = scope.path.index(index);
            let place = path.child("{topologyKey, whenUnsatisfiable}");
            errors.push(FieldError::duplicate(place, format!("{{{topology}, {action}}}")));
        }
    }
}

/// Named at `namespace`, beside the list.
pub fn affinity_namespaces(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    for name in scope.value.as_list().unwrap_or(&[]) {
        let name = name.as_str().unwrap_or("");
        for message in formats::dns1123_label(name) {
            let path = scope.path.text();
            errors.push(FieldError::invalid(path.strip_suffix('s').unwrap_or(&path), name, message));
        }
    }
}

pub fn toleration_operator(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    let operator = scope.value.as_str().unwrap_or("");
    let detail = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
    errors.push(FieldError::invalid(scope.path.text(), operator, detail));
}

pub fn toleration_effect(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    let effect = scope.value.as_str().unwrap_or("");
    let detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
    errors.push(FieldError::invalid(scope.path.text(), effect, detail));
}

/// A value's errors are named at the operator.
pub fn toleration_value(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    let value = scope.text("value");
    let detail = match scope.text("operator") {
        "" | "Equal" => formats::label_value(value).join(";"),
        "Exists" if !is_unset(scope.get("value")) => "value must be empty when `operator` is 'Exists'".into(),
        _ => return,
    };
    if !detail.is_empty() {
        errors.push(FieldError::invalid(scope.path.child("operator"), value, detail));
    }
}

/// An image of a pod, as opposed to a template's, has no space around it.
pub fn trimmed(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    let image = scope.value.as_str().unwrap_or("");
    if image.trim() != image {
        let detail = "must not have leading or trailing whitespace";
        errors.push(FieldError::invalid(scope.path.text(), image, detail));
    }
}

/// At a Node: its taints, which Kubernetes reports below `metadata`.
pub fn node_taints(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    let metadata = scope.path.field("metadata");
    let list = metadata.field("taints");
    let taints = scope.value.path(&["spec", "taints"]).and_then(Value::as_list).unwrap_or(&[]);
    for (index, taint) in taints.iter().enumerate() {
        let place = list.index(index);
        let (key, value, effect) = (text(taint, "key"), text(taint, "value"), text(taint, "effect"));
        for message in formats::qualified_name(key) {
            errors.push(FieldError::invalid(place.child("key"), key, message));
        }
        let messages = formats::label_value(value);
        if !messages.is_empty() {
            errors.push(FieldError::invalid(place.child("value"), value, messages.join(";")));
        }
        let effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
        if effect.is_empty() {
            errors.push(FieldError::required(place.child("effect"), ""));
        } else if !effects.contains(&effect) {
            errors.push(FieldError::not_supported(place.child("effect"), effect, &effects));
        }
        if taints[..index].iter().any(|t| text(t, "key") == key && text(t, "effect") == effect) {
            let mut shown = knarr_value::Map::new();
            shown.insert("Key", key);
            shown.insert("Value", value);
            shown.insert("Effect", effect);
            shown.insert("TimeAdded", taint.get("timeAdded").cloned().unwrap_or_default());
            let mut error = FieldError::duplicate(place.text(), Value::Map(shown));
            error.detail = "taints must be unique by key and effect pair".into();
            errors.push(error);
        }
    }
}

/// At a spread constraint: fewer domains than these count as none, so a pod must be kept from starting.
pub fn min_domains(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    let Some(domains) = scope.get("minDomains").as_i64() else { return };
    let path = scope.path.child("minDomains");
    if domains <= 0 {
        errors.push(FieldError::invalid(path.clone(), Value::Int(domains), "must be greater than zero"));
    }
    let action = scope.text("whenUnsatisfiable");
    if action != "DoNotSchedule" {
        let detail = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}");
        errors.push(FieldError::invalid(path, Value::Int(domains), detail));
    }
}

/// At `os`: errors name it, not its name.
pub fn os_name(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    match scope.text("name") {
        "linux" | "windows" => {}
        "" => errors.push(FieldError::required(scope.path.child("name"), "cannot be empty")),
        other => errors.push(FieldError::not_supported(scope.path.text(), other, &["linux", "windows"])),
    }
}
