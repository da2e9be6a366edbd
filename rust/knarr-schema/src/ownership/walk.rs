//! The walks over one or two values by the schema: which paths a value has, what differs between two, merging, removing, checking.
//!
//! Source: structured-merge-diff v6 `typed/{tofieldset,compare,merge,remove,validate}.go`.

use std::collections::{BTreeMap, BTreeSet};

use knarr_value::{Map, Str, TypeTable, Value};

use super::set::{Element, Set};
use super::shape::{Atom, Place, Relation, Scalar, entry, item};

/// All paths `value` has: leaves, list items, map entries and empty structs.
pub(super) fn paths_of(types: &TypeTable, place: Place<'_>, value: &Value) -> Set {
    let mut set = Set::default();
    collect(types, place, value, &mut Vec::new(), &mut set);
    set
}

fn collect(types: &TypeTable, place: Place<'_>, value: &Value, path: &mut Vec<Element>, set: &mut Set) {
    match place.atom(types, Some(value)) {
        Atom::Scalar(_) | Atom::List { relation: Relation::Atomic, .. } | Atom::Map { atomic: true, .. } => {
            set.insert(path)
        }
        Atom::List { relation, element } => {
            let items = value.as_list().unwrap_or_default();
            for (pe, places) in places(types, relation, element, items) {
                path.push(pe);
                // Of an item that stands there twice, only the item itself is owned, as a whole.
                if let [only] = places[..] {
                    collect(types, element, &items[only], path, set);
                }
                set.insert(path);
                path.pop();
            }
        }
        Atom::Map { fields, values, .. } => {
            let Some(map) = value.as_map() else { return };
            for (key, value) in map {
                let Some(place) = entry(fields, values, key) else { continue };
                path.push(Element::Field(key.clone()));
                collect(types, place, value, path, set);
                if fields.is_none() || value.is_null() || value.as_map().is_some_and(Map::is_empty) {
                    set.insert(path);
                }
                path.pop();
            }
        }
    }
}

/// Where each item of an associative list stands; those that are none have no place.
fn places(
    types: &TypeTable,
    relation: Relation<'_>,
    element: Place<'_>,
    items: &[Value],
) -> BTreeMap<Element, Vec<usize>> {
    let mut places: BTreeMap<Element, Vec<usize>> = BTreeMap::new();
    for (i, value) in items.iter().enumerate() {
        if let Ok(pe) = item(types, relation, element, value) {
            places.entry(pe).or_default().push(i);
        }
    }
    places
}

/// What differs between two values. No path stands in more than one set.
#[derive(Default)]
pub(super) struct Difference {
    pub removed: Set,
    /// In both but different, or only in the new one: what the writer of the new value takes.
    pub taken: Set,
}

/// Compare two values of one place. Equal parts are passed over by plain equality, so the cost follows the changed part.
pub(super) fn compare(types: &TypeTable, place: Place<'_>, old: &Value, new: &Value) -> Difference {
    let mut walk = Compare { types, path: Vec::with_capacity(8), out: Difference::default() };
    walk.visit(place, Some(old), Some(new));
    walk.out
}

struct Compare<'a> {
    types: &'a TypeTable,
    path: Vec<Element>,
    out: Difference,
}

impl<'a> Compare<'a> {
    fn visit(&mut self, place: Place<'a>, old: Option<&Value>, new: Option<&Value>) {
        if let (Some(old), Some(new)) = (old, new)
            && old == new
        {
            return;
        }
        let leaf = match (old, new) {
            (Some(a), Some(b)) if place.deduced() && kind(a) != kind(b) && !a.is_null() && !b.is_null() => {
                let first = self.atom(place, a, Some(a), Some(b));
                let second = self.atom(place, b, Some(a), Some(b));
                first && second
            }
            (_, Some(b)) if !b.is_null() || old.is_none() => self.atom(place, b, old, new),
            (Some(a), _) => self.atom(place, a, old, new),
            _ => return,
        };
        if !leaf {
            if old.is_none() {
                self.out.taken.insert(&self.path);
            } else if new.is_none() {
                self.out.removed.insert(&self.path);
            }
        }
    }

    /// Handle one atom; true if it was a leaf (and so has been recorded).
    fn atom(&mut self, place: Place<'a>, by: &Value, old: Option<&Value>, new: Option<&Value>) -> bool {
        let empty_list = |v: Option<&Value>| v.and_then(Value::as_list).is_none_or(<[Value]>::is_empty);
        let empty_map = |v: Option<&Value>| v.and_then(Value::as_map).is_none_or(Map::is_empty);
        // Two empty lists, or maps, are one leaf: so empty and null stay apart.
        let (empty_lists, empty_maps) = (empty_list(old) && empty_list(new), empty_map(old) && empty_map(new));
        match place.atom(self.types, Some(by)) {
            Atom::List { relation: relation @ (Relation::Set | Relation::Keys(_)), element } if !empty_lists => {
                let lists = (
                    old.and_then(Value::as_list).unwrap_or_default(),
                    new.and_then(Value::as_list).unwrap_or_default(),
                );
                self.lists(relation, element, lists.0, lists.1);
                false
            }
            Atom::Map { atomic: false, fields, values } if !empty_maps => {
                let empty = Map::default();
                let (old, new) =
                    (old.and_then(Value::as_map).unwrap_or(&empty), new.and_then(Value::as_map).unwrap_or(&empty));
                for (key, value) in old {
                    self.map_entry(fields, values, key, Some(value), new.get(key));
                }
                for (key, value) in new {
                    if !old.contains_key(key) {
                        self.map_entry(fields, values, key, None, Some(value));
                    }
                }
                false
            }
            _ => {
                match (old, new) {
                    (Some(_), None) => self.out.removed.insert(&self.path),
                    _ => self.out.taken.insert(&self.path),
                }
                true
            }
        }
    }

    fn map_entry(
        &mut self,
        fields: Option<&'a knarr_value::Type>,
        values: Place<'a>,
        key: &Str,
        old: Option<&Value>,
        new: Option<&Value>,
    ) {
        if old == new {
            return;
        }
        let Some(place) = entry(fields, values, key) else { return };
        self.path.push(Element::Field(key.clone()));
        self.visit(place, old, new);
        self.path.pop();
    }

    fn lists(&mut self, relation: Relation<'a>, element: Place<'a>, old: &[Value], new: &[Value]) {
        let lefts = places(self.types, relation, element, old);
        let rights = places(self.types, relation, element, new);
        for pe in lefts.keys().chain(rights.keys().filter(|pe| !lefts.contains_key(pe))) {
            let (left, right) =
                (lefts.get(pe).map_or(&[][..], Vec::as_slice), rights.get(pe).map_or(&[][..], Vec::as_slice));
            let (first_left, first_right) = (left.first().map(|i| &old[*i]), right.first().map(|i| &new[*i]));
            self.path.push(pe.clone());
            match (left.len() > 1, right.len() > 1) {
                (false, false) => self.visit(element, first_left, first_right),
                (true, true) => {
                    if left.iter().map(|i| &old[*i]).ne(right.iter().map(|i| &new[*i])) {
                        self.out.taken.insert(&self.path);
                    }
                }
                (true, false) => {
                    if first_right.is_some() {
                        self.visit(element, None, first_right);
                    }
                    self.out.removed.insert(&self.path);
                }
                (false, true) => {
                    if first_left.is_some() {
                        self.visit(element, first_left, None);
                    }
                    self.out.taken.insert(&self.path);
                }
            }
            self.path.pop();
        }
    }
}

fn kind(value: &Value) -> u8 {
    match value {
        Value::List(_) => 1,
        Value::Map(_) => 2,
        _ => 0,
    }
}

/// Merge `new` into `old`: leaves of `new` win, granular maps and associative lists merge, and list items keep the order of `new`
/// with the items only `old` has woven in. `None`: nothing remains.
pub(super) fn merge(types: &TypeTable, place: Place<'_>, old: Option<&Value>, new: Option<&Value>) -> Option<Value> {
    let by = match (old, new) {
        (None, None) => return None,
        (_, Some(b)) if !b.is_null() => b,
        (Some(a), _) => a,
        (None, Some(b)) => b,
    };
    let leaf = || new.or(old).cloned();
    match place.atom(types, Some(by)) {
        Atom::List { relation, element } if !matches!(relation, Relation::Atomic) => {
            let (l, r) =
                (old.and_then(Value::as_list).unwrap_or_default(), new.and_then(Value::as_list).unwrap_or_default());
            if l.is_empty() && r.is_empty() { leaf() } else { merge_lists(types, relation, element, l, r) }
        }
        Atom::Map { atomic: false, fields, values } => {
            let empty = Map::default();
            let (l, r) = (old.and_then(Value::as_map).unwrap_or(&empty), new.and_then(Value::as_map).unwrap_or(&empty));
            if l.is_empty() && r.is_empty() {
                return leaf();
            }
            let mut out = Map::with_capacity(l.len() + r.len());
            for key in l.keys().chain(r.keys().filter(|k| !l.contains_key(k))) {
                let merged = match entry(fields, values, key) {
                    Some(place) => merge(types, place, l.get(key), r.get(key)),
                    None => r.get(key).or(l.get(key)).cloned(),
                };
                if let Some(value) = merged {
                    out.insert(key.clone(), value);
                }
            }
            (!out.is_empty()).then_some(Value::Map(out))
        }
        _ => leaf(),
    }
}

fn merge_lists(
    types: &TypeTable,
    relation: Relation<'_>,
    element: Place<'_>,
    old: &[Value],
    new: &[Value],
) -> Option<Value> {
    let index = |items: &[Value]| -> Vec<Element> {
        items.iter().filter_map(|v| item(types, relation, element, v).ok()).collect()
    };
    let (lefts, rights) = (index(old), index(new));
    let left_places = places(types, relation, element, old);
    let right_places = places(types, relation, element, new);
    // Items that stand there twice are not merged but replaced.
    let in_old = |pe: &Element| match left_places.get(pe).map(Vec::as_slice) {
        Some([only]) => Some(&old[*only]),
        _ => None,
    };
    let in_new = |pe: &Element| right_places.get(pe).and_then(|places| places.first()).map(|i| &new[*i]);
    let mut shared = rights.iter().filter(|pe| left_places.contains_key(pe));
    let mut next_shared = shared.next();
    let mut done: BTreeSet<&Element> = BTreeSet::new();
    let mut out = Vec::with_capacity(old.len().max(new.len()));
    let (mut l, mut r) = (0, 0);
    while l < lefts.len() || r < rights.len() {
        if l < lefts.len() && r < rights.len() {
            let pe = &lefts[l];
            if *pe == rights[r] {
                done.insert(pe);
                out.extend(merge(types, element, in_old(pe), in_new(pe)));
                l += 1;
                r += 1;
                next_shared = shared.next();
                continue;
            }
            if in_new(pe).is_some() && next_shared.is_some_and(|s| s != pe) {
                l += 1;
                continue;
            }
        }
        if l < lefts.len() {
            let pe = &lefts[l];
            if in_new(pe).is_none() {
                out.extend(merge(types, element, Some(&old[l]), None));
                l += 1;
                continue;
            } else if done.contains(&pe) {
                l += 1;
            }
        }
        if r < rights.len() {
            let pe = &rights[r];
            done.insert(pe);
            out.extend(merge(types, element, in_old(pe), in_new(pe)));
            r += 1;
            if next_shared == Some(pe) {
                next_shared = shared.next();
            }
        }
    }
    (!out.is_empty()).then_some(Value::List(out))
}

/// `value` without the paths of `gone`. `None`: nothing remains.
pub(super) fn remove(types: &TypeTable, place: Place<'_>, value: &Value, gone: &Set) -> Option<Value> {
    match place.atom(types, Some(value)) {
        Atom::Scalar(_) => Some(value.clone()),
        Atom::List { relation: Relation::Atomic, .. } | Atom::Map { atomic: true, .. } => None,
        Atom::List { relation, element } => {
            let mut out = Vec::new();
            for child in value.as_list().unwrap_or_default() {
                let Ok(pe) = item(types, relation, element, child) else {
                    out.push(child.clone());
                    continue;
                };
                match gone.get(&pe) {
                    Some(node) if node.member => {}
                    Some(node) if !node.below.is_empty() => out.extend(remove(types, element, child, &node.below)),
                    _ => out.push(child.clone()),
                }
            }
            (!out.is_empty()).then_some(Value::List(out))
        }
        Atom::Map { fields, values, .. } => {
            let mut out = Map::default();
            for (key, child) in value.as_map()? {
                match gone.get(&Element::Field(key.clone())) {
                    Some(node) if node.member => {}
                    Some(node) if !node.below.is_empty() => {
                        let place = entry(fields, values, key).unwrap_or(Place::Deduced);
                        if let Some(child) = remove(types, place, child, &node.below) {
                            out.insert(key.clone(), child);
                        }
                    }
                    _ => {
                        out.insert(key.clone(), child.clone());
                    }
                }
            }
            (!out.is_empty()).then_some(Value::Map(out))
        }
    }
}

/// The set with each declared field that has members below made a member itself, so that removing the last one removes the field.
pub(super) fn with_named_fields(types: &TypeTable, place: Place<'_>, set: &Set) -> Set {
    let atom = place.atom(types, None);
    let nodes = set.0.iter().map(|(pe, node)| {
        let mut node = node.clone();
        if !node.below.0.is_empty() {
            let (below, named) = match (pe, atom) {
                (Element::Field(name), Atom::Map { fields, values, .. }) => (
                    entry(fields, values, name).unwrap_or(Place::Deduced),
                    fields.is_some_and(|t| t.field(name).is_some()),
                ),
                (Element::Key(_), Atom::List { element, .. }) => (element, false),
                _ => (Place::Deduced, false),
            };
            node.member |= named;
            node.below = with_named_fields(types, below, &node.below);
        }
        (pe.clone(), node)
    });
    Set(nodes.collect())
}

/// Whether `value` fits the schema; the errors of an applied configuration.
pub(super) fn check(types: &TypeTable, place: Place<'_>, value: &Value, duplicates: bool) -> Vec<(String, String)> {
    let mut errors = Vec::new();
    validate(types, place, value, duplicates, &mut Vec::new(), &mut errors);
    errors
}

fn validate(
    types: &TypeTable,
    place: Place<'_>,
    value: &Value,
    duplicates: bool,
    path: &mut Vec<String>,
    errors: &mut Vec<(String, String)>,
) {
    if value.is_null() {
        return;
    }
    let mut say = |text: String| errors.push((path.concat(), text));
    let go = crate::patch::go_text;
    match place.atom(types, Some(value)) {
        Atom::Scalar(scalar) => {
            let number = matches!(value, Value::Int(_) | Value::Float(_));
            match scalar {
                Scalar::Number if !number => {
                    say(format!("expected numeric (int or float), got {}", crate::patch::go_name(value)));
                }
                Scalar::Text if value.as_str().is_none() => {
                    say(format!(
                        "expected string, got &value.valueUnstructured{{Value:{}}}",
                        crate::patch::go_syntax(value)
                    ));
                }
                Scalar::Boolean if value.as_bool().is_none() => {
                    say(format!("expected boolean, got &{{{}}}", go(value)))
                }
                Scalar::Untyped if matches!(value, Value::List(_) | Value::Map(_)) => {
                    say(format!("expected any scalar, got &{{{}}}", go(value)));
                }
                _ => {}
            }
        }
        Atom::List { relation, element } => {
            let Some(items) = value.as_list() else { return say(format!("expected list, got &{{{}}}", go(value))) };
            let mut seen: BTreeSet<Element> = BTreeSet::new();
            for (i, child) in items.iter().enumerate() {
                let pe = match relation {
                    Relation::Atomic => Element::Index(i as i64),
                    _ => match item(types, relation, element, child) {
                        Ok(pe) => pe,
                        Err(why) => {
                            errors.push((path.concat(), format!("element {i}: {why}")));
                            return;
                        }
                    },
                };
                path.push(pe.shown());
                if !duplicates && !matches!(relation, Relation::Atomic) && !seen.insert(pe) {
                    let list = path[..path.len() - 1].concat();
                    errors.push((list, format!("duplicate entries for key {}", path[path.len() - 1])));
                }
                validate(types, element, child, duplicates, path, errors);
                path.pop();
            }
        }
        Atom::Map { fields, values, .. } => {
            let Some(map) = value.as_map() else { return say(format!("expected map, got &{{{}}}", go(value))) };
            for (key, child) in map {
                path.push(format!(".{key}"));
                match entry(fields, values, key) {
                    Some(place) => validate(types, place, child, duplicates, path, errors),
                    None => {
                        errors.push((path.concat(), "field not declared in schema".into()));
                        path.pop();
                        return;
                    }
                }
                path.pop();
            }
        }
    }
}
