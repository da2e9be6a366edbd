//! The kinds that are served, as one immutable table: a request holds the table (or the entry) it began with, and adding a kind
//! swaps in another table in one step.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use hashbrown::HashMap;
use knarr_schema::CompiledKind;
use knarr_value::{Map, Str, Value};
use knarr_watch::ResourceId;

use crate::status::Resource;

/// A compiled kind and what serving it needs.
#[derive(Debug)]
pub struct KindEntry {
    pub compiled: CompiledKind,
    /// Its stored objects in the hub.
    pub resource: ResourceId,
    /// `v1`, `apps/v1`.
    pub api_version: Str,
    /// `<group or "core">/<plural>/` of the stored form.
    pub prefix: Bytes,
    /// Counts the kinds ever added: encoders of an older form of the same kind are other encoders.
    pub serial: u64,
    /// `{"kind":"Pod","apiVersion":"v1",`
    pub(crate) head: String,
}

impl KindEntry {
    pub(crate) fn new(compiled: CompiledKind, resource: ResourceId, prefix: Bytes, serial: u64) -> Self {
        let api_version = compiled.api_version();
        let head = format!("{{\"kind\":\"{}\",\"apiVersion\":\"{}\",", compiled.kind, api_version);
        Self { compiled, resource, api_version, prefix, serial, head }
    }

    /// The key prefix of the objects of a kind: that of the kind whose form they are stored in.
    pub(crate) fn prefix_of(compiled: &CompiledKind) -> Bytes {
        let (group, plural) = match &compiled.storage {
            Some(storage) => (storage.group.as_str(), storage.plural.as_str()),
            None => (compiled.group.as_str(), compiled.plural.as_str()),
        };
        Bytes::from(format!("{}/{plural}/", if group.is_empty() { "core" } else { group }))
    }

    /// A top-level field's name in this form, by its name in the stored one.
    pub(crate) fn field_from_stored(&self, stored: &str) -> Str {
        let renamed = self.compiled.storage.as_ref().and_then(|storage| {
            storage.fields.iter().find(|(_, there)| there == stored).map(|(here, _)| Str::from(here))
        });
        renamed.unwrap_or_else(|| Str::from(stored))
    }

    /// The reverse of [`Self::field_from_stored`].
    pub(crate) fn field_to_stored(&self, field: &str) -> Str {
        let renamed = self.compiled.storage.as_ref().and_then(|storage| {
            storage.fields.iter().find(|(here, _)| here == field).map(|(_, there)| Str::from(there))
        });
        renamed.unwrap_or_else(|| Str::from(field))
    }

    /// A selectable field's name in the stored form: `regarding.name` is `involvedObject.name` there.
    pub(crate) fn selector_to_stored(compiled: &CompiledKind, field: &str) -> Str {
        let (head, rest) = field.split_at(field.find('.').unwrap_or(field.len()));
        let storage = compiled.storage.as_ref();
        match storage.and_then(|storage| storage.fields.iter().find(|(here, _)| here == head)) {
            Some((_, there)) => Str::from(format!("{there}{rest}")),
            None => Str::from(field),
        }
    }

    /// An object's fields as this kind's type has them: in its order, with the zeros it always shows and without those it never
    /// does. For what comes from, or goes to, another form of the same object.
    pub(crate) fn shaped(compiled: &CompiledKind, mut fields: Map) -> Map {
        let types = &compiled.types;
        let mut out = Map::with_capacity(fields.len() + 2);
        for field in &types.get(compiled.type_id).fields {
            let zero = |value: &Value| value.is_empty() || *value == Value::Int(0);
            match fields.remove(&field.name) {
                Some(value) if field.elide_zero && zero(&value) => {}
                Some(value) => drop(out.insert(field.name.clone(), value)),
                None if field.always && !matches!(field.name.as_str(), "kind" | "apiVersion" | "metadata") => {
                    out.insert(field.name.clone(), types.zero(field));
                }
                None => {}
            }
        }
        out
    }

    /// How errors about its content name it: group and kind, of the form that is stored.
    pub(crate) fn stored_kind(&self) -> (&str, &str) {
        match &self.compiled.storage {
            Some(storage) => (&storage.group, &storage.kind),
            None => (&self.compiled.group, &self.compiled.kind),
        }
    }

    /// How errors name it.
    pub fn name(&self) -> Resource<'_> {
        Resource { group: &self.compiled.group, plural: &self.compiled.plural }
    }

    /// The store key of an object; a cluster-scoped one has an empty namespace segment.
    pub fn key(&self, namespace: &str, name: &str) -> Bytes {
        let mut key = BytesMut::with_capacity(self.prefix.len() + namespace.len() + name.len() + 1);
        key.put_slice(&self.prefix);
        key.put_slice(namespace.as_bytes());
        key.put_u8(b'/');
        key.put_slice(name.as_bytes());
        key.freeze()
    }

    /// Namespace and name of one of this kind's keys.
    pub fn split_key<'a>(&self, key: &'a [u8]) -> (&'a str, &'a str) {
        let rest = key.get(self.prefix.len()..).unwrap_or_default();
        let text = std::str::from_utf8(rest).unwrap_or("");
        text.split_once('/').unwrap_or(("", text))
    }

    /// A key's `namespace/name`, as continue tokens hold it.
    pub(crate) fn text_after_prefix(&self, key: &[u8]) -> String {
        String::from_utf8_lossy(key.get(self.prefix.len()..).unwrap_or_default()).into_owned()
    }

    /// The reverse of [`Self::text_after_prefix`].
    pub(crate) fn key_from(&self, text: &str) -> Bytes {
        let mut key = BytesMut::from(&self.prefix[..]);
        key.put_slice(text.as_bytes());
        key.freeze()
    }

    /// The range of all objects, or of those of a namespace: from, to (exclusive).
    pub fn range(&self, namespace: &str) -> (Bytes, Bytes) {
        if self.compiled.namespaced && !namespace.is_empty() {
            let mut to = self.key(namespace, "").to_vec();
            let from = Bytes::copy_from_slice(&to);
            // '/' + 1: the end of this namespace's names.
            if let Some(last) = to.last_mut() {
                *last = b'0';
            }
            return (from, Bytes::from(to));
        }
        let mut to = self.prefix.to_vec();
        if let Some(last) = to.last_mut() {
            *last = b'0';
        }
        (self.prefix.clone(), Bytes::from(to))
    }
}

/// All kinds.
#[derive(Debug, Default)]
pub struct Registry {
    by_path: HashMap<(Str, Str, Str), Arc<KindEntry>>,
    by_kind: HashMap<(Str, Str, Str), Arc<KindEntry>>,
    all: Vec<Arc<KindEntry>>,
    generation: u64,
}

impl Registry {
    /// By the segments of a path: `("apps", "v1", "deployments")`; the core group is empty.
    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<KindEntry>> {
        self.by_path.get(&(Str::from(group), Str::from(version), Str::from(plural)))
    }

    /// By apiVersion's parts and kind.
    pub fn by_kind(&self, group: &str, version: &str, kind: &str) -> Option<&Arc<KindEntry>> {
        self.by_kind.get(&(Str::from(group), Str::from(version), Str::from(kind)))
    }

    /// Any version of a resource, the one it is stored as first.
    pub fn stored(&self, group: &str, plural: &str) -> Option<&Arc<KindEntry>> {
        let of = |entry: &&Arc<KindEntry>| entry.compiled.group == group && entry.compiled.plural == plural;
        self.all.iter().filter(of).find(|entry| entry.compiled.storage.is_none()).or_else(|| self.all.iter().find(of))
    }

    /// In the order they were added.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<KindEntry>> {
        self.all.iter()
    }

    /// Grows with each kind added: what is derived from the table (discovery) is stale when this has changed.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn with(&self, entry: Arc<KindEntry>) -> Self {
        let compiled = &entry.compiled;
        let path = (compiled.group.clone(), compiled.version.clone(), compiled.plural.clone());
        let kind = (compiled.group.clone(), compiled.version.clone(), compiled.kind.clone());
        let mut by_path = self.by_path.clone();
        let mut by_kind = self.by_kind.clone();
        let mut all: Vec<_> = self.all.clone();
        match by_path.insert(path, Arc::clone(&entry)) {
            Some(before) => {
                all.iter_mut().filter(|one| Arc::ptr_eq(one, &before)).for_each(|one| *one = Arc::clone(&entry));
            }
            None => all.push(Arc::clone(&entry)),
        }
        by_kind.insert(kind, entry);
        Self { by_path, by_kind, all, generation: self.generation + 1 }
    }
}
