//! `range`: a number between bounds. An absent one is not checked unless `zero` (a plain integer in Go is then 0).

use super::Scope;
use crate::error::FieldError;
use knarr_value::Value;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Range {
    min: Option<i64>,
    max: Option<i64>,
    #[serde(default)]
    zero: bool,
    #[serde(default)]
    detail: Option<String>,
}

impl Range {
    pub fn run(&self, scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
        let number = match scope.value {
            Value::Int(n) => *n,
            Value::Null if self.zero => 0,
            _ => return,
        };
        if self.min.is_some_and(|min| number < min) || self.max.is_some_and(|max| number > max) {
            errors.push(FieldError::invalid(scope.path.text(), Value::Int(number), self.words()));
        }
    }

    fn words(&self) -> String {
        match (&self.detail, self.min, self.max) {
            (Some(detail), ..) => detail.clone(),
            (None, Some(min), Some(max)) => format!("must be between {min} and {max}, inclusive"),
            (None, Some(1), None) => "must be greater than 0".into(),
            (None, Some(min), None) => format!("must be greater than or equal to {min}"),
            (None, None, Some(max)) => format!("must be less than or equal to {max}"),
            (None, None, None) => String::new(),
        }
    }
}
