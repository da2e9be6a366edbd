//! From message to canonical value.

use super::UnknownFields;
use super::wire::{self, Reader};
use crate::quantity;
use crate::time::Timestamp;
use crate::types::{Field, Shape, Type, WireItem};
use crate::{Error, Map, Result, Str, TypeId, TypeTable, Value, json};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The years metav1.Time has a JSON form for: 1 to 9999.
const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

struct Decoder<'t> {
    types: &'t TypeTable,
    unknown: UnknownFields,
    depth: usize,
}

pub(super) fn message(types: &TypeTable, id: TypeId, bytes: &[u8], unknown: UnknownFields) -> Result<Value> {
    Decoder { types, unknown, depth: 0 }.object(id, bytes)
}

fn within(error: Error, step: &str) -> Error {
    match error {
        Error::Protobuf { path, message } => {
            let dot = if path.is_empty() { "" } else { "." };
            Error::Protobuf { path: format!("{step}{dot}{path}"), message }
        }
        other => other,
    }
}

impl Decoder<'_> {
    fn object(&mut self, id: TypeId, bytes: &[u8]) -> Result<Value> {
        if self.depth == json::DEPTH_MAX / 2 {
            return Err(Error::TooDeep);
        }
        self.depth += 1;
        let types = self.types;
        let t = types.get(id);
        let mut slots = vec![Value::Null; t.fields.len()];
        let mut set = vec![false; t.fields.len()];
        self.fields(t, &t.wire, bytes, &mut slots, &mut set)?;
        let mut map = Map::with_capacity(set.iter().filter(|s| **s).count());
        for ((f, v), set) in t.fields.iter().zip(slots).zip(set) {
            // A zero that omitempty drops; `items: []` of a pointer or a required list is kept.
            if set && !(f.elide_zero && !f.pointer && v.is_zero()) {
                map.insert(f.name.clone(), sorted(f, v));
            } else if f.always {
                map.insert(f.name.clone(), types.zero(f));
            }
        }
        self.depth -= 1;
        Ok(Value::Map(map))
    }

    fn fields(
        &mut self,
        t: &Type,
        items: &[WireItem],
        bytes: &[u8],
        slots: &mut [Value],
        set: &mut [bool],
    ) -> Result<()> {
        let mut r = Reader::new(bytes);
        while let Some((number, kind)) = r.tag()? {
            let found = items.iter().find(|item| match item {
                WireItem::Nested(n, _) => *n == number,
                WireItem::Field(i) => t.fields[*i as usize].number == number,
            });
            match found {
                Some(WireItem::Nested(_, inner)) => {
                    let bytes = r.bytes(kind)?;
                    self.fields(t, inner, bytes, slots, set)?;
                }
                Some(WireItem::Field(i)) => {
                    let i = *i as usize;
                    let f = &t.fields[i];
                    self.field(f, kind, &mut r, &mut slots[i]).map_err(|e| within(e, &f.name))?;
                    set[i] = true;
                }
                None if self.unknown == UnknownFields::Skip => r.skip(kind)?,
                None => return Err(wire::bad(format!("unknown field {number} of {}", t.name))),
            }
        }
        Ok(())
    }

    fn field(&mut self, f: &Field, kind: u8, r: &mut Reader<'_>, slot: &mut Value) -> Result<()> {
        match &f.shape {
            Shape::List(inner) if !f.wrapped => {
                if slot.is_null() {
                    *slot = Value::List(Vec::new());
                }
                let Value::List(items) = slot else { return Ok(()) };
                let number = matches!(**inner, Shape::Int32 | Shape::Int64 | Shape::Bool | Shape::Double);
                if number && kind == wire::LENGTH {
                    // Packed, which our peers do not write but may read.
                    let each = if **inner == Shape::Double { wire::FIXED64 } else { wire::VARINT };
                    let mut packed = Reader::new(r.bytes(kind)?);
                    while !packed.is_empty() {
                        items.push(self.one(inner, each, &mut packed)?);
                    }
                } else {
                    items.push(self.one(inner, kind, r)?);
                }
            }
            Shape::Map(inner) => {
                let mut entry = Reader::new(r.bytes(kind)?);
                let (mut key, mut value) = (Str::default(), None);
                while let Some((number, kind)) = entry.tag()? {
                    match number {
                        1 => key = entry.text(kind)?.into(),
                        2 => value = Some(self.one(inner, kind, &mut entry)?),
                        _ => entry.skip(kind)?,
                    }
                }
                let value = match value {
                    Some(v) => v,
                    None => self.types.zero(&Field::new("", (**inner).clone())),
                };
                slot.make_map().insert(key, value);
            }
            shape => *slot = self.one(shape, kind, r)?,
        }
        Ok(())
    }

    fn one(&mut self, shape: &Shape, kind: u8, r: &mut Reader<'_>) -> Result<Value> {
        Ok(match shape {
            Shape::Str => Value::Str(r.text(kind)?.into()),
            Shape::Int64 => Value::Int(r.integer(kind)?),
            // As Go: the low 32 bits.
            Shape::Int32 => Value::Int(i64::from(r.integer(kind)? as i32)),
            Shape::Bool => Value::Bool(r.integer(kind)? != 0),
            Shape::Double => {
                let f = r.double(kind)?;
                if !f.is_finite() {
                    return Err(wire::bad("a number that JSON cannot say"));
                }
                // 2.0 is written as 2 in JSON, and read back as an integer.
                if f.fract() == 0.0 && f.abs() < 9e15 { Value::Int(f as i64) } else { Value::Float(f) }
            }
            Shape::Bytes => Value::from(STANDARD.encode(r.bytes(kind)?)),
            Shape::Time | Shape::MicroTime => time(r.bytes(kind)?, *shape == Shape::MicroTime)?,
            Shape::Quantity => {
                let mut text = "0".into();
                let mut inner = Reader::new(r.bytes(kind)?);
                while let Some((number, kind)) = inner.tag()? {
                    match number {
                        1 => text = quantity::canonicalize(inner.text(kind)?).map_err(|e| wire::bad(e.to_string()))?,
                        _ => inner.skip(kind)?,
                    }
                }
                Value::Str(text)
            }
            Shape::IntOrString => int_or_string(r.bytes(kind)?)?,
            Shape::Fields | Shape::Raw | Shape::Any => {
                let mut raw: &[u8] = &[];
                let mut inner = Reader::new(r.bytes(kind)?);
                while let Some((number, kind)) = inner.tag()? {
                    match number {
                        1 => raw = inner.bytes(kind)?,
                        _ => inner.skip(kind)?,
                    }
                }
                self.raw(raw)?
            }
            Shape::Struct(id) => self.object(*id, r.bytes(kind)?)?,
            Shape::OrBool(id) | Shape::OrList(id) | Shape::OrStrings(id) => self.union(shape, *id, r.bytes(kind)?)?,
            Shape::List(inner) => {
                let mut items = Vec::new();
                let mut message = Reader::new(r.bytes(kind)?);
                while let Some((number, kind)) = message.tag()? {
                    match number {
                        1 => items.push(self.one(inner, kind, &mut message)?),
                        _ => message.skip(kind)?,
                    }
                }
                Value::List(items)
            }
            Shape::Map(_) => return Err(wire::bad("a map inside a map or list has no protobuf form")),
        })
    }

    /// The content of a RawExtension: JSON, or an object in its envelope.
    fn raw(&mut self, raw: &[u8]) -> Result<Value> {
        if raw.is_empty() {
            return Ok(Value::Null);
        }
        if !raw.starts_with(super::MAGIC) {
            return json::from_slice(raw).map_err(|e| wire::bad(e.to_string()));
        }
        let unknown = super::unwrap(raw)?;
        let (group, version) = unknown.api_version.split_once('/').unwrap_or(("", unknown.api_version));
        let Some(id) = self.types.kind(group, version, unknown.kind) else {
            return Err(wire::bad(format!("no kind {} of {} is known", unknown.kind, unknown.api_version)));
        };
        let mut value = self.object(id, unknown.raw)?;
        let rest = std::mem::take(value.make_map());
        let head = [("kind", unknown.kind), ("apiVersion", unknown.api_version)];
        let mut map: Map = head.into_iter().collect();
        map.extend(rest);
        Ok(Value::Map(map))
    }

    /// JSONSchemaPropsOrBool, OrArray, OrStringArray: field 1 or 2 says which it is.
    fn union(&mut self, shape: &Shape, id: TypeId, bytes: &[u8]) -> Result<Value> {
        let (mut schema, mut other) = (
            None,
            match shape {
                Shape::OrBool(_) => Value::Bool(false),
                _ => Value::Null,
            },
        );
        let mut r = Reader::new(bytes);
        while let Some((number, kind)) = r.tag()? {
            match (shape, number) {
                (Shape::OrBool(_), 1) => other = Value::Bool(r.integer(kind)? != 0),
                (Shape::OrBool(_), 2) | (_, 1) => schema = Some(self.object(id, r.bytes(kind)?)?),
                (_, 2) => {
                    let item = match shape {
                        Shape::OrStrings(_) => Value::from(r.text(kind)?),
                        _ => self.object(id, r.bytes(kind)?)?,
                    };
                    match &mut other {
                        Value::List(items) => items.push(item),
                        empty => *empty = Value::List(vec![item]),
                    }
                }
                _ => r.skip(kind)?,
            }
        }
        Ok(schema.unwrap_or(other))
    }
}

/// Go's JSON has the keys of maps in order; fields of structs never are out of it.
fn sorted(f: &Field, mut v: Value) -> Value {
    if let (Shape::Map(_), Value::Map(map)) = (&f.shape, &mut v)
        && !map.keys().is_sorted()
    {
        map.sort_keys();
    }
    v
}

fn time(bytes: &[u8], micro: bool) -> Result<Value> {
    let mut t = Timestamp { seconds: 0, nanos: 0 };
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let mut r = Reader::new(bytes);
    while let Some((number, kind)) = r.tag()? {
        match number {
            1 => t.seconds = r.integer(kind)?,
            2 => {
                t.nanos = u32::try_from(r.integer(kind)?)
                    .ok()
                    .filter(|n| *n < 1_000_000_000)
                    .ok_or_else(|| wire::bad("nanos"))?
            }
            _ => r.skip(kind)?,
        }
    }
    if !SECONDS.contains(&t.seconds) {
        return Err(wire::bad("year outside of range [0,9999]"));
    }
    Ok(Value::Str(if micro { t.rfc3339_micros() } else { t.rfc3339() }))
}

fn int_or_string(bytes: &[u8]) -> Result<Value> {
    let (mut is_text, mut n, mut s) = (false, 0, "");
    let mut r = Reader::new(bytes);
    while let Some((number, kind)) = r.tag()? {
        match number {
            1 => is_text = r.integer(kind)? == 1,
            2 => n = r.integer(kind)? as i32,
            3 => s = r.text(kind)?,
            _ => r.skip(kind)?,
        }
    }
    Ok(if is_text { Value::from(s) } else { Value::from(n) })
}
