//! Field selectors: `metadata.name=a,status.phase!=Running`.

use crate::{Error, Result, Str};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldOp {
    /// `=` or `==`.
    Equals,
    NotEquals,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FieldTerm {
    pub field: Str,
    pub op: FieldOp,
    pub value: Str,
}

/// A conjunction of terms. Which fields a kind may be selected by is the kind's affair.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct FieldSelector {
    terms: Vec<FieldTerm>,
}

fn wrong(message: String) -> Error {
    Error::FieldSelector(message)
}

impl FieldSelector {
    pub fn everything() -> Self {
        FieldSelector::default()
    }

    pub fn is_everything(&self) -> bool {
        self.terms.is_empty()
    }

    /// Read the text form. Empty terms are passed over; `\\`, `\,` and `\=` escape in values.
    ///
    /// Errors: [`Error::FieldSelector`] in the words of fields.ParseSelector.
    pub fn parse(text: &str) -> Result<Self> {
        let mut parts = split(text);
        parts.sort_unstable();
        let mut terms = Vec::new();
        for part in parts.into_iter().filter(|p| !p.is_empty()) {
            let Some(at) = part.find(['!', '=']).and_then(|from| operator_at(part, from)) else {
                return Err(wrong(format!("invalid selector: '{text}'; can't understand '{part}'")));
            };
            let (from, length, op) = at;
            terms.push(FieldTerm { field: part[..from].into(), op, value: unescape(&part[from + length..])?.into() });
        }
        Ok(FieldSelector { terms })
    }

    pub fn terms(&self) -> &[FieldTerm] {
        &self.terms
    }

    /// The same terms under other names.
    #[must_use]
    pub fn renamed(&self, name: impl Fn(&str) -> Str) -> Self {
        let terms = self.terms.iter().map(|term| FieldTerm { field: name(&term.field), ..term.clone() });
        FieldSelector { terms: terms.collect() }
    }

    /// Whether an object matches whose fields `value` answers; a field it does not have counts as "".
    pub fn matches<'a>(&self, value: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.terms.iter().all(|t| (value(&t.field).unwrap_or("") == t.value) == (t.op == FieldOp::Equals))
    }

    /// The value a field must have: what an index can answer.
    pub fn requires_equal(&self, field: &str) -> Option<&str> {
        self.terms.iter().find(|t| t.op == FieldOp::Equals && t.field == field).map(|t| t.value.as_str())
    }
}

/// The first operator at or after a position: (position, length, operator).
fn operator_at(part: &str, from: usize) -> Option<(usize, usize, FieldOp)> {
    (from..part.len()).filter(|&i| part.is_char_boundary(i)).find_map(|i| {
        let rest = &part[i..];
        if rest.starts_with("!=") {
            Some((i, 2, FieldOp::NotEquals))
        } else if rest.starts_with("==") {
            Some((i, 2, FieldOp::Equals))
        } else if rest.starts_with('=') {
            Some((i, 1, FieldOp::Equals))
        } else {
            None
        }
    })
}

/// Split at commas that no backslash precedes.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut escaped) = (Vec::new(), 0, false);
    for (i, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                parts.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn unescape(value: &str) -> Result<String> {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => out.push(c),
                other => {
                    let sequence: String = std::iter::once('\\').chain(other).collect();
                    return Err(wrong(format!("invalid field selector: invalid escape sequence: {sequence}")));
                }
            },
            // Go prints the rune as a number there.
            ',' | '=' => {
                return Err(wrong(format!("invalid field selector: unescaped character in value: {}", c as u32)));
            }
            c => out.push(c),
        }
    }
    Ok(out)
}

/// Escape any text for use as a value of a field selector.
pub fn escape_value(value: &str) -> String {
    value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=")
}

/// The text form, as Go's `Selector.String()` has it.
impl std::fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, t) in self.terms.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            let op = if t.op == FieldOp::Equals { "=" } else { "!=" };
            write!(f, "{comma}{}{op}{}", t.field, escape_value(&t.value))?;
        }
        Ok(())
    }
}
