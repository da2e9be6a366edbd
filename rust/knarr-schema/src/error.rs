//! What can be wrong with a declaration, and with a field of an object: field errors in Kubernetes' words.
//!
//! A message is what `field.Error.ErrorBody` of apimachinery gives; machinery turns a list of these into the causes of a Status.

use knarr_value::Value;
use std::fmt;

/// Why a field was refused; `cause()` is the CauseType of a Status, `title()` the words a message begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    Required,
    Invalid,
    NotSupported,
    Duplicate,
    Forbidden,
    TooLong,
    TooMany,
    TypeInvalid,
    Internal,
    NotFound,
}

impl Reason {
    pub const ALL: [Reason; 10] = [
        Reason::Required,
        Reason::Invalid,
        Reason::NotSupported,
        Reason::Duplicate,
        Reason::Forbidden,
        Reason::TooLong,
        Reason::TooMany,
        Reason::TypeInvalid,
        Reason::Internal,
        Reason::NotFound,
    ];

    /// The machine-readable cause, e.g. `FieldValueRequired`.
    pub fn cause(self) -> &'static str {
        match self {
            Reason::Required => "FieldValueRequired",
            Reason::Invalid => "FieldValueInvalid",
            Reason::NotSupported => "FieldValueNotSupported",
            Reason::Duplicate => "FieldValueDuplicate",
            Reason::Forbidden => "FieldValueForbidden",
            Reason::TooLong => "FieldValueTooLong",
            Reason::TooMany => "FieldValueTooMany",
            Reason::TypeInvalid => "FieldValueTypeInvalid",
            Reason::Internal => "InternalError",
            Reason::NotFound => "FieldValueNotFound",
        }
    }

    /// The words a message begins with, e.g. `Required value`.
    pub fn title(self) -> &'static str {
        match self {
            Reason::Required => "Required value",
            Reason::Invalid | Reason::TypeInvalid => "Invalid value",
            Reason::NotSupported => "Unsupported value",
            Reason::Duplicate => "Duplicate value",
            Reason::Forbidden => "Forbidden",
            Reason::TooLong => "Too long",
            Reason::TooMany => "Too many",
            Reason::Internal => "Internal error",
            Reason::NotFound => "Not found",
        }
    }

    /// Whether the message shows the refused value.
    fn shows_value(self) -> bool {
        !matches!(self, Reason::Required | Reason::Forbidden | Reason::TooLong | Reason::Internal)
    }
}

/// One refused field.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    /// As Kubernetes writes it: `spec.containers[0].ports[1].name`, `data[key]`.
    pub path: String,
    pub reason: Reason,
    /// The refused value; `None` is not shown.
    pub value: Option<Value>,
    pub detail: String,
}

impl FieldError {
    pub fn required(path: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { path: path.into(), reason: Reason::Required, value: None, detail: detail.into() }
    }

    pub fn invalid(path: impl Into<String>, value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Self { path: path.into(), reason: Reason::Invalid, value: Some(value.into()), detail: detail.into() }
    }

    pub fn forbidden(path: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { path: path.into(), reason: Reason::Forbidden, value: None, detail: detail.into() }
    }

    pub fn duplicate(path: impl Into<String>, value: impl Into<Value>) -> Self {
        Self { path: path.into(), reason: Reason::Duplicate, value: Some(value.into()), detail: String::new() }
    }

    pub fn not_found(path: impl Into<String>, value: impl Into<Value>) -> Self {
        Self { path: path.into(), reason: Reason::NotFound, value: Some(value.into()), detail: String::new() }
    }

    /// A value outside of an enumeration; the valid ones are shown in the order given.
    pub fn not_supported<S: AsRef<str>>(path: impl Into<String>, value: impl Into<Value>, valid: &[S]) -> Self {
        let mut detail = String::new();
        for (index, one) in valid.iter().enumerate() {
            detail.push_str(if index == 0 { "supported values: " } else { ", " });
            quote_into(one.as_ref(), &mut detail);
        }
        Self { path: path.into(), reason: Reason::NotSupported, value: Some(value.into()), detail }
    }

    /// `max` is in bytes.
    pub fn too_long(path: impl Into<String>, max: usize) -> Self {
        let unit = if max == 1 { "byte" } else { "bytes" };
        Self {
            path: path.into(),
            reason: Reason::TooLong,
            value: None,
            detail: format!("may not be more than {max} {unit}"),
        }
    }

    /// A list of `actual` items where `max` are allowed.
    pub fn too_many(path: impl Into<String>, actual: usize, max: usize) -> Self {
        let unit = if max == 1 { "item" } else { "items" };
        Self {
            path: path.into(),
            reason: Reason::TooMany,
            value: Some(Value::Int(actual as i64)),
            detail: format!("must have at most {max} {unit}"),
        }
    }

    /// The message of the cause: reason, value and detail, without the path.
    pub fn message(&self) -> String {
        let mut text = String::from(self.reason.title());
        if let (true, Some(value)) = (self.reason.shows_value(), &self.value) {
            text.push_str(": ");
            match value {
                Value::Str(s) => quote_into(s, &mut text),
                other => {
                    let mut json = Vec::new();
                    knarr_value::json::write(other, &mut json);
                    text.push_str(&String::from_utf8_lossy(&json));
                }
            }
        }
        if !self.detail.is_empty() {
            text.push_str(": ");
            text.push_str(&self.detail);
        }
        text
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message())
    }
}

/// Go's `%q`: what is not printable is escaped.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    quote_into(text, &mut out);
    out
}

pub(crate) fn quote_into(text: &str, out: &mut String) {
    use fmt::Write;
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c if c.is_control() || c == '\u{feff}' || ('\u{2028}'..='\u{202e}').contains(&c) || c == '\u{a0}' => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Why a declaration cannot be compiled: a bug of whoever wrote the kind, never of a user's object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileError {
    /// Where in the document, e.g. `rules/PodSpec`.
    pub at: String,
    pub what: String,
}

impl CompileError {
    pub fn new(at: impl Into<String>, what: impl Into<String>) -> Self {
        Self { at: at.into(), what: what.into() }
    }
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "declaration, at {}: {}", self.at, self.what)
    }
}

impl std::error::Error for CompileError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_read_as_in_kubernetes() {
        let all = [
            (FieldError::required("a", ""), "Required value"),
            (FieldError::required("a", "must have one"), "Required value: must have one"),
            (FieldError::invalid("a", "x\ty", "bad"), "Invalid value: \"x\\ty\": bad"),
            (FieldError::invalid("a", Value::Int(-1), "bad"), "Invalid value: -1: bad"),
            (
                FieldError::not_supported("a", "x", &["A", "B"]),
                "Unsupported value: \"x\": supported values: \"A\", \"B\"",
            ),
            (FieldError::duplicate("a", "x"), "Duplicate value: \"x\""),
            (FieldError::forbidden("a", "no"), "Forbidden: no"),
            (FieldError::too_long("a", 63), "Too long: may not be more than 63 bytes"),
            (FieldError::too_many("a", 3, 1), "Too many: 3: must have at most 1 item"),
            (FieldError::not_found("a", "v"), "Not found: \"v\""),
        ];
        for (error, expected) in all {
            assert_eq!(error.message(), expected);
        }
    }

    #[test]
    fn every_reason_has_its_cause() {
        let mut causes: Vec<_> = Reason::ALL.iter().map(|r| r.cause()).collect();
        causes.sort_unstable();
        causes.dedup();
        assert_eq!(causes.len(), Reason::ALL.len());
    }
}
