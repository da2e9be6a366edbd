//! Server-side apply of one configuration.

use knarr_base::WallTime;
use knarr_value::{Str, TypeId, TypeTable, Value, json};

use super::entries::{self, Identity};
use super::set::{Element, Set, shown};
use super::shape::Place;
use super::{ApplyError, Conflict, MANAGED, Manager, compare_objects, put, reset, take, walk};

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Bytes all annotations of an object may have together.
const ANNOTATIONS_BYTES_MAX: usize = 256 * 1024;

/// Merge `config` into `live` (an empty map, or null, when the object is created by this apply) and return the merged object with
/// its managedFields. The caller sets defaults on it, decodes and validates it.
///
/// `config` is given undecoded: a field the schema does not have is an error of its own.
/// Errors: conflicts without `force`; a configuration of another kind or with managedFields; one that does not fit the schema.
pub fn apply(
    types: &TypeTable,
    id: TypeId,
    live: &Value,
    config: &Value,
    manager: &Manager,
    force: bool,
    now: WallTime,
) -> Result<Value, ApplyError> {
    check_kind(types, id, config, manager)?;
    if config.path(MANAGED).is_some_and(|v| !v.is_null()) {
        return Err(ApplyError::BadRequest("metadata.managedFields must be nil".into()));
    }
    let mut old = if live.as_map().is_some() { live.clone() } else { Value::Map(Default::default()) };
    let managed = old.remove_path(MANAGED);
    let managed = managed.as_ref().and_then(Value::as_list).unwrap_or_default();
    let mut list =
        entries::decode(managed).map_err(|e| ApplyError::Internal(format!("failed to decode managed fields: {e}")))?;
    if list.is_empty() && old.as_map().is_some_and(|m| !m.is_empty()) {
        let empty = Value::Map(types.zero_struct(id));
        let before = Manager { name: "before-first-apply".into(), ..manager.clone() };
        take(types, id, &empty, &old, &before.identity(false), &mut list, now);
        entries::cap(&mut list);
    }
    let errors = walk::check(types, Place::Type(id), config, false);
    if !errors.is_empty() {
        let text = if let [(path, why)] = errors.as_slice() {
            join(path, why)
        } else {
            let lines: Vec<String> = errors.iter().map(|(p, w)| format!("  {}", join(p, w))).collect();
            format!("errors:\n{}", lines.join("\n"))
        };
        return Err(ApplyError::Internal(format!(
            "failed to create typed patch object ({}): {text}",
            described(config)
        )));
    }
    let job = Job { types, id, old: &old, config, who: manager.identity(true), now };
    let (mut merged, list) = match job.run(list.clone(), force) {
        Err(Refused::Conflicts(conflicts)) if manager.name == "kubectl" => {
            match allowed_by_last_applied(types, id, &old, &manager.api_version) {
                Some(allowed) => {
                    let rest: Vec<_> = conflicts.into_iter().filter(|(_, path)| !allowed.has(path)).collect();
                    if !rest.is_empty() {
                        return Err(refusal(rest));
                    }
                    job.run(list, true).map_err(Refused::into_error)?
                }
                None => return Err(refusal(conflicts)),
            }
        }
        other => other.map_err(Refused::into_error)?,
    };
    if manager.name == "kubectl" {
        sync_last_applied(&mut merged, config);
    }
    put(&mut merged, list);
    Ok(merged)
}

fn join(path: &str, why: &str) -> String {
    if path.is_empty() { why.to_owned() } else { format!("{path}: {why}") }
}

fn described(config: &Value) -> String {
    let or_unknown = |path: &[&str]| match config.str_at(path) {
        "" => String::new(),
        text => text.to_owned(),
    };
    let (namespace, name) = (or_unknown(&["metadata", "namespace"]), or_unknown(&["metadata", "name"]));
    format!("{namespace}/{name}; {}", gvk(config.str_at(&["apiVersion"]), config.str_at(&["kind"])))
}

/// Go's form of a group, version and kind: `apps/v1, Kind=Deployment`, `/v1, Kind=Pod`.
fn gvk(api_version: &str, kind: &str) -> String {
    let slash = if api_version.contains('/') { "" } else { "/" };
    format!("{slash}{api_version}, Kind={kind}")
}

fn check_kind(types: &TypeTable, id: TypeId, config: &Value, manager: &Manager) -> Result<(), ApplyError> {
    let (api_version, kind) = (config.str_at(&["apiVersion"]), config.str_at(&["kind"]));
    let expected = types.get(id).name.rsplit('.').next().unwrap_or_default();
    if api_version != manager.api_version || kind != expected {
        return Err(ApplyError::BadRequest(format!("invalid object type: {}", gvk(api_version, kind))));
    }
    Ok(())
}

type Found = Vec<(Identity, Vec<Element>)>;

enum Refused {
    Conflicts(Found),
    Broken(String),
}

impl Refused {
    fn into_error(self) -> ApplyError {
        match self {
            Refused::Conflicts(found) => refusal(found),
            Refused::Broken(text) => ApplyError::Internal(text),
        }
    }
}

struct Job<'a> {
    types: &'a TypeTable,
    id: TypeId,
    old: &'a Value,
    config: &'a Value,
    who: Identity,
    now: WallTime,
}

impl Job<'_> {
    fn run(&self, list: Vec<Value>, force: bool) -> Result<(Value, Vec<Value>), Refused> {
        let (types, place) = (self.types, Place::Type(self.id));
        let mut list = list;
        let merged = walk::merge(types, place, Some(self.old), Some(self.config)).unwrap_or_default();
        let reach = reset::reach(types.get(self.id), &self.who.subresource);
        let set = reach.filter(walk::paths_of(types, place, self.config));
        let parse = |entry: &Value| entries::set_of(entry).map_err(Refused::Broken);
        let mut last = None;
        let mut sets: Vec<(Identity, Set)> = Vec::with_capacity(list.len() + 1);
        for entry in &list {
            let parsed = parse(entry)?;
            if self.who.is(entry) { last = Some(parsed) } else { sets.push((Identity::of(entry), parsed)) }
        }
        let owned = sets.iter().fold(set.clone(), |all, (_, s)| all.union(s));
        let merged = match last {
            Some(last) if !last.is_empty() => self.prune(merged, &last, &owned),
            _ => merged,
        };
        let diff = compare_objects(types, self.id, self.old, &merged);
        let (removed, taken) = (reach.filter(diff.removed), reach.filter(diff.taken));
        let mut conflicts: Found = Vec::new();
        sets.sort_by_cached_key(|(who, _)| who.sort_key());
        for (who, have) in &sets {
            conflicts.extend(have.intersection(&taken).paths().into_iter().map(|path| (who.clone(), path)));
        }
        if !force && !conflicts.is_empty() {
            return Err(Refused::Conflicts(conflicts));
        }
        list.retain_mut(|entry| {
            if self.who.is(entry)
                || (!taken.touches(entries::fields(entry)) && !removed.touches(entries::fields(entry)))
            {
                return true;
            }
            let Ok(have) = entries::set_of(entry) else { return false };
            let kept = have.difference(&taken).difference(&removed);
            entries::set_fields(entry, &kept);
            !kept.is_empty()
        });
        let set = set.difference(&reset::STRIPPED);
        // As in Kubernetes, an apply that changes nothing sets no time: a manager new to the object then has none.
        let changed = merged != *self.old;
        let position = list.iter().position(|e| self.who.is(e));
        match (set.is_empty(), position) {
            (true, Some(at)) => {
                list.remove(at);
            }
            (true, None) => {}
            (false, Some(at)) => {
                let entry = &mut list[at];
                entries::set_fields(entry, &set);
                if let Some(map) = entry.as_map_mut() {
                    map.insert("apiVersion", self.who.api_version.clone());
                }
                if changed {
                    entries::set_time(entry, self.now);
                }
            }
            (false, None) => list.push(self.who.entry(changed.then_some(self.now), set.to_value())),
        }
        entries::sort(&mut list);
        Ok((merged, list))
    }

    /// Remove what was applied last time, is not applied now and nobody else owns.
    fn prune(&self, merged: Value, last: &Set, owned: &Set) -> Value {
        let (types, place) = (self.types, Place::Type(self.id));
        let named = |set: &Set| walk::with_named_fields(types, place, set);
        let paths = |value: Option<&Value>| value.map(|v| walk::paths_of(types, place, v)).unwrap_or_default();
        let last = named(last);
        let all = named(&paths(Some(&merged)));
        let pruned = walk::remove(types, place, &merged, &last);
        // Add back what others, or this configuration, own ...
        let gone = all.difference(&named(&paths(pruned.as_ref())).union(&named(owned)));
        let pruned = walk::remove(types, place, &merged, &gone);
        // ... and what hung below something pruned without having been applied.
        let gone = all.difference(&named(&paths(pruned.as_ref()))).intersection(&last);
        walk::remove(types, place, &merged, &gone).unwrap_or_default()
    }
}

fn refusal(conflicts: Found) -> ApplyError {
    let causes = conflicts
        .iter()
        .map(|(who, path)| Conflict { field: shown(path), message: format!("conflict with {}", who.shown()) })
        .collect();
    let message = if let [(who, path)] = conflicts.as_slice() {
        format!("Apply failed with 1 conflict: conflict with {}: {}", who.shown(), shown(path))
    } else {
        let mut lines = Vec::new();
        let mut current: Option<&Identity> = None;
        for (who, path) in &conflicts {
            if current != Some(who) {
                lines.push(format!("conflicts with {}:", who.shown()));
                current = Some(who);
            }
            lines.push(format!("- {}", shown(path)));
        }
        format!("Apply failed with {} conflicts: {}", conflicts.len(), lines.join("\n"))
    };
    ApplyError::Conflicts { message, causes }
}

/// What kubectl's client-side apply wrote and the object still has: those paths it may take from the old manager without force.
fn allowed_by_last_applied(types: &TypeTable, id: TypeId, live: &Value, api_version: &str) -> Option<Set> {
    let text = live.path(&["metadata", "annotations", LAST_APPLIED])?.as_str()?;
    let last = json::parse(text.as_bytes()).ok()?.value;
    let fits =
        last.str_at(&["apiVersion"]) == api_version && walk::check(types, Place::Type(id), &last, false).is_empty();
    if !fits {
        return None;
    }
    let diff = walk::compare(types, Place::Type(id), &last, live);
    Some(walk::paths_of(types, Place::Type(id), &last).difference(&diff.taken).difference(&diff.removed))
}

/// Keep the annotation of client-side apply in step, so that a user can go back to it.
fn sync_last_applied(merged: &mut Value, config: &Value) {
    let path = &["metadata", "annotations", LAST_APPLIED];
    if merged.str_at(path).is_empty() {
        return;
    }
    let mut config = config.clone();
    config.remove_path(path);
    sort_keys(&mut config);
    let mut bytes = json::to_vec(&config);
    bytes.push(b'\n');
    let Some(annotations) = merged.path_mut(&path[..2]).and_then(Value::as_map_mut) else { return };
    annotations.insert(LAST_APPLIED, Str::from(String::from_utf8_lossy(&bytes)));
    let size: usize = annotations.iter().map(|(k, v)| k.len() + v.as_str().map_or(0, str::len)).sum();
    if size > ANNOTATIONS_BYTES_MAX {
        annotations.remove(LAST_APPLIED);
    }
}

/// Go writes maps sorted by key.
fn sort_keys(value: &mut Value) {
    match value {
        Value::Map(map) => {
            map.sort_keys();
            map.values_mut().for_each(sort_keys);
        }
        Value::List(items) => items.iter_mut().for_each(sort_keys),
        _ => {}
    }
}
