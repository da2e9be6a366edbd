//! `format`: a string of a named format ([`crate::formats`]); each message is an Invalid. An absent one is not checked unless `empty`.

use super::Scope;
use crate::error::{CompileError, FieldError};
use crate::formats::{self, Format};
use knarr_value::{Str, Value};
use serde::Deserialize;
use serde_json::Value as Json;

#[derive(Debug)]
pub struct FormatNode {
    format: Format,
    empty: bool,
    /// Report at the parent of this field (`httpHeaders` instead of `httpHeaders[0].name`).
    at: Option<Str>,
    /// The name is a prefix that may end in a dash.
    prefix: bool,
    /// Before every message.
    before: String,
}

impl FormatNode {
    pub fn build(at: &str, doc: &Json) -> Result<Self, CompileError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Doc {
            format: String,
            #[serde(default)]
            empty: bool,
            #[serde(default)]
            report: Option<Str>,
            #[serde(default)]
            prefix: bool,
            #[serde(default)]
            before: String,
        }
        let doc: Doc = super::read(at, doc)?;
        let format = formats::by_name(&doc.format)
            .ok_or_else(|| CompileError::new(at, format!("no format is called {}", doc.format)))?;
        Ok(Self { format, empty: doc.empty, at: doc.report, prefix: doc.prefix, before: doc.before })
    }

    pub fn run(&self, scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
        let text = scope.value.as_str().unwrap_or("");
        if text.is_empty() && !self.empty {
            return;
        }
        let messages = match self.prefix {
            true => (self.format)(&formats::mask_trailing_dash(text)),
            false => (self.format)(text),
        };
        for message in messages {
            let path = match &self.at {
                Some(child) => scope.path.child(child),
                None => scope.path.text(),
            };
            errors.push(FieldError::invalid(path, Value::Str(Str::from(text)), format!("{}{message}", self.before)));
        }
    }
}
