//! Reading the committed table.
//!
//! `{"format": 1, "types": [{"n": name, "f": [field...], "w": [wire...], "a": 1, "k": [[group, version, kind]...]}...]}`; a field is
//! `{"n": name, "s": shape, "p": number, "r": 1, "e": 1, "x": 1, "z": 1, "i": 1, "l": "set", "k": [key...], "ps": "merge", "pk": key,
//! "a": 1, "d": json}` (required, elide_zero, pointer, always, wrapped, list, keys, patch, merge_key, map_atomic, default; what is not
//! so is left out).
//! A shape is a word, `#<index>` of a type, `[]` or `{}` before the shape of the items. A wire item is an index of a field, or
//! `[number, [item...]]`.

use super::{Field, ListType, PatchStrategy, Shape, Type, TypeId, TypeTable, WireItem};
use crate::{Error, Result, Str, Value, json};
use std::io::Read;

/// The format this reads; the generator writes it.
pub const FORMAT: i64 = 1;
/// Bound of the inflated table: the committed one has some 300 kB.
const TABLE_BYTES_MAX: u64 = 16 << 20;

fn bad(what: impl Into<String>) -> Error {
    Error::Table(what.into())
}

pub(super) fn table(bytes: &[u8]) -> Result<TypeTable> {
    let mut inflated = Vec::new();
    let text = if bytes.first() == Some(&b'{') {
        bytes
    } else {
        flate2::read::ZlibDecoder::new(bytes)
            .take(TABLE_BYTES_MAX)
            .read_to_end(&mut inflated)
            .map_err(|e| bad(format!("not zlib: {e}")))?;
        &inflated
    };
    let document = json::from_slice(text).map_err(|e| bad(e.to_string()))?;
    match document.get("format").and_then(Value::as_i64) {
        Some(FORMAT) => {}
        other => {
            return Err(bad(format!("format {other:?}, expected {FORMAT}: run `python -m tools generate schema`")));
        }
    }
    let types = list(&document, "types")?.iter().map(one).collect::<Result<Vec<_>>>()?;
    TypeTable::of(None, types)
}

fn list<'a>(v: &'a Value, key: &str) -> Result<&'a [Value]> {
    match v.get(key) {
        None => Ok(&[]),
        Some(Value::List(items)) => Ok(items),
        Some(_) => Err(bad(format!("{key} is not a list"))),
    }
}

fn text<'a>(v: &'a Value, key: &str) -> Result<&'a str> {
    v.get(key).and_then(Value::as_str).ok_or_else(|| bad(format!("{key} is not a string")))
}

fn flag(v: &Value, key: &str) -> bool {
    v.get(key).is_some_and(|v| !v.is_zero())
}

fn word(v: &Value) -> Result<Str> {
    v.as_str().map(Str::from).ok_or_else(|| bad("a word is not a string"))
}

fn one(v: &Value) -> Result<Type> {
    let mut t = Type {
        name: text(v, "n")?.into(),
        fields: list(v, "f")?.iter().map(field).collect::<Result<_>>()?,
        wire: list(v, "w")?.iter().map(wire).collect::<Result<_>>()?,
        atomic: flag(v, "a"),
        ..Type::default()
    };
    for kind in list(v, "k")? {
        let [group, version, kind] = kind.as_list().unwrap_or(&[]) else {
            return Err(bad(format!("kinds of {}", t.name)));
        };
        t.kinds.push((word(group)?, word(version)?, word(kind)?));
    }
    Ok(t)
}

fn field(v: &Value) -> Result<Field> {
    let mut f = Field::new(text(v, "n")?, shape(text(v, "s")?)?);
    f.number = v.get("p").map_or(Some(0), |n| u32::try_from(n.as_i64()?).ok()).ok_or_else(|| bad("field number"))?;
    f.required = flag(v, "r");
    f.elide_zero = flag(v, "e");
    f.pointer = flag(v, "x");
    f.always = flag(v, "z");
    f.wrapped = flag(v, "i");
    f.map_atomic = flag(v, "a");
    f.default = v.get("d").cloned();
    f.list = match v.get("l").map(|l| l.as_str()) {
        None => ListType::None,
        Some(Some("atomic")) => ListType::Atomic,
        Some(Some("set")) => ListType::Set,
        Some(Some("map")) => ListType::Map,
        Some(other) => return Err(bad(format!("list type {other:?}"))),
    };
    f.keys = list(v, "k")?.iter().map(word).collect::<Result<_>>()?;
    f.patch = match v.get("ps").map(|l| l.as_str()) {
        None => PatchStrategy::Default,
        Some(Some("merge")) => PatchStrategy::Merge,
        Some(Some("replace")) => PatchStrategy::Replace,
        Some(Some("retainKeys")) => PatchStrategy::RetainKeys,
        Some(Some("merge,retainKeys")) => PatchStrategy::MergeRetainKeys,
        Some(other) => return Err(bad(format!("patch strategy {other:?}"))),
    };
    f.merge_key = v.get("pk").map(word).transpose()?;
    Ok(f)
}

fn shape(s: &str) -> Result<Shape> {
    let id = |s: &str| s.parse().map(TypeId).map_err(|_| bad(format!("shape {s:?}")));
    if let Some(inner) = s.strip_prefix("[]") {
        return Ok(Shape::List(Box::new(shape(inner)?)));
    }
    if let Some(inner) = s.strip_prefix("{}") {
        return Ok(Shape::Map(Box::new(shape(inner)?)));
    }
    if let Some((kind, n)) = s.split_once('#') {
        return match kind {
            "" => Ok(Shape::Struct(id(n)?)),
            "OrBool" => Ok(Shape::OrBool(id(n)?)),
            "OrList" => Ok(Shape::OrList(id(n)?)),
            "OrStrings" => Ok(Shape::OrStrings(id(n)?)),
            _ => Err(bad(format!("shape {s:?}"))),
        };
    }
    Ok(match s {
        "string" => Shape::Str,
        "int32" => Shape::Int32,
        "int64" => Shape::Int64,
        "bool" => Shape::Bool,
        "double" => Shape::Double,
        "bytes" => Shape::Bytes,
        "Time" => Shape::Time,
        "MicroTime" => Shape::MicroTime,
        "Quantity" => Shape::Quantity,
        "IntOrString" => Shape::IntOrString,
        "Fields" => Shape::Fields,
        "Raw" => Shape::Raw,
        "Any" => Shape::Any,
        _ => return Err(bad(format!("shape {s:?}"))),
    })
}

fn wire(v: &Value) -> Result<WireItem> {
    let number = |v: &Value| v.as_i64().and_then(|n| u32::try_from(n).ok()).ok_or_else(|| bad("wire item"));
    match v {
        Value::List(pair) => match pair.as_slice() {
            [n, Value::List(items)] => Ok(WireItem::Nested(number(n)?, items.iter().map(wire).collect::<Result<_>>()?)),
            _ => Err(bad("wire item")),
        },
        other => Ok(WireItem::Field(number(other)?)),
    }
}
