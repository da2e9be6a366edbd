//! Label and field selectors: reading them, with apimachinery's words where they are wrong, and matching.
//!
//! Two forms of a label selector exist: the text of `?labelSelector=` ([`LabelSelector::parse`]) and the object in specs
//! ([`LabelSelector::from_value`]). Semantics: apimachinery 1.34, `pkg/labels`, `pkg/fields`, `metav1.LabelSelectorAsSelector`.

mod field;
mod label;
mod parse;
pub mod validate;

pub use field::{FieldOp, FieldSelector, FieldTerm, escape_value};
pub use label::{LabelSelector, Labels, Operator, Requirement};

#[cfg(test)]
mod tests;
