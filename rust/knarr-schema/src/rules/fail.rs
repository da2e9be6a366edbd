//! `fail`: an error, unconditionally; what decides is the `when` around it. Also `forbidden`: an error if the value is set.

use super::condition::Place;
use super::{Scope, is_unset};
use crate::error::{CompileError, FieldError, Reason};
use knarr_value::{Str, Value};
use serde::Deserialize;
use serde_json::Value as Json;

#[derive(Debug)]
pub struct Fail {
    reason: Reason,
    detail: String,
    /// A child of this place.
    report: Option<Str>,
    shown: Shown,
    /// Only if the value here is set (an empty list or string is not).
    if_set: bool,
}

#[derive(Debug)]
enum Shown {
    Here,
    At(Place),
    Constant(Value),
}

impl Fail {
    pub fn build(at: &str, doc: &Json) -> Result<Self, CompileError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        struct Doc {
            reason: String,
            #[serde(default)]
            detail: String,
            #[serde(default)]
            report: Option<Str>,
            #[serde(default)]
            value: Option<Json>,
            #[serde(default)]
            value_at: Option<String>,
            #[serde(default)]
            if_set: bool,
        }
        let doc: Doc = super::read(at, doc)?;
        let reason = match doc.reason.as_str() {
            "required" => Reason::Required,
            "invalid" => Reason::Invalid,
            "forbidden" => Reason::Forbidden,
            "duplicate" => Reason::Duplicate,
            "notFound" => Reason::NotFound,
            other => return Err(CompileError::new(at, format!("no reason is called {other}"))),
        };
        let shown = match (&doc.value, &doc.value_at) {
            (Some(value), _) => Shown::Constant(super::constant(value)),
            (None, Some(place)) => Shown::At(Place::parse(at, place)?),
            (None, None) => Shown::Here,
        };
        Ok(Self { reason, detail: doc.detail, report: doc.report, shown, if_set: doc.if_set })
    }

    pub fn run(&self, scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
        if self.if_set && is_unset(scope.value) {
            return;
        }
        let path = match &self.report {
            Some(child) => scope.path.child(child),
            None => scope.path.text(),
        };
        let value = match &self.shown {
            Shown::Here => scope.value.clone(),
            Shown::At(place) => place.find(scope).clone(),
            Shown::Constant(value) => value.clone(),
        };
        errors.push(FieldError { path, reason: self.reason, value: Some(value), detail: self.detail.clone() });
    }
}
