//! `apply`: run a group of rules here; the group sees this value as its root (`$`).

use super::{Builder, Frame, GroupId, Scope};
use crate::error::{CompileError, FieldError};
use serde_json::Value as Json;

#[derive(Debug)]
pub struct Apply(GroupId);

impl Apply {
    pub fn build(at: &str, doc: &Json, builder: &mut Builder<'_>) -> Result<Self, CompileError> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Doc {
            group: String,
        }
        let doc: Doc = super::read(at, doc)?;
        builder.group(&doc.group).map(Self)
    }

    pub fn run(&self, scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
        let frame = Frame { value: scope.value, old: scope.old, parent: Some(scope.frame) };
        let inner = Scope { frame: &frame, ..*scope };
        inner.run(scope.groups.get(self.0), errors);
    }
}
