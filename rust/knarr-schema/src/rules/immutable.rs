//! `immutable`: the value may not differ from the old one. Equality is Kubernetes' semantic one: quantities by value, an empty list or
//! map as an absent one.

use super::{Scope, is_unset};
use crate::error::{FieldError, Reason};
use knarr_value::{Map, Quantity, Value};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Immutable {
    #[serde(default = "default_detail")]
    detail: String,
    /// Forbidden instead of Invalid.
    #[serde(default)]
    forbidden: bool,
    /// A value that was unset may be set.
    #[serde(default)]
    once_set: bool,
}

fn default_detail() -> String {
    "field is immutable".into()
}

impl Immutable {
    pub fn run(&self, scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
        let Some(old) = scope.old else { return };
        if same(scope.value, old) || (self.once_set && is_unset(old)) {
            return;
        }
        let reason = if self.forbidden { Reason::Forbidden } else { Reason::Invalid };
        errors.push(FieldError {
            path: scope.path.text(),
            reason,
            value: Some(shown(scope.value, old)),
            detail: self.detail.clone(),
        });
    }
}

/// A value that is gone is shown as the zero of what it was, as Go does for what is no pointer.
fn shown(value: &Value, old: &Value) -> Value {
    match (value, old) {
        (Value::Null, Value::Str(_)) => Value::from(""),
        (value, _) => value.clone(),
    }
}

/// Semantic equality of canonical values.
pub fn same(a: &Value, b: &Value) -> bool {
    same_in(a, b, false)
}

fn same_in(a: &Value, b: &Value, quantities: bool) -> bool {
    match (a, b) {
        (Value::Map(a), Value::Map(b)) => same_map(a, b, quantities),
        (Value::List(a), Value::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_in(a, b, quantities))
        }
        (Value::Str(x), Value::Str(y)) if quantities && x != y => {
            matches!((Quantity::parse(x), Quantity::parse(y)), (Ok(x), Ok(y)) if x == y)
        }
        (Value::Null, Value::List(l)) | (Value::List(l), Value::Null) => l.is_empty(),
        (Value::Null, Value::Map(m)) | (Value::Map(m), Value::Null) => m.is_empty(),
        (a, b) => a == b,
    }
}

fn same_map(a: &Map, b: &Map, quantities: bool) -> bool {
    let one = |key: &str, value: &Value, other: &Map| {
        let q = quantities || holds_quantities(key);
        match other.get(key) {
            Some(other) => same_in(value, other, q),
            // A field that may be absent: only an empty list or map equals that.
            None => matches!(value, Value::Null) || matches!(value, Value::List(l) if l.is_empty()),
        }
    };
    a.iter().all(|(key, value)| one(key, value, b))
        && b.iter().all(|(key, value)| a.contains_key(key) || one(key, value, a))
}

/// The fields of Kubernetes that hold quantities, or maps of them.
fn holds_quantities(field: &str) -> bool {
    matches!(
        field,
        "requests"
            | "limits"
            | "capacity"
            | "allocatable"
            | "overhead"
            | "sizeLimit"
            | "divisor"
            | "hard"
            | "used"
            | "allocatedResources"
    )
}
