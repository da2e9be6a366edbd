//! The types table: what every API type looks like in JSON and on the wire, as data.
//!
//! The committed table (`python/knarr/api/_tables/types.json.zz`, zlib over JSON) is generated from Kubernetes' Go sources by `python -m
//! tools generate schema`; its form is described in `tools/gen_schema`. A kind that brings a schema of its own
//! (CustomResourceDefinition) adds its types with [`TypeTable::extend`]. Names are OpenAPI's: `io.k8s.api.core.v1.Pod`.
//!
//! A field's three Go properties decide what stands in canonical JSON and on the wire:
//!
//! | Go                              | absent in JSON   | protobuf            | here                          |
//! | ---                             | ---              | ---                 | ---                           |
//! | `T` (not omitempty)             | zero is written  | always written      | `always`                      |
//! | `T` omitempty (scalar)          | left out         | always written      | `elide_zero`                  |
//! | `[]T`, `map` omitempty          | left out         | element by element  | `elide_zero`                  |
//! | struct `T`, omitempty or not    | `{}` is written  | always written      | `always`                      |
//! | struct `T` omitzero             | left out         | always written      | `elide_zero`                  |
//! | `*T` omitempty                  | left out         | written when set    | `pointer`                     |
//! | `*T` (not omitempty)            | null is written  | written when set    | `pointer`, `always`           |

mod load;

use crate::{Error, Map, Result, Str, Value};
use hashbrown::HashMap;
use std::sync::Arc;

/// A type's position in a [`TypeTable`] and in every table that extends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TypeId(pub u32);

/// What a value of a field is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    Str,
    Int32,
    Int64,
    Bool,
    Double,
    /// Base64 in JSON.
    Bytes,
    /// `metav1.Time`: RFC 3339 with whole seconds in JSON, null when zero.
    Time,
    /// `metav1.MicroTime`: RFC 3339 with microseconds.
    MicroTime,
    /// `resource.Quantity`: a string, or a number when read.
    Quantity,
    /// `intstr.IntOrString`.
    IntOrString,
    /// `metav1.FieldsV1`: an object; JSON text on the wire.
    Fields,
    /// `runtime.RawExtension`: any object; its text on the wire.
    Raw,
    /// Any JSON value: `apiextensions.JSON`.
    Any,
    Struct(TypeId),
    /// An object of the type, or a boolean: `JSONSchemaPropsOrBool`.
    OrBool(TypeId),
    /// An object of the type, or a list of them: `JSONSchemaPropsOrArray`.
    OrList(TypeId),
    /// An object of the type, or a list of strings: `JSONSchemaPropsOrStringArray`.
    OrStrings(TypeId),
    List(Box<Shape>),
    Map(Box<Shape>),
}

/// `+listType`; None where it is not said (which merges as atomic).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ListType {
    #[default]
    None,
    Atomic,
    Set,
    Map,
}

/// `patchStrategy`: Default means replace for lists and merge for maps. `merge` and `retainKeys` combine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PatchStrategy {
    #[default]
    Default,
    Merge,
    Replace,
    RetainKeys,
    MergeRetainKeys,
}

impl PatchStrategy {
    pub fn merges(self) -> bool {
        matches!(self, PatchStrategy::Merge | PatchStrategy::MergeRetainKeys)
    }

    pub fn retains_keys(self) -> bool {
        matches!(self, PatchStrategy::RetainKeys | PatchStrategy::MergeRetainKeys)
    }
}

/// One field of a type, inlined ones included: what JSON shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    pub name: Str,
    pub shape: Shape,
    /// Protobuf field number within the message that holds it (see [`Type::wire`]); 0 where there is none.
    pub number: u32,
    /// OpenAPI's `required`.
    pub required: bool,
    /// Not a pointer and omitempty (or omitzero): a zero value is not kept.
    pub elide_zero: bool,
    /// A pointer in Go: absent and zero differ.
    pub pointer: bool,
    /// Canonical JSON has this field even if it was not given: see [`TypeTable::zero`].
    pub always: bool,
    /// A list whose Go type is a named one (`Verbs`): on the wire a message with `items`.
    pub wrapped: bool,
    pub list: ListType,
    /// `+listMapKey`, in the order given.
    pub keys: Vec<Str>,
    pub patch: PatchStrategy,
    /// `patchMergeKey`.
    pub merge_key: Option<Str>,
    /// `+mapType=atomic`, `+structType=atomic`, here or on the field's type.
    pub map_atomic: bool,
    /// `+default`: associative keys that were not given count as this (`protocol`: TCP).
    pub default: Option<Value>,
}

impl Field {
    /// A field with nothing special to it.
    pub fn new(name: impl Into<Str>, shape: Shape) -> Self {
        Field {
            name: name.into(),
            shape,
            number: 0,
            required: false,
            elide_zero: false,
            pointer: false,
            always: false,
            wrapped: false,
            list: ListType::None,
            keys: Vec::new(),
            patch: PatchStrategy::Default,
            merge_key: None,
            map_atomic: false,
            default: None,
        }
    }
}

/// Where a field stands in the protobuf message, in order of number: JSON's inlined structs are messages of their own there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WireItem {
    /// Index into [`Type::fields`].
    Field(u32),
    /// An inlined struct: its number and what it holds. Always written, as it is no pointer.
    Nested(u32, Vec<WireItem>),
}

/// One API type.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Type {
    /// `io.k8s.api.core.v1.Pod`.
    pub name: Str,
    /// In Go's struct order: the canonical order of JSON.
    pub fields: Vec<Field>,
    /// Empty where the type has no protobuf form.
    pub wire: Vec<WireItem>,
    /// `+structType=atomic` or `+mapType=atomic` on the type itself.
    pub atomic: bool,
    /// The kind names of a top-level object: (group, version, kind).
    pub kinds: Vec<(Str, Str, Str)>,
    /// Name to position in `fields`, made by [`Type::index`].
    positions: HashMap<Str, u32, foldhash::quality::FixedState>,
}

impl Type {
    pub fn new(name: impl Into<Str>, fields: Vec<Field>) -> Self {
        let mut t = Type { name: name.into(), fields, ..Type::default() };
        t.index();
        t
    }

    fn index(&mut self) {
        self.positions = self.fields.iter().enumerate().map(|(i, f)| (f.name.clone(), i as u32)).collect();
    }

    pub fn field(&self, name: &str) -> Option<&Field> {
        self.position(name).map(|i| &self.fields[i])
    }

    /// A field's place in `fields`.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.positions.get(name).map(|&i| i as usize)
    }
}

/// All types known. A table may stand on another one, whose ids stay valid in it.
#[derive(Clone, Debug, Default)]
pub struct TypeTable {
    base: Option<Arc<TypeTable>>,
    base_len: u32,
    types: Vec<Type>,
    names: HashMap<Str, TypeId, foldhash::quality::FixedState>,
}

impl TypeTable {
    /// Read the committed table (zlib over JSON, or the JSON itself).
    ///
    /// Errors: [`Error::Table`] where it is damaged or of another format.
    pub fn load(bytes: &[u8]) -> Result<Self> {
        load::table(bytes)
    }

    fn of(base: Option<Arc<TypeTable>>, types: Vec<Type>) -> Result<Self> {
        let base_len = base.as_ref().map_or(0, |b| b.len() as u32);
        let mut table = TypeTable { base, base_len, types, names: HashMap::default() };
        for (i, t) in table.types.iter_mut().enumerate() {
            t.index();
            if table.names.insert(t.name.clone(), TypeId(base_len + i as u32)).is_some() {
                return Err(Error::Table(format!("type {} twice", t.name)));
            }
        }
        table.check()?;
        Ok(table)
    }

    /// Every id that a shape holds exists, every wire position too: `get` relies on it.
    fn check(&self) -> Result<()> {
        fn ids(shape: &Shape, f: &mut impl FnMut(TypeId)) {
            match shape {
                Shape::Struct(id) | Shape::OrBool(id) | Shape::OrList(id) | Shape::OrStrings(id) => f(*id),
                Shape::List(inner) | Shape::Map(inner) => ids(inner, f),
                _ => {}
            }
        }
        fn wire(items: &[WireItem], len: usize) -> bool {
            items.iter().all(|item| match item {
                WireItem::Field(i) => (*i as usize) < len,
                WireItem::Nested(number, inner) => *number > 0 && wire(inner, len),
            })
        }
        let mut good = true;
        for t in &self.types {
            for field in &t.fields {
                ids(&field.shape, &mut |id| good &= (id.0 as usize) < self.len());
            }
            if !good || !wire(&t.wire, t.fields.len()) {
                return Err(Error::Table(format!("type {} refers to what is not there", t.name)));
            }
        }
        Ok(())
    }

    /// This table and more types, which may refer to each other: the i-th of them becomes `TypeId(self.len() + i)`. A name
    /// known here may come again; the new one then hides the old from [`TypeTable::id`].
    pub fn extend(self: &Arc<Self>, types: Vec<Type>) -> Result<TypeTable> {
        TypeTable::of(Some(Arc::clone(self)), types)
    }

    pub fn len(&self) -> usize {
        self.base_len as usize + self.types.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The type of a name, `io.k8s.api.core.v1.Pod`.
    pub fn id(&self, name: &str) -> Option<TypeId> {
        self.names.get(name).copied().or_else(|| self.base.as_ref()?.id(name))
    }

    /// The type that is a kind: `kind("apps", "v1", "Deployment")`; the core group is "".
    pub fn kind(&self, group: &str, version: &str, kind: &str) -> Option<TypeId> {
        let own = self.types.iter().position(|t| t.kinds.iter().any(|k| k.0 == group && k.1 == version && k.2 == kind));
        match own {
            Some(i) => Some(TypeId(self.base_len + i as u32)),
            None => self.base.as_ref()?.kind(group, version, kind),
        }
    }

    /// Panics on an id of another table: a programming error.
    pub fn get(&self, id: TypeId) -> &Type {
        match id.0.checked_sub(self.base_len) {
            Some(i) => &self.types[i as usize],
            None => {
                self.base.as_ref().map(|b| b.get(id)).unwrap_or_else(|| unreachable!("base_len is 0 without a base"))
            }
        }
    }

    /// All types in order of their ids.
    pub fn iter(&self) -> Box<dyn Iterator<Item = (TypeId, &Type)> + '_> {
        let own = self.types.iter().enumerate().map(|(i, t)| (TypeId(self.base_len + i as u32), t));
        match &self.base {
            Some(base) => Box::new(base.iter().chain(own)),
            None => Box::new(own),
        }
    }

    /// What canonical JSON has for a field that was not given and is `always` there: `""`, 0, false, null, or a struct with its own
    /// such fields.
    pub fn zero(&self, field: &Field) -> Value {
        if field.pointer {
            return Value::Null;
        }
        match &field.shape {
            Shape::Str => Value::from(""),
            Shape::Int32 | Shape::Int64 | Shape::Double | Shape::IntOrString => Value::Int(0),
            Shape::Bool => Value::Bool(false),
            Shape::Quantity => Value::from("0"),
            Shape::Struct(id) => Value::Map(self.zero_struct(*id)),
            Shape::Bytes
            | Shape::Time
            | Shape::MicroTime
            | Shape::Fields
            | Shape::Raw
            | Shape::Any
            | Shape::OrBool(_)
            | Shape::OrList(_)
            | Shape::OrStrings(_)
            | Shape::List(_)
            | Shape::Map(_) => Value::Null,
        }
    }

    /// The fields a struct of this type has in canonical JSON when none was given.
    pub fn zero_struct(&self, id: TypeId) -> Map {
        self.get(id).fields.iter().filter(|f| f.always).map(|f| (f.name.clone(), self.zero(f))).collect()
    }
}

#[cfg(test)]
mod tests;
