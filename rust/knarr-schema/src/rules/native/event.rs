//! Events: the namespace of what happened, and what events.k8s.io asks of new reports.

use super::super::immutable::same;
use super::super::{NULL, Scope};
use crate::error::FieldError;
use crate::formats;
use knarr_value::Value;

/// The names of the fields that differ between core v1 and events.k8s.io. Errors of both are worded with core's internal names but
/// for the reporting controller.
struct Names {
    object: &'static str,
    controller: &'static str,
    message: &'static str,
}

const CORE: Names = Names { object: "involvedObject", controller: "reportingComponent", message: "message" };
const EVENTS: Names = Names { object: "regarding", controller: "reportingController", message: "note" };

/// At an Event of core v1.
pub fn legacy(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    check(scope, &CORE, errors);
}

fn check(scope: &Scope<'_>, names: &Names, errors: &mut Vec<FieldError>) {
    // Events have names of any form that fits into a path.
    let name = scope.value.str_at(&["metadata", "name"]);
    for message in formats::path_segment(name) {
        errors.push(FieldError::invalid(scope.path.field("metadata").child("name"), name, message));
    }
    let namespace = scope.value.str_at(&["metadata", "namespace"]);
    let about = scope.value.str_at(&[names.object, "namespace"]);
    let path = || scope.path.field("involvedObject").child("namespace");
    let timed = !scope.get("eventTime").is_null();
    let foreign = match (timed, about.is_empty()) {
        (false, true) => !namespace.is_empty() && namespace != "default",
        (false, false) => namespace != about,
        (true, true) => namespace != "default" && namespace != "kube-system",
        (true, false) => false,
    };
    if foreign {
        errors.push(FieldError::invalid(path(), about, "does not match event.namespace"));
    }
    if timed {
        let controller = scope.text(names.controller);
        if controller.is_empty() {
            errors.push(FieldError::required(scope.path.child(names.controller), ""));
        }
        for message in formats::qualified_name(controller) {
            errors.push(FieldError::invalid(scope.path.child(names.controller), controller, message));
        }
        for (field, max) in [("reportingInstance", 128), ("action", 128), ("reason", 128)] {
            let text = scope.text(field);
            if text.is_empty() {
                errors.push(FieldError::required(scope.path.child(field), ""));
            }
            if text.len() > max {
                let detail = format!("can have at most {max} characters");
                errors.push(FieldError::invalid(scope.path.child(field), "", detail));
            }
        }
        if scope.text(names.message).len() > 1024 {
            errors.push(FieldError::invalid(scope.path.child("message"), "", "can have at most 1024 characters"));
        }
    }
    for message in formats::dns1123_subdomain(namespace) {
        errors.push(FieldError::invalid(scope.path.child("namespace"), namespace, message));
    }
}

/// At an Event of events.k8s.io/v1: a report of the new form, of which only the series may change.
pub fn strict(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    check(scope, &EVENTS, errors);
    let unset = |field: &str, path: &str, errors: &mut Vec<FieldError>| {
        if !super::super::is_unset(scope.get(field)) && !scope.get(field).is_zero() {
            errors.push(FieldError::invalid(scope.path.child(path), "", "needs to be unset"));
        }
    };
    match scope.old {
        None => {
            series(scope, errors);
            if scope.get("eventTime").is_null() {
                errors.push(FieldError::required(scope.path.child("eventTime"), ""));
            }
            let kind = scope.text("type");
            if !matches!(kind, "Normal" | "Warning") {
                errors.push(FieldError::invalid(scope.path.child("type"), "", format!("has invalid value: {kind}")));
            }
            unset("deprecatedFirstTimestamp", "firstTimestamp", errors);
            unset("deprecatedLastTimestamp", "lastTimestamp", errors);
            unset("deprecatedCount", "count", errors);
            unset("deprecatedSource", "source", errors);
        }
        Some(old) => {
            if !same(scope.get("series"), old.get("series").unwrap_or(&NULL)) {
                series(scope, errors);
            }
            let fixed = [
                ("regarding", "involvedObject"),
                ("reason", "reason"),
                ("note", "message"),
                ("deprecatedSource", "source"),
                ("deprecatedFirstTimestamp", "firstTimestamp"),
                ("deprecatedLastTimestamp", "lastTimestamp"),
                ("deprecatedCount", "count"),
                ("type", "type"),
                ("eventTime", "eventTime"),
                ("action", "action"),
                ("related", "related"),
                ("reportingController", "reportingController"),
                ("reportingInstance", "reportingInstance"),
            ];
            for (field, shown) in fixed {
                if !same(scope.get(field), old.get(field).unwrap_or(&NULL)) {
                    let value = scope.get(field).clone();
                    errors.push(FieldError::invalid(scope.path.child(shown), value, "field is immutable"));
                }
            }
        }
    }
}

fn series(scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    let series = scope.get("series");
    if series.is_null() {
        return;
    }
    if series.get("count").and_then(Value::as_i64).unwrap_or(0) < 2 {
        errors.push(FieldError::invalid(scope.path.child("series.count"), "", "should be at least 2"));
    }
    if series.get("lastObservedTime").is_none_or(Value::is_null) {
        errors.push(FieldError::required(scope.path.child("series.lastObservedTime"), ""));
    }
}
