//! JSON, read and written as Go's encoding/json (with apimachinery's settings) would, and fast.
//!
//! The reader is one pass over bytes whose UTF-8 was checked at once; strings without escapes are copied once, straight into their
//! [`Str`](crate::Str). Syntax errors carry Go's words, since users see them. Why not sonic-rs filling [`Value`] through serde: it is no
//! faster (30 kB Pod: 138 us against 95 us, `benches/codec.rs`), as most of the time goes into building the value, and it has neither the words
//! of Go's errors, nor duplicates with their paths, nor Go's replacement of broken surrogates, nor a depth bound of ours.

mod read;
mod write;

use crate::{Error, Value};

/// Objects and arrays may nest this deep. Kubernetes' own decoder stops at 10,000, which no schema reaches: deepest are the
/// JSONSchemaProps of a CustomResourceDefinition, with two levels a property. Bounded by the stack: a level costs some 300 bytes.
pub const DEPTH_MAX: usize = 512;

/// Duplicates reported at most, as in sigs.k8s.io/json.
pub const DUPLICATES_MAX: usize = 100;

/// What a document was read into.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parsed {
    pub value: Value,
    /// Paths of keys that came twice, as in `spec.containers[0].name`; each once, in the order met. The last value was kept.
    pub duplicates: Vec<String>,
}

impl Parsed {
    /// The strict errors of the document in Kubernetes' words: `duplicate field "spec.replicas"`.
    pub fn strict_errors(&self) -> impl Iterator<Item = String> {
        self.duplicates.iter().map(|path| format!("duplicate field {}", crate::error::quote(path)))
    }
}

/// Read one JSON document. Invalid UTF-8 and lone surrogates become U+FFFD, as in Go.
///
/// Errors: [`Error::Json`] in encoding/json's words, [`Error::TooDeep`].
pub fn parse(input: &[u8]) -> Result<Parsed, Error> {
    match std::str::from_utf8(input) {
        Ok(text) => read::Reader::new(text).document(),
        Err(_) => read::Reader::new(&String::from_utf8_lossy(input)).document(),
    }
}

/// [`parse`] for those who do not regard duplicates.
pub fn from_slice(input: &[u8]) -> Result<Value, Error> {
    Ok(parse(input)?.value)
}

/// Append compact JSON, byte for byte what Go's `json.Encoder` (which escapes HTML) makes of the same value; without its newline.
///
/// A float that JSON cannot say (NaN, infinities; no decoder here makes one) is written as null.
pub fn write(value: &Value, out: &mut Vec<u8>) {
    write::value(value, out);
}

/// [`write`] into a new buffer.
pub fn to_vec(value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    write(value, &mut out);
    out
}

/// Append a string in quotes, escaped as in [`write`].
pub fn write_str(text: &str, out: &mut Vec<u8>) {
    write::string(text, out);
}

/// Append a number as encoding/json prints a float64.
pub fn write_f64(number: f64, out: &mut Vec<u8>) {
    write::float(number, out);
}

/// Append a JSON text indented by `indent` spaces a level, as Go's `json.MarshalIndent(v, "", "    ")` with 4.
pub fn write_pretty(value: &Value, indent: usize, out: &mut Vec<u8>) {
    write::pretty(value, indent, 0, out);
}

#[cfg(test)]
pub(crate) mod tests;
