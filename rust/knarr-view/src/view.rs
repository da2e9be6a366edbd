//! The view: records of one kind, their indexes, and who is told about changes.
//!
//! Ids are places in `slab`; every index holds ids in ascending order, so that an answer's order depends on the history of changes
//! alone. While a view is held (a reconcile runs), batches wait and are applied at release: what a reconcile reads does not move.

use std::collections::BTreeSet;
use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashTable};

use crate::Error;
use crate::path::{Batch, FIXED, Kind, LABELS, OWNERS, Projection};
use crate::pool::{Atom, Labels, Owner, Pool};
use crate::record::{Record, Uid};
use crate::scan::text_of;
use crate::selector::Selector;
use crate::subscription::{Mapping, Subscription, SubscriptionId};

type Ids = BTreeSet<u32>;
type Map<K, V> = HashMap<K, V, FixedState>;
const HASH: FixedState = FixedState::with_seed(0);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ListMark {
    Begin,
    Finish,
    Reached(u64),
}

#[derive(Debug)]
enum Waiting {
    Batch(Batch),
    Mark(ListMark),
}

/// Records of one kind. See the module.
pub struct View {
    projection: std::sync::Arc<Projection>,
    pool: Pool,
    slab: Vec<Option<Record>>,
    free: Vec<u32>,
    by_key: HashTable<u32>,
    by_uid: HashTable<u32>,
    by_owner: Map<Uid, Ids>,
    by_namespace: Map<Atom, Ids>,
    /// Filled only when declared: "key=value" to ids.
    by_label: Option<Map<Box<str>, Ids>>,
    by_field: Vec<(usize, Map<Atom, Ids>)>,
    subscriptions: Vec<Subscription>,
    revision: u64,
    generation: u32,
    held: u32,
    waiting: Vec<Waiting>,
}

fn key_hash(namespace: Atom, name: &str) -> u64 {
    HASH.hash_one((namespace.0, name))
}

impl View {
    /// fields: declared paths. label_index: selectors become index look-ups. field_indexes: some of the declared paths.
    pub fn new(fields: &[&str], label_index: bool, field_indexes: &[&str]) -> Result<Self, Error> {
        let projection = Projection::new(fields)?;
        let mut by_field = Vec::new();
        for path in field_indexes {
            let slot = projection.slot(path).ok_or_else(|| Error::NotIndexed { field: (*path).to_owned() })?;
            by_field.push((slot, Map::default()));
        }
        Ok(Self {
            projection: std::sync::Arc::new(projection),
            pool: Pool::default(),
            slab: Vec::new(),
            free: Vec::new(),
            by_key: HashTable::new(),
            by_uid: HashTable::new(),
            by_owner: Map::default(),
            by_namespace: Map::default(),
            by_label: label_index.then(Map::default),
            by_field,
            subscriptions: Vec::new(),
            revision: 0,
            generation: 0,
            held: 0,
            waiting: Vec::new(),
        })
    }

    /// For parsing without the view's lock.
    pub fn projection(&self) -> std::sync::Arc<Projection> {
        self.projection.clone()
    }

    /// The newest revision applied; a list's counts when it is finished.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    pub fn labels(&self, record: &Record) -> &Labels {
        self.pool.labels(record.slots[LABELS])
    }

    pub fn owners(&self, record: &Record) -> &[Owner] {
        self.pool.owners(record.slots[OWNERS])
    }

    pub fn namespace(&self, record: &Record) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(self.pool.text(record.namespace))
    }

    // ---- reading ----

    pub fn get(&self, namespace: &str, name: &str) -> Option<&Record> {
        let namespace = self.namespace_atom(namespace)?;
        self.find_key(namespace, name).and_then(|id| self.record(id))
    }

    pub fn by_uid(&self, uid: &Uid) -> Option<&Record> {
        self.find_uid(uid).and_then(|id| self.record(id))
    }

    /// Every record, in order of place.
    pub fn all(&self) -> impl Iterator<Item = &Record> {
        self.slab.iter().flatten()
    }

    /// Records with an owner reference to this uid.
    pub fn owned_by(&self, uid: &Uid) -> impl Iterator<Item = &Record> + use<'_> {
        self.of(self.by_owner.get(uid))
    }

    pub fn in_namespace(&self, namespace: &str) -> impl Iterator<Item = &Record> {
        self.of(self.namespace_atom(namespace).and_then(|atom| self.by_namespace.get(&atom)))
    }

    /// Records whose field (declared as indexed) is this JSON text. Errors: not indexed.
    pub fn with_field(&self, path: &str, json: &[u8]) -> Result<impl Iterator<Item = &Record> + use<'_>, Error> {
        let slot = self.projection.slot(path);
        let Some((_, index)) = self.by_field.iter().find(|(known, _)| Some(*known) == slot) else {
            return Err(Error::NotIndexed { field: path.to_owned() });
        };
        Ok(self.of(self.pool.find(json).and_then(|atom| index.get(&atom))))
    }

    /// Records a selector matches; namespace None: everywhere. Asks the smallest index that applies.
    pub fn selected(&self, selector: &Selector, namespace: Option<&str>) -> Vec<&Record> {
        let mut smallest: Option<&Ids> = None;
        if let Some(index) = &self.by_label {
            for (key, value) in selector.equals() {
                let Some(ids) = index.get(pair(key, value).as_str()) else { return Vec::new() };
                if smallest.is_none_or(|best| ids.len() < best.len()) {
                    smallest = Some(ids);
                }
            }
        }
        let wanted = match namespace {
            None => None,
            Some(namespace) => match self.namespace_atom(namespace) {
                None => return Vec::new(),
                Some(atom) => {
                    let Some(ids) = self.by_namespace.get(&atom) else { return Vec::new() };
                    if smallest.is_none_or(|best| ids.len() < best.len()) {
                        smallest = Some(ids);
                    }
                    Some(atom)
                }
            },
        };
        let keep = |record: &&Record| {
            wanted.is_none_or(|atom| record.namespace == atom) && selector.matches(self.labels(record))
        };
        match smallest {
            Some(ids) => self.of(Some(ids)).filter(keep).collect(),
            None => self.all().filter(keep).collect(),
        }
    }

    /// The uid of a record's controller.
    pub fn controller_of(&self, record: &Record) -> Option<&Uid> {
        self.owners(record).iter().find(|owner| owner.controller).map(|owner| &owner.uid)
    }

    /// Records whose controller this is.
    pub fn controlled_by<'v>(&'v self, uid: &'v Uid) -> impl Iterator<Item = &'v Record> {
        self.owned_by(uid).filter(move |record| self.controller_of(record) == Some(uid))
    }

    fn of<'v>(&'v self, ids: Option<&'v Ids>) -> impl Iterator<Item = &'v Record> {
        ids.into_iter().flatten().filter_map(|&id| self.record(id))
    }

    fn record(&self, id: u32) -> Option<&Record> {
        self.slab.get(id as usize)?.as_ref()
    }

    /// Namespaces are interned without quotes, and the empty one too, so that they never mix with field texts' counts.
    fn namespace_atom(&self, namespace: &str) -> Option<Atom> {
        self.pool.find(namespace.as_bytes())
    }

    fn find_key(&self, namespace: Atom, name: &str) -> Option<u32> {
        let same = |&id: &u32| self.record(id).is_some_and(|r| r.namespace == namespace && *r.name == *name);
        self.by_key.find(key_hash(namespace, name), same).copied()
    }

    fn find_uid(&self, uid: &Uid) -> Option<u32> {
        self.by_uid.find(HASH.hash_one(uid), |&id| self.record(id).is_some_and(|r| r.uid == *uid)).copied()
    }

    // ---- changing ----

    /// A list begins: what is not named until `finish` is gone then.
    pub fn begin(&mut self) {
        self.wait_or_do(Waiting::Mark(ListMark::Begin));
    }

    pub fn finish(&mut self) {
        self.wait_or_do(Waiting::Mark(ListMark::Finish));
    }

    /// Applies what `Projection::parse_list` or `parse_watch` read, now or at the release of the last hold.
    pub fn apply(&mut self, batch: Batch) {
        self.wait_or_do(Waiting::Batch(batch));
    }

    /// Nothing changes until as many `release` calls.
    pub fn hold(&mut self) {
        self.held += 1;
    }

    pub fn release(&mut self) {
        self.held = self.held.saturating_sub(1);
        if self.held == 0 {
            for waiting in std::mem::take(&mut self.waiting) {
                self.perform(waiting);
            }
        }
    }

    fn wait_or_do(&mut self, step: Waiting) {
        if self.held > 0 { self.waiting.push(step) } else { self.perform(step) }
    }

    fn perform(&mut self, step: Waiting) {
        match step {
            Waiting::Mark(ListMark::Begin) => self.generation += 1,
            Waiting::Mark(ListMark::Finish) => {
                for id in 0..self.slab.len() {
                    if self.slab[id].as_ref().is_some_and(|record| record.seen != self.generation) {
                        self.remove(id as u32);
                    }
                }
            }
            Waiting::Mark(ListMark::Reached(revision)) => self.revision = self.revision.max(revision),
            Waiting::Batch(batch) => self.perform_batch(&batch),
        }
    }

    fn perform_batch(&mut self, batch: &Batch) {
        let text = &*batch.text;
        for change in &batch.changes {
            let revision = change.draft.revision(text);
            self.revision = self.revision.max(revision);
            if change.kind == Kind::Bookmark {
                continue;
            }
            let uid = Uid::new(&change.draft.uid(text));
            let namespace = self.pool.intern(change.draft.namespace(text));
            let name = change.draft.name(text);
            let mut found = self.find_key(namespace, &name);
            if let Some(id) = found.filter(|&id| self.record(id).is_some_and(|old| old.uid != uid)) {
                self.remove(id); // another object took the name; the deletion in between was not seen
                found = None;
            }
            if change.kind == Kind::Deleted {
                if let Some(id) = found {
                    self.remove(id);
                }
                self.pool.release(namespace);
                continue;
            }
            if let Some(id) = found
                && let Some(old) = self.slab[id as usize].as_mut()
                && old.revision >= revision
            {
                old.seen = self.generation; // a page from before what the watch told already
                self.pool.release(namespace);
                continue;
            }
            let slots: Box<[Atom]> = change
                .draft
                .slots
                .iter()
                .map(|range| if range.is_empty() { Atom::ABSENT } else { self.pool.intern(&text[range.clone()]) })
                .collect();
            self.pool.prepare_labels(slots[LABELS]);
            self.pool.prepare_owners(slots[OWNERS]);
            let record = Record { uid, namespace, name: name.into(), revision, slots, seen: self.generation };
            match found {
                Some(id) => self.replace(id, record),
                None => self.insert(record),
            }
        }
    }

    /// What a list said its revision is; call after `finish`.
    pub fn reached(&mut self, revision: u64) {
        self.wait_or_do(Waiting::Mark(ListMark::Reached(revision)));
    }

    fn insert(&mut self, record: Record) {
        let id = match self.free.pop() {
            Some(id) => id,
            None => {
                self.slab.push(None);
                u32::try_from(self.slab.len() - 1).expect("fewer than 2^32 records fit any memory")
            }
        };
        let (key, uid) = (key_hash(record.namespace, &record.name), HASH.hash_one(&record.uid));
        self.by_namespace.entry(record.namespace).or_default().insert(id);
        self.index(id, &record, &[]);
        let arrivals = |at: &usize| !matches!(self.subscriptions[*at].mapping, Mapping::OwnersLeft);
        let told: Vec<usize> = (0..self.subscriptions.len()).filter(arrivals).collect();
        self.tell(&record, &told);
        self.slab[id as usize] = Some(record);
        let slab = &self.slab;
        let hash_key = |&id: &u32| slab[id as usize].as_ref().map_or(0, |r| key_hash(r.namespace, &r.name));
        self.by_key.insert_unique(key, id, hash_key);
        let hash_uid = |&id: &u32| slab[id as usize].as_ref().map_or(0, |r| HASH.hash_one(&r.uid));
        self.by_uid.insert_unique(uid, id, hash_uid);
    }

    fn replace(&mut self, id: u32, record: Record) {
        let Some(old) = self.slab[id as usize].take() else { return };
        let told: Vec<usize> = self
            .subscriptions
            .iter()
            .enumerate()
            .filter(|(_, s)| {
                s.slots.as_ref().is_none_or(|slots| slots.iter().any(|&i| old.slots[i] != record.slots[i]))
            })
            .map(|(at, _)| at)
            .collect();
        if !told.is_empty() {
            self.tell(&old, &told);
            self.tell(&record, &told);
        }
        if old.slots != record.slots {
            let same: Vec<usize> = (0..old.slots.len()).filter(|&i| old.slots[i] == record.slots[i]).collect();
            self.unindex(id, &old, &same);
            self.index(id, &record, &same);
        }
        self.slab[id as usize] = Some(record);
        self.drop_atoms(&old);
    }

    fn remove(&mut self, id: u32) {
        let Some(old) = self.slab[id as usize].take() else { return };
        let (key, uid) = (key_hash(old.namespace, &old.name), HASH.hash_one(&old.uid));
        if let Ok(entry) = self.by_key.find_entry(key, |&other| other == id) {
            entry.remove();
        }
        if let Ok(entry) = self.by_uid.find_entry(uid, |&other| other == id) {
            entry.remove();
        }
        leave(&mut self.by_namespace, &old.namespace, id);
        self.unindex(id, &old, &[]);
        let told: Vec<usize> = (0..self.subscriptions.len()).collect();
        self.tell(&old, &told);
        self.drop_atoms(&old);
        self.free.push(id);
    }

    /// Enters a record into the indexes of the slots that are not in `same`.
    fn index(&mut self, id: u32, record: &Record, same: &[usize]) {
        if !same.contains(&OWNERS) {
            for owner in self.pool.owners(record.slots[OWNERS]) {
                self.by_owner.entry(owner.uid.clone()).or_default().insert(id);
            }
        }
        if let Some(index) = self.by_label.as_mut().filter(|_| !same.contains(&LABELS)) {
            for (key, value) in self.pool.labels(record.slots[LABELS]) {
                let pair = pair(key, value);
                match index.get_mut(pair.as_str()) {
                    Some(ids) => drop(ids.insert(id)),
                    None => drop(index.insert(pair.into(), Ids::from([id]))),
                }
            }
        }
        for (slot, index) in &mut self.by_field {
            let atom = record.slots[*slot];
            if !same.contains(slot) && !atom.is_absent() {
                index.entry(atom).or_default().insert(id);
            }
        }
    }

    fn unindex(&mut self, id: u32, record: &Record, same: &[usize]) {
        if !same.contains(&OWNERS) {
            for owner in self.pool.owners(record.slots[OWNERS]) {
                leave(&mut self.by_owner, &owner.uid, id);
            }
        }
        if let Some(index) = self.by_label.as_mut().filter(|_| !same.contains(&LABELS)) {
            for (key, value) in self.pool.labels(record.slots[LABELS]) {
                leave(index, pair(key, value).as_str(), id);
            }
        }
        for (slot, index) in &mut self.by_field {
            if !same.contains(slot) {
                leave(index, &record.slots[*slot], id);
            }
        }
    }

    fn drop_atoms(&mut self, record: &Record) {
        self.pool.release(record.namespace);
        for &atom in &record.slots {
            self.pool.release(atom);
        }
    }

    // ---- telling ----

    /// slots None: tell every change. Otherwise only changes of these fields (and arrivals and deletions).
    pub fn subscribe(&mut self, fields: Option<&[&str]>, mapping: Mapping) -> Result<SubscriptionId, Error> {
        let slots = match fields {
            None => None,
            Some(paths) => Some(self.slots(paths)?),
        };
        self.subscriptions.push(Subscription { slots, mapping, pending: BTreeSet::new() });
        let at = self.subscriptions.len() - 1;
        let records: Vec<u32> = (0..self.slab.len() as u32).collect();
        for id in records {
            if let Some(record) = self.slab[id as usize].take() {
                self.tell(&record, &[at]);
                self.slab[id as usize] = Some(record);
            }
        }
        Ok(SubscriptionId(at))
    }

    /// The slots of declared paths. Errors: one is not declared.
    pub fn slots(&self, paths: &[&str]) -> Result<Vec<usize>, Error> {
        let slot = |path: &&str| {
            self.projection.slot(path).ok_or(Error::Path { path: (*path).to_owned(), why: "the view does not keep it" })
        };
        paths.iter().map(slot).collect()
    }

    /// Keys that changed since the last call, each once, in order.
    pub fn take(&mut self, subscription: SubscriptionId) -> Vec<String> {
        match self.subscriptions.get_mut(subscription.0) {
            Some(found) => std::mem::take(&mut found.pending).into_iter().collect(),
            None => Vec::new(),
        }
    }

    fn tell(&mut self, record: &Record, told: &[usize]) {
        for &at in told {
            let keys = self.keys(record, &self.subscriptions[at].mapping);
            self.subscriptions[at].pending.extend(keys);
        }
    }

    fn keys(&self, record: &Record, mapping: &Mapping) -> Vec<String> {
        let namespace = || self.namespace(record);
        match mapping {
            Mapping::Own => vec![format!("{}/{}", namespace(), record.name)],
            Mapping::OwnUid => vec![format!("{}/{}/{}", namespace(), record.name, record.uid)],
            Mapping::OwnersLeft => self
                .owners(record)
                .iter()
                .map(|o| format!("owner|{}|{}|{}/{}/{}", o.api_version, o.kind, namespace(), o.name, o.uid))
                .collect(),
            Mapping::Namespace => vec![format!("/{}", namespace())],
            Mapping::Controller { kind } => self
                .owners(record)
                .iter()
                .filter(|owner| owner.controller && owner.kind == *kind)
                .map(|owner| format!("{}/{}", namespace(), owner.name))
                .collect(),
            Mapping::Field { slot } => match self.pool.text(record.slots[*slot]) {
                b"" | b"\"\"" => Vec::new(),
                text => vec![format!("/{}", text_of(text))],
            },
            Mapping::Label { name } => {
                let value = self.labels(record).iter().find(|(key, _)| key == name);
                value.map(|(_, value)| format!("{}/{value}", namespace())).into_iter().collect()
            }
            Mapping::Selected { orphans: true, .. } if self.owners(record).iter().any(|owner| owner.controller) => {
                Vec::new()
            }
            Mapping::Selected { view, slot, map, .. } => {
                let other = view.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                let namespace = namespace();
                let labels = self.labels(record);
                let selects = |found: &&Record| {
                    let text = other.pool.text(found.slots[*slot]);
                    let selector = if *map { Selector::of_map(text) } else { Selector::of_label_selector(text) };
                    selector.matches(labels)
                };
                let found = other.in_namespace(&namespace).filter(selects);
                found.map(|found| format!("{namespace}/{}", found.name)).collect()
            }
        }
    }

    /// Declared fields only, without the fixed ones: for drawing a lens over all of them.
    pub fn fields(&self) -> &[String] {
        &self.projection.paths()[FIXED..]
    }
}

fn pair(key: &str, value: &str) -> String {
    format!("{key}={value}")
}

fn leave<K, Q>(index: &mut Map<K, Ids>, key: &Q, id: u32)
where
    K: std::borrow::Borrow<Q> + Eq + std::hash::Hash,
    Q: Eq + std::hash::Hash + ?Sized,
{
    if let Some(ids) = index.get_mut(key) {
        ids.remove(&id);
        if ids.is_empty() {
            index.remove(key);
        }
    }
}
