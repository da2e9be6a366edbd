//! How structured-merge-diff sees a field: scalar, list or map; atomic, granular, set or associative.
//!
//! Source: kube-openapi `schemaconv` (what OpenAPI's extensions become) and structured-merge-diff `typed/helpers.go`.

use knarr_value::types::ListType;
use knarr_value::{Field, Shape, Str, Type, TypeId, TypeTable, Value};

use super::set::Element;

/// A place in the schema.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    Field(&'a Field),
    Shape(&'a Shape),
    Type(TypeId),
    /// No schema: maps are granular, lists atomic, as the value shows.
    Deduced,
}

/// What stands there.
#[derive(Clone, Copy)]
pub(super) enum Atom<'a> {
    Scalar(Scalar),
    List { relation: Relation<'a>, element: Place<'a> },
    Map { atomic: bool, fields: Option<&'a Type>, values: Place<'a> },
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scalar {
    Text,
    Number,
    Boolean,
    Untyped,
}

#[derive(Clone, Copy)]
pub(super) enum Relation<'a> {
    Atomic,
    Set,
    Keys(&'a [Str]),
}

/// The default of a key field that may be left out of an associative list's item: the declared one (the protocol of a port), else
/// the zero value of what Go always writes, which OpenAPI gives as its default.
fn key_default(types: &TypeTable, ty: &Type, key: &str) -> Option<Value> {
    let field = ty.field(key)?;
    field.default.clone().or_else(|| (field.always && !field.pointer).then(|| types.zero(field)))
}

impl<'a> Place<'a> {
    /// The atom at this place; a value decides where the schema does not.
    pub fn atom(self, types: &'a TypeTable, value: Option<&Value>) -> Atom<'a> {
        match self {
            Place::Field(field) => match &field.shape {
                Shape::List(inner) => {
                    let relation = match field.list {
                        ListType::None | ListType::Atomic => Relation::Atomic,
                        ListType::Set => Relation::Set,
                        ListType::Map => Relation::Keys(&field.keys),
                    };
                    Atom::List { relation, element: Place::Shape(inner) }
                }
                Shape::Map(inner) => Atom::Map { atomic: field.map_atomic, fields: None, values: Place::Shape(inner) },
                Shape::Struct(id) => of_type(types, *id, field.map_atomic),
                other => Place::Shape(other).atom(types, value),
            },
            Place::Type(id) => of_type(types, id, false),
            Place::Shape(shape) => match shape {
                Shape::Str | Shape::Bytes => Atom::Scalar(Scalar::Text),
                Shape::Int32 | Shape::Int64 | Shape::Double => Atom::Scalar(Scalar::Number),
                Shape::Bool => Atom::Scalar(Scalar::Boolean),
                Shape::Time | Shape::MicroTime | Shape::Quantity | Shape::IntOrString => Atom::Scalar(Scalar::Untyped),
                Shape::Struct(id) => of_type(types, *id, false),
                Shape::List(inner) => Atom::List { relation: Relation::Atomic, element: Place::Shape(inner) },
                Shape::Map(inner) => Atom::Map { atomic: false, fields: None, values: Place::Shape(inner) },
                _ => Place::Deduced.atom(types, value),
            },
            Place::Deduced => match value {
                Some(Value::List(_)) => Atom::List { relation: Relation::Atomic, element: Place::Deduced },
                Some(Value::Map(_)) | None | Some(Value::Null) => {
                    Atom::Map { atomic: false, fields: None, values: Place::Deduced }
                }
                Some(_) => Atom::Scalar(Scalar::Untyped),
            },
        }
    }

    pub fn deduced(self) -> bool {
        let shape = match self {
            Place::Deduced => return true,
            Place::Type(_) => return false,
            Place::Field(f) => &f.shape,
            Place::Shape(s) => s,
        };
        matches!(
            shape,
            Shape::Fields | Shape::Raw | Shape::Any | Shape::OrBool(_) | Shape::OrList(_) | Shape::OrStrings(_)
        )
    }
}

fn of_type(types: &TypeTable, id: TypeId, atomic: bool) -> Atom<'_> {
    let ty = types.get(id);
    Atom::Map { atomic: atomic || ty.atomic, fields: Some(ty), values: Place::Deduced }
}

/// The place of a map's entry; `None` where the schema declares no such field.
pub(super) fn entry<'a>(fields: Option<&'a Type>, values: Place<'a>, key: &str) -> Option<Place<'a>> {
    match fields {
        Some(ty) => ty.field(key).map(Place::Field),
        None => Some(values),
    }
}

/// The path element of a list's item. Errors are structured-merge-diff's.
pub(super) fn item(
    types: &TypeTable,
    relation: Relation<'_>,
    element: Place<'_>,
    value: &Value,
) -> Result<Element, String> {
    match relation {
        Relation::Atomic => Err("invalid indexing of non-associative list".into()),
        Relation::Set => match value {
            Value::Map(_) => Err("associative list without keys has an element that's a map type".into()),
            Value::List(_) => Err("not supported: associative list with lists as elements".into()),
            Value::Null => Err("associative list without keys has an element that's an explicit null".into()),
            scalar => Ok(Element::Value(scalar.clone())),
        },
        Relation::Keys(keys) => {
            let Value::Map(map) = value else {
                let what = if value.is_null() { "a null element" } else { "non-map elements" };
                return Err(format!("associative list with keys may not have {what}"));
            };
            let mut fields = Vec::with_capacity(keys.len());
            for key in keys {
                if let Some(have) = map.get(key) {
                    fields.push((key.clone(), have.clone()));
                } else if let Atom::Map { fields: Some(ty), .. } = element.atom(types, None)
                    && let Some(default) = key_default(types, ty, key)
                {
                    fields.push((key.clone(), default));
                }
            }
            if fields.is_empty() {
                let names: Vec<String> = keys.iter().map(|k| crate::error::quote(k)).collect();
                return Err(format!(
                    "associative list with keys has an element that omits all key fields [{}] (and doesn't have default values for \
                     any key fields)",
                    names.join(" ")
                ));
            }
            fields.sort_by(|a, b| a.0.cmp(&b.0));
            Ok(Element::Key(fields))
        }
    }
}
