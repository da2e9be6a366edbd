//! Rules of single fields that show something other than what they check.

use super::super::immutable::same;
use super::super::{NULL, Scope};
use crate::error::FieldError;
use crate::formats;
use knarr_value::Value;

fn finalizer(name: &str, path: &str, errors: &mut Vec<FieldError>) {
    for message in formats::qualified_name(name) {
        errors.push(FieldError::invalid(path, name, message));
    }
    let standard = matches!(name, "kubernetes" | "orphan" | "foregroundDeletion");
    if !name.contains('/') && !standard {
        let detail = "name is neither a standard finalizer name nor is it fully qualified";
        errors.push(FieldError::invalid(path, name, detail));
    }
}

/// At a list of finalizers of a namespace; errors name the list.
pub fn finalizer_names(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    for name in scope.value.as_list().unwrap_or(&[]) {
        finalizer(name.as_str().unwrap_or(""), &scope.path.text(), errors);
    }
}

/// At one of them.
pub fn finalizer_name(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    finalizer(scope.value.as_str().unwrap_or(""), &scope.path.text(), errors);
}

/// At `roleRef`, on update: a binding never changes its role. Shown as Go's internal struct.
pub fn role_ref(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    if same(scope.value, scope.old.unwrap_or(&NULL)) {
        return;
    }
    let mut shown = knarr_value::Map::new();
    for (go, json) in [("APIGroup", "apiGroup"), ("Kind", "kind"), ("Name", "name")] {
        shown.insert(go, scope.text(json));
    }
    errors.push(FieldError::invalid(scope.path.text(), Value::Map(shown), "cannot change roleRef"));
}
