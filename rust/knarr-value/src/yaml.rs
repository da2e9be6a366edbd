//! YAML as kubectl's users know it: sigs.k8s.io/yaml, that is YAML 1.1's resolution of plain scalars (go-yaml v2), then JSON.
//!
//! Events come from `granit-parser`, the parser under serde-saphyr. Resolution is ours, because it is what users notice: `0644` is 420,
//! `y` and `off` are booleans, `1.0` is 1 (as it is after JSON), dates stay strings, `1:30` stays a string. Duplicates are reported,
//! with the line, in the words users get there. What has no JSON form (`.nan`, a map as a key) is an error.

mod read;
mod write;

use crate::{Error, Parsed, Value};

/// Bytes that anchors and aliases may copy (a "billion laughs" guard): twice what the longest body becomes, far more than any manifest.
pub const COPIED_BYTES_MAX: usize = 128 << 20;

/// Read all documents of a stream; those without content (`---` twice, comments only) are left out. Duplicate keys are reported in
/// [`Parsed::duplicates`] as paths, the last value kept.
///
/// Errors: [`Error::Yaml`] with line and column, [`Error::TooDeep`].
pub fn parse_all(input: &[u8]) -> Result<Vec<Parsed>, Error> {
    let text = std::str::from_utf8(input).map_err(|_| Error::Yaml {
        message: "input is not UTF-8".to_owned(),
        line: 0,
        column: 0,
    })?;
    read::documents(text)
}

/// Append one document as `kubectl get -o yaml` shows it: keys sorted, lists not indented, long texts folded at 80 columns.
pub fn write(value: &Value, out: &mut String) {
    write::document(value, out);
}

/// [`write`] into a new string.
pub fn to_string(value: &Value) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

#[cfg(test)]
mod tests;
