//! `quantity`: a resource quantity that is not negative, or positive, or whole. Decoding has refused what is no quantity.

use super::Scope;
use crate::error::FieldError;
use knarr_value::{Quantity, Value};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QuantityNode {
    /// More than zero, not only zero or more.
    #[serde(default)]
    positive: bool,
    /// No fractions (counts of things).
    #[serde(default)]
    integer: bool,
}

impl QuantityNode {
    pub fn run(&self, scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
        let text = match scope.value {
            Value::Str(s) => s.to_string(),
            Value::Int(n) => n.to_string(),
            _ => return,
        };
        let Ok(quantity) = Quantity::parse(&text) else { return };
        let zero = quantity.as_milli() == 0 && !quantity.is_negative();
        let mut fail = |detail: &str| {
            errors.push(FieldError::invalid(scope.path.text(), quantity.canonical(), detail));
        };
        if quantity.is_negative() && !self.positive {
            fail("must be greater than or equal to 0");
        } else if self.positive && (quantity.is_negative() || zero) {
            fail("must be greater than zero");
        }
        if self.integer && quantity.as_milli() % 1000 != 0 {
            fail("must be an integer");
        }
    }
}
