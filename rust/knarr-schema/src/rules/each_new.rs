//! `eachNew`: rules for the items of a list that the old list does not hold (new finalizers of a dying object, new tolerations).

use super::immutable::same;
use super::{Builder, Node, Scope};
use crate::error::{CompileError, FieldError};
use serde_json::Value as Json;

#[derive(Debug)]
pub struct EachNew(Vec<Node>);

impl EachNew {
    pub fn build(at: &str, doc: &Json, builder: &mut Builder<'_>) -> Result<Self, CompileError> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Doc {
            rules: Vec<Json>,
        }
        let doc: Doc = super::read(at, doc)?;
        builder.nodes(at, &doc.rules).map(Self)
    }

    pub fn run(&self, scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
        let known = scope.old.and_then(|old| old.as_list()).unwrap_or(&[]);
        for (index, value) in scope.value.as_list().unwrap_or(&[]).iter().enumerate() {
            if known.iter().any(|old| same(old, value)) {
                continue;
            }
            let path = scope.path.index(index);
            Scope { value, old: None, path: &path, ..*scope }.run(&self.0, errors);
        }
    }
}
