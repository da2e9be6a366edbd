//! Lists that are asked for again: a resource's objects as a list shows them, in contiguous pieces that all answers share until one
//! of their objects changes.
//!
//! ```text
//!   keys      p/a/1 ... p/a/31 | p/a/32 ... p/b/17 | p/b/18 ...
//!   pieces    ,{...},...,{...} | (stale)           | ,{...},...,{...}
//! ```
//! A piece holds what lies between its start and the next one's. What changed since the pieces were looked at is asked of the hub's
//! ring; the pieces that those keys lie in are stale, and read again as of one revision when a list needs them: a list costs
//! one walk over its pieces, and encodes what changed. A list that is asked for once, or seldom, keeps nothing.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use hashbrown::HashMap;
use knarr_base::Revision;
use knarr_base::limits::{LIST_PIECES_BYTES_MAX, LIST_PIECES_SECONDS};
use knarr_store::{KeySpace, Store};
use knarr_watch::Hub;
use parking_lot::Mutex;

use crate::answer;
use crate::registry::KindEntry;
use crate::status::Status;

/// Bytes that a piece is filled up to, but for larger objects.
const PIECE_BYTES: usize = 64 * 1024;

/// The objects of a range, each with a comma before it.
#[derive(Debug)]
struct Piece {
    /// None: stale.
    bytes: Option<Bytes>,
    /// Key of its last object; that of its start where it has none.
    last: Bytes,
}

/// The pieces of one kind. Together they cover all of its keys.
#[derive(Debug, Default)]
struct Pieces {
    by_start: BTreeMap<Bytes, Piece>,
    /// What changed after this revision is not accounted for.
    at: Revision,
    bytes: usize,
    /// When a list was asked for last.
    second: Option<u64>,
    /// Until when it is not tried again: it was too large to be kept.
    not_before: u64,
}

/// The pieces of all kinds.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    /// By the kind's serial: another form of a kind is written differently.
    kinds: Mutex<HashMap<u64, Arc<Mutex<Pieces>>>>,
    bytes: AtomicUsize,
}

impl Lists {
    /// The items of a list of all objects between `from` and `to`, and the revision they are of. None where nothing is kept, and
    /// the list is to be read as any other.
    pub fn items(
        &self,
        (store, hub): (&dyn Store, &Hub),
        entry: &KindEntry,
        (from, to): (&Bytes, &Bytes),
        second: u64,
    ) -> Result<Option<(Vec<Bytes>, Revision)>, Status> {
        let pieces = Arc::clone(self.kinds.lock().entry(entry.serial).or_default());
        // Who comes while another one reads does not wait for it: it reads for itself.
        let Some(mut pieces) = pieces.try_lock() else { return Ok(None) };
        if pieces.second.replace(second).is_none() || second < pieces.not_before {
            return Ok(None);
        }
        let before = pieces.bytes;
        let items = pieces.items(store, hub, entry, from, to);
        self.account(before, pieces.bytes);
        if self.bytes.load(Ordering::Relaxed) > LIST_PIECES_BYTES_MAX {
            self.account(pieces.bytes, 0);
            *pieces = Pieces { second: Some(second), not_before: second + LIST_PIECES_SECONDS, ..Pieces::default() };
        }
        items
    }

    fn account(&self, before: usize, after: usize) {
        self.bytes.fetch_add(after, Ordering::Relaxed);
        self.bytes.fetch_sub(before, Ordering::Relaxed);
    }

    /// Forgets what no list asked for in a while. Call it once a second.
    pub fn tick(&self, second: u64) {
        self.kinds.lock().retain(|_, pieces| {
            // One that is in use is not idle.
            let Some(mut pieces) = pieces.try_lock() else { return true };
            let idle = pieces.second.is_none_or(|last| second >= last + LIST_PIECES_SECONDS);
            if idle {
                self.account(pieces.bytes, 0);
                // For a list that has found them already.
                *pieces = Pieces::default();
            }
            !idle
        });
    }
}

impl Pieces {
    fn items(
        &mut self,
        store: &dyn Store,
        hub: &Hub,
        entry: &KindEntry,
        from: &Bytes,
        to: &Bytes,
    ) -> Result<Option<(Vec<Bytes>, Revision)>, Status> {
        let (seen, changed) = hub.changed(entry.resource, self.at);
        match changed {
            Some(keys) if !self.by_start.is_empty() => keys.iter().for_each(|key| self.make_stale(key)),
            _ => self.forget(entry),
        }
        self.at = seen;
        let end = entry.range("").1;
        let result = self.renew(store, entry, (from, to), &end).and_then(|()| self.collect(store, entry, from, to));
        match result {
            Ok(items) => Ok(Some((items, seen))),
            // The revision went out of reach meanwhile: whoever reads without pieces takes a newer one.
            Err(Failed::Store) => {
                self.forget(entry);
                Ok(None)
            }
            Err(Failed::Object(status)) => {
                self.forget(entry);
                Err(*status)
            }
        }
    }

    /// One stale piece for all keys.
    fn forget(&mut self, entry: &KindEntry) {
        self.by_start.clear();
        self.bytes = 0;
        self.by_start.insert(entry.prefix.clone(), Piece { bytes: None, last: entry.prefix.clone() });
    }

    fn make_stale(&mut self, key: &[u8]) {
        let found = self.by_start.range_mut::<[u8], _>((Bound::Unbounded, Bound::Included(key))).next_back();
        if let Some((_, piece)) = found
            && let Some(bytes) = piece.bytes.take()
        {
            self.bytes -= bytes.len();
        }
    }

    /// The start of the piece that a key lies in.
    fn start_of(&self, key: &[u8]) -> Option<Bytes> {
        self.by_start
            .range::<[u8], _>((Bound::Unbounded, Bound::Included(key)))
            .next_back()
            .map(|(start, _)| start.clone())
    }

    /// Reads the stale pieces of a range again; neighbours are read as one, so that what shrank grows together.
    fn renew(
        &mut self,
        store: &dyn Store,
        entry: &KindEntry,
        (from, to): (&Bytes, &Bytes),
        end: &Bytes,
    ) -> Result<(), Failed> {
        let first = self.start_of(from).unwrap_or_else(|| from.clone());
        let mut runs: Vec<(Bytes, Bytes)> = Vec::new();
        let mut open: Option<Bytes> = None;
        for (start, piece) in self.by_start.range(first..) {
            if !to.is_empty() && start >= to {
                if let Some(begun) = open.take() {
                    runs.push((begun, start.clone()));
                }
                break;
            }
            match (&piece.bytes, &open) {
                (None, None) => open = Some(start.clone()),
                (Some(_), Some(_)) => runs.extend(open.take().map(|begun| (begun, start.clone()))),
                _ => {}
            }
        }
        runs.extend(open.map(|begun| (begun, end.clone())));
        for (start, end) in runs {
            let read = read(store, entry, &start, &end, self.at)?;
            let gone: Vec<Bytes> = self.by_start.range(start.clone()..end).map(|(start, _)| start.clone()).collect();
            for start in gone {
                self.by_start.remove(&start);
            }
            // What lies between here and the first object belongs to a piece too, though it is empty.
            if read.first().is_none_or(|(first, _)| *first != start) {
                self.by_start.insert(start.clone(), Piece { bytes: Some(Bytes::new()), last: start });
            }
            for (start, piece) in read {
                self.bytes += piece.bytes.as_ref().map_or(0, Bytes::len);
                self.by_start.insert(start, piece);
            }
        }
        Ok(())
    }

    /// The items of a range whose pieces are fresh, without the comma before the first.
    fn collect(&self, store: &dyn Store, entry: &KindEntry, from: &Bytes, to: &Bytes) -> Result<Vec<Bytes>, Failed> {
        let first = self.start_of(from).unwrap_or_else(|| from.clone());
        let mut items = Vec::new();
        for (start, piece) in self.by_start.range(first..) {
            if !to.is_empty() && start >= to {
                break;
            }
            if start >= from && (to.is_empty() || piece.last < *to) {
                items.extend(piece.bytes.clone().filter(|bytes| !bytes.is_empty()));
            } else {
                // A namespace's list cuts the pieces at its ends.
                let start = start.max(from);
                let mut end = piece.last.to_vec();
                end.push(0);
                let end = if to.is_empty() || end[..] < to[..] { Bytes::from(end) } else { to.clone() };
                if *start < end {
                    let read = read(store, entry, start, &end, self.at)?;
                    items.extend(read.into_iter().filter_map(|(_, piece)| piece.bytes));
                }
            }
        }
        if let Some(first) = items.first_mut() {
            *first = first.slice(1..);
        }
        Ok(items)
    }
}

enum Failed {
    /// The store cannot read as of the revision.
    Store,
    Object(Box<Status>),
}

/// The objects from `start` to `end` as of a revision: pieces by the key of their first object.
fn read(
    store: &dyn Store,
    entry: &KindEntry,
    start: &Bytes,
    end: &Bytes,
    at: Revision,
) -> Result<Vec<(Bytes, Piece)>, Failed> {
    let mut pieces: Vec<(Bytes, Piece)> = Vec::new();
    let mut open: Option<(Bytes, Bytes, Vec<u8>)> = None;
    let mut failed = None;
    let close =
        |(first, last, bytes): (Bytes, Bytes, Vec<u8>)| (first, Piece { bytes: Some(Bytes::from(bytes)), last });
    let visited = store.visit(KeySpace::Cluster, start, end, Some(at), &mut |key, record| {
        if open.as_ref().is_some_and(|(_, _, bytes)| bytes.len() + record.value.len() > PIECE_BYTES) {
            pieces.extend(open.take().map(close));
        }
        let (_, last, bytes) = open.get_or_insert_with(|| (key.clone(), key.clone(), Vec::new()));
        *last = key.clone();
        bytes.push(b',');
        match answer::append_json(entry, false, &record.value, record.mod_revision, bytes) {
            Ok(()) => true,
            Err(status) => {
                failed = Some(status);
                false
            }
        }
    });
    if let Some(status) = failed {
        return Err(Failed::Object(Box::new(status)));
    }
    visited.map_err(|_| Failed::Store)?;
    pieces.extend(open.map(close));
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list may have found the pieces just before they are forgotten: it begins anew, or their bytes would be taken off twice.
    #[test]
    fn what_is_forgotten_while_a_list_comes_is_counted_off_once() {
        let lists = Lists::default();
        let found = Arc::new(Mutex::new(Pieces { bytes: 5, second: Some(0), ..Pieces::default() }));
        lists.account(0, 5);
        lists.kinds.lock().insert(1, Arc::clone(&found));
        lists.tick(LIST_PIECES_SECONDS);
        assert!(lists.kinds.lock().is_empty());
        assert_eq!(lists.bytes.load(Ordering::Relaxed), 0);
        let found = found.lock();
        assert_eq!((found.bytes, found.second), (0, None));
    }
}
