//! Deployment, ReplicaSet and ReplicationController: rolling updates, and the labels of the template.

use super::super::{NULL, Scope};
use crate::error::FieldError;
use crate::formats;
use knarr_value::{LabelSelector, Value};

/// A number that is not negative, or a percentage.
pub fn int_or_percent(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    match scope.value {
        Value::Str(text) => {
            for message in formats::percent(text) {
                errors.push(FieldError::invalid(scope.path.text(), text.clone(), message));
            }
        }
        Value::Int(n) if *n < 0 => {
            errors.push(FieldError::invalid(scope.path.text(), Value::Int(*n), "must be greater than or equal to 0"));
        }
        _ => {}
    }
}

/// The number itself, or that before the percent sign.
fn number(value: &Value) -> i64 {
    match value {
        Value::Str(text) => text.trim_end_matches('%').parse().unwrap_or(0),
        other => other.as_i64().unwrap_or(0),
    }
}

/// RollingUpdate of a Deployment: both bounds well formed, not both zero, at most everything unavailable.
pub fn rolling_update(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    let (unavailable, surge) = (scope.get("maxUnavailable"), scope.get("maxSurge"));
    for (field, value) in [("maxUnavailable", unavailable), ("maxSurge", surge)] {
        let path = scope.path.field(field);
        int_or_percent(&Scope { value, path: &path, ..*scope }, errors);
    }
    let path = || scope.path.child("maxUnavailable");
    if number(unavailable) == 0 && number(surge) == 0 {
        errors.push(FieldError::invalid(path(), unavailable.clone(), "may not be 0 when `maxSurge` is 0"));
    }
    if matches!(unavailable, Value::Str(text) if text.ends_with('%')) && number(unavailable) > 100 {
        errors.push(FieldError::invalid(path(), unavailable.clone(), "must not be greater than 100%"));
    }
}

/// At a spec with `selector` and `template`: the selector selects what the template makes.
pub fn template_labels(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    let selector = scope.get("selector");
    let Ok(parsed) = LabelSelector::from_value(selector) else { return };
    let unset = |field: &str| crate::rules::is_unset(selector.get(field).unwrap_or(&NULL));
    // No selector at all selects nothing; an empty one everything.
    if !selector.is_null() && unset("matchLabels") && unset("matchExpressions") {
        return;
    }
    selects_template(scope, &parsed, errors);
}

/// The same where the selector is a map of labels. An empty one, or no template at all, is another rule's to refuse.
pub fn template_labels_of_map(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    let Some(selector) = scope.get("selector").as_map().filter(|labels| !labels.is_empty()) else { return };
    if !scope.get("template").is_null() {
        selects_template(scope, &LabelSelector::from_labels(selector), errors);
    }
}

fn selects_template(scope: &Scope<'_>, selector: &LabelSelector, errors: &mut Vec<FieldError>) {
    let labels = scope.value.path(&["template", "metadata", "labels"]).unwrap_or(&NULL);
    if !selector.matches(labels) {
        let template = scope.path.field("template");
        let path = template.field("metadata").child("labels");
        errors.push(FieldError::invalid(path, labels.clone(), "`selector` does not match template `labels`"));
    }
}

/// At a PodTemplateSpec: its labels and annotations, named without `metadata`.
pub fn template_meta(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    let metadata = Scope { value: scope.get("metadata"), ..*scope };
    super::super::meta::Meta::Template.run(&metadata, errors);
}

/// At a workload's selector, if it is there: well formed and not empty.
pub fn selector(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    if scope.value.is_null() {
        return;
    }
    super::super::selector::Selector::default().run(scope, errors);
    if crate::rules::is_unset(scope.get("matchLabels")) && crate::rules::is_unset(scope.get("matchExpressions")) {
        let detail = "empty selector is invalid for deployment";
        errors.push(FieldError::invalid(scope.path.text(), scope.value.clone(), detail));
    }
    if LabelSelector::from_value(scope.value).is_err() {
        errors.push(FieldError::invalid(scope.path.text(), scope.value.clone(), "invalid label selector"));
    }
}

/// At a strategy of an unknown type; Kubernetes shows the whole strategy, as Go's internal struct.
pub fn strategy_type(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    let mut shown = knarr_value::Map::new();
    shown.insert("Type", scope.text("type"));
    let update = match scope.get("rollingUpdate") {
        Value::Map(_) => {
            let mut inner = knarr_value::Map::new();
            inner.insert(
                "MaxUnavailable",
                scope.get("rollingUpdate").get("maxUnavailable").cloned().unwrap_or(Value::Int(0)),
            );
            inner.insert("MaxSurge", scope.get("rollingUpdate").get("maxSurge").cloned().unwrap_or(Value::Int(0)));
            Value::Map(inner)
        }
        _ => Value::Null,
    };
    shown.insert("RollingUpdate", update);
    errors.push(FieldError::not_supported(scope.path.text(), Value::Map(shown), &["Recreate", "RollingUpdate"]));
}
