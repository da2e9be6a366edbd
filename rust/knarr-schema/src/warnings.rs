//! Warnings are rules that refuse nothing: what a `fail` node would report is a line for the client, `path: detail`.

use crate::error::CompileError;
use crate::rules::{self, Builder, Groups, Node};
use knarr_value::Value;
use serde_json::Value as Json;

#[derive(Debug)]
pub struct Warnings(Vec<Node>);

impl Warnings {
    pub fn build(docs: &[Json], builder: &mut Builder<'_>) -> Result<Self, CompileError> {
        builder.nodes("warnings", docs).map(Self)
    }

    pub fn run(&self, groups: &Groups, new: &Value, old: Option<&Value>) -> Vec<String> {
        let found = rules::run(&self.0, groups, new, old);
        found
            .into_iter()
            .map(|e| if e.path == "<nil>" { e.detail } else { format!("{}: {}", e.path, e.detail) })
            .collect()
    }
}
