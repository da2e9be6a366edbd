//! The hub: takes the store's changes in order, keeps a ring a resource, and wakes whom they concern.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;

use bytes::Bytes;
use hashbrown::HashMap;
use knarr_base::{Clock, Revision};
use knarr_store::{Change, KeySpace, Sink, Store};
use knarr_value::Str;
use parking_lot::{Mutex, RwLock};

use crate::class::{Class, Classes, Key};
use crate::event::{Encoder, EncodingId, Entry, Kind};
use crate::ring::Ring;
use crate::watcher::{WatchSpec, Watcher};

/// Bounds of the hub.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of objects and frames that one resource's ring keeps.
    pub ring_bytes_max: usize,
    /// Age in seconds beyond which a ring forgets; the store's history goes on from there (five minutes).
    pub ring_age_seconds_max: u64,
    /// Seconds between two bookmarks of a watcher.
    pub bookmark_seconds: u64,
}

impl Default for Limits {
    fn default() -> Self {
        use knarr_base::limits::{WATCH_BOOKMARK_SECONDS, WATCH_RING_AGE_SECONDS_MAX, WATCH_RING_BYTES_MAX};
        Self {
            ring_bytes_max: WATCH_RING_BYTES_MAX,
            ring_age_seconds_max: WATCH_RING_AGE_SECONDS_MAX,
            bookmark_seconds: WATCH_BOOKMARK_SECONDS,
        }
    }
}

/// A registered resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ResourceId(pub(crate) u32);

/// The watch hub. One for a server; subscribe it to the store before the first request.
#[derive(Clone)]
pub struct Hub {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub limits: Limits,
    /// Every change up to here is in the rings.
    seen: AtomicU64,
    resources: RwLock<Resources>,
}

#[derive(Default)]
struct Resources {
    by_prefix: HashMap<Bytes, ResourceId>,
    all: Vec<Arc<Resource>>,
}

/// One resource: everything that changes is behind one lock, held for the matching of one change or the reading of a few.
pub(crate) struct Resource {
    pub prefix: Bytes,
    pub state: Mutex<State>,
    encoders: RwLock<Vec<(u64, Encoder)>>,
}

pub(crate) struct State {
    pub ring: Ring,
    pub classes: Classes,
    candidates: Vec<u32>,
}

impl Hub {
    /// A hub over a store. It subscribes itself: changes made from now on reach it.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, limits: Limits) -> Self {
        let shared = Arc::new(Shared {
            store: Arc::clone(&store),
            clock,
            limits,
            seen: AtomicU64::new(0),
            resources: RwLock::default(),
        });
        store.subscribe(Arc::clone(&shared) as Arc<dyn Sink>);
        // Read after subscribing: a change in between is in the revision, in the ring, or in both, never in neither.
        shared.seen.fetch_max(store.revision(KeySpace::Cluster).0, Ordering::AcqRel);
        Self { shared }
    }

    /// Registers the resource under a key prefix of two segments (`apps/deployments/`). Registering it again is the same
    /// resource; `indexed` are the selectable fields by which watchers are found (those of the first registration count).
    pub fn register(&self, prefix: Bytes, indexed: &[&str]) -> ResourceId {
        let mut resources = self.shared.resources.write();
        if let Some(id) = resources.by_prefix.get(&prefix) {
            return *id;
        }
        let id = ResourceId(resources.all.len() as u32);
        // Under the write lock no change is being dispatched: the ring misses none beyond `seen`.
        let floor = Revision(self.shared.seen.load(Ordering::Acquire));
        resources.all.push(Arc::new(Resource {
            prefix: prefix.clone(),
            state: Mutex::new(State {
                ring: Ring::new(floor),
                classes: Classes::new(indexed.iter().map(|field| Str::from(*field)).collect()),
                candidates: Vec::new(),
            }),
            encoders: RwLock::default(),
        }));
        resources.by_prefix.insert(prefix, id);
        id
    }

    /// The encoding that `make` gives, known under `identity`: asked for again, the same id is answered and `make` not called.
    pub fn encoding(&self, resource: ResourceId, identity: u64, make: impl FnOnce() -> Encoder) -> EncodingId {
        let resource = self.shared.resource(resource);
        let find = |encoders: &[(u64, Encoder)]| encoders.iter().position(|(known, _)| *known == identity);
        if let Some(index) = find(&resource.encoders.read()) {
            return EncodingId(index as u16);
        }
        let mut encoders = resource.encoders.write();
        let index = find(&encoders).unwrap_or_else(|| {
            encoders.push((identity, make()));
            encoders.len() - 1
        });
        EncodingId(index as u16)
    }

    /// Starts a watch. It never fails: what cannot be resumed ends the stream with an `Expired` frame, as in Kubernetes.
    pub fn watch(&self, spec: WatchSpec) -> Watcher {
        let resource = self.shared.resource(spec.resource);
        Watcher::start(Arc::clone(&self.shared), resource, spec)
    }

    /// The keys of a resource that changed after `from`, some of them more than once, and the revision up to which these are all.
    /// None for the keys where the ring does not go back as far.
    pub fn changed(&self, resource: ResourceId, from: Revision) -> (Revision, Option<Vec<Bytes>>) {
        let resource = self.shared.resource(resource);
        // Read first: every change up to it is in the ring by now.
        let seen = self.shared.seen();
        let state = resource.state.lock();
        (seen, state.ring.since(from).map(|since| since.map(|(_, entry)| entry.key.clone()).collect()))
    }

    /// The newest revision whose changes watchers can see.
    pub fn revision(&self) -> Revision {
        self.shared.seen()
    }

    /// The one timer of all watches: call it once a second. Ends streams whose time is over, marks bookmarks that are due (a
    /// sixtieth of the watchers at a time, so that they do not all wake at once) and ages the rings.
    pub fn tick(&self) {
        let second = self.shared.second();
        let resources: Vec<_> = self.shared.resources.read().all.clone();
        let mut wake = Vec::new();
        for resource in resources {
            let mut state = resource.state.lock();
            let State { ring, classes, .. } = &mut *state;
            self.shared.evict(ring);
            for (index, class) in classes.iter_mut().enumerate() {
                tick_class(class, index as u64, second, self.shared.limits.bookmark_seconds, &mut wake);
            }
            drop(state);
            wake.drain(..).for_each(Waker::wake);
        }
    }

    /// Figures for /metrics: watchers' classes and bytes held in rings, over all resources.
    pub fn usage(&self) -> (usize, usize) {
        let resources = self.shared.resources.read();
        resources.all.iter().fold((0, 0), |(classes, bytes), resource| {
            let state = resource.state.lock();
            (classes + state.classes.len(), bytes + state.ring.bytes())
        })
    }
}

fn tick_class(class: &mut Class, index: u64, second: u32, bookmark_seconds: u64, wake: &mut Vec<Waker>) {
    for (at, slot) in class.slots.iter_mut().enumerate() {
        if !slot.taken {
            continue;
        }
        let due = slot.bookmarks
            && ((index + at as u64) % bookmark_seconds == u64::from(second) % bookmark_seconds
                || slot.deadline == second + 2);
        slot.bookmark_due |= due;
        slot.expired |= slot.deadline <= second;
        if (due || slot.expired)
            && let Some(waker) = slot.waker.take()
        {
            wake.push(waker);
        }
    }
}

impl Shared {
    pub fn resource(&self, id: ResourceId) -> Arc<Resource> {
        Arc::clone(&self.resources.read().all[id.0 as usize])
    }

    pub fn seen(&self) -> Revision {
        Revision(self.seen.load(Ordering::Acquire))
    }

    /// Whole seconds of the hub's clock.
    pub fn second(&self) -> u32 {
        u32::try_from(self.clock.now().0 / 1_000_000_000).unwrap_or(u32::MAX - 4)
    }

    fn evict(&self, ring: &mut Ring) {
        let oldest = self.clock.now().0.saturating_sub(self.limits.ring_age_seconds_max * 1_000_000_000);
        ring.evict(self.limits.ring_bytes_max, oldest);
    }
}

impl Resource {
    pub fn encoder(&self, id: EncodingId) -> Encoder {
        Arc::clone(&self.encoders.read()[usize::from(id.0)].1)
    }

    fn push(&self, shared: &Shared, change: &Change, now: u64, wake: &mut Vec<Waker>) {
        let mut state = self.state.lock();
        let State { ring, classes, candidates } = &mut *state;
        let entry =
            Entry::new(change.revision, change.key.clone(), change.record.clone(), change.previous.clone(), now);
        let position = ring.push(Arc::new(entry));
        shared.evict(ring);
        let key = Key::parse(&change.key[self.prefix.len()..]);
        let (new, old) = (change.record.as_deref(), change.previous.as_deref());
        classes.candidates(key, [new, old], candidates);
        for id in candidates.iter() {
            let class = classes.get_mut(*id);
            if let Some(kind) = class.selection.transition(key, new, old) {
                class.push(position, ring.first(), kind, wake);
            }
        }
    }
}

impl crate::class::Selection {
    /// What a change is to this selection; `None` when it does not concern it.
    pub fn transition(
        &self,
        key: Key<'_>,
        new: Option<&knarr_store::Record>,
        old: Option<&knarr_store::Record>,
    ) -> Option<Kind> {
        let is = new.is_some_and(|record| self.matches(key, record));
        let was = old.is_some_and(|record| self.matches(key, record));
        match (was, is) {
            (false, true) => Some(Kind::Added),
            (true, true) => Some(Kind::Modified),
            (true, false) => Some(Kind::Deleted),
            (false, false) => None,
        }
    }
}

/// The first two segments of a key, with their slashes.
fn prefix_of(key: &[u8]) -> Option<&[u8]> {
    let first = key.iter().position(|byte| *byte == b'/')?;
    let second = key[first + 1..].iter().position(|byte| *byte == b'/')?;
    Some(&key[..first + second + 2])
}

impl Sink for Shared {
    fn changes(&self, space: KeySpace, revision: Revision, changes: &[Change]) {
        if space != KeySpace::Cluster {
            return;
        }
        let now = self.clock.now().0;
        let mut wake: Vec<Waker> = Vec::new();
        let resources = self.resources.read();
        for change in changes {
            let id = prefix_of(&change.key).and_then(|prefix| resources.by_prefix.get(prefix));
            if let Some(id) = id {
                resources.all[id.0 as usize].push(self, change, now, &mut wake);
            }
        }
        // Set after the pushes and before the wakers: who reads `seen` finds every change up to it in the rings.
        self.seen.fetch_max(revision.0, Ordering::AcqRel);
        drop(resources);
        wake.into_iter().for_each(Waker::wake);
    }
}
