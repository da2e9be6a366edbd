//! `unique`: no two items of a list are equal, wholly or by some of their fields.

use super::Scope;
use crate::error::{CompileError, FieldError};
use knarr_value::{Str, Value};
use serde::Deserialize;
use serde_json::Value as Json;
use std::collections::BTreeSet;

#[derive(Debug)]
pub struct Unique {
    by: Vec<Str>,
    /// The field of the item the error is reported at; the item itself where empty.
    report: Option<Str>,
    /// Items of which the (first) key is empty are left out.
    skip_empty: bool,
    /// Instead of Duplicate: the detail of an Invalid that shows the value.
    invalid: Option<String>,
    /// An item that something else is wrong with does not take its key: the error is at it alone.
    sound: bool,
    /// Show the whole item, or only the key fields as an object.
    show: Show,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Show {
    /// The first key field (the item where there is none).
    #[default]
    Key,
    Item,
    /// An object of the key fields.
    Keys,
}

impl Unique {
    pub fn build(at: &str, doc: &Json) -> Result<Self, CompileError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        struct Doc {
            #[serde(default)]
            by: Vec<Str>,
            #[serde(default)]
            report: Option<Str>,
            #[serde(default)]
            skip_empty: bool,
            #[serde(default)]
            invalid: Option<String>,
            #[serde(default)]
            sound: bool,
            #[serde(default)]
            show: Show,
        }
        let doc: Doc = super::read(at, doc)?;
        Ok(Self {
            by: doc.by,
            report: doc.report,
            skip_empty: doc.skip_empty,
            invalid: doc.invalid,
            sound: doc.sound,
            show: doc.show,
        })
    }

    pub fn run(&self, scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
        let items = scope.value.as_list().unwrap_or(&[]);
        if items.len() < 2 {
            return;
        }
        let mut seen = BTreeSet::new();
        for (index, item) in items.iter().enumerate() {
            let key = |name: &Str| item.get(name).unwrap_or(&super::NULL);
            if self.skip_empty && self.by.first().is_some_and(|name| super::is_unset(key(name))) {
                continue;
            }
            // Canonical JSON orders as well as it compares; keys are short.
            let mut text = Vec::new();
            if self.by.is_empty() {
                knarr_value::json::write(item, &mut text);
            }
            for name in &self.by {
                knarr_value::json::write(key(name), &mut text);
                text.push(0);
            }
            let place = scope.path.index(index);
            if !seen.contains(&text) {
                if !self.sound || !found_within(errors, &place.text()) {
                    seen.insert(text);
                }
                continue;
            }
            let path = match &self.report {
                Some(child) => place.child(child),
                None => place.text(),
            };
            let value = match (self.show, self.by.first()) {
                (Show::Key, Some(name)) => key(name).clone(),
                (Show::Keys, Some(_)) => {
                    let mut map = knarr_value::Map::new();
                    for name in &self.by {
                        map.insert(name.clone(), key(name).clone());
                    }
                    Value::Map(map)
                }
                _ => item.clone(),
            };
            errors.push(match &self.invalid {
                Some(detail) => FieldError::invalid(path, value, detail.clone()),
                None => FieldError::duplicate(path, value),
            });
        }
    }
}

/// Whether an error was found at an item or below it.
fn found_within(errors: &[FieldError], item: &str) -> bool {
    errors
        .iter()
        .any(|error| error.path.strip_prefix(item).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '['])))
}
