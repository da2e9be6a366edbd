//! From a parsed body to the canonical value of a kind: fields in the table's order, unknown ones pruned and reported, zeros elided as
//! Go's omitempty does, quantities, times and bytes in their canonical form, wrong types refused in the words of Go's decoder.
//!
//! Names are compared as they are: Kubernetes' JSON decoder, unlike Go's own, does not fold case.

mod scalar;

use knarr_value::types::{Field, Shape, Type, TypeId, TypeTable};
use knarr_value::{Map, Str, Value};
use std::fmt;

/// As many unknown fields are reported; the rest is pruned in silence, as in Kubernetes.
const UNKNOWN_MAX: usize = 100;

/// What [`decode`] gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    pub value: Value,
    /// Strict errors in document order: `unknown field "spec.x"`.
    pub unknown: Vec<String>,
}

/// The first value of a wrong type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// In the words of Go's decoder; machinery puts `Pod in version "v1" cannot be handled as a Pod: ` before.
    decoder: String,
    /// In the words of apimachinery's unstructured converter, which reads strategic merge patches.
    converter: String,
}

impl DecodeError {
    /// What the unstructured converter says of it, which knows no places.
    pub fn converter(&self) -> &str {
        &self.converter
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.decoder)
    }
}

impl std::error::Error for DecodeError {}

/// Decode a body as a type. `kind` names the root in errors.
pub fn decode(types: &TypeTable, id: TypeId, kind: &str, value: Value) -> Result<Decoded, DecodeError> {
    let mut decoder = Decoder { types, unknown: Vec::new(), error: None };
    let value = match value {
        Value::Map(map) => decoder.structure(id, map, &Place::ROOT),
        other => {
            let found = json_type(&other);
            return Err(DecodeError {
                decoder: format!(
                    "json: cannot unmarshal {found} into Go value of type {}",
                    go_name(types.get(id), kind)
                ),
                converter: format!("cannot restore struct from: {}", scalar::go_kind(&other)),
            });
        }
    };
    match decoder.error {
        Some(error) => Err(error),
        None => Ok(Decoded { value: Value::Map(value), unknown: decoder.unknown }),
    }
}

/// Where the decoder is: text is made only for a report.
struct Place<'a> {
    parent: Option<&'a Place<'a>>,
    step: Step<'a>,
    /// The struct whose field this is (kept through lists and maps, as Go's error context is).
    owner: &'a str,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Root,
    Name(&'a str),
    /// A key of a map: Go's type errors leave it out, as they do positions.
    Key(&'a str),
    Index(usize),
}

impl Place<'_> {
    const ROOT: Place<'static> = Place { parent: None, step: Step::Root, owner: "" };

    /// `spec.containers[0].name` where `indexed`, else `spec.containers.name`: Go's type errors leave positions out.
    fn write(&self, indexed: bool, out: &mut String) {
        if let Some(parent) = self.parent {
            parent.write(indexed, out);
        }
        match self.step {
            Step::Root => {}
            Step::Key(_) if !indexed => {}
            Step::Name(name) | Step::Key(name) => {
                if !out.is_empty() {
                    out.push('.');
                }
                out.push_str(name);
            }
            Step::Index(index) if indexed => {
                out.push_str(&format!("[{index}]"));
            }
            Step::Index(_) => {}
        }
    }
}

struct Decoder<'t> {
    types: &'t TypeTable,
    unknown: Vec<String>,
    error: Option<DecodeError>,
}

impl Decoder<'_> {
    fn structure(&mut self, id: TypeId, map: Map, place: &Place<'_>) -> Map {
        let types = self.types;
        let of = types.get(id);
        let owner = short_name(of);
        // Fields with their positions in the table; nearly always in order or nearly so.
        let mut found: Vec<(usize, Str, Value)> = Vec::with_capacity(map.len() + 2);
        for (name, value) in map {
            match of.position(&name) {
                Some(position) => {
                    let field = &of.fields[position];
                    let here = Place { parent: Some(place), step: Step::Name(&name), owner };
                    if let Some(value) = self.field(field, value, &here) {
                        found.push((position, name, value));
                    }
                }
                None => {
                    if self.unknown.len() < UNKNOWN_MAX {
                        let mut path = String::new();
                        Place { parent: Some(place), step: Step::Name(&name), owner }.write(true, &mut path);
                        self.unknown.push(format!("unknown field {}", crate::error::quote(&path)));
                    }
                }
            }
        }
        found.sort_by_key(|(position, ..)| *position);
        let mut out = Map::with_capacity(found.len() + 1);
        let mut given = found.into_iter().peekable();
        for (position, field) in of.fields.iter().enumerate() {
            match given.next_if(|(p, ..)| *p == position) {
                Some((_, name, value)) => {
                    out.insert(name, value);
                }
                None if field.always => {
                    out.insert(field.name.clone(), types.zero(field));
                }
                None => {}
            }
        }
        out
    }

    /// None: a zero that Go would not write.
    fn field(&mut self, field: &Field, value: Value, place: &Place<'_>) -> Option<Value> {
        if value.is_null() {
            return None;
        }
        let value = self.value(&field.shape, value, place);
        if field.elide_zero && !field.always && is_zero(&field.shape, &value) {
            return None;
        }
        Some(value)
    }

    fn value(&mut self, shape: &Shape, value: Value, place: &Place<'_>) -> Value {
        match (shape, value) {
            // Inside lists and maps, null is the zero of what belongs there.
            (Shape::Raw | Shape::Any | Shape::Fields, value) => value,
            (shape, Value::Null) => self.zero(shape),
            (Shape::Struct(id), Value::Map(map)) => Value::Map(self.structure(*id, map, place)),
            (Shape::List(inner), Value::List(items)) => {
                let mut out = Vec::with_capacity(items.len());
                for (index, item) in items.into_iter().enumerate() {
                    let here = Place { parent: Some(place), step: Step::Index(index), owner: place.owner };
                    out.push(self.value(inner, item, &here));
                }
                Value::List(out)
            }
            (Shape::Map(inner), Value::Map(mut map)) => {
                for (key, value) in map.iter_mut() {
                    let here = Place { parent: Some(place), step: Step::Key(&key[..]), owner: place.owner };
                    *value = self.value(inner, value.take(), &here);
                }
                sort_keys(map)
            }
            (Shape::OrBool(_), Value::Bool(b)) => Value::Bool(b),
            (Shape::OrBool(id) | Shape::OrList(id) | Shape::OrStrings(id), Value::Map(map)) => {
                Value::Map(self.structure(*id, map, place))
            }
            (Shape::OrList(id), Value::List(items)) => {
                self.value(&Shape::List(Box::new(Shape::Struct(*id))), Value::List(items), place)
            }
            (Shape::OrStrings(_), Value::List(items)) => {
                self.value(&Shape::List(Box::new(Shape::Str)), Value::List(items), place)
            }
            (Shape::Str, Value::Str(s)) => Value::Str(s),
            (Shape::Bool, Value::Bool(b)) => Value::Bool(b),
            (Shape::Int64, Value::Int(n)) => Value::Int(n),
            (Shape::Int32, Value::Int(n)) if i32::try_from(n).is_ok() => Value::Int(n),
            (Shape::Double, Value::Int(n)) => Value::Int(n),
            (Shape::Double, Value::Float(f)) => Value::Float(f),
            (shape, value) => match scalar::special(shape, &value) {
                Some(Ok(value)) => value,
                Some(Err(error)) => {
                    self.fail(error);
                    Value::Null
                }
                None => {
                    self.mismatch(shape, &value, place);
                    Value::Null
                }
            },
        }
    }

    fn zero(&self, shape: &Shape) -> Value {
        match shape {
            Shape::Str | Shape::Bytes => Value::from(""),
            Shape::Int32 | Shape::Int64 | Shape::Double | Shape::IntOrString => Value::Int(0),
            Shape::Bool => Value::Bool(false),
            Shape::Quantity => Value::from("0"),
            Shape::Struct(id) => Value::Map(self.types.zero_struct(*id)),
            _ => Value::Null,
        }
    }

    /// A special scalar has one decoder, whoever calls it.
    fn fail(&mut self, error: String) {
        self.error.get_or_insert_with(|| DecodeError { decoder: error.clone(), converter: error });
    }

    fn mismatch(&mut self, shape: &Shape, value: &Value, place: &Place<'_>) {
        if self.error.is_some() {
            return;
        }
        let mut path = String::new();
        place.write(false, &mut path);
        let found = match value {
            Value::Int(n) if matches!(shape, Shape::Int32) => format!("number {n}"),
            Value::Float(f) if matches!(shape, Shape::Int32 | Shape::Int64) => format!("number {}", scalar::number(*f)),
            other => json_type(other).to_string(),
        };
        let wanted = self.go_type(shape, place);
        self.error = Some(DecodeError {
            decoder: format!(
                "json: cannot unmarshal {found} into Go struct field {}.{path} of type {wanted}",
                place.owner
            ),
            converter: scalar::unconverted(shape, value, &wanted),
        });
    }

    /// The Go type of a shape; strings of a type of their own are named after the field (see [`scalar::named`]).
    fn go_type(&self, shape: &Shape, place: &Place<'_>) -> String {
        match shape {
            Shape::Str => match place.step {
                Step::Name(field) => scalar::named(place.owner, field).unwrap_or("string").into(),
                _ => "string".into(),
            },
            Shape::Int32 => "int32".into(),
            Shape::Int64 => "int64".into(),
            Shape::Bool => "bool".into(),
            Shape::Double => "float64".into(),
            Shape::Bytes => "[]uint8".into(),
            Shape::Struct(id) | Shape::OrBool(id) | Shape::OrList(id) | Shape::OrStrings(id) => {
                let of = self.types.get(*id);
                go_name(of, short_name(of))
            }
            Shape::List(inner) => format!("[]{}", self.go_type(inner, &Place::ROOT)),
            Shape::Map(inner) if matches!(**inner, Shape::Quantity) => "v1.ResourceList".into(),
            Shape::Map(inner) => format!("map[string]{}", self.go_type(inner, &Place::ROOT)),
            Shape::Time => "v1.Time".into(),
            Shape::MicroTime => "v1.MicroTime".into(),
            Shape::Quantity => "resource.Quantity".into(),
            Shape::IntOrString => "intstr.IntOrString".into(),
            Shape::Fields => "v1.FieldsV1".into(),
            Shape::Raw => "runtime.RawExtension".into(),
            Shape::Any => "interface {}".into(),
        }
    }
}

/// What Go's omitempty leaves out of a value that is no pointer.
fn is_zero(shape: &Shape, value: &Value) -> bool {
    match (shape, value) {
        (Shape::Struct(_), Value::Map(map)) => map.is_empty(),
        (_, value) => value.is_zero() || value.is_empty(),
    }
}

/// Go writes the keys of a map in order.
fn sort_keys(map: Map) -> Value {
    let sorted = map.iter().zip(map.iter().skip(1)).all(|((a, _), (b, _))| a[..] <= b[..]);
    if sorted {
        return Value::Map(map);
    }
    let mut entries: Vec<(Str, Value)> = map.into_iter().collect();
    entries.sort_by(|(a, _), (b, _)| a.cmp(b));
    Value::Map(entries.into_iter().collect())
}

fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Int(_) | Value::Float(_) => "number",
        Value::Str(_) => "string",
        Value::List(_) => "array",
        Value::Map(_) => "object",
    }
}

/// `PodSpec` of `io.k8s.api.core.v1.PodSpec`.
fn short_name(of: &Type) -> &str {
    of.name.rsplit('.').next().unwrap_or("")
}

/// `v1.PodSpec`: Go's packages are called as the versions.
fn go_name(of: &Type, kind: &str) -> String {
    match of.name.rsplit('.').nth(1) {
        Some(version) => format!("{version}.{kind}"),
        None => kind.into(),
    }
}

/// Put fields back into the table's order, and the keys of maps into theirs, after something was added; what is in order is not touched.
pub fn reorder(types: &TypeTable, id: TypeId, value: &mut Value) {
    let Value::Map(map) = value else { return };
    let of = types.get(id);
    let mut last = 0;
    let mut ordered = true;
    for (name, value) in map.iter_mut() {
        let Some(position) = of.position(name) else { continue };
        ordered &= position >= last;
        last = position;
        reorder_shape(types, &of.fields[position].shape, value);
    }
    if !ordered {
        sort_fields(of, map);
    }
}

fn reorder_shape(types: &TypeTable, shape: &Shape, value: &mut Value) {
    match (shape, value) {
        (Shape::Struct(id), value) => reorder(types, *id, value),
        (Shape::List(inner), Value::List(items)) if !is_scalar(inner) => {
            items.iter_mut().for_each(|item| reorder_shape(types, inner, item));
        }
        (Shape::Map(inner), value @ Value::Map(_)) => {
            *value = match value.take() {
                Value::Map(map) => sort_keys(map),
                other => other,
            };
            if let (false, Value::Map(map)) = (is_scalar(inner), value) {
                map.iter_mut().for_each(|(_, value)| reorder_shape(types, inner, value));
            }
        }
        _ => {}
    }
}

fn is_scalar(shape: &Shape) -> bool {
    !matches!(shape, Shape::Struct(_) | Shape::List(_) | Shape::Map(_))
}

/// Sort the fields of one struct; unknown ones go last.
fn sort_fields(of: &Type, map: &mut Map) {
    let mut entries: Vec<(Str, Value)> = std::mem::take(map).into_iter().collect();
    entries.sort_by_key(|(name, _)| of.position(name).unwrap_or(usize::MAX));
    *map = entries.into_iter().collect();
}
