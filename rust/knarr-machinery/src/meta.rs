//! metadata: names, uids, timestamps, what clients may not set, and the rules about it that hold for every kind.

use std::collections::BTreeSet;

use knarr_base::WallTime;
use knarr_value::{Map, TypeTable, Value};

use crate::machinery::Machinery;
use crate::registry::KindEntry;
use crate::status::Status;

/// Letters of a generated suffix: no vowels, nothing that reads as another (apimachinery `util/rand`).
const SUFFIX: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
/// A generated name is at most 63 bytes long: prefixes are cut at 58.
const GENERATED_PREFIX_MAX: usize = 58;

pub(crate) fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.str_at(&["metadata", field])
}

pub(crate) fn name(value: &Value) -> &str {
    text(value, "name")
}

pub(crate) fn metadata(value: &mut Value) -> &mut Map {
    value.make_map().entry("metadata").make_map()
}

/// A random (version 4) UUID.
pub(crate) fn uuid(machinery: &Machinery) -> String {
    let high = (machinery.random() & !0xf000) | 0x4000;
    let low = (machinery.random() & !(0b11 << 62)) | (0b10 << 62);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    )
}

/// `generateName` and five random letters.
pub(crate) fn generated_name(machinery: &Machinery, prefix: &str) -> String {
    let mut end = prefix.len().min(GENERATED_PREFIX_MAX);
    while !prefix.is_char_boundary(end) {
        end -= 1;
    }
    let mut name = prefix[..end].to_owned();
    let mut bits = machinery.random();
    for _ in 0..5 {
        name.push(char::from(SUFFIX[(bits % SUFFIX.len() as u64) as usize]));
        bits /= SUFFIX.len() as u64;
    }
    name
}

/// A wall time as metadata holds it: whole seconds, UTC.
pub(crate) fn timestamp(at: WallTime) -> String {
    at.rfc3339()
}

/// Sets the namespace if the body names none; what has no namespace loses it. Errors: 400 if it names another.
pub(crate) fn ensure_namespace(entry: &KindEntry, namespace: &str, value: &mut Value) -> Result<(), Status> {
    let expected = if entry.compiled.namespaced { namespace } else { "" };
    let given = text(value, "namespace");
    if given == expected {
        return Ok(());
    }
    if expected.is_empty() {
        remove(value, "namespace");
        return Ok(());
    }
    if given.is_empty() {
        set(value, "namespace", expected);
        return Ok(());
    }
    Err(Status::bad_request("the namespace of the provided object does not match the namespace sent on the request"))
}

/// Errors: 400 if the body's name is not the path's.
pub(crate) fn check_name(value: &Value, name_on_url: &str) -> Result<(), Status> {
    let given = name(value);
    if given.is_empty() {
        return Err(Status::bad_request(format!(
            "the name of the object ({name_on_url} based on URL) was undeterminable: name must be provided"
        )));
    }
    if given != name_on_url {
        return Err(Status::bad_request(format!(
            "the name of the object ({given}) does not match the name on the URL ({name_on_url})"
        )));
    }
    Ok(())
}

/// Order of ObjectMeta's fields, as Go's struct has them.
const ORDER: [&str; 15] = [
    "name",
    "generateName",
    "namespace",
    "selfLink",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "ownerReferences",
    "finalizers",
    "managedFields",
];

/// Sets a field of metadata; [`canonical`] puts it in its place.
pub(crate) fn set(value: &mut Value, field: &str, to: impl Into<Value>) {
    metadata(value).insert(field, to);
}

/// Sets a field of a struct at its place in the type's order, which is the canonical one.
pub(crate) fn insert_in_order(types: &TypeTable, of: &str, map: &mut Map, field: &str, to: impl Into<Value>) {
    let order = types.id(of).map(|id| &types.get(id).fields);
    let place = |name: &str| order.and_then(|fields| fields.iter().position(|field| field.name == name));
    let own = place(field);
    let at = map.keys().position(|key| place(key) > own).unwrap_or(map.len());
    if map.contains_key(field) {
        map.insert(field, to);
    } else {
        map.insert_at(at, field, to);
    }
}

/// Brings metadata's fields into canonical order, the form in which objects are stored.
pub(crate) fn canonical(value: &mut Value) {
    let map = metadata(value);
    let place = |key: &str| ORDER.iter().position(|one| *one == key).unwrap_or(ORDER.len());
    if map.keys().map(|key| place(key)).is_sorted() {
        return;
    }
    let mut fields: Vec<_> = std::mem::take(map).into_iter().collect();
    fields.sort_by_key(|(key, _)| place(key));
    *map = fields.into_iter().collect();
}

pub(crate) fn remove(value: &mut Value, field: &str) {
    metadata(value).remove(field);
}

/// What a client may not set on create: the system's own fields.
pub(crate) fn wipe_system_fields(value: &mut Value) {
    let map = metadata(value);
    for field in
        ["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "resourceVersion"]
    {
        map.remove(field);
    }
}

pub(crate) fn fill_system_fields(machinery: &Machinery, value: &mut Value, now: WallTime) {
    let uid = uuid(machinery);
    set(value, "uid", uid);
    set(value, "creationTimestamp", timestamp(now));
}

pub(crate) fn deleting(value: &Value) -> bool {
    value.path(&["metadata", "deletionTimestamp"]).is_some_and(|at| !at.is_null())
}

pub(crate) fn finalizers(value: &Value) -> impl Iterator<Item = &str> {
    value.path(&["metadata", "finalizers"]).and_then(Value::as_list).unwrap_or(&[]).iter().filter_map(Value::as_str)
}

pub(crate) fn has_finalizers(value: &Value) -> bool {
    finalizers(value).next().is_some()
}

pub(crate) fn generation(value: &Value) -> i64 {
    value.path(&["metadata", "generation"]).and_then(Value::as_i64).unwrap_or(0)
}

pub(crate) fn grace_period(value: &Value) -> Option<i64> {
    value.path(&["metadata", "deletionGracePeriodSeconds"]).and_then(Value::as_i64)
}

/// Owner references that name the same owner twice are one; answers the warning Kubernetes gives.
pub(crate) fn dedup_owners(value: &mut Value) -> Option<String> {
    let owners = value.path_mut(&["metadata", "ownerReferences"])?.as_list_mut()?;
    let mut seen: BTreeSet<Vec<u8>> = BTreeSet::new();
    let mut twice: Vec<String> = Vec::new();
    owners.retain(|owner| {
        // Decoded, fields stand in their type's order: equal references have equal texts.
        let new = seen.insert(knarr_value::json::to_vec(owner));
        if !new {
            twice.push(owner.str_at(&["uid"]).to_owned());
        }
        new
    });
    (!twice.is_empty()).then(|| {
        format!(
            ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may \
             reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {}",
            twice.join(", ")
        )
    })
}
