//! Rules as trees of nodes: one enum, one file per node type, each with a `build` from JSON and a `run` on a value.
//!
//! A node stands at a place in an object ([`Scope`]): its value (null where absent), the old value beside it on an update, its path,
//! and the group it was called from. It appends errors in the order Kubernetes finds them and never changes anything. Groups are
//! named lists of nodes (`PodSpec`, `Container`, `Probe` ...): they hang on types, and kinds share them by `apply`.
//!
//! Adding a node type: a file here, a variant of [`Node`], a line in [`Builder::node`], a paragraph in docs/kinds.md.

mod apply;
mod at;
pub mod condition;
mod each_new;
mod enumeration;
mod fail;
mod first;
mod format;
pub mod immutable;
mod length;
pub mod meta;
pub mod native;
mod quantity;
mod range;
mod reference;
mod required;
pub mod selector;
mod union;
mod unique;
mod when;

use crate::compiled::Subresource;
use crate::error::{CompileError, FieldError};
use crate::path::Path;
use knarr_value::{Str, Value};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use std::collections::BTreeMap;

pub(crate) static NULL: Value = Value::Null;

/// Where a node runs.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    /// Null where the field is absent.
    pub value: &'a Value,
    /// The value at the same place of the old object; None on create or where nothing pairs with it.
    pub old: Option<&'a Value>,
    pub path: &'a Path<'a>,
    /// The value the running group was applied to, and those of its callers.
    pub frame: &'a Frame<'a>,
    pub groups: &'a Groups,
}

/// The root of a running group.
pub struct Frame<'a> {
    pub value: &'a Value,
    pub old: Option<&'a Value>,
    pub parent: Option<&'a Frame<'a>>,
}

impl<'a> Scope<'a> {
    /// The value of a field; null where absent.
    pub fn get(&self, name: &str) -> &'a Value {
        self.value.get(name).unwrap_or(&NULL)
    }

    pub fn text(&self, name: &str) -> &'a str {
        self.get(name).as_str().unwrap_or("")
    }

    pub fn run(&self, nodes: &[Node], errors: &mut Vec<FieldError>) {
        for node in nodes {
            node.run(self, errors);
        }
    }
}

/// Unset as Go's zero of a string, list, map or pointer: null, "", [] or {}.
pub fn is_unset(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Str(s) => s.is_empty(),
        Value::List(l) => l.is_empty(),
        Value::Map(m) => m.is_empty(),
        _ => false,
    }
}

/// Where in the groups a named one stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupId(usize);

/// All groups of a kind.
#[derive(Debug, Default)]
pub struct Groups(Vec<Vec<Node>>);

impl Groups {
    fn get(&self, id: GroupId) -> &[Node] {
        &self.0[id.0]
    }
}

/// A compiled rule.
#[derive(Debug)]
pub enum Node {
    At(at::At),
    Apply(apply::Apply),
    When(when::When),
    First(first::First),
    Required(required::Required),
    Enum(enumeration::Enumeration),
    Range(range::Range),
    Length(length::Length),
    Format(format::FormatNode),
    Unique(unique::Unique),
    Union(union::Union),
    Fail(fail::Fail),
    Reference(reference::Reference),
    Quantity(quantity::QuantityNode),
    Selector(selector::Selector),
    Meta(meta::Meta),
    Immutable(immutable::Immutable),
    EachNew(each_new::EachNew),
    Native(native::Native),
}

impl Node {
    pub fn run(&self, scope: &Scope<'_>, errors: &mut Vec<FieldError>) {
        match self {
            Node::At(node) => node.run(scope, errors),
            Node::Apply(node) => node.run(scope, errors),
            Node::When(node) => node.run(scope, errors),
            Node::First(node) => node.run(scope, errors),
            Node::Required(node) => node.run(scope, errors),
            Node::Enum(node) => node.run(scope, errors),
            Node::Range(node) => node.run(scope, errors),
            Node::Length(node) => node.run(scope, errors),
            Node::Format(node) => node.run(scope, errors),
            Node::Unique(node) => node.run(scope, errors),
            Node::Union(node) => node.run(scope, errors),
            Node::Fail(node) => node.run(scope, errors),
            Node::Reference(node) => node.run(scope, errors),
            Node::Quantity(node) => node.run(scope, errors),
            Node::Selector(node) => node.run(scope, errors),
            Node::Meta(node) => node.run(scope, errors),
            Node::Immutable(node) => node.run(scope, errors),
            Node::EachNew(node) => node.run(scope, errors),
            Node::Native(node) => node.run(scope, errors),
        }
    }
}

/// Builds nodes; groups are built on first use, so that they may call each other.
pub struct Builder<'d> {
    docs: &'d BTreeMap<String, Vec<Json>>,
    names: Vec<&'d str>,
}

impl<'d> Builder<'d> {
    pub fn new(docs: &'d BTreeMap<String, Vec<Json>>) -> Self {
        Self { docs, names: Vec::new() }
    }

    /// The id of a group.
    /// Errors: no such group.
    pub fn group(&mut self, name: &str) -> Result<GroupId, CompileError> {
        if let Some(known) = self.names.iter().position(|n| *n == name) {
            return Ok(GroupId(known));
        }
        let (name, _) = self
            .docs
            .get_key_value(name)
            .ok_or_else(|| CompileError::new("rules", format!("no group is called {name}")))?;
        self.names.push(name);
        Ok(GroupId(self.names.len() - 1))
    }

    pub fn nodes(&mut self, at: &str, docs: &[Json]) -> Result<Vec<Node>, CompileError> {
        docs.iter().enumerate().map(|(index, doc)| self.node(&format!("{at}[{index}]"), doc)).collect()
    }

    /// Build one node. `at` says where it stands in the document, for the error.
    pub fn node(&mut self, at: &str, doc: &Json) -> Result<Node, CompileError> {
        let rule = doc.get("rule").and_then(Json::as_str).unwrap_or("");
        Ok(match rule {
            "at" => Node::At(at::At::build(at, doc, self)?),
            "apply" => Node::Apply(apply::Apply::build(at, doc, self)?),
            "when" => Node::When(when::When::build(at, doc, self)?),
            "first" => Node::First(first::First::build(at, doc, self)?),
            "required" => Node::Required(read(at, doc)?),
            "enum" => Node::Enum(read(at, doc)?),
            "range" => Node::Range(read(at, doc)?),
            "length" => Node::Length(read(at, doc)?),
            "format" => Node::Format(format::FormatNode::build(at, doc)?),
            "unique" => Node::Unique(unique::Unique::build(at, doc)?),
            "union" => Node::Union(union::Union::build(at, doc, self)?),
            "fail" => Node::Fail(fail::Fail::build(at, doc)?),
            "reference" => Node::Reference(reference::Reference::build(at, doc)?),
            "quantity" => Node::Quantity(read(at, doc)?),
            "selector" => Node::Selector(selector::Selector::build(at, doc)?),
            "meta" => Node::Meta(meta::Meta::build(at, doc)?),
            "immutable" => Node::Immutable(read(at, doc)?),
            "eachNew" => Node::EachNew(each_new::EachNew::build(at, doc, self)?),
            "native" => Node::Native(native::Native::build(at, doc)?),
            "" => return Err(CompileError::new(at, "a node needs a `rule`")),
            other => return Err(CompileError::new(at, format!("no rule is called {other}"))),
        })
    }

    /// Build every group that was asked for, and those that they ask for.
    pub fn finish(mut self) -> Result<Groups, CompileError> {
        let mut built = Vec::new();
        while built.len() < self.names.len() {
            let name = self.names[built.len()];
            let docs = &self.docs[name];
            built.push(self.nodes(&format!("rules/{name}"), docs)?);
        }
        Ok(Groups(built))
    }
}

/// Read a node's own form. Its `rule` tag is dropped first, so that an unknown field is an error.
pub(crate) fn read<T: DeserializeOwned>(at: &str, doc: &Json) -> Result<T, CompileError> {
    let mut doc = doc.clone();
    if let Some(map) = doc.as_object_mut() {
        map.remove("rule");
        map.remove("default");
        map.remove("step");
    }
    serde_json::from_value(doc).map_err(|e| CompileError::new(at, e.to_string()))
}

/// A constant of a declaration as a value.
pub(crate) fn constant(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(b) => Value::Bool(*b),
        Json::Number(n) => match n.as_i64() {
            Some(i) => Value::Int(i),
            None => Value::Float(n.as_f64().unwrap_or(0.0)),
        },
        Json::String(s) => Value::Str(Str::from(s)),
        Json::Array(items) => Value::List(items.iter().map(constant).collect()),
        Json::Object(fields) => {
            let mut map = knarr_value::Map::new();
            for (key, value) in fields {
                map.insert(Str::from(key), constant(value));
            }
            Value::Map(map)
        }
    }
}

/// The rules of a kind, by step.
#[derive(Debug)]
pub struct Rules {
    pub create: Vec<Node>,
    pub update: Vec<Node>,
    pub subresources: Vec<(Str, Vec<Node>)>,
    pub groups: Groups,
}

impl Rules {
    pub fn create(&self, value: &Value) -> Vec<FieldError> {
        run(&self.create, &self.groups, value, None)
    }

    /// A subresource without rules of its own is checked by none: machinery has kept everything it may not touch.
    pub fn update(&self, new: &Value, old: &Value, subresource: &Subresource) -> Vec<FieldError> {
        let nodes = match subresource {
            Subresource::None => &self.update,
            named => match self.subresources.iter().find(|(name, _)| name == named.as_str()) {
                Some((_, nodes)) => nodes,
                None => return Vec::new(),
            },
        };
        run(nodes, &self.groups, new, Some(old))
    }
}

/// Run nodes at the root of an object. The same error twice is one, as in Kubernetes.
pub fn run(nodes: &[Node], groups: &Groups, value: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let frame = Frame { value, old, parent: None };
    let scope = Scope { value, old, path: &Path::ROOT, frame: &frame, groups };
    scope.run(nodes, &mut errors);
    if errors.len() > 1 {
        let mut seen = std::collections::BTreeSet::new();
        errors.retain(|e| seen.insert(e.to_string()));
    }
    errors
}
