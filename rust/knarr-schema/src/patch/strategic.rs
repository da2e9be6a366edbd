//! Kubernetes' strategic merge patch: lists merge by key or as sets where the types table says so.
//!
//! Directives: `$patch: replace|delete` (of a map or of list elements), `$retainKeys`, `$deleteFromPrimitiveList/F`,
//! `$setElementOrder/F`. Source: apimachinery `strategicpatch/patch.go`; where Go's random map order decides, the patch's order does.

use std::collections::{BTreeMap, BTreeSet};

use knarr_value::{Field, Map, Shape, Type, TypeId, TypeTable, Value, json};

use super::PatchError;

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList";
const SET_ORDER: &str = "$setElementOrder";

const BAD_PRIMITIVE_LIST: &str = "invalid patch format of primitive list";
const BAD_RETAIN_KEYS: &str = "invalid patch format of retainKeys";
const BAD_ORDER_LIST: &str = "invalid patch format of setElementOrder list";
const LIST_OF_LISTS: &str = "lists of lists are not supported";

type Done<T> = Result<T, PatchError>;

fn internal<T>(text: impl Into<String>) -> Done<T> {
    Err(PatchError::Internal(text.into()))
}

/// Apply `patch` to `doc`, an object of type `id`.
///
/// Errors: `BadRequest` for malformed directives, `Unprocessable` for lists of lists, `Internal` (500, as kube-apiserver answers)
/// for what it does not classify: a missing merge key, a field that the type does not have.
pub fn strategic(types: &TypeTable, id: TypeId, doc: Value, patch: Value) -> Done<Value> {
    let patch = match patch {
        Value::Map(map) => map,
        Value::Null => Map::default(),
        other => {
            let kind = match other {
                Value::List(_) => "array",
                Value::Str(_) => "string",
                Value::Bool(_) => "bool",
                _ => "number",
            };
            return Err(PatchError::BadRequest(format!(
                "json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"
            )));
        }
    };
    let doc = match doc {
        Value::Map(map) => map,
        _ => Map::default(),
    };
    merge_map(Lookup { types, at: At::Struct(types.get(id)) }, doc, patch).map(Value::Map)
}

/// Where in the schema the merge stands.
#[derive(Clone, Copy)]
struct Lookup<'a> {
    types: &'a TypeTable,
    at: At<'a>,
}

#[derive(Clone, Copy)]
enum At<'a> {
    Struct(&'a Type),
    Values(&'a Shape),
    Other(&'a Shape),
}

impl<'a> Lookup<'a> {
    fn of(self, shape: &'a Shape) -> Lookup<'a> {
        let at = match shape {
            Shape::Struct(id) => At::Struct(self.types.get(*id)),
            Shape::Map(values) => At::Values(values),
            other => At::Other(other),
        };
        Lookup { types: self.types, at }
    }

    fn child(self, key: &str) -> Done<(&'a Shape, Option<&'a Field>)> {
        match self.at {
            At::Struct(ty) => match ty.field(key) {
                Some(field) => Ok((&field.shape, Some(field))),
                None => {
                    let name = ty.name.rsplit('.').next().unwrap_or_default();
                    internal(format!(
                        "unable to find api field in struct {name} for the json field {}",
                        crate::error::quote(key)
                    ))
                }
            },
            At::Values(shape) => Ok((shape, None)),
            At::Other(_) => internal(format!(
                "merging an object in json but data type is not struct, instead is: {}",
                self.kind_name()
            )),
        }
    }

    fn element(self, key: &str) -> Done<(Lookup<'a>, Option<&'a Field>)> {
        let (shape, field) = self.child(key)?;
        match shape {
            Shape::List(inner) if matches!(**inner, Shape::List(_)) => internal("unexpected slice of slice"),
            Shape::List(inner) => Ok((self.of(inner), field)),
            Shape::Bytes => Ok((self.of(shape), field)),
            _ => internal(format!("expected slice or array type, but got: {}", self.kind_name())),
        }
    }

    /// Go's `reflect.Kind` of the type the merge stands in.
    fn kind_name(self) -> &'static str {
        match self.at {
            At::Struct(_) => "struct",
            At::Values(_) => "map",
            At::Other(Shape::Str) => "string",
            At::Other(Shape::Bool) => "bool",
            At::Other(Shape::Int32) => "int32",
            At::Other(Shape::Int64) => "int64",
            At::Other(Shape::Double) => "float64",
            At::Other(Shape::List(_) | Shape::Bytes) => "slice",
            At::Other(_) => "struct",
        }
    }
}

fn replaces(field: Option<&Field>) -> bool {
    field.is_some_and(|f| f.patch == knarr_value::types::PatchStrategy::Replace)
}

fn merges(field: Option<&Field>) -> bool {
    field.is_some_and(|f| f.patch.merges())
}

fn merge_key(field: Option<&Field>) -> Option<&str> {
    field.and_then(|f| f.merge_key.as_deref())
}

fn merge_map(schema: Lookup<'_>, original: Map, patch: Map) -> Done<Map> {
    let mut patch = patch;
    match patch.get(DIRECTIVE) {
        None => {}
        Some(Value::Str(s)) if s == "replace" => {
            patch.remove(DIRECTIVE);
            return Ok(patch);
        }
        Some(Value::Str(s)) if s == "delete" => return Ok(Map::default()),
        Some(other) => return bad_patch_type(other, &patch),
    }
    let mut original = original;
    retain_keys(&mut original, &mut patch)?;
    set_element_order(schema, &mut original, &mut patch)?;
    for (key, change) in patch {
        let (key, deletes) = match key.strip_prefix(DELETE_FROM) {
            Some(rest) => match rest.strip_prefix('/') {
                Some(field) => (field.into(), true),
                None => return Err(PatchError::BadRequest(BAD_PRIMITIVE_LIST.into())),
            },
            None => (key, false),
        };
        if change.is_null() {
            original.remove(&key);
            continue;
        }
        let same_type = original.get(&key).is_some_and(|have| go_name(have) == go_name(&change));
        if !same_type {
            if !deletes {
                let mut change = change;
                discard_nulls(&mut change);
                put_without_directives(&mut original, &key, change);
            }
            continue;
        }
        match change {
            Value::Map(change) => {
                let (shape, field) = schema.child(&key)?;
                let slot = original.entry(&key);
                *slot = Value::Map(if replaces(field) {
                    change
                } else {
                    let Value::Map(have) = slot.take() else { return internal(BAD_PRIMITIVE_LIST) };
                    merge_map(schema.of(shape), have, change)?
                });
            }
            Value::List(change) => {
                let (element, field) = schema.element(&key)?;
                let slot = original.entry(&key);
                let Value::List(have) = slot.take() else { return internal(BAD_PRIMITIVE_LIST) };
                *slot = Value::List(merge_list_by(element, field, have, change, deletes)?);
            }
            other => put_without_directives(&mut original, &key, other),
        }
    }
    Ok(original)
}

fn bad_patch_type<T>(directive: &Value, map: &Map) -> Done<T> {
    let shown = match directive {
        Value::Str(s) => s.to_string(),
        other => format!("%!s({}={})", go_name(other), go_text(other)),
    };
    internal(format!("unknown patch type: {shown} in map: {}", go_map(map)))
}

fn put_without_directives(original: &mut Map, key: &str, value: Value) {
    match remove_directives(value) {
        Some(value) => {
            original.insert(key, value);
        }
        None => {
            original.remove(key);
        }
    }
}

/// `None`: the value itself is a directive and is not kept.
fn remove_directives(value: Value) -> Option<Value> {
    match value {
        Value::Map(map) if map.contains_key(DIRECTIVE) => None,
        Value::Map(map) => {
            Some(Value::Map(map.into_iter().filter_map(|(k, v)| remove_directives(v).map(|v| (k, v))).collect()))
        }
        Value::List(items) => Some(Value::List(items.into_iter().filter_map(remove_directives).collect())),
        other => Some(other),
    }
}

fn discard_nulls(value: &mut Value) {
    match value {
        Value::Map(map) => map.retain(|_, v| {
            discard_nulls(v);
            !v.is_null()
        }),
        Value::List(items) => items.iter_mut().for_each(discard_nulls),
        _ => {}
    }
}

fn retain_keys(original: &mut Map, patch: &mut Map) -> Done<()> {
    let Some(keys) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let bad = || PatchError::BadRequest(BAD_RETAIN_KEYS.into());
    let Value::List(keys) = keys else { return Err(bad()) };
    let keys: BTreeSet<&str> = keys.iter().filter_map(Value::as_str).collect();
    let kept = |k: &str| keys.contains(k);
    for (key, value) in patch.iter() {
        let exempt = value.is_null() || key.starts_with(DELETE_FROM) || key.starts_with(SET_ORDER);
        if !exempt && !kept(key) {
            return Err(bad());
        }
    }
    original.retain(|k, _| kept(k));
    Ok(())
}

/// Merge each list that has a `$setElementOrder` and put it in order; both leave the patch.
fn set_element_order(schema: Lookup<'_>, original: &mut Map, patch: &mut Map) -> Done<()> {
    let directives: Vec<_> = patch.keys().filter(|k| k.starts_with(SET_ORDER)).cloned().collect();
    for directive in directives {
        let order = match patch.remove(&directive) {
            Some(Value::List(order)) => order,
            other => return bad_arg(&other.unwrap_or_default()),
        };
        let Some(key) = directive[SET_ORDER.len()..].strip_prefix('/') else {
            return Err(PatchError::BadRequest(BAD_ORDER_LIST.into()));
        };
        let have = original.get(key).cloned();
        let change = patch.get(key).cloned();
        let as_list = |v: Option<Value>| match v {
            None => Ok(None),
            Some(Value::List(items)) => Ok(Some(items)),
            Some(other) => bad_arg(&other),
        };
        let (have, change) = (as_list(have)?, as_list(change)?);
        let (element, field) = schema.element(key)?;
        let by = merge_key(field);
        check_order(change.as_deref().unwrap_or_default(), &order, by)?;
        let merged = match (&have, &change) {
            (None, None) => continue,
            (Some(have), None) => have.clone(),
            (None, Some(change)) => change.iter().cloned().filter_map(remove_directives).collect(),
            (Some(have), Some(change)) => merge_list_by(element, field, have.clone(), change.clone(), false)?,
        };
        let server_order = have.unwrap_or_default();
        element_kind(&[&server_order, change.as_deref().unwrap_or_default()])?;
        let (in_patch, server_only) = partition(merged, &order, by)?;
        let both = in_order(in_patch, server_only, &order, &server_order, by)?;
        original.insert(key, Value::List(both));
        patch.remove(key);
    }
    Ok(())
}

fn bad_arg<T>(actual: &Value) -> Done<T> {
    internal(format!("expected a []interface {{}}, but received a {}", go_name(actual)))
}

/// The patch's elements must stand in the order list, in its order.
fn check_order(patch: &[Value], order: &[Value], by: Option<&str>) -> Done<()> {
    if patch.is_empty() || order.is_empty() {
        return Ok(());
    }
    let mut wanted = patch.iter().filter(|v| v.get(DIRECTIVE).is_none()).peekable();
    for entry in order {
        let Some(next) = wanted.peek() else { break };
        let same = match by {
            None => *next == entry,
            Some(by) => keyed(next, by)? == keyed(entry, by)?,
        };
        if same {
            wanted.next();
        }
    }
    if wanted.peek().is_some() {
        return internal(format!(
            "The order in patch list:\n{}\n doesn't match {SET_ORDER} list:\n{}\n",
            go_list(patch),
            go_list(order)
        ));
    }
    Ok(())
}

fn keyed<'v>(item: &'v Value, by: &str) -> Done<&'v Value> {
    let Value::Map(map) = item else {
        return internal(format!("expected a map[string]interface {{}}, but received a {}", go_name(item)));
    };
    match map.get(by) {
        Some(value) => Ok(value),
        None => internal(format!("map: {} does not contain declared merge key: {by}", go_map(map))),
    }
}

fn merge_list_by(
    schema: Lookup<'_>,
    field: Option<&Field>,
    have: Vec<Value>,
    change: Vec<Value>,
    deletes: bool,
) -> Done<Vec<Value>> {
    if merges(field) || deletes { merge_list(schema, merge_key(field), have, change, deletes) } else { Ok(change) }
}

fn merge_list(
    schema: Lookup<'_>,
    by: Option<&str>,
    original: Vec<Value>,
    patch: Vec<Value>,
    deletes: bool,
) -> Done<Vec<Value>> {
    if original.is_empty() && patch.is_empty() {
        return Ok(original);
    }
    if element_kind(&[&original, &patch])? != "map[string]interface {}" {
        if deletes {
            let gone = Places::of(&patch, None);
            return Ok(original.into_iter().filter(|v| gone.first(v, None).is_none()).collect());
        }
        // What is there twice stays once; its place is decided below.
        let mut seen = BTreeSet::new();
        let both = original.iter().chain(&patch).filter(|item| seen.insert(identity(Some(item))));
        let (in_patch, server_only) = partition(both.cloned().collect(), &patch, None)?;
        return in_order(in_patch, server_only, &patch, &original, None);
    }
    let Some(by) = by else {
        return internal(format!("cannot merge lists without merge key for {}", schema.kind_name()));
    };
    let (original, patch) = special_elements(original, patch, by)?;
    let mut merged = original.clone();
    let mut places = Places::of(&merged, Some(by));
    for item in patch.iter() {
        let found = places.find(keyed(item, by)?)?;
        match (found, item) {
            (Some(at), Value::Map(change)) => {
                let Value::Map(have) = merged[at].take() else { return internal(LIST_OF_LISTS) };
                merged[at] = Value::Map(merge_map(schema, have, change.clone())?);
            }
            _ => {
                places.add(merged.len(), item, Some(by));
                merged.push(item.clone());
            }
        }
    }
    let (in_patch, server_only) = partition(merged, &patch, Some(by))?;
    in_order(in_patch, server_only, &patch, &original, Some(by))
}

/// Elements that are directives: deletions are done, `replace` makes the patch the whole list.
fn special_elements(original: Vec<Value>, patch: Vec<Value>, by: &str) -> Done<(Vec<Value>, Vec<Value>)> {
    let mut gone = BTreeSet::new();
    let (mut plain, mut replace) = (Vec::with_capacity(patch.len()), false);
    for item in patch {
        let Value::Map(map) = &item else { return internal(LIST_OF_LISTS) };
        match map.get(DIRECTIVE) {
            None => plain.push(item),
            Some(Value::Str(s)) if s == "delete" => {
                gone.insert(identity(Some(keyed(&item, by)?)));
            }
            Some(Value::Str(s)) if s == "replace" => replace = true,
            Some(Value::Str(s)) if s == "merge" => {
                return internal("merging lists cannot yet be specified in the patch");
            }
            Some(other) => return bad_patch_type(other, map),
        }
    }
    let kept = original.into_iter().filter(|item| gone.is_empty() || !gone.contains(&identity(item.get(by))));
    Ok(if replace { (plain, Vec::new()) } else { (kept.collect(), plain) })
}

/// Equal for equal values, and for two that are absent.
fn identity(value: Option<&Value>) -> Vec<u8> {
    let mut out = value.map_or("", go_name).as_bytes().to_vec();
    match value {
        Some(Value::Map(map)) => {
            let mut map = map.clone();
            map.sort_keys();
            json::write(&Value::Map(map), &mut out);
        }
        Some(value) => json::write(value, &mut out),
        None => {}
    }
    out
}

/// Where the items of a list stand first: by a key field, or as a whole.
#[derive(Default)]
struct Places {
    first: BTreeMap<Vec<u8>, usize>,
    /// The first item that has no fields, where there is to be a key.
    broken: Option<usize>,
}

impl Places {
    fn of(items: &[Value], by: Option<&str>) -> Places {
        let mut places = Places::default();
        for (at, item) in items.iter().enumerate() {
            places.add(at, item, by);
        }
        places
    }

    fn add(&mut self, at: usize, item: &Value, by: Option<&str>) {
        if by.is_some() && item.as_map().is_none() {
            self.broken.get_or_insert(at);
        }
        self.first.entry(identity(by.map_or(Some(item), |by| item.get(by)))).or_insert(at);
    }

    /// The first item that has the key which `item` has.
    fn first(&self, item: &Value, by: Option<&str>) -> Option<usize> {
        self.first.get(&identity(by.map_or(Some(item), |by| item.get(by)))).copied()
    }

    /// The first item of this key, if all before it have fields.
    fn find(&self, key: &Value) -> Done<Option<usize>> {
        let found = self.first.get(&identity(Some(key))).copied();
        match self.broken {
            Some(at) if found.is_none_or(|found| found > at) => internal(format!("value for key {at} is not a map")),
            _ => Ok(found),
        }
    }
}

fn partition(items: Vec<Value>, listed: &[Value], by: Option<&str>) -> Done<(Vec<Value>, Vec<Value>)> {
    let places = Places::of(listed, by);
    let (mut inside, mut outside) = (Vec::new(), Vec::new());
    for item in items {
        let found = match by {
            None => places.first(&item, None).is_some(),
            Some(by) => places.find(keyed(&item, by)?)?.is_some(),
        };
        if found { inside.push(item) } else { outside.push(item) }
    }
    Ok((inside, outside))
}

/// Order patch items by the patch, server items by the server, then weave them: a server item goes before the first patch item
/// that stood behind it on the server.
fn in_order(
    patch: Vec<Value>,
    server: Vec<Value>,
    patch_order: &[Value],
    server_order: &[Value],
    by: Option<&str>,
) -> Done<Vec<Value>> {
    let (patch_order, server_order) = (Places::of(patch_order, by), Places::of(server_order, by));
    let sorted = |items: Vec<Value>, order: &Places| {
        let (mut kept, deleted): (Vec<_>, Vec<_>) =
            items.into_iter().partition(|v| v.get(DIRECTIVE).and_then(Value::as_str) != Some("delete"));
        kept.sort_by_cached_key(|v| order.first(v, by).unwrap_or(usize::MAX));
        kept.extend(deleted);
        kept
    };
    let mut left = sorted(server, &server_order).into_iter().peekable();
    let mut right = sorted(patch, &patch_order).into_iter().peekable();
    let mut out = Vec::new();
    loop {
        let take_left = match (left.peek(), right.peek()) {
            (None, None) => return Ok(out),
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (Some(l), Some(r)) => {
                matches!((server_order.first(l, by), server_order.first(r, by)), (Some(l), Some(r)) if l < r)
            }
        };
        out.extend(if take_left { left.next() } else { right.next() });
    }
}

fn element_kind(lists: &[&[Value]]) -> Done<&'static str> {
    let mut kind = None;
    for item in lists.iter().copied().flatten() {
        let this = go_name(item);
        match kind {
            None if this == "[]interface {}" => return Err(PatchError::Unprocessable(LIST_OF_LISTS.into())),
            None => kind = Some(this),
            Some(kind) if kind != this => {
                let shown: Vec<String> = lists.iter().map(|l| go_list(l)).collect();
                return internal(format!("list element types are not identical: [{}]", shown.join(" ")));
            }
            Some(_) => {}
        }
    }
    match kind {
        Some(kind) => Ok(kind),
        None => internal("no elements in any of the given slices"),
    }
}

/// The name Go's reflection has for the decoded form.
pub(crate) fn go_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "%!s(<nil>)",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int64",
        Value::Float(_) => "float64",
        Value::Str(_) => "string",
        Value::List(_) => "[]interface {}",
        Value::Map(_) => "map[string]interface {}",
    }
}

/// Go's `%v`: maps sorted by key.
pub fn go_text(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".into(),
        Value::Str(s) => s.to_string(),
        Value::List(items) => go_list(items),
        Value::Map(map) => go_map(map),
        Value::Bool(b) => b.to_string(),
        Value::Int(i) => i.to_string(),
        Value::Float(f) => f.to_string(),
    }
}

/// Go's `%#v`.
pub(crate) fn go_syntax(value: &Value) -> String {
    match value {
        Value::Null => "interface {}(nil)".into(),
        Value::Str(s) => crate::error::quote(s),
        Value::List(items) => {
            format!("[]interface {{}}{{{}}}", items.iter().map(go_syntax).collect::<Vec<_>>().join(", "))
        }
        Value::Map(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by(|a, b| a.0.cmp(b.0));
            let entry = |(key, value): (&knarr_value::Str, &Value)| {
                format!("{}:{}", crate::error::quote(key), go_syntax(value))
            };
            format!("map[string]interface {{}}{{{}}}", entries.into_iter().map(entry).collect::<Vec<_>>().join(", "))
        }
        scalar => go_text(scalar),
    }
}

fn go_list(items: &[Value]) -> String {
    format!("[{}]", items.iter().map(go_text).collect::<Vec<_>>().join(" "))
}

fn go_map(map: &Map) -> String {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_by(|a, b| a.0.cmp(b.0));
    format!("map[{}]", entries.iter().map(|(k, v)| format!("{k}:{}", go_text(v))).collect::<Vec<_>>().join(" "))
}
