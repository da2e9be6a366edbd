//! The reading half.

use super::COPIED_BYTES_MAX;
use crate::json::{DEPTH_MAX, DUPLICATES_MAX};
use crate::{Error, Map, Parsed, Str, Value, json};
use base64::Engine;
use granit_parser::{Event, Parser, ScalarStyle, Span, StrInput};
use hashbrown::HashMap;

const CORE: &str = "tag:yaml.org,2002:";
const EXCESSIVE: &str = "document contains excessive aliasing";

struct Reader<'t> {
    parser: Parser<'t, StrInput<'t>>,
    /// Finished anchored values and their bytes; ids are unique within a stream.
    anchors: HashMap<usize, (Value, usize)>,
    path: Vec<String>,
    duplicates: Vec<String>,
    /// Bytes kept by anchors and added by aliases.
    copied: usize,
}

fn wrong(message: impl Into<String>, span: &Span) -> Error {
    Error::Yaml { message: message.into(), line: span.start.line(), column: span.start.col() + 1 }
}

pub(super) fn documents(text: &str) -> Result<Vec<Parsed>, Error> {
    let mut r = Reader {
        parser: Parser::new_from_str(text),
        anchors: HashMap::new(),
        path: Vec::new(),
        duplicates: Vec::new(),
        copied: 0,
    };
    let mut out = Vec::new();
    while let Some((event, span)) = r.next()? {
        match event {
            Event::StreamStart | Event::StreamEnd | Event::DocumentStart(..) | Event::DocumentEnd => {}
            event => {
                let (value, _) = r.node(event, &span, 0)?;
                let duplicates = std::mem::take(&mut r.duplicates);
                if !value.is_null() {
                    out.push(Parsed { value, duplicates });
                }
            }
        }
    }
    Ok(out)
}

/// The bytes that a copy takes, near enough.
fn bytes(value: &Value) -> usize {
    size_of::<Value>()
        + match value {
            Value::Str(text) => text.len(),
            Value::List(items) => items.iter().map(bytes).sum(),
            Value::Map(map) => map.iter().map(|(key, value)| size_of::<Str>() + key.len() + bytes(value)).sum(),
            _ => 0,
        }
}

/// What a mapping's key or a scalar is, before it becomes JSON.
enum Scalar {
    Value(Value),
    Merge,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<Option<(Event<'t>, Span)>, Error> {
        loop {
            match self.parser.next() {
                None => return Ok(None),
                Some(Err(e)) => {
                    let at = e.marker();
                    return Err(Error::Yaml { message: e.info().to_string(), line: at.line(), column: at.col() + 1 });
                }
                Some(Ok((Event::Comment(..), _))) => {}
                Some(Ok(pair)) => return Ok(Some(pair)),
            }
        }
    }

    fn expect(&mut self, span: &Span) -> Result<(Event<'t>, Span), Error> {
        self.next()?.ok_or_else(|| wrong("unexpected end of the document", span))
    }

    /// The node an event begins; whether it was the merge key `<<`.
    fn node(&mut self, event: Event<'t>, span: &Span, depth: usize) -> Result<(Value, bool), Error> {
        if depth == DEPTH_MAX {
            return Err(Error::TooDeep);
        }
        let (value, anchor) = match event {
            Event::Alias(id) => {
                let Some((value, n)) = self.anchors.get(&id) else {
                    return Err(wrong("an anchor contains itself", span));
                };
                self.copied += n;
                if self.copied > COPIED_BYTES_MAX {
                    return Err(wrong(EXCESSIVE, span));
                }
                return Ok((value.clone(), false));
            }
            Event::Scalar(text, style, anchor, tag) => {
                let tag = tag.map(|t| t.to_string());
                match scalar(&text, style == ScalarStyle::Plain, tag.as_deref()).map_err(|m| wrong(m, span))? {
                    Scalar::Merge => return Ok((Value::from("<<"), true)),
                    Scalar::Value(value) => (value, anchor),
                }
            }
            Event::SequenceStart(_, anchor, _) => {
                let mut items = Vec::new();
                loop {
                    let (event, span) = self.expect(span)?;
                    if matches!(event, Event::SequenceEnd) {
                        break;
                    }
                    self.path.push(format!("[{}]", items.len()));
                    items.push(self.node(event, &span, depth + 1)?.0);
                    self.path.pop();
                }
                (Value::List(items), anchor)
            }
            Event::MappingStart(_, anchor, _) => (self.mapping(span, depth)?, anchor),
            other => return Err(wrong(format!("unexpected {other:?}"), span)),
        };
        if anchor != 0 {
            let n = bytes(&value);
            self.copied += n;
            if self.copied > COPIED_BYTES_MAX {
                return Err(wrong(EXCESSIVE, span));
            }
            self.anchors.insert(anchor, (value.clone(), n));
        }
        Ok((value, false))
    }

    fn mapping(&mut self, span: &Span, depth: usize) -> Result<Value, Error> {
        let mut map = Map::new();
        let mut merged: Vec<Value> = Vec::new();
        loop {
            let (event, key_span) = self.expect(span)?;
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let (key, merge) = self.node(event, &key_span, depth + 1)?;
            let key = key_text(key).map_err(|m| wrong(m, &key_span))?;
            self.path.push(if self.path.is_empty() { key.to_string() } else { format!(".{key}") });
            let (event, value_span) = self.expect(span)?;
            let (value, _) = self.node(event, &value_span, depth + 1)?;
            if merge {
                match value {
                    Value::Map(_) => merged.push(value),
                    Value::List(items) if items.iter().all(|i| i.as_map().is_some()) => merged.extend(items),
                    _ => return Err(wrong("map merge requires map or sequence of maps as the value", &value_span)),
                }
            } else if map.insert(key, value).is_some() {
                let path = self.path.concat();
                if self.duplicates.len() < DUPLICATES_MAX && !self.duplicates.contains(&path) {
                    self.duplicates.push(path);
                }
            }
            self.path.pop();
        }
        for source in merged {
            for (k, v) in source.as_map().into_iter().flatten() {
                if !map.contains_key(k) {
                    map.insert(k.clone(), v.clone());
                }
            }
        }
        Ok(Value::Map(map))
    }
}

/// Keys become strings as sigs.k8s.io/yaml makes them.
fn key_text(key: Value) -> Result<Str, String> {
    match key {
        Value::Str(s) => Ok(s),
        Value::Int(_) | Value::Float(_) | Value::Bool(_) => Ok(Str::from(key.to_string())),
        other => Err(format!("unsupported map key of type: {}", other.type_name())),
    }
}

fn scalar(text: &str, plain: bool, tag: Option<&str>) -> Result<Scalar, String> {
    let tag = tag.map(|t| t.trim_start_matches("!<").trim_end_matches('>'));
    let core = tag.map(|t| t.strip_prefix(CORE).or_else(|| t.strip_prefix("!!")).unwrap_or(t));
    let resolved = match core {
        None if !plain => return Ok(Scalar::Value(text.into())),
        Some("str" | "!") => return Ok(Scalar::Value(text.into())),
        Some("binary") => {
            let bytes = base64::engine::general_purpose::STANDARD.decode(text.split_whitespace().collect::<String>());
            let bytes = bytes.map_err(|_| "!!binary value contains invalid base64 data".to_owned())?;
            return Ok(Scalar::Value(String::from_utf8_lossy(&bytes).into_owned().into()));
        }
        _ if text == "<<" && plain => return Ok(Scalar::Merge),
        _ => resolve(text)?,
    };
    let fits = match core {
        Some("bool") => matches!(resolved, Value::Bool(_)),
        Some("int") => matches!(resolved, Value::Int(_)),
        Some("float") => resolved.as_f64().is_some(),
        Some("null") => resolved.is_null(),
        _ => true,
    };
    if fits {
        Ok(Scalar::Value(resolved))
    } else {
        Err(format!("cannot decode `{text}` as a !!{}", core.unwrap_or("")))
    }
}

/// go-yaml v2's `resolve`, for a plain scalar, followed by a trip through JSON.
pub(super) fn resolve(text: &str) -> Result<Value, String> {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Ok(Value::Bool(true));
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Ok(Value::Bool(false));
        }
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        ".nan" | ".NaN" | ".NAN" => return Err("unsupported value: NaN".to_owned()),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Err("unsupported value: +Inf".to_owned()),
        "-.inf" | "-.Inf" | "-.INF" => return Err("unsupported value: -Inf".to_owned()),
        _ => {}
    }
    let first = text.as_bytes()[0];
    let number = match first {
        b'.' => float(text),
        b'+' | b'-' | b'0'..=b'9' => {
            let bare = text.replace('_', "");
            integer(&bare).or_else(|| float(&bare))
        }
        _ => None,
    };
    Ok(number.unwrap_or_else(|| text.into()))
}

/// strconv.ParseInt with base 0: 0x, 0o, 0b and a bare leading 0 for octal.
fn integer(text: &str) -> Option<Value> {
    let (negative, digits) = match text.as_bytes()[0] {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, &lower[..]),
    };
    if digits.is_empty() || digits.starts_with(['+', '-']) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    let signed = if negative { -i128::from(magnitude) } else { i128::from(magnitude) };
    match i64::try_from(signed) {
        Ok(n) => Some(Value::Int(n)),
        Err(_) if negative => None,
        // Beyond i64 an unsigned integer: a float after JSON, as there.
        Err(_) => Some(Value::Float(magnitude as f64)),
    }
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`; a whole one is an integer after JSON.
fn float(text: &str) -> Option<Value> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], Some(&unsigned[at + 1..])),
        None => (unsigned, None),
    };
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    let good = match mantissa.split_once('.') {
        Some(("", fraction)) => !fraction.is_empty() && digits(fraction),
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => !mantissa.is_empty() && digits(mantissa),
    } && exponent.is_none_or(|e| {
        let e = e.strip_prefix(['+', '-']).unwrap_or(e);
        !e.is_empty() && digits(e)
    });
    let f = if good { text.parse::<f64>().ok().filter(|f| f.is_finite())? } else { return None };
    let mut shown = Vec::new();
    json::write_f64(f, &mut shown);
    let negative_zero = f == 0.0 && f.is_sign_negative();
    let whole = std::str::from_utf8(&shown).ok().filter(|_| !negative_zero).and_then(|s| s.parse().ok());
    Some(whole.map_or(Value::Float(f), Value::Int))
}
