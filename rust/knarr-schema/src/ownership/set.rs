//! Field sets: which paths of an object somebody owns, and their form on the wire (FieldsV1).
//!
//! A worked example. The set of `.spec.replicas` and of the list element `.spec.ports[port=80]` itself is written
//!
//! ```text
//! {"f:spec":{"f:ports":{"k:{\"port\":80}":{".":{}}},"f:replicas":{}}}
//! ```
//!
//! A path that is owned and has owned paths below carries `.`; one without any below is `{}`. Elements stand in canonical order:
//! fields, keys, values, indices. Source: structured-merge-diff v6 `fieldpath/{element,set,serialize}.go`.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use knarr_value::{Map, Str, Value, json};

/// One step of a path. Compared as the canonical order has it.
#[derive(Clone, Debug)]
pub enum Element {
    /// `f:`: a field of a struct or a key of a map.
    Field(Str),
    /// `k:`: the element of a list with these key fields, sorted by name.
    Key(Vec<(Str, Value)>),
    /// `v:`: this value in a set.
    Value(Value),
    /// `i:`: a position; Kubernetes' own lists never have it, a client's managedFields may.
    Index(i64),
}

impl Ord for Element {
    fn cmp(&self, other: &Element) -> Ordering {
        match (self, other) {
            (Element::Field(a), Element::Field(b)) => a.cmp(b),
            (Element::Key(a), Element::Key(b)) => order_keys(a, b),
            (Element::Value(a), Element::Value(b)) => order_values(a, b),
            (Element::Index(a), Element::Index(b)) => a.cmp(b),
            (a, b) => a.rank().cmp(&b.rank()),
        }
    }
}

impl PartialOrd for Element {
    fn partial_cmp(&self, other: &Element) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Element {
    fn eq(&self, other: &Element) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Element {}

impl Element {
    pub fn field(name: &str) -> Element {
        Element::Field(name.into())
    }

    fn rank(&self) -> u8 {
        match self {
            Element::Field(_) => 0,
            Element::Key(_) => 1,
            Element::Value(_) => 2,
            Element::Index(_) => 3,
        }
    }

    /// The form in FieldsV1: `f:replicas`, `k:{"port":80}`, `v:"x"`, `i:0`.
    pub fn wire(&self) -> Str {
        let mut out = Str::default();
        match self {
            Element::Field(name) => {
                out.push_str("f:");
                out.push_str(name);
            }
            Element::Key(fields) => {
                let map: Map = fields.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
                out.push_str("k:");
                out.push_str(&text(&Value::Map(map)));
            }
            Element::Value(value) => {
                out.push_str("v:");
                out.push_str(&text(value));
            }
            Element::Index(i) => {
                out.push_str("i:");
                out.push_str(&i.to_string());
            }
        }
        out
    }

    /// The inverse of [`Element::wire`]. `Ok(None)`: a prefix this version does not know, which is skipped, as Kubernetes does.
    pub fn parse(wire: &str) -> Result<Option<Element>, String> {
        let Some((prefix, rest)) = wire.split_at_checked(2) else {
            return Err("key must be 2 characters long".into());
        };
        let value = |text: &str| json::parse(text.as_bytes()).map(|p| p.value).map_err(|e| e.to_string());
        Ok(Some(match prefix {
            "f:" => Element::field(rest),
            "v:" => Element::Value(value(rest)?),
            "k:" => match value(rest)? {
                Value::Map(map) => {
                    let mut fields: Vec<(Str, Value)> = map.into_iter().collect();
                    fields.sort_by(|a, b| a.0.cmp(&b.0));
                    Element::Key(fields)
                }
                _ => return Err(format!("key is not an object: {rest}")),
            },
            "i:" => Element::Index(rest.parse().map_err(|_| format!("invalid index: {rest}"))?),
            _ => return Ok(None),
        }))
    }

    /// The form in messages: `.replicas`, `[port=80]`, `[="x"]`, `[0]`.
    pub fn shown(&self) -> String {
        match self {
            Element::Field(name) => format!(".{name}"),
            Element::Key(fields) => {
                let fields: Vec<String> = fields.iter().map(|(k, v)| format!("{k}={}", shown_value(v))).collect();
                format!("[{}]", fields.join(","))
            }
            Element::Value(value) => format!("[={}]", shown_value(value)),
            Element::Index(i) => format!("[{i}]"),
        }
    }
}

fn text(value: &Value) -> String {
    String::from_utf8_lossy(&json::to_vec(value)).into_owned()
}

fn shown_value(value: &Value) -> String {
    match value {
        Value::Str(s) => crate::error::quote(s),
        Value::Null => "null".into(),
        other => text(other),
    }
}

fn order_keys(a: &[(Str, Value)], b: &[(Str, Value)]) -> Ordering {
    for (x, y) in a.iter().zip(b) {
        let by = x.0.cmp(&y.0).then_with(|| order_values(&x.1, &y.1));
        if by != Ordering::Equal {
            return by;
        }
    }
    a.len().cmp(&b.len())
}

/// Numbers, strings, booleans, lists, maps, null.
fn order_values(a: &Value, b: &Value) -> Ordering {
    let rank = |v: &Value| match v {
        Value::Int(_) | Value::Float(_) => 0,
        Value::Str(_) => 1,
        Value::Bool(_) => 2,
        Value::List(_) => 3,
        Value::Map(_) => 4,
        Value::Null => 5,
    };
    match (a, b) {
        (Value::Int(x), Value::Int(y)) => x.cmp(y),
        (Value::Int(_) | Value::Float(_), Value::Int(_) | Value::Float(_)) => {
            let f = |v: &Value| v.as_f64().unwrap_or_default();
            f(a).total_cmp(&f(b))
        }
        (Value::Str(x), Value::Str(y)) => x.cmp(y),
        (Value::Bool(x), Value::Bool(y)) => x.cmp(y),
        (Value::List(x), Value::List(y)) => {
            let by = x.iter().zip(y).map(|(x, y)| order_values(x, y)).find(|o| *o != Ordering::Equal);
            by.unwrap_or_else(|| x.len().cmp(&y.len()))
        }
        (Value::Map(_), Value::Map(_)) => text(a).cmp(&text(b)),
        _ => rank(a).cmp(&rank(b)),
    }
}

/// What the set says of one element: whether it is a member itself, and what it holds below.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Node {
    pub member: bool,
    pub below: Set,
}

/// A set of paths, as a tree in canonical order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Set(pub(super) BTreeMap<Element, Node>);

impl Set {
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|(_, n)| !n.member && n.below.is_empty())
    }

    pub fn get(&self, element: &Element) -> Option<&Node> {
        self.0.get(element)
    }

    pub(super) fn slot(&mut self, element: &Element) -> &mut Node {
        self.0.entry(element.clone()).or_default()
    }

    /// Insert one path. The empty path is the object itself and is never in a set.
    pub fn insert(&mut self, path: &[Element]) {
        let Some((first, rest)) = path.split_first() else { return };
        let node = self.slot(first);
        if rest.is_empty() { node.member = true } else { node.below.insert(rest) }
    }

    pub fn has(&self, path: &[Element]) -> bool {
        let Some((first, rest)) = path.split_first() else { return false };
        self.get(first).is_some_and(|n| if rest.is_empty() { n.member } else { n.below.has(rest) })
    }

    pub fn union(mut self, other: &Set) -> Set {
        self.add(other);
        self
    }

    fn add(&mut self, other: &Set) {
        for (element, node) in &other.0 {
            let slot = self.slot(element);
            slot.member |= node.member;
            slot.below.add(&node.below);
        }
    }

    fn rebuilt(&self, keep: impl Fn(&Element, &Node) -> Node) -> Set {
        let nodes = self.0.iter().map(|(e, n)| (e.clone(), keep(e, n)));
        Set(nodes.filter(|(_, n)| n.member || !n.below.0.is_empty()).collect())
    }

    pub fn intersection(&self, other: &Set) -> Set {
        self.rebuilt(|e, n| match other.get(e) {
            Some(o) => Node { member: n.member && o.member, below: n.below.intersection(&o.below) },
            None => Node::default(),
        })
    }

    /// Without the members of `other`; what lies below a member stays.
    pub fn difference(&self, other: &Set) -> Set {
        self.rebuilt(|e, n| match other.get(e) {
            Some(o) => Node { member: n.member && !o.member, below: n.below.difference(&o.below) },
            None => n.clone(),
        })
    }

    /// Without the members of `other` and everything below them.
    pub fn without(&self, other: &Set) -> Set {
        self.rebuilt(|e, n| match other.get(e) {
            Some(o) if o.member => Node::default(),
            Some(o) => Node { member: n.member, below: n.below.without(&o.below) },
            None => n.clone(),
        })
    }

    /// Only what lies at or below the members of `other`.
    pub fn within(&self, other: &Set) -> Set {
        self.rebuilt(|e, n| match other.get(e) {
            Some(o) if o.member => n.clone(),
            Some(o) => Node { member: false, below: n.below.within(&o.below) },
            None => Node::default(),
        })
    }

    /// All paths, each as it is shown in messages: at every level first what ends there, then what lies below (Set.Iterate).
    pub fn paths(&self) -> Vec<Vec<Element>> {
        fn walk(set: &Set, path: &mut Vec<Element>, out: &mut Vec<Vec<Element>>) {
            for (element, _) in set.0.iter().filter(|(_, node)| node.member) {
                out.push(path.iter().chain([element]).cloned().collect());
            }
            for (element, node) in &set.0 {
                path.push(element.clone());
                walk(&node.below, path, out);
                path.pop();
            }
        }
        let mut out = Vec::new();
        walk(self, &mut Vec::new(), &mut out);
        out
    }

    /// FieldsV1.
    pub fn to_value(&self) -> Value {
        let mut map = Map::with_capacity(self.0.len());
        for (element, node) in &self.0 {
            let below = match (node.member, node.below.0.is_empty()) {
                (true, true) => Value::Map(Map::default()),
                (_, false) => {
                    let Value::Map(below) = node.below.to_value() else { continue };
                    if node.member {
                        let mut with_dot = Map::with_capacity(below.len() + 1);
                        with_dot.insert(".", Map::default());
                        with_dot.extend(below);
                        Value::Map(with_dot)
                    } else {
                        Value::Map(below)
                    }
                }
                (false, true) => continue,
            };
            map.insert(element.wire(), below);
        }
        Value::Map(map)
    }

    /// Parse FieldsV1. Errors name the part that is no path element.
    pub fn from_value(value: &Value) -> Result<Set, String> {
        let mut set = Set::default();
        let Some(map) = value.as_map() else {
            return if value.is_null() { Ok(set) } else { Err("expected map".into()) };
        };
        for (key, below) in map {
            if key == "." {
                continue;
            }
            let Some(element) = Element::parse(key)? else { continue };
            let below_map = below.as_map();
            let node = Node {
                member: below_map.is_none_or(|m| m.is_empty() || m.contains_key(".")),
                below: Set::from_value(below)?,
            };
            set.0.entry(element).or_insert(node);
        }
        Ok(set)
    }

    /// Whether any path of this set is in `raw` (FieldsV1), found without parsing it.
    pub fn touches(&self, raw: &Value) -> bool {
        let hit = |node: &Node, r: &Value| (node.member && is_member(r)) || node.below.touches(r);
        match raw.as_map() {
            // The shorter side asks: a thousand owners of one field each are not asked for a thousand fields each.
            Some(map) if map.len() < self.0.len() => map.iter().any(|(wire, r)| {
                let element = Element::parse(wire).ok().flatten();
                element.and_then(|element| self.get(&element)).is_some_and(|node| hit(node, r))
            }),
            _ => self.0.iter().any(|(element, node)| raw.get(&element.wire()).is_some_and(|r| hit(node, r))),
        }
    }

    /// Whether every path of this set is in `raw` (FieldsV1), found without parsing it.
    pub fn inside(&self, raw: &Value) -> bool {
        self.0.iter().all(|(element, node)| {
            raw.get(&element.wire()).is_some_and(|r| (!node.member || is_member(r)) && node.below.inside(r))
        })
    }
}

fn is_member(raw: &Value) -> bool {
    raw.as_map().is_some_and(|m| m.is_empty() || m.contains_key("."))
}

/// A path as messages show it.
pub fn shown(path: &[Element]) -> String {
    path.iter().map(Element::shown).collect()
}
