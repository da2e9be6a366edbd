//! Defaults hang on types: wherever a type occurs below a kind, its defaults run, parents before children, as in Kubernetes' generated
//! defaulting functions.
//!
//! A kind compiles to the sub-graph of its types that have defaults, or lead to types that do; nothing else is visited.

mod native;

use crate::error::CompileError;
use crate::rules::condition::Condition;
use crate::rules::{Frame, Groups, Scope, constant, read};
use knarr_value::types::{Shape, TypeId, TypeTable};
use knarr_value::{Map, Str, Value};
use native::Native;
use serde::Deserialize;
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// The defaults of a kind.
#[derive(Debug)]
pub struct Defaults {
    /// By type id; absent: nothing below it has defaults.
    types: BTreeMap<u32, TypeDefaults>,
}

#[derive(Debug, Default)]
struct TypeDefaults {
    nodes: Vec<DefaultNode>,
    children: Vec<(Str, Nesting, TypeId)>,
}

#[derive(Clone, Copy, Debug)]
enum Nesting {
    One,
    List,
    Map,
}

/// One default.
#[derive(Debug)]
enum DefaultNode {
    /// A constant where nothing stands.
    Set {
        path: Vec<Str>,
        value: Value,
        when: Option<Condition>,
        zero: bool,
        make: bool,
    },
    /// The value of another field where nothing stands.
    Copy {
        path: Vec<Str>,
        from: Vec<Str>,
        when: Option<Condition>,
        zero: bool,
    },
    /// Removes a field.
    Clear {
        path: Vec<Str>,
        when: Option<Condition>,
    },
    /// Defaults for each item of a list.
    Each {
        path: Vec<Str>,
        nodes: Vec<DefaultNode>,
    },
    Native(Native),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Doc {
    path: String,
    #[serde(default)]
    value: Json,
    #[serde(default)]
    from: String,
    #[serde(default)]
    when: Option<Json>,
    /// A zero counts as nothing, where Go writes it.
    #[serde(default)]
    zero: bool,
    /// Make the structs on the way.
    #[serde(default)]
    make: bool,
    #[serde(default)]
    defaults: Vec<Json>,
}

impl DefaultNode {
    fn build(at: &str, doc: &Json) -> Result<Self, CompileError> {
        let what = doc.get("default").and_then(Json::as_str).unwrap_or("");
        if what == "native" {
            return Native::build(at, doc).map(DefaultNode::Native);
        }
        let form: Doc = read(at, doc)?;
        let split = |text: &str| text.split('.').map(Str::from).collect::<Vec<_>>();
        let when = form.when.as_ref().map(|when| Condition::build(at, when)).transpose()?;
        let path = split(&form.path);
        Ok(match what {
            "set" => DefaultNode::Set { path, value: constant(&form.value), when, zero: form.zero, make: form.make },
            "copy" => DefaultNode::Copy { path, from: split(&form.from), when, zero: form.zero },
            "clear" => DefaultNode::Clear { path, when },
            "each" => {
                let nodes = form.defaults.iter().map(|d| DefaultNode::build(at, d)).collect::<Result<_, _>>()?;
                DefaultNode::Each { path, nodes }
            }
            other => return Err(CompileError::new(at, format!("no default is called {other:?}"))),
        })
    }

    fn run(&self, map: &mut Value) {
        match self {
            DefaultNode::Set { path, value, when, zero, make } => {
                if when.as_ref().is_some_and(|c| !test(c, map, None)) {
                    return;
                }
                if let Some((parent, last)) = parent_of(map, path, *make)
                    && absent(parent.get(last), *zero)
                {
                    parent.insert(last.clone(), value.clone());
                }
            }
            DefaultNode::Copy { path, from, when, zero } => {
                if when.as_ref().is_some_and(|c| !test(c, map, None)) {
                    return;
                }
                let Some(value) = from.iter().try_fold(&*map, |v, step| v.get(step)).cloned() else { return };
                if let (false, Some((parent, last))) = (value.is_null(), parent_of(map, path, false))
                    && absent(parent.get(last), *zero)
                {
                    parent.insert(last.clone(), value);
                }
            }
            DefaultNode::Clear { path, when } => {
                if when.as_ref().is_none_or(|c| test(c, map, None))
                    && let Some((parent, last)) = parent_of(map, path, false)
                {
                    parent.remove(last);
                }
            }
            DefaultNode::Each { path, nodes } => {
                let items = path.iter().try_fold(map, |v, step| v.get_mut(step)).and_then(|v| v.as_list_mut());
                for item in items.into_iter().flatten() {
                    nodes.iter().for_each(|node| node.run(item));
                }
            }
            DefaultNode::Native(native) => native.run(map),
        }
    }
}

fn absent(value: Option<&Value>, zero: bool) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(value) => zero && (value.is_zero() || value.is_empty()),
    }
}

/// The map that holds the last step of a path.
pub(crate) fn parent_of<'v, 'p>(value: &'v mut Value, path: &'p [Str], make: bool) -> Option<(&'v mut Map, &'p Str)> {
    let (last, way) = path.split_last()?;
    let mut at = value;
    for step in way {
        if make && at.get(step).is_none_or(Value::is_null) {
            at.as_map_mut()?.insert(step.clone(), Value::Map(Map::new()));
        }
        at = at.get_mut(step)?;
    }
    at.as_map_mut().map(|map| (map, last))
}

/// Whether a condition holds at a value that stands for itself.
pub(crate) fn test(condition: &Condition, value: &Value, old: Option<&Value>) -> bool {
    let groups = Groups::default();
    let frame = Frame { value, old, parent: None };
    condition.holds(&Scope { value, old, path: &crate::path::Path::ROOT, frame: &frame, groups: &groups })
}

impl Defaults {
    pub fn build(docs: &BTreeMap<String, Vec<Json>>, types: &TypeTable, root: TypeId) -> Result<Self, CompileError> {
        let mut nodes: BTreeMap<u32, Vec<DefaultNode>> = BTreeMap::new();
        for (name, list) in docs {
            let at = format!("defaults/{name}");
            let id = types.id(name).ok_or_else(|| CompileError::new(&at, "no such type in the table"))?;
            nodes.insert(id.0, list.iter().map(|doc| DefaultNode::build(&at, doc)).collect::<Result<_, _>>()?);
        }
        let mut graph = Graph { types, nodes: &nodes, edges: BTreeMap::new() };
        graph.visit(root);
        let useful = graph.useful();
        let edges = graph.edges;
        let mut built: BTreeMap<u32, TypeDefaults> = BTreeMap::new();
        for (id, children) in edges {
            if !useful.contains(&id) {
                continue;
            }
            let children = children.into_iter().filter(|(.., to)| useful.contains(&to.0)).collect();
            built.insert(id, TypeDefaults { nodes: nodes.remove(&id).unwrap_or_default(), children });
        }
        Ok(Self { types: built })
    }

    /// Fields are added at the end; the caller puts them into the table's order.
    pub fn run(&self, id: TypeId, value: &mut Value) {
        let Some(of) = self.types.get(&id.0) else { return };
        if value.as_map().is_none() {
            return;
        }
        for node in &of.nodes {
            node.run(value);
        }
        for (name, nesting, child) in &of.children {
            let Some(found) = value.get_mut(name) else { continue };
            match (nesting, found) {
                (Nesting::One, found) => self.run(*child, found),
                (Nesting::List, Value::List(items)) => items.iter_mut().for_each(|item| self.run(*child, item)),
                (Nesting::Map, Value::Map(map)) => map.iter_mut().for_each(|(_, item)| self.run(*child, item)),
                _ => {}
            }
        }
    }
}

/// The types below a kind and which of them hold which.
struct Graph<'a> {
    types: &'a TypeTable,
    nodes: &'a BTreeMap<u32, Vec<DefaultNode>>,
    edges: BTreeMap<u32, Vec<(Str, Nesting, TypeId)>>,
}

impl Graph<'_> {
    fn visit(&mut self, id: TypeId) {
        if self.edges.contains_key(&id.0) {
            return;
        }
        let mut children = Vec::new();
        for field in &self.types.get(id).fields {
            if let Some((nesting, child)) = nested(&field.shape) {
                children.push((field.name.clone(), nesting, child));
            }
        }
        self.edges.insert(id.0, children.clone());
        children.into_iter().for_each(|(.., child)| self.visit(child));
    }

    /// The types with defaults, and those from which one can be reached.
    fn useful(&self) -> std::collections::BTreeSet<u32> {
        let mut useful: std::collections::BTreeSet<u32> =
            self.edges.keys().copied().filter(|id| self.nodes.get(id).is_some_and(|n| !n.is_empty())).collect();
        loop {
            let before = useful.len();
            for (id, children) in &self.edges {
                if children.iter().any(|(.., to)| useful.contains(&to.0)) {
                    useful.insert(*id);
                }
            }
            if useful.len() == before {
                return useful;
            }
        }
    }
}

fn nested(shape: &Shape) -> Option<(Nesting, TypeId)> {
    match shape {
        Shape::Struct(id) => Some((Nesting::One, *id)),
        Shape::List(inner) => match **inner {
            Shape::Struct(id) => Some((Nesting::List, id)),
            _ => None,
        },
        Shape::Map(inner) => match **inner {
            Shape::Struct(id) => Some((Nesting::Map, id)),
            _ => None,
        },
        _ => None,
    }
}
