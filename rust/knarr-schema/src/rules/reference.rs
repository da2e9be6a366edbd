//! `reference`: the string here is the key of an item of a list elsewhere in the object (a mount names a volume).

use super::Scope;
use super::condition::Place;
use crate::error::{CompileError, FieldError};
use knarr_value::{Str, Value};
use serde::Deserialize;
use serde_json::Value as Json;

#[derive(Debug)]
pub struct Reference {
    list: Place,
    key: Str,
    /// Instead of Not found: the detail of an Invalid.
    invalid: Option<String>,
}

impl Reference {
    pub fn build(at: &str, doc: &Json) -> Result<Self, CompileError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Doc {
            list: String,
            key: Str,
            #[serde(default)]
            invalid: Option<String>,
        }
        let doc: Doc = super::read(at, doc)?;
        Ok(Self { list: Place::parse(at, &doc.list)?, key: doc.key, invalid: doc.invalid })
    }

    pub fn run(&self, scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
        let text = scope.value.as_str().unwrap_or("");
        let items = self.list.find(scope).as_list().unwrap_or(&[]);
        if items.iter().any(|item| item.get(&self.key).and_then(Value::as_str).unwrap_or("") == text) {
            return;
        }
        let (path, value) = (scope.path.text(), Value::Str(Str::from(text)));
        errors.push(match &self.invalid {
            Some(detail) => FieldError::invalid(path, value, detail.clone()),
            None => FieldError::not_found(path, value),
        });
    }
}
