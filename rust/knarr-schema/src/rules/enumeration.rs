//! `enum`: one of a list of strings. An absent value is checked as the empty string unless `optional`.

use super::{Scope, is_unset};
use crate::error::FieldError;
use knarr_value::{Str, Value};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Enumeration {
    values: Vec<String>,
    #[serde(default)]
    optional: bool,
    /// An absent value is a missing one, not an unsupported one.
    #[serde(default)]
    required: bool,
    /// Instead of listing the values: the whole detail of an Invalid.
    #[serde(default)]
    invalid: Option<String>,
}

impl Enumeration {
    pub fn run(&self, scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
        let unset = is_unset(scope.value);
        if unset && self.optional {
            return;
        }
        if unset && self.required {
            errors.push(FieldError::required(scope.path.text(), ""));
            return;
        }
        let text = scope.value.as_str().unwrap_or("");
        if self.values.iter().any(|v| v == text) {
            return;
        }
        let value = Value::Str(Str::from(text));
        errors.push(match &self.invalid {
            Some(detail) => FieldError::invalid(scope.path.text(), value, detail.clone()),
            None => FieldError::not_supported(scope.path.text(), value, &self.values),
        });
    }
}
