//! `at`: run rules at a place below: `spec.containers[*].name`, `data{*}` (each value), `data{key}` (each key).

use super::{Builder, Node, Scope};
use crate::error::{CompileError, FieldError};
use knarr_value::{Str, Value};
use serde_json::Value as Json;

#[derive(Debug)]
pub struct At {
    steps: Vec<Step>,
    then: Vec<Node>,
}

/// One step down.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Field(Str),
    /// Each item of a list.
    Each,
    /// Each value of a map.
    Values,
    /// Each key of a map, as a string; errors name the map itself.
    Keys,
}

impl Step {
    /// Parse `a.b[*].c{*}`.
    /// Errors: an empty name, an unknown bracket.
    pub fn parse_all(at: &str, path: &str) -> Result<Vec<Step>, CompileError> {
        let mut steps = Vec::new();
        for part in path.split('.') {
            let end = part.find(['[', '{']).unwrap_or(part.len());
            let (name, mut rest) = part.split_at(end);
            if !name.is_empty() {
                steps.push(Step::Field(Str::from(name)));
            } else if rest.is_empty() {
                return Err(CompileError::new(at, format!("{path:?} has an empty step")));
            }
            while !rest.is_empty() {
                let (step, len) = if rest.starts_with("[*]") {
                    (Step::Each, 3)
                } else if rest.starts_with("{*}") {
                    (Step::Values, 3)
                } else if rest.starts_with("{key}") {
                    (Step::Keys, 5)
                } else {
                    return Err(CompileError::new(at, format!("{path:?}: what is {rest:?}?")));
                };
                steps.push(step);
                rest = &rest[len..];
            }
        }
        Ok(steps)
    }
}

impl At {
    pub fn build(at: &str, doc: &Json, builder: &mut Builder<'_>) -> Result<Self, CompileError> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Doc {
            path: String,
            rules: Vec<Json>,
        }
        let doc: Doc = super::read(at, doc)?;
        Ok(Self { steps: Step::parse_all(at, &doc.path)?, then: builder.nodes(at, &doc.rules)? })
    }

    pub fn run(&self, scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
        descend(&self.steps, &self.then, scope, errors);
    }
}

fn descend(steps: &[Step], then: &[Node], scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
    let Some((step, rest)) = steps.split_first() else { return scope.run(then, errors) };
    match step {
        Step::Field(name) => {
            let path = scope.path.field(name);
            let old = scope.old.map(|old| old.get(name).unwrap_or(&super::NULL));
            descend(rest, then, &Scope { value: scope.get(name), old, path: &path, ..*scope }, errors);
        }
        Step::Each => {
            for (index, value) in scope.value.as_list().unwrap_or(&[]).iter().enumerate() {
                let path = scope.path.index(index);
                let old = scope.old.and_then(|old| old.as_list()?.get(index));
                descend(rest, then, &Scope { value, old, path: &path, ..*scope }, errors);
            }
        }
        Step::Values => {
            for (key, value) in scope.value.as_map().into_iter().flat_map(|map| map.iter()) {
                let path = scope.path.key(key);
                let old = scope.old.and_then(|old| old.get(key));
                descend(rest, then, &Scope { value, old, path: &path, ..*scope }, errors);
            }
        }
        Step::Keys => {
            for (key, _) in scope.value.as_map().into_iter().flat_map(|map| map.iter()) {
                let value = Value::Str(Str::from(&key[..]));
                let path = scope.path.key(key);
                descend(rest, then, &Scope { value: &value, old: None, path: &path, ..*scope }, errors);
            }
        }
    }
}
