//! `selector`: a LabelSelector is well formed; `labels`: so is a map of labels.

use super::Scope;
use crate::error::{CompileError, FieldError};
use crate::formats;
use crate::path::Path;
use knarr_value::{Str, Value};
use serde::Deserialize;
use serde_json::Value as Json;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Selector {
    /// The value is a map of labels, not a selector.
    #[serde(default)]
    labels: bool,
    /// Values of expressions are not checked (as where old objects may hold bad ones).
    #[serde(default)]
    lax_values: bool,
}

impl Selector {
    pub fn build(at: &str, doc: &Json) -> Result<Self, CompileError> {
        super::read(at, doc)
    }

    pub fn run(&self, scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
        if self.labels {
            return labels(scope.value, scope.path, errors);
        }
        labels(scope.get("matchLabels"), &scope.path.field("matchLabels"), errors);
        let list = scope.path.field("matchExpressions");
        for (index, term) in scope.get("matchExpressions").as_list().unwrap_or(&[]).iter().enumerate() {
            self.requirement(term, &list.index(index), errors);
        }
    }

    fn requirement(&self, term: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
        let values = term.get("values").and_then(Value::as_list).unwrap_or(&[]);
        let operator = term.get("operator").and_then(Value::as_str).unwrap_or("");
        match operator {
            "In" | "NotIn" if values.is_empty() => errors.push(FieldError::required(
                path.child("values"),
                "must be specified when `operator` is 'In' or 'NotIn'",
            )),
            "Exists" | "DoesNotExist" if !values.is_empty() => errors.push(FieldError::forbidden(
                path.child("values"),
                "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            )),
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => errors.push(FieldError::invalid(path.child("operator"), other, "not a valid selector operator")),
        }
        let key = term.get("key").and_then(Value::as_str).unwrap_or("");
        for message in formats::qualified_name(key) {
            errors.push(FieldError::invalid(path.child("key"), key, message));
        }
        if self.lax_values {
            return;
        }
        let list = path.field("values");
        for (index, value) in values.iter().enumerate() {
            let value = value.as_str().unwrap_or("");
            for message in formats::label_value(value) {
                errors.push(FieldError::invalid(list.index(index).text(), value, message));
            }
        }
    }
}

/// Keys are qualified names, values label values; every error names the map, as in Kubernetes.
pub fn labels(value: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    for (key, value) in value.as_map().into_iter().flat_map(|map| map.iter()) {
        for message in formats::qualified_name(key) {
            errors.push(FieldError::invalid(path.text(), Value::Str(Str::from(&key[..])), message));
        }
        let text = value.as_str().unwrap_or("");
        for message in formats::label_value(text) {
            errors.push(FieldError::invalid(path.text(), text, message));
        }
    }
}
