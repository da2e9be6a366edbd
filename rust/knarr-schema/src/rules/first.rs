//! `first`: run rules in order until one of them finds something; the rest would only repeat it in other words.

use super::{Builder, Node, Scope};
use crate::error::{CompileError, FieldError};
use serde_json::Value as Json;

#[derive(Debug)]
pub struct First(Vec<Node>);

impl First {
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
        let before = errors.len();
        for node in &self.0 {
            node.run(scope, errors);
            if errors.len() > before {
                return;
            }
        }
    }
}
