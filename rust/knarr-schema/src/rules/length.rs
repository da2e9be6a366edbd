//! `length`: at most so many bytes of a string, or items of a list or map.

use super::Scope;
use crate::error::FieldError;
use knarr_value::Value;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Length {
    max: usize,
    /// Instead of Too long: the detail of an Invalid.
    #[serde(default)]
    invalid: Option<String>,
}

impl Length {
    pub fn run(&self, scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
        let (len, list) = match scope.value {
            Value::Str(s) => (s.len(), false),
            Value::List(l) => (l.len(), true),
            Value::Map(m) => (m.len(), true),
            _ => return,
        };
        if len <= self.max {
            return;
        }
        let path = scope.path.text();
        errors.push(match &self.invalid {
            Some(detail) => FieldError::invalid(path, scope.value.clone(), detail.clone()),
            None if list => FieldError::too_many(path, len, self.max),
            None => FieldError::too_long(path, self.max),
        });
    }
}
