//! `when`: run rules if a condition holds, others if not.

use super::condition::Condition;
use super::{Builder, Node, Scope};
use crate::error::{CompileError, FieldError};
use serde_json::Value as Json;

#[derive(Debug)]
pub struct When {
    condition: Condition,
    then: Vec<Node>,
    otherwise: Vec<Node>,
}

impl When {
    pub fn build(at: &str, doc: &Json, builder: &mut Builder<'_>) -> Result<Self, CompileError> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Doc {
            #[serde(rename = "if")]
            condition: Json,
            #[serde(default)]
            then: Vec<Json>,
            #[serde(default, rename = "else")]
            otherwise: Vec<Json>,
        }
        let doc: Doc = super::read(at, doc)?;
        Ok(Self {
            condition: Condition::build(at, &doc.condition)?,
            then: builder.nodes(at, &doc.then)?,
            otherwise: builder.nodes(at, &doc.otherwise)?,
        })
    }

    pub fn run(&self, scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
        let nodes = if self.condition.holds(scope) { &self.then } else { &self.otherwise };
        scope.run(nodes, errors);
    }
}
