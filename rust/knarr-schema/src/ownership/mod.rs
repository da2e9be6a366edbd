//! Field ownership: server-side apply and `metadata.managedFields`, with the semantics of structured-merge-diff.
//!
//! Every path of an object may have owners. [`update`] is called when an object was written by any means but apply: the writer takes
//! what it changed. [`apply`] merges a configuration: the writer owns what it applied, refuses what others own and it would change
//! (or takes it by force), and what it applied before, applies no longer, and nobody else owns is removed.
//!
//! Knows: the types table (list types, keys, atomic parts), the entries of managedFields. Never knows: stores, HTTP, defaults (the
//! caller sets them on what [`apply`] returns), other versions of a kind: all entries of an object are read in its one schema.
//!
//! Cost follows the changed paths: equal parts are passed over, and an entry that owns none of the changed paths is not parsed.
//! Start reading at [`set`], then `walk`. Source: kube-apiserver 1.34 `managedfields/internal/`, structured-merge-diff v6.

mod apply;
mod entries;
mod reset;
pub mod set;
mod shape;
#[cfg(test)]
mod tests;
mod walk;

use std::fmt;

use knarr_base::WallTime;
use knarr_value::{Str, TypeId, TypeTable, Value};

pub use apply::apply;
use entries::Identity;
pub use entries::UPDATE_MANAGERS_MAX;
use set::Set;
use shape::Place;

/// Who writes, through which door.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manager {
    /// `fieldManager` of the request, else the user agent up to its first `/`. Empty is written `unknown`.
    pub name: Str,
    /// `status`, `scale` ...; empty for the object itself.
    pub subresource: Str,
    /// `apps/v1`: the version of the request.
    pub api_version: Str,
}

impl Manager {
    pub fn new(name: impl Into<Str>, subresource: impl Into<Str>, api_version: impl Into<Str>) -> Self {
        Manager { name: name.into(), subresource: subresource.into(), api_version: api_version.into() }
    }

    fn identity(&self, apply: bool) -> Identity {
        let manager = if self.name.is_empty() { "unknown".into() } else { self.name.clone() };
        Identity { manager, apply, api_version: self.api_version.clone(), subresource: self.subresource.clone() }
    }
}

/// One conflict of an apply: `field` is the path, `message` names the owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    pub field: String,
    pub message: String,
}

/// Why an apply was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApplyError {
    /// 409, reason Conflict, with causes of type FieldManagerConflict.
    Conflicts { message: String, causes: Vec<Conflict> },
    /// 400 BadRequest.
    BadRequest(String),
    /// 500 with this message: what Kubernetes does not classify, such as a field the schema does not have.
    Internal(String),
}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ApplyError::Conflicts { message, .. } | ApplyError::BadRequest(message) | ApplyError::Internal(message) => {
                f.write_str(message)
            }
        }
    }
}

impl std::error::Error for ApplyError {}

const MANAGED: &[&str] = &["metadata", "managedFields"];

/// Bring managedFields of `new` up to date after a create (`live` is None), update or patch that was not an apply.
///
/// `new` is decoded and defaulted, as `live` is. Entries given in `new` are taken over if they are well formed and this is not a
/// subresource; an empty list, or one empty entry, forgets all owners. Never fails, as in Kubernetes.
pub fn update(
    types: &TypeTable,
    id: TypeId,
    live: Option<&Value>,
    new: Value,
    manager: &Manager,
    now: WallTime,
) -> Value {
    let mut new = new;
    let given = new.remove_path(MANAGED);
    let known = live.and_then(|l| l.path(MANAGED)).and_then(Value::as_list);
    // What is created is compared with Go's zero object, whose structs stand there already: nobody owns `spec` itself.
    let empty = if live.is_none() { Value::Map(types.zero_struct(id)) } else { Value::Null };
    let old = live.unwrap_or(&empty);
    let mut list = starting_entries(given, known, !manager.subresource.is_empty());
    // Tracking begins at creation; an object that lost its owners is not tracked until it is applied.
    let creating = old.str_at(&["metadata", "uid"]).is_empty();
    if !list.is_empty() || creating {
        take(types, id, old, &new, &manager.identity(false), &mut list, now);
        entries::cap(&mut list);
        entries::sort(&mut list);
    }
    put(&mut new, list);
    new
}

/// Give the writer what differs between `old` and `new`; others lose it. Entries that end empty go.
fn take(types: &TypeTable, id: TypeId, old: &Value, new: &Value, who: &Identity, list: &mut Vec<Value>, now: WallTime) {
    let reach = reset::reach(types.get(id), &who.subresource);
    let diff = compare_objects(types, id, old, new);
    let (removed, taken) = (reach.filter(diff.removed), reach.filter(diff.taken));
    let taken_set = taken.difference(&reset::STRIPPED);
    list.retain_mut(|entry| {
        let raw = entries::fields(entry);
        let own = who.is(entry);
        if own && taken_set.inside(raw) && !removed.touches(raw) {
            return true;
        }
        if !own && !taken.touches(raw) && !removed.touches(raw) {
            return true;
        }
        let Ok(set) = entries::set_of(entry) else { return false };
        let kept =
            if own { set.difference(&removed).union(&taken_set) } else { set.difference(&taken).difference(&removed) };
        entries::set_fields(entry, &kept);
        !kept.is_empty()
    });
    if taken_set.is_empty() {
        return;
    }
    // Entries of a scale come from the parent's through the Scale object, and lose their time on the way.
    let time = (who.subresource != "scale").then_some(now);
    match (list.iter_mut().find(|e| who.is(e)), time) {
        (Some(entry), Some(now)) => entries::set_time(entry, now),
        (Some(_), None) => {}
        (None, time) => list.push(who.entry(time, taken_set.to_value())),
    }
}

/// [`walk::compare`] of two objects without their managedFields.
fn compare_objects(types: &TypeTable, id: TypeId, old: &Value, new: &Value) -> walk::Difference {
    let mut diff = walk::compare(types, Place::Type(id), old, new);
    if old.path(MANAGED) != new.path(MANAGED) {
        let mut managed = Set::default();
        managed.insert(&MANAGED.iter().map(|p| set::Element::field(p)).collect::<Vec<_>>());
        diff.removed = diff.removed.without(&managed);
        diff.taken = diff.taken.without(&managed);
    }
    diff
}

fn starting_entries(given: Option<Value>, known: Option<&[Value]>, is_subresource: bool) -> Vec<Value> {
    let from_live = || known.map(<[Value]>::to_vec).unwrap_or_default();
    let Some(Value::List(given)) = given else { return from_live() };
    if is_subresource {
        return from_live();
    }
    if Some(given.as_slice()) == known {
        return given;
    }
    if entries::is_reset(&given) {
        return Vec::new();
    }
    entries::decode(&given).unwrap_or_else(|_| from_live())
}

fn put(object: &mut Value, list: Vec<Value>) {
    if !list.is_empty() {
        object.set_path(MANAGED, Value::List(list));
    }
}

/// Undo changed timestamps where nothing else changed: a write that changes nothing must not become a new revision.
/// Source: apiserver `handlers/fieldmanager/equality.go`.
pub fn keep_times_if_same(live: &Value, new: &mut Value) {
    let (Some(Value::List(old)), Some(Value::List(now))) = (live.path(MANAGED), new.path(MANAGED)) else { return };
    let same_but_time = |a: &Value, b: &Value| match (a.as_map(), b.as_map()) {
        (Some(a), Some(b)) => {
            let plain = |m: &knarr_value::Map| m.iter().filter(|(k, _)| *k != "time").count();
            plain(a) == plain(b) && a.iter().all(|(k, v)| k == "time" || b.get(k) == Some(v))
        }
        _ => false,
    };
    if old.len() != now.len() || old == now || !old.iter().zip(now).all(|(a, b)| same_but_time(a, b)) {
        return;
    }
    let restored = Value::List(old.clone());
    let changed = new.path_mut(MANAGED).map(|slot| std::mem::replace(slot, restored));
    if live != new
        && let (Some(slot), Some(changed)) = (new.path_mut(MANAGED), changed)
    {
        *slot = changed;
    }
}
