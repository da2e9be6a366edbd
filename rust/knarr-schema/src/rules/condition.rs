//! Conditions of `when`, and places: how a node names a value elsewhere in the object.
//!
//! A place is a dotted path from the value at hand; `$` begins at the root of the running group, `$$` at that of its caller, and so
//! on; `old:` before it takes the old object's. `.` is the value itself.

use super::{Frame, Scope, is_unset};
use crate::error::CompileError;
use knarr_value::{Str, Value};
use serde_json::Value as Json;

#[derive(Clone, Debug)]
pub struct Place {
    old: bool,
    /// None: from the value at hand; 0: the running group's root; 1: its caller's ...
    up: Option<usize>,
    steps: Vec<Str>,
}

impl Place {
    pub fn parse(at: &str, text: &str) -> Result<Self, CompileError> {
        let (old, text) = match text.strip_prefix("old:") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let path = text.trim_start_matches('$');
        let dollars = text.len() - path.len();
        let path = path.strip_prefix('.').unwrap_or(path);
        let steps: Vec<Str> = if path.is_empty() { Vec::new() } else { path.split('.').map(Str::from).collect() };
        if steps.iter().any(|s| s.is_empty()) {
            return Err(CompileError::new(at, format!("{text:?} has an empty step")));
        }
        Ok(Self { old, up: dollars.checked_sub(1), steps })
    }

    /// Null where nothing is.
    pub fn find<'a>(&self, scope: &Scope<'a>) -> &'a Value {
        let root = match self.up {
            None => (Some(scope.value), scope.old),
            Some(up) => {
                let mut frame: Option<&Frame<'a>> = Some(scope.frame);
                for _ in 0..up {
                    frame = frame.and_then(|f| f.parent);
                }
                frame.map_or((None, None), |f| (Some(f.value), f.old))
            }
        };
        let start = if self.old { root.1 } else { root.0 };
        start.and_then(|value| self.steps.iter().try_fold(value, |v, step| v.get(step))).unwrap_or(&super::NULL)
    }
}

#[derive(Debug)]
pub enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    /// Not null, "", [] or {}; with `pointer`, not null.
    Set(Place, bool),
    In(Place, Vec<Value>),
    /// How many of these fields are not null is within these bounds.
    Count(Vec<Str>, usize, usize),
    /// The list or map has at least so many entries.
    Entries(Place, usize),
    Less(Place, i64),
    Same(Place, Place),
    /// The number here (0 where absent) is greater than that there.
    Over(Place, Place),
    Prefix(Place, Str),
    Suffix(Place, Str),
    Contains(Place, Str),
    /// Some item of the list has this field equal to one of these values.
    Some(Place, Str, Vec<Value>),
    /// An update (there is an old object).
    Update,
}

impl Condition {
    pub fn build(at: &str, doc: &Json) -> Result<Self, CompileError> {
        let bad = |what: &str| CompileError::new(at, format!("condition {doc}: {what}"));
        let map = doc.as_object().ok_or_else(|| bad("is no object"))?;
        let place = || {
            let text = map.get("at").and_then(Json::as_str).unwrap_or(".");
            Place::parse(at, text)
        };
        let many = |list: &Json| -> Result<Vec<Condition>, CompileError> {
            list.as_array().ok_or_else(|| bad("needs a list"))?.iter().map(|one| Condition::build(at, one)).collect()
        };
        let text = |json: &Json| json.as_str().map(Str::from).ok_or_else(|| bad("needs a string"));
        let texts = |json: &Json| -> Result<Vec<Str>, CompileError> {
            json.as_array().ok_or_else(|| bad("needs a list"))?.iter().map(text).collect()
        };
        let number = |json: &Json| json.as_u64().map(|n| n as usize).ok_or_else(|| bad("needs a number"));
        let values = |json: &Json| -> Result<Vec<Value>, CompileError> {
            Ok(json.as_array().ok_or_else(|| bad("needs a list"))?.iter().map(super::constant).collect())
        };
        let (key, value) = map
            .iter()
            .find(|(key, _)| !matches!(key.as_str(), "at" | "pointer" | "min" | "max" | "field"))
            .ok_or_else(|| bad("says nothing"))?;
        Ok(match key.as_str() {
            "all" => Condition::All(many(value)?),
            "any" => Condition::Any(many(value)?),
            "not" => Condition::Not(Box::new(Condition::build(at, value)?)),
            "set" => {
                let set = Condition::Set(place()?, map.get("pointer").and_then(Json::as_bool).unwrap_or(false));
                if value.as_bool() == Some(false) { Condition::Not(Box::new(set)) } else { set }
            }
            "is" => Condition::In(place()?, vec![super::constant(value)]),
            "in" => Condition::In(place()?, values(value)?),
            "count" => {
                let min = map.get("min").map_or(Ok(1), number)?;
                let max = map.get("max").map_or(Ok(usize::MAX), number)?;
                Condition::Count(texts(value)?, min, max)
            }
            "entries" => Condition::Entries(place()?, number(value)?),
            "less" => Condition::Less(place()?, value.as_i64().ok_or_else(|| bad("needs a number"))?),
            "same" => Condition::Same(place()?, Place::parse(at, &text(value)?)?),
            "over" => Condition::Over(place()?, Place::parse(at, &text(value)?)?),
            "prefix" => Condition::Prefix(place()?, text(value)?),
            "suffix" => Condition::Suffix(place()?, text(value)?),
            "contains" => Condition::Contains(place()?, text(value)?),
            "some" => {
                let field = map.get("field").map(text).ok_or_else(|| bad("needs a field"))??;
                Condition::Some(place()?, field, values(value)?)
            }
            "update" => Condition::Update,
            other => return Err(bad(&format!("nothing is called {other}"))),
        })
    }

    pub fn holds(&self, scope: &Scope<'_>) -> bool {
        match self {
            Condition::All(all) => all.iter().all(|c| c.holds(scope)),
            Condition::Any(any) => any.iter().any(|c| c.holds(scope)),
            Condition::Not(not) => !not.holds(scope),
            Condition::Set(place, false) => !is_unset(place.find(scope)),
            Condition::Set(place, true) => !place.find(scope).is_null(),
            Condition::In(place, values) => values.contains(place.find(scope)),
            Condition::Count(fields, min, max) => {
                let n = fields.iter().filter(|f| !scope.get(f).is_null()).count();
                (*min..=*max).contains(&n)
            }
            Condition::Entries(place, n) => match place.find(scope) {
                Value::List(l) => l.len() >= *n,
                Value::Map(m) => m.len() >= *n,
                _ => *n == 0,
            },
            Condition::Less(place, n) => place.find(scope).as_i64().unwrap_or(0) < *n,
            Condition::Same(a, b) => super::immutable::same(a.find(scope), b.find(scope)),
            Condition::Over(a, b) => a.find(scope).as_i64().unwrap_or(0) > b.find(scope).as_i64().unwrap_or(0),
            Condition::Prefix(place, text) => place.find(scope).as_str().unwrap_or("").starts_with(text.as_str()),
            Condition::Suffix(place, text) => place.find(scope).as_str().unwrap_or("").ends_with(text.as_str()),
            Condition::Contains(place, text) => place.find(scope).as_str().unwrap_or("").contains(text.as_str()),
            Condition::Some(place, field, values) => place
                .find(scope)
                .as_list()
                .unwrap_or(&[])
                .iter()
                .any(|item| values.contains(item.get(field).unwrap_or(&super::NULL))),
            Condition::Update => scope.old.is_some(),
        }
    }
}
