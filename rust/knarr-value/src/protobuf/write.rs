//! From value to message.

use super::wire::{self, put_bytes, put_message, put_tag, put_varint};
use crate::quantity;
use crate::time::Timestamp;
use crate::types::{Field, Shape, Type, WireItem};
use crate::{Error, Map, Result, TypeId, TypeTable, Value, json};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Go's zero time: year 1.
const ZERO_TIME: i64 = -62_135_596_800;

/// Put a step in front of an error's path.
fn at(error: Error, step: &str) -> Error {
    match error {
        Error::Protobuf { path, message } => {
            let dot = if path.is_empty() || path.starts_with('[') { "" } else { "." };
            Error::Protobuf { path: format!("{step}{dot}{path}"), message }
        }
        other => other,
    }
}

fn unfit(value: &Value, expected: &str) -> Error {
    wire::bad(format!("expected {expected}, got {}", value.type_name()))
}

pub(super) fn message(types: &TypeTable, id: TypeId, value: &Value, out: &mut Vec<u8>) -> Result<()> {
    let map = match value {
        Value::Map(map) => Some(map),
        Value::Null => None,
        other => return Err(unfit(other, "an object")),
    };
    let t = types.get(id);
    if t.wire.is_empty() && !t.fields.is_empty() {
        return Err(wire::bad(format!("{} has no protobuf form", t.name)));
    }
    items(types, t, &t.wire, map, out)
}

fn items(types: &TypeTable, t: &Type, wire: &[WireItem], map: Option<&Map>, out: &mut Vec<u8>) -> Result<()> {
    for item in wire {
        match item {
            WireItem::Nested(number, inner) => put_message(out, *number, |out| items(types, t, inner, map, out))?,
            WireItem::Field(i) => {
                let f = &t.fields[*i as usize];
                match map.and_then(|m| m.get(&f.name)).filter(|v| !v.is_null()) {
                    Some(v) => field(types, f, v, out).map_err(|e| at(e, &f.name))?,
                    None if f.pointer => {}
                    None => absent(types, f, out)?,
                }
            }
        }
    }
    Ok(())
}

/// What is written for a field that is not a pointer and was not given.
fn absent(types: &TypeTable, f: &Field, out: &mut Vec<u8>) -> Result<()> {
    match &f.shape {
        Shape::List(_) | Shape::Map(_) | Shape::Bytes => Ok(()),
        shape => one(types, f.number, shape, &Value::Null, out),
    }
}

fn field(types: &TypeTable, f: &Field, v: &Value, out: &mut Vec<u8>) -> Result<()> {
    match &f.shape {
        Shape::List(inner) if !f.wrapped => list(types, f.number, inner, v, out),
        Shape::Map(inner) => {
            let map = v.as_map().ok_or_else(|| unfit(v, "an object"))?;
            let mut keys: Vec<_> = map.iter().collect();
            keys.sort_unstable_by(|a, b| a.0.as_str().cmp(b.0.as_str()));
            for (key, v) in keys {
                put_message(out, f.number, |out| {
                    put_bytes(out, 1, key.as_bytes());
                    one(types, 2, inner, v, out).map_err(|e| at(e, &format!("[{key}]")))
                })?;
            }
            Ok(())
        }
        shape => one(types, f.number, shape, v, out),
    }
}

fn list(types: &TypeTable, number: u32, inner: &Shape, v: &Value, out: &mut Vec<u8>) -> Result<()> {
    for (i, item) in v.as_list().ok_or_else(|| unfit(v, "an array"))?.iter().enumerate() {
        one(types, number, inner, item, out).map_err(|e| at(e, &format!("[{i}]")))?;
    }
    Ok(())
}

/// One value with its tag; null stands for Go's zero.
fn one(types: &TypeTable, number: u32, shape: &Shape, v: &Value, out: &mut Vec<u8>) -> Result<()> {
    let text = |v: &'_ Value| match v {
        Value::Null => Ok(String::new()),
        Value::Str(s) => Ok(s.to_string()),
        other => Err(unfit(other, "a string")),
    };
    match shape {
        Shape::Str => match v {
            Value::Null => put_bytes(out, number, b""),
            Value::Str(s) => put_bytes(out, number, s.as_bytes()),
            other => return Err(unfit(other, "a string")),
        },
        Shape::Int32 | Shape::Int64 => {
            let n = match v {
                Value::Null => 0,
                Value::Int(n) => *n,
                other => return Err(unfit(other, "an integer")),
            };
            if *shape == Shape::Int32 && i32::try_from(n).is_err() {
                return Err(wire::bad(format!("{n} is beyond 32 bits")));
            }
            put_tag(out, number, wire::VARINT);
            put_varint(out, n as u64);
        }
        Shape::Bool => {
            let b = match v {
                Value::Null => false,
                Value::Bool(b) => *b,
                other => return Err(unfit(other, "a boolean")),
            };
            put_tag(out, number, wire::VARINT);
            out.push(u8::from(b));
        }
        Shape::Double => {
            let f = match v {
                Value::Null => 0.0,
                other => other.as_f64().ok_or_else(|| unfit(other, "a number"))?,
            };
            put_tag(out, number, wire::FIXED64);
            out.extend_from_slice(&f.to_le_bytes());
        }
        Shape::Bytes => {
            if !v.is_null() {
                let decoded = STANDARD.decode(text(v)?).map_err(|e| wire::bad(format!("not base64: {e}")))?;
                put_bytes(out, number, &decoded);
            }
        }
        Shape::Time | Shape::MicroTime => put_message(out, number, |out| {
            if v.is_null() {
                return Ok(());
            }
            let t = Timestamp::parse(&text(v)?).map_err(|e| wire::bad(e.to_string()))?;
            if (t.seconds, t.nanos) != (ZERO_TIME, 0) {
                put_tag(out, 1, wire::VARINT);
                put_varint(out, t.seconds as u64);
                put_tag(out, 2, wire::VARINT);
                put_varint(out, u64::from(if *shape == Shape::Time { 0 } else { t.nanos / 1000 * 1000 }));
            }
            Ok(())
        })?,
        Shape::Quantity => put_message(out, number, |out| {
            let given = match v {
                Value::Null => "0".to_owned(),
                Value::Int(_) | Value::Float(_) => v.to_string(),
                other => text(other)?,
            };
            let canonical = quantity::canonicalize(&given).map_err(|e| wire::bad(e.to_string()))?;
            put_bytes(out, 1, canonical.as_bytes());
            Ok(())
        })?,
        Shape::IntOrString => put_message(out, number, |out| {
            let (kind, n, s) = match v {
                Value::Null => (0, 0, ""),
                Value::Int(n) => (0, *n, ""),
                Value::Str(s) => (1, 0, s.as_str()),
                other => return Err(unfit(other, "an integer or a string")),
            };
            if i32::try_from(n).is_err() {
                return Err(wire::bad(format!("{n} is beyond 32 bits")));
            }
            put_tag(out, 1, wire::VARINT);
            put_varint(out, kind);
            put_tag(out, 2, wire::VARINT);
            put_varint(out, n as u64);
            put_bytes(out, 3, s.as_bytes());
            Ok(())
        })?,
        Shape::Fields | Shape::Raw | Shape::Any => put_message(out, number, |out| {
            if !v.is_null() {
                put_bytes(out, 1, &json::to_vec(v));
            }
            Ok::<_, Error>(())
        })?,
        Shape::Struct(id) => put_message(out, number, |out| message(types, *id, v, out))?,
        Shape::OrBool(id) => put_message(out, number, |out| {
            put_tag(out, 1, wire::VARINT);
            out.push(u8::from(!matches!(v, Value::Bool(false) | Value::Null)));
            match v {
                Value::Bool(_) | Value::Null => Ok(()),
                schema => put_message(out, 2, |out| message(types, *id, schema, out)),
            }
        })?,
        Shape::OrList(id) => put_message(out, number, |out| match v {
            Value::Null => Ok(()),
            Value::List(_) => list(types, 2, &Shape::Struct(*id), v, out),
            schema => put_message(out, 1, |out| message(types, *id, schema, out)),
        })?,
        Shape::OrStrings(id) => put_message(out, number, |out| match v {
            Value::Null => Ok(()),
            Value::List(_) => list(types, 2, &Shape::Str, v, out),
            schema => put_message(out, 1, |out| message(types, *id, schema, out)),
        })?,
        Shape::List(inner) => {
            if !v.is_null() {
                put_message(out, number, |out| list(types, 1, inner, v, out))?;
            }
        }
        Shape::Map(_) => return Err(wire::bad("a map inside a map or list has no protobuf form")),
    }
    Ok(())
}
