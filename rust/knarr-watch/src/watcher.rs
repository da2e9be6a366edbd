//! A watcher: a cursor. Idle, it is a place in its class and a waker there; it owns no task, timer or buffer.
//!
//! What it delivers, in this order: the initial objects (if asked for), what happened between the revision it starts from and
//! the moment it joined its class (`backlog`), then its class's log. If the ring has lost what it needs next, it starts again
//! from the revision it delivered last, out of the store's history; if that is compacted too, the stream ends with a 410.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use knarr_base::Revision;
use knarr_store::{KeySpace, Record, StoreError};
use knarr_value::{FieldSelector, LabelSelector, Str};

use crate::class::{Key, Selection};
use crate::event::{EncodingId, Entry, HubEvent, Kind};
use crate::hub::{Resource, ResourceId, Shared, State};

/// Events taken out of the ring under one lock.
const BATCH: usize = 32;

/// The objects a watch begins with, read at `WatchSpec::from`.
#[derive(Debug)]
pub struct Initial {
    pub objects: Vec<(Bytes, Arc<Record>)>,
    /// End them with a bookmark annotated `k8s.io/initial-events-end`.
    pub bookmark: bool,
}

/// What to watch, from where, and how to show it.
#[derive(Debug)]
pub struct WatchSpec {
    pub resource: ResourceId,
    pub namespace: Option<Str>,
    pub name: Option<Str>,
    pub labels: LabelSelector,
    pub fields: FieldSelector,
    /// Changes *after* this revision are delivered.
    pub from: Revision,
    pub initial: Option<Initial>,
    pub encoding: EncodingId,
    /// Another encoding for the very first frame (a Table shows its column definitions once).
    pub first_encoding: Option<EncodingId>,
    pub bookmarks: bool,
    /// Seconds until the stream ends.
    pub timeout_seconds: u32,
}

/// What a watcher yields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchItem {
    /// One event, framed for its encoding.
    Frame(Bytes),
    /// The last frame, an ERROR event with Status 410; nothing comes after it.
    End(Bytes),
}

/// Entries of a watcher's own, with what they are to it.
type Events = VecDeque<(Arc<Entry>, Kind)>;

enum Backlog {
    /// Ring positions.
    Ring(VecDeque<(u64, Kind)>),
    /// Out of the store's history: entries of this watcher's own.
    History(Events),
}

struct InitialState {
    objects: std::vec::IntoIter<(Bytes, Arc<Record>)>,
    bookmark: bool,
}

/// A running watch. Dropping it ends it.
pub struct Watcher {
    shared: Arc<Shared>,
    resource: Arc<Resource>,
    class: u32,
    slot: u32,
    position: u64,
    encoding: EncodingId,
    first_encoding: Option<EncodingId>,
    /// The newest revision taken over, and how many events of it: where to resume from when the ring has gone on.
    last: Revision,
    last_count: u32,
    ended: bool,
    /// The start lay beyond history: the oldest revision that there is.
    lost: Option<Revision>,
    initial: Option<Box<InitialState>>,
    backlog: Option<Box<Backlog>>,
    /// Taken out of the ring, in reverse order; empty (and unallocated) when idle.
    pending: Vec<(Arc<Entry>, Kind)>,
}

impl Watcher {
    pub(crate) fn start(shared: Arc<Shared>, resource: Arc<Resource>, spec: WatchSpec) -> Self {
        let selection =
            Selection { namespace: spec.namespace, name: spec.name, labels: spec.labels, fields: spec.fields };
        let deadline = shared.second().saturating_add(spec.timeout_seconds.max(1));
        let (class, slot, position) = {
            let mut state = resource.state.lock();
            let class = state.classes.enter(selection);
            let joined = state.classes.get_mut(class);
            let slot = joined.attach(spec.bookmarks, deadline);
            (class, slot, joined.end())
        };
        let initial = spec
            .initial
            .map(|initial| Box::new(InitialState { objects: initial.objects.into_iter(), bookmark: initial.bookmark }));
        let mut watcher = Self {
            shared,
            resource,
            class,
            slot,
            position,
            encoding: spec.encoding,
            first_encoding: spec.first_encoding,
            last: spec.from,
            last_count: 0,
            ended: false,
            lost: None,
            initial,
            backlog: None,
            pending: Vec::new(),
        };
        watcher.lost = watcher.resume().err();
        watcher
    }

    /// The revision up to which everything was delivered or handed out.
    pub fn revision(&self) -> Revision {
        self.last
    }

    /// The next frame. `None` when the watch's time is over; after `End` too.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<WatchItem>> {
        loop {
            if self.ended {
                return Poll::Ready(None);
            }
            if let Some(oldest) = self.lost {
                self.ended = true;
                return Poll::Ready(Some(self.expired(oldest)));
            }
            if let Some((entry, kind)) = self.pending.pop() {
                if self.pending.is_empty() {
                    self.pending = Vec::new();
                }
                return Poll::Ready(Some(self.frame(&entry, kind)));
            }
            if let Some(item) = self.next_initial() {
                return Poll::Ready(Some(item));
            }
            match self.take(cx) {
                Taken::Some => {}
                Taken::Nothing => return Poll::Pending,
                Taken::Bookmark(revision) => return Poll::Ready(Some(self.control(Kind::Bookmark, revision))),
                Taken::Over => {
                    self.ended = true;
                    return Poll::Ready(None);
                }
                Taken::Lost => {
                    if let Err(oldest) = self.resume() {
                        self.ended = true;
                        return Poll::Ready(Some(self.expired(oldest)));
                    }
                }
            }
        }
    }

    fn encoding_now(&mut self) -> EncodingId {
        self.first_encoding.take().unwrap_or(self.encoding)
    }

    fn frame(&mut self, entry: &Entry, kind: Kind) -> WatchItem {
        let encoding = self.encoding_now();
        WatchItem::Frame(entry.frame(kind, encoding, &self.resource.encoder(encoding)))
    }

    fn control(&mut self, kind: Kind, revision: Revision) -> WatchItem {
        let encoding = self.encoding_now();
        let event = HubEvent { kind, key: b"", record: None, previous: None, revision, oldest: Revision(0) };
        WatchItem::Frame(self.resource.encoder(encoding)(&event))
    }

    fn expired(&mut self, oldest: Revision) -> WatchItem {
        let event =
            HubEvent { kind: Kind::Expired, key: b"", record: None, previous: None, revision: self.last, oldest };
        WatchItem::End(self.resource.encoder(self.encoding)(&event))
    }

    fn next_initial(&mut self) -> Option<WatchItem> {
        let initial = self.initial.as_deref_mut()?;
        let from = self.last;
        if let Some((key, record)) = initial.objects.next() {
            let encoding = self.encoding_now();
            let event = HubEvent {
                kind: Kind::Added,
                key: &key,
                record: Some(&record),
                previous: None,
                revision: record.mod_revision,
                oldest: Revision(0),
            };
            return Some(WatchItem::Frame(self.resource.encoder(encoding)(&event)));
        }
        let bookmark = initial.bookmark;
        self.initial = None;
        bookmark.then(|| self.control(Kind::InitialEventsEnd, from))
    }

    /// Takes the next events over, or parks the waker: one lock for both, so none comes between them.
    fn take(&mut self, cx: &Context<'_>) -> Taken {
        let resource = Arc::clone(&self.resource);
        let mut state = resource.state.lock();
        let State { ring, classes, .. } = &mut *state;
        let class = classes.get_mut(self.class);
        if class.slots[self.slot as usize].expired {
            return Taken::Over;
        }
        let mut lost = false;
        match self.backlog.as_deref_mut() {
            Some(Backlog::History(entries)) => {
                while self.pending.len() < BATCH
                    && let Some(one) = entries.pop_front()
                {
                    self.pending.push(one);
                }
            }
            Some(Backlog::Ring(positions)) => {
                while self.pending.len() < BATCH
                    && let Some((position, kind)) = positions.pop_front()
                {
                    let Some(entry) = ring.get(position) else {
                        lost = true;
                        break;
                    };
                    self.pending.push((Arc::clone(entry), kind));
                }
            }
            None => {
                let start = self.position;
                lost = start < class.first();
                while !lost
                    && self.pending.len() < BATCH
                    && let Some((position, kind)) = class.get(self.position)
                {
                    let Some(entry) = ring.get(position) else {
                        lost = true;
                        break;
                    };
                    // A watch from a future revision begins behind it.
                    if entry.revision > self.last || (entry.revision == self.last && self.last_count > 0) {
                        self.pending.push((Arc::clone(entry), kind));
                    }
                    self.position += 1;
                }
                class.advance(start, self.position);
            }
        }
        if !self.pending.is_empty() {
            self.count_taken();
            self.pending.reverse();
            return Taken::Some;
        }
        if lost {
            return Taken::Lost;
        }
        if self.backlog.take().is_some() {
            return Taken::Some;
        }
        // Read under the resource's lock, with everything delivered: nothing up to it can be outstanding.
        let seen = self.shared.seen();
        if seen > self.last {
            self.last = seen;
            self.last_count = 0;
        }
        let slot = &mut class.slots[self.slot as usize];
        if std::mem::take(&mut slot.bookmark_due) {
            return Taken::Bookmark(self.last);
        }
        slot.waker = Some(cx.waker().clone());
        Taken::Nothing
    }

    fn count_taken(&mut self) {
        for (entry, _) in &self.pending {
            if entry.revision == self.last {
                self.last_count += 1;
            } else {
                self.last = entry.revision;
                self.last_count = 1;
            }
        }
    }

    /// Joins the class anew, behind everything after `last`. Errors: the oldest revision that history holds.
    fn resume(&mut self) -> Result<(), Revision> {
        let resource = Arc::clone(&self.resource);
        // At first try the ring alone; the store's history is read without the lock, since it may be long.
        let mut history: Option<Events> = None;
        let mut reached = self.last;
        loop {
            let mut state = resource.state.lock();
            let State { ring, classes, .. } = &mut *state;
            let class = classes.get_mut(self.class);
            // Events of `last` itself are looked at again where some of that revision may be missing.
            let from = if history.is_none() && self.last_count > 0 {
                Revision(self.last.0.saturating_sub(1))
            } else {
                reached
            };
            if let Some(since) = ring.since(from) {
                let mut skip = if history.is_none() { self.last_count } else { 0 };
                let mut positions = VecDeque::new();
                for (position, entry) in since {
                    let key = Key::parse(&entry.key[resource.prefix.len()..]);
                    let kind = class.selection.transition(key, entry.record.as_deref(), entry.previous.as_deref());
                    let Some(kind) = kind else { continue };
                    if skip > 0 && entry.revision == self.last {
                        skip -= 1;
                        continue;
                    }
                    positions.push_back((position, kind));
                }
                let end = class.end();
                class.advance(self.position, end);
                self.position = end;
                self.backlog = match history {
                    Some(mut entries) => {
                        entries.extend(
                            positions
                                .into_iter()
                                .filter_map(|(position, kind)| ring.get(position).map(|e| (Arc::clone(e), kind))),
                        );
                        (!entries.is_empty()).then(|| Box::new(Backlog::History(entries)))
                    }
                    None => (!positions.is_empty()).then(|| Box::new(Backlog::Ring(positions))),
                };
                return Ok(());
            }
            let selection = class.selection.clone();
            drop(state);
            let (entries, newest) = self.history(&selection)?;
            // The ring may have moved on while we read; then read again, from further on.
            history = Some(entries);
            reached = newest;
        }
    }

    /// This watcher's events after `last` out of the store's history, and the revision up to which they are complete.
    fn history(&self, selection: &Selection) -> Result<(Events, Revision), Revision> {
        // Read first: what the hub has seen by now is in the history by now.
        let newest = self.shared.seen();
        let changes =
            self.shared.store.history(KeySpace::Cluster, Revision(self.last.0 + u64::from(self.last_count == 0)));
        let changes = match changes {
            Ok(changes) => changes,
            Err(StoreError::Compacted { .. }) => return Err(self.shared.store.compacted(KeySpace::Cluster)),
            // A revision of the future has no history yet.
            Err(_) => return Ok((VecDeque::new(), newest.max(self.last))),
        };
        let prefix = &self.resource.prefix;
        let mut entries = VecDeque::new();
        let mut skip = self.last_count;
        for change in changes {
            if change.revision > newest || change.revision < self.last || !change.key.starts_with(prefix) {
                continue;
            }
            if change.revision == self.last && self.last_count == 0 {
                continue;
            }
            let key = Key::parse(&change.key[prefix.len()..]);
            let Some(kind) = selection.transition(key, change.record.as_deref(), change.previous.as_deref()) else {
                continue;
            };
            if change.revision == self.last && skip > 0 {
                skip -= 1;
                continue;
            }
            let entry = Entry::new(change.revision, change.key, change.record, change.previous, 0);
            entries.push_back((Arc::new(entry), kind));
        }
        Ok((entries, newest.max(self.last)))
    }
}

enum Taken {
    /// Look again: there is something pending, or the backlog has ended.
    Some,
    Nothing,
    Bookmark(Revision),
    /// The stream's time is over.
    Over,
    /// The ring no longer has what comes next.
    Lost,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.resource.state.lock().classes.leave(self.class, self.slot, self.position);
    }
}
