//! `union`: exactly one of several fields, the members of a Go union: volume sources, probe handlers. The rules of the first member that
//! is set run; each further one is forbidden.

use super::{Builder, Node, Scope};
use crate::error::{CompileError, FieldError};
use knarr_value::Str;
use serde::Deserialize;
use serde_json::Value as Json;

#[derive(Debug)]
pub struct Union {
    members: Vec<(Str, Vec<Node>)>,
    /// The detail of a Required at the value itself where no member is set; None allows that.
    none: Option<String>,
    many: String,
}

impl Union {
    pub fn build(at: &str, doc: &Json, builder: &mut Builder<'_>) -> Result<Self, CompileError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Doc {
            members: Vec<(Str, Vec<Json>)>,
            #[serde(default)]
            none: Option<String>,
            many: String,
        }
        let doc: Doc = super::read(at, doc)?;
        let mut members = Vec::new();
        for (name, rules) in &doc.members {
            members.push((name.clone(), builder.nodes(at, rules)?));
        }
        Ok(Self { members, none: doc.none, many: doc.many })
    }

    pub fn run(&self, scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
        let mut count = 0;
        for (name, rules) in &self.members {
            let value = scope.get(name);
            if value.is_null() {
                continue;
            }
            count += 1;
            let path = scope.path.field(name);
            if count > 1 {
                errors.push(FieldError::forbidden(path.text(), self.many.clone()));
                continue;
            }
            let old = scope.old.map(|old| old.get(name).unwrap_or(&super::NULL));
            Scope { value, old, path: &path, ..*scope }.run(rules, errors);
        }
        if let (0, Some(none)) = (count, &self.none) {
            errors.push(FieldError::required(scope.path.text(), none.clone()));
        }
    }
}
