//! Classes: watchers that select the same. A change is matched once per class, not once per watcher, and the classes worth
//! trying are found by index.
//!
//! Each class stands in exactly one index, the most selective that its selection allows: the object's name, an indexed field
//! (`spec.nodeName=n1`), a label it requires to be equal, the namespace, or none. 5,000 agents that watch the pods of their own
//! node are 5,000 classes, and a change of one pod tries one of them (two, if it moved).

use std::collections::VecDeque;
use std::task::Waker;

use hashbrown::HashMap;
use knarr_store::Record;
use knarr_value::stored::StoredRef;
use knarr_value::{FieldSelector, LabelSelector, Str};

use crate::event::Kind;

/// What a watcher selects of a resource.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    pub namespace: Option<Str>,
    pub name: Option<Str>,
    pub labels: LabelSelector,
    pub fields: FieldSelector,
}

impl Selection {
    /// Equal selections have equal texts.
    pub fn identity(&self) -> String {
        format!(
            "{}\0{}\0{}\0{}",
            self.namespace.as_deref().unwrap_or("\u{1}"),
            self.name.as_deref().unwrap_or("\u{1}"),
            self.labels,
            self.fields
        )
    }

    fn selects_by_content(&self) -> bool {
        !self.labels.is_everything() || !self.fields.is_everything()
    }

    /// Whether an object is selected. `key` is its namespace and name, `record` its stored form.
    pub fn matches(&self, key: Key<'_>, record: &Record) -> bool {
        if self.namespace.as_deref().is_some_and(|namespace| namespace != key.namespace)
            || self.name.as_deref().is_some_and(|name| name != key.name)
        {
            return false;
        }
        if !self.selects_by_content() {
            return true;
        }
        // A record that cannot be read belongs to nobody's selection; the store checks records when it loads them.
        let Ok(stored) = knarr_value::stored::decode(&record.value) else { return false };
        self.labels.matches(&stored) && self.fields.matches(|field| Some(field_of(&stored, key, field)))
    }
}

fn field_of<'a>(stored: &StoredRef<'a>, key: Key<'a>, field: &str) -> &'a str {
    match field {
        "metadata.name" => key.name,
        "metadata.namespace" => key.namespace,
        field => stored.field(field).unwrap_or(""),
    }
}

/// Namespace and name of a store key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key<'a> {
    pub namespace: &'a str,
    pub name: &'a str,
}

impl<'a> Key<'a> {
    /// `<namespace>/<name>`: what follows the resource's prefix.
    pub fn parse(rest: &'a [u8]) -> Self {
        let text = std::str::from_utf8(rest).unwrap_or("");
        let (namespace, name) = text.split_once('/').unwrap_or(("", text));
        Self { namespace, name }
    }
}

/// One watcher's place in its class.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    pub waker: Option<Waker>,
    /// Second of the hub's clock at which the stream ends.
    pub deadline: u32,
    pub taken: bool,
    pub bookmarks: bool,
    pub bookmark_due: bool,
    pub expired: bool,
}

/// Watchers of one selection and the events that wait for at least one of them.
///
/// `log[0]` has position `first`; a watcher holds the position of its next event. The log is emptied as soon as all have read
/// it, so an idle class holds nothing; what the ring has evicted is cut off, and a watcher that still needed it resumes
/// from the store's history.
#[derive(Debug)]
pub(crate) struct Class {
    pub selection: Selection,
    log: VecDeque<(u64, Kind)>,
    first: u64,
    pub slots: Vec<Slot>,
    free: Vec<u32>,
    watchers: u32,
    /// Watchers whose position is the log's end.
    caught_up: u32,
    home: Home,
}

/// The index a class stands in.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Home {
    All,
    Namespace(Str),
    Name(Str),
    Field(usize, Str),
    Label(Str, Str),
}

impl Class {
    fn new(selection: Selection, indexed: &[Str]) -> Self {
        let home = Self::home(&selection, indexed);
        Self {
            selection,
            log: VecDeque::new(),
            first: 0,
            slots: Vec::new(),
            free: Vec::new(),
            watchers: 0,
            caught_up: 0,
            home,
        }
    }

    fn home(selection: &Selection, indexed: &[Str]) -> Home {
        if let Some(name) = &selection.name {
            return Home::Name(name.clone());
        }
        if let Some(name) = selection.fields.requires_equal("metadata.name") {
            return Home::Name(name.into());
        }
        for (index, field) in indexed.iter().enumerate() {
            if let Some(value) = selection.fields.requires_equal(field) {
                return Home::Field(index, value.into());
            }
        }
        if let Some((key, value)) = selection.labels.requires_equal().and_then(|pairs| pairs.into_iter().next()) {
            return Home::Label(key, value);
        }
        match &selection.namespace {
            Some(namespace) => Home::Namespace(namespace.clone()),
            None => Home::All,
        }
    }

    pub fn end(&self) -> u64 {
        self.first + self.log.len() as u64
    }

    pub fn first(&self) -> u64 {
        self.first
    }

    pub fn get(&self, position: u64) -> Option<(u64, Kind)> {
        let index = position.checked_sub(self.first)?;
        self.log.get(usize::try_from(index).ok()?).copied()
    }

    /// Appends an event and moves the wakers of all parked watchers into `wake`.
    pub fn push(&mut self, ring_position: u64, ring_first: u64, kind: Kind, wake: &mut Vec<Waker>) {
        while self.log.front().is_some_and(|(position, _)| *position < ring_first) {
            self.log.pop_front();
            self.first += 1;
        }
        self.log.push_back((ring_position, kind));
        self.caught_up = 0;
        wake.extend(self.slots.iter_mut().filter_map(|slot| slot.waker.take()));
    }

    /// A new watcher, at the log's end.
    pub fn attach(&mut self, bookmarks: bool, deadline: u32) -> u32 {
        self.watchers += 1;
        self.caught_up += 1;
        let slot = Slot { bookmarks, deadline, taken: true, ..Slot::default() };
        match self.free.pop() {
            Some(index) => {
                self.slots[index as usize] = slot;
                index
            }
            None => {
                self.slots.push(slot);
                (self.slots.len() - 1) as u32
            }
        }
    }

    /// Removes a watcher; whether the class is empty now.
    pub fn detach(&mut self, slot: u32, position: u64) -> bool {
        self.slots[slot as usize] = Slot::default();
        self.free.push(slot);
        if position == self.end() {
            self.caught_up -= 1;
        }
        self.watchers -= 1;
        self.shrink();
        self.watchers == 0
    }

    /// A watcher moves from one position to a later one.
    pub fn advance(&mut self, from: u64, to: u64) {
        if from != to && to == self.end() {
            self.caught_up += 1;
            self.shrink();
        }
    }

    fn shrink(&mut self) {
        if self.caught_up == self.watchers && !self.log.is_empty() {
            self.first += self.log.len() as u64;
            self.log = VecDeque::new();
        }
    }
}

/// All classes of a resource, with their indexes.
#[derive(Debug, Default)]
pub(crate) struct Classes {
    indexed: Vec<Str>,
    slab: Vec<Option<Box<Class>>>,
    free: Vec<u32>,
    by_identity: HashMap<String, u32>,
    all: Vec<u32>,
    by_namespace: HashMap<Str, Vec<u32>>,
    by_name: HashMap<Str, Vec<u32>>,
    by_field: Vec<HashMap<Str, Vec<u32>>>,
    by_label: HashMap<Str, HashMap<Str, Vec<u32>>>,
}

impl Classes {
    pub fn new(indexed: Vec<Str>) -> Self {
        Self { by_field: indexed.iter().map(|_| HashMap::new()).collect(), indexed, ..Self::default() }
    }

    pub fn len(&self) -> usize {
        self.by_identity.len()
    }

    pub fn get_mut(&mut self, id: u32) -> &mut Class {
        self.slab[id as usize].as_deref_mut().expect("a watcher's class lives as long as the watcher")
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Class> {
        self.slab.iter_mut().filter_map(Option::as_deref_mut)
    }

    /// The class of a selection, made when it is the first of its kind.
    pub fn enter(&mut self, selection: Selection) -> u32 {
        let identity = selection.identity();
        if let Some(id) = self.by_identity.get(&identity) {
            return *id;
        }
        let class = Box::new(Class::new(selection, &self.indexed));
        let home = class.home.clone();
        let id = match self.free.pop() {
            Some(id) => {
                self.slab[id as usize] = Some(class);
                id
            }
            None => {
                self.slab.push(Some(class));
                (self.slab.len() - 1) as u32
            }
        };
        self.by_identity.insert(identity, id);
        match home {
            Home::All => self.all.push(id),
            Home::Namespace(namespace) => self.by_namespace.entry(namespace).or_default().push(id),
            Home::Name(name) => self.by_name.entry(name).or_default().push(id),
            Home::Field(index, value) => self.by_field[index].entry(value).or_default().push(id),
            Home::Label(key, value) => self.by_label.entry(key).or_default().entry(value).or_default().push(id),
        }
        id
    }

    /// Removes a watcher from its class, and the class with its last watcher.
    pub fn leave(&mut self, id: u32, slot: u32, position: u64) {
        if !self.get_mut(id).detach(slot, position) {
            return;
        }
        let Some(class) = self.slab[id as usize].take() else { return };
        self.free.push(id);
        self.by_identity.remove(&class.selection.identity());
        match &class.home {
            Home::All => self.all.retain(|one| *one != id),
            Home::Namespace(namespace) => remove(&mut self.by_namespace, namespace, id),
            Home::Name(name) => remove(&mut self.by_name, name, id),
            Home::Field(index, value) => remove(&mut self.by_field[*index], value, id),
            Home::Label(key, value) => {
                if let Some(values) = self.by_label.get_mut(key) {
                    remove(values, value, id);
                    if values.is_empty() {
                        self.by_label.remove(key);
                    }
                }
            }
        }
    }

    /// The classes that a change may concern, each once. `states` are the object's new and previous stored form.
    pub fn candidates(&self, key: Key<'_>, states: [Option<&Record>; 2], found: &mut Vec<u32>) {
        found.clear();
        found.extend_from_slice(&self.all);
        if let Some(ids) = self.by_namespace.get(key.namespace) {
            found.extend_from_slice(ids);
        }
        if let Some(ids) = self.by_name.get(key.name) {
            found.extend_from_slice(ids);
        }
        if self.by_label.is_empty() && self.by_field.iter().all(HashMap::is_empty) {
            return;
        }
        let stored = states.map(|state| state.and_then(|record| knarr_value::stored::decode(&record.value).ok()));
        let before = found.len();
        for state in stored.iter().flatten() {
            for (field, values) in self.indexed.iter().zip(&self.by_field) {
                if let Some(ids) = values.get(state.field(field).unwrap_or("")) {
                    found.extend_from_slice(ids);
                }
            }
            if !self.by_label.is_empty() {
                for (label, value) in state.labels() {
                    if let Some(ids) = self.by_label.get(label).and_then(|values| values.get(value)) {
                        found.extend_from_slice(ids);
                    }
                }
            }
        }
        // Both states of an object usually lead to the same classes.
        found[before..].sort_unstable();
        found.dedup();
    }
}

fn remove(index: &mut HashMap<Str, Vec<u32>>, key: &Str, id: u32) {
    if let Some(ids) = index.get_mut(key) {
        ids.retain(|one| *one != id);
        if ids.is_empty() {
            index.remove(key);
        }
    }
}
