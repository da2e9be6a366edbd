//! `metadata.managedFields` as it stands in the object: a list of entries, touched only where something changes.
//!
//! An entry is identified by manager, operation and subresource, for updates by its apiVersion too. Entries stay values: a field set
//! that an operation does not change is never parsed. Source: apimachinery `managedfields/internal/{managedfields,capmanagers}.go`.

use std::collections::BTreeMap;

use knarr_base::WallTime;
use knarr_value::{Map, Str, Value};

use super::set::Set;

/// Update entries an object keeps; older ones are merged (kube-apiserver's DefaultMaxUpdateManagers).
pub const UPDATE_MANAGERS_MAX: usize = 10;
const ANCIENT: &str = "ancient-changes";

/// Who owns an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub manager: Str,
    pub apply: bool,
    pub api_version: Str,
    pub subresource: Str,
}

impl Identity {
    pub fn of(entry: &Value) -> Identity {
        let text = |name: &str| Str::from(entry.get(name).and_then(Value::as_str).unwrap_or_default());
        let apply = entry.get("operation").and_then(Value::as_str) == Some("Apply");
        Identity { manager: text("manager"), apply, api_version: text("apiVersion"), subresource: text("subresource") }
    }

    /// What tells two entries apart, in an order of its own.
    fn key(&self) -> (&str, bool, &str, &str) {
        let version = if self.apply { "" } else { self.api_version.as_str() };
        (&self.manager, self.apply, &self.subresource, version)
    }

    pub fn is(&self, entry: &Value) -> bool {
        let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
        text("manager") == self.manager
            && (text("operation") == "Apply") == self.apply
            && text("subresource") == self.subresource
            && (self.apply || text("apiVersion") == self.api_version)
    }

    /// Kubernetes sorts managers by this text in some places: the JSON of the identifying fields.
    pub fn sort_key(&self) -> String {
        let mut out = format!("{{\"manager\":\"{}\",\"operation\":\"{}\"", self.manager, self.operation());
        if !self.apply {
            out.push_str(&format!(",\"apiVersion\":\"{}\"", self.api_version));
        }
        if !self.subresource.is_empty() {
            out.push_str(&format!(",\"subresource\":\"{}\"", self.subresource));
        }
        out.push('}');
        out
    }

    pub fn operation(&self) -> &'static str {
        if self.apply { "Apply" } else { "Update" }
    }

    /// As conflicts name it: `"kubectl" with subresource "scale" using apps/v1`.
    pub fn shown(&self) -> String {
        let mut out = crate::error::quote(&self.manager);
        if !self.subresource.is_empty() {
            out.push_str(&format!(" with subresource {}", crate::error::quote(&self.subresource)));
        }
        if !self.apply {
            out.push_str(&format!(" using {}", self.api_version));
        }
        out
    }

    /// A new entry, fields in the order of the type.
    pub fn entry(&self, time: Option<WallTime>, fields: Value) -> Value {
        let mut map = Map::with_capacity(7);
        map.insert("manager", self.manager.clone());
        map.insert("operation", self.operation());
        map.insert("apiVersion", self.api_version.clone());
        if let Some(time) = time {
            map.insert("time", time.rfc3339());
        }
        map.insert("fieldsType", "FieldsV1");
        map.insert("fieldsV1", fields);
        if !self.subresource.is_empty() {
            map.insert("subresource", self.subresource.clone());
        }
        Value::Map(map)
    }
}

static NO_FIELDS: Value = Value::Null;

pub(super) fn fields(entry: &Value) -> &Value {
    entry.get("fieldsV1").unwrap_or(&NO_FIELDS)
}

pub(super) fn set_of(entry: &Value) -> Result<Set, String> {
    Set::from_value(fields(entry))
}

pub(super) fn set_fields(entry: &mut Value, set: &Set) {
    if let Some(map) = entry.as_map_mut() {
        map.insert("fieldsV1", set.to_value());
    }
}

pub(super) fn set_time(entry: &mut Value, now: WallTime) {
    if entry.get("time").is_some() {
        if let Some(map) = entry.as_map_mut() {
            map.insert("time", now.rfc3339());
        }
        return;
    }
    let fields = entry.get("fieldsV1").cloned().unwrap_or_default();
    *entry = Identity::of(entry).entry(Some(now), fields);
}

/// Check entries a client gave and bring them into canonical form. Errors are DecodeManagedFields'.
pub(super) fn decode(list: &[Value]) -> Result<Vec<Value>, String> {
    let identities: Vec<Identity> = list.iter().map(Identity::of).collect();
    let mut places = BTreeMap::new();
    let mut out: Vec<Value> = Vec::with_capacity(list.len());
    for (i, entry) in list.iter().enumerate() {
        let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
        if !matches!(text("operation"), "Apply" | "Update") {
            return Err("operation must be `Apply` or `Update`".into());
        }
        if text("apiVersion").is_empty() {
            return Err("apiVersion must not be empty".into());
        }
        match text("fieldsType") {
            "FieldsV1" => {}
            "" => return Err(format!("missing fieldsType in managed fields entry {i}")),
            other => {
                return Err(format!("invalid fieldsType {} in managed fields entry {i}", crate::error::quote(other)));
            }
        }
        let set = set_of(entry).map_err(|e| format!("error decoding versioned set: error decoding set: {e}"))?;
        let mut entry = entry.clone();
        set_fields(&mut entry, &set);
        let place = *places.entry(identities[i].key()).or_insert(out.len());
        match out.get_mut(place) {
            Some(slot) => *slot = entry,
            None => out.push(entry),
        }
    }
    Ok(out)
}

/// Whether a client asks to forget all owners: an empty list, or a list of one empty entry.
pub(super) fn is_reset(list: &[Value]) -> bool {
    match list {
        [] => true,
        [one] => one.as_map().is_some_and(|m| m.values().all(Value::is_empty)),
        _ => false,
    }
}

/// Order as it is stored: Apply before Update, then by time, manager, version, subresource.
pub(super) fn sort(list: &mut [Value]) {
    fn key(entry: &Value) -> [&str; 5] {
        ["operation", "time", "manager", "apiVersion", "subresource"]
            .map(|name| entry.get(name).and_then(Value::as_str).unwrap_or_default())
    }
    if !list.is_sorted_by(|a, b| key(a) <= key(b)) {
        list.sort_by(|a, b| key(a).cmp(&key(b)));
    }
}

/// Merge the oldest update entries into one bucket per version until at most [`UPDATE_MANAGERS_MAX`] are left.
pub(super) fn cap(list: &mut Vec<Value>) {
    let updates = |list: &[Value]| list.iter().filter(|e| !Identity::of(e).apply).count();
    let mut length = updates(list);
    if length <= UPDATE_MANAGERS_MAX {
        return;
    }
    let time = |e: &Value| Str::from(e.get("time").and_then(Value::as_str).unwrap_or_default());
    let mut oldest: Vec<(Str, String, Identity)> = list
        .iter()
        .filter_map(|e| Some(Identity::of(e)).filter(|i| !i.apply).map(|i| (time(e), i.sort_key(), i)))
        .collect();
    oldest.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
    let mut slots: Vec<Option<Value>> = std::mem::take(list).into_iter().map(Some).collect();
    let identities: Vec<Identity> = slots.iter().flatten().map(Identity::of).collect();
    let mut places = BTreeMap::new();
    for (place, who) in identities.iter().enumerate() {
        places.entry(who.key()).or_insert(place);
    }
    let mut take = |who: &Identity| places.get(&who.key()).and_then(|place: &usize| slots[*place].take());
    let mut first_of: BTreeMap<&str, &Identity> = BTreeMap::new();
    let mut buckets: BTreeMap<&str, Bucket> = BTreeMap::new();
    for (_, _, who) in &oldest {
        if length <= UPDATE_MANAGERS_MAX {
            break;
        }
        let version = who.api_version.as_str();
        let Some(first) = first_of.get(version) else {
            first_of.insert(version, who);
            continue;
        };
        let bucket = buckets.entry(version).or_insert_with(|| {
            let who = Identity {
                manager: ANCIENT.into(),
                apply: false,
                api_version: version.into(),
                subresource: Str::default(),
            };
            let older = take(&who).or_else(|| take(first));
            Bucket { set: older.as_ref().map(set_of).and_then(Result::ok).unwrap_or_default(), who, time: None }
        });
        let Some(this) = take(who) else { continue };
        bucket.set = std::mem::take(&mut bucket.set).union(&set_of(&this).unwrap_or_default());
        bucket.time = this.get("time").cloned();
        length -= 1;
    }
    list.extend(slots.into_iter().flatten());
    list.extend(buckets.into_values().map(Bucket::entry));
}

/// The oldest updates of one version, merged.
struct Bucket {
    who: Identity,
    set: Set,
    time: Option<Value>,
}

impl Bucket {
    fn entry(self) -> Value {
        let mut entry = self.who.entry(None, self.set.to_value());
        if let (Some(map), Some(when)) = (entry.as_map_mut(), self.time) {
            let fields = map.remove("fieldsV1").unwrap_or_default();
            let kind = map.remove("fieldsType").unwrap_or_default();
            map.insert("time", when);
            map.insert("fieldsType", kind);
            map.insert("fieldsV1", fields);
        }
        entry
    }
}
