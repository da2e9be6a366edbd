//! The one error of this crate. Where a user sees the text, the words are those of Kubernetes (apimachinery) or of Go.

use std::fmt;

/// Why bytes or text were not what they should be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// Not JSON. `message` is encoding/json's; `offset` counts bytes from the start of the input.
    Json { message: String, offset: usize },
    /// Not YAML, or YAML that has no JSON form. Line and column count from 1; 0 where unknown.
    Yaml { message: String, line: usize, column: usize },
    /// Nested deeper than [`crate::json::DEPTH_MAX`].
    TooDeep,
    /// Not a quantity; the words are apimachinery's resource package's.
    Quantity(String),
    /// Not a time in RFC 3339; the words are Go's time package's where it is short to do so.
    Time(String),
    /// Not a label selector; the words are apimachinery's labels package's.
    LabelSelector(String),
    /// Not a field selector; the words are apimachinery's fields package's.
    FieldSelector(String),
    /// Protobuf bytes that do not fit the table, or a value that has no protobuf form. `path` as in `spec.containers[0].name`.
    Protobuf { path: String, message: String },
    /// The committed types table is damaged or of another version.
    Table(String),
    /// A stored record is damaged.
    Stored(&'static str),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Json { message, .. } => f.write_str(message),
            Error::Yaml { message, line: 0, .. } => write!(f, "yaml: {message}"),
            Error::Yaml { message, line, .. } => write!(f, "yaml: line {line}: {message}"),
            Error::TooDeep => f.write_str("exceeded max depth"),
            Error::Quantity(m) | Error::Time(m) | Error::LabelSelector(m) | Error::FieldSelector(m) => f.write_str(m),
            Error::Protobuf { path, message } if path.is_empty() => write!(f, "protobuf: {message}"),
            Error::Protobuf { path, message } => write!(f, "protobuf: {path}: {message}"),
            Error::Table(m) => write!(f, "types table: {m}"),
            Error::Stored(m) => write!(f, "stored record: {m}"),
        }
    }
}

impl std::error::Error for Error {}

/// Go's strconv.Quote, for the text Kubernetes' messages hold.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => out.push_str(&format!("\\x{:02x}", c as u32)),
            c if c.is_control() || matches!(c, '\u{a0}' | '\u{ad}' | '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                out.push_str(&format!("\\u{:04x}", c as u32));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
