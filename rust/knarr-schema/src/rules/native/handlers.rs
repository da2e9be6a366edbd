//! Handlers of probes and hooks: header names and sleeps.

use super::super::{Frame, Scope};
use crate::error::FieldError;
use crate::formats;
use knarr_value::Value;

/// At an HTTPGetAction; errors name the list.
pub fn header_names(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    for header in scope.get("httpHeaders").as_list().unwrap_or(&[]) {
        let name = header.get("name").and_then(Value::as_str).unwrap_or("");
        for message in formats::by_name("httpHeaderName").map(|f| f(name)).unwrap_or_default() {
            errors.push(FieldError::invalid(scope.path.child("httpHeaders"), name, message));
        }
    }
}

/// At a sleep: no longer than the pod may take to end. Handler, lifecycle, container and PodSpec are the groups around it.
pub fn sleep_seconds(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    let mut frame: Option<&Frame<'_>> = Some(scope.frame);
    let mut grace = None;
    while let Some(at) = frame {
        grace =
            grace.or_else(|| at.value.get("containers").and(at.value.get("terminationGracePeriodSeconds")?.as_i64()));
        frame = at.parent;
    }
    let Some(grace) = grace else { return };
    let seconds = scope.get("seconds").as_i64().unwrap_or(0);
    if seconds < 0 || seconds > grace {
        let detail = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
        errors.push(FieldError::invalid(scope.path.text(), Value::Int(seconds), detail));
    }
}
