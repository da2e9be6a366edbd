//! `required`: the value must be there and not be empty.

use super::{Scope, is_unset};
use crate::error::FieldError;
use knarr_value::Value;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Required {
    #[serde(default)]
    detail: String,
    /// Only null is missing: an empty string, list or struct counts as given (a pointer in Go).
    #[serde(default)]
    pointer: bool,
    /// A zero number is missing too (a plain integer in Go).
    #[serde(default)]
    number: bool,
}

impl Required {
    pub fn run(&self, scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
        let missing = match scope.value {
            Value::Null => true,
            Value::Int(0) => self.number,
            value => !self.pointer && is_unset(value),
        };
        if missing {
            errors.push(FieldError::required(scope.path.text(), self.detail.clone()));
        }
    }
}
