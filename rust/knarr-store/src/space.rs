//! One key space: an ordered index of version chains and the list of changes that history consists of.
//!
//! Memory of a key: [`KEY_BYTES`] and its length, and its live record [`RECORD_BYTES`](crate::chain::RECORD_BYTES) and its value;
//! each change in history [`CHANGE_BYTES`] and the packed version it superseded. The accounts are kept on every change, so that
//! quota and compaction need no walk.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use knarr_base::Revision;
use knarr_base::rng::mix;

use crate::chain::{Chain, KEY_BYTES, Packed, Version};
use crate::types::{Change, Cmp, Compare, Op, OpResult, Page, Record, StoreError, Visit};

/// A change in the list: revision and shared key.
pub(crate) const CHANGE_BYTES: usize = 48;

/// Sizes of a key space, in the accounts' bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Keys with a live record.
    pub keys: u64,
    /// Live records and their share of the index.
    pub live_bytes: usize,
    /// Superseded versions.
    pub history_bytes: usize,
    /// Changes in history.
    pub changes: usize,
}

#[derive(Debug)]
pub(crate) struct Space {
    pub index: BTreeMap<Bytes, Chain>,
    /// Every change after `dropped`, in order.
    pub changes: VecDeque<(Revision, Bytes)>,
    pub revision: Revision,
    /// Reads at a revision below this are refused; decided by the log, so equal on all members.
    pub compacted: Revision,
    /// History is really gone up to here; behind `compacted` while a snapshot is being read.
    pub dropped: Revision,
    /// A snapshot reads at this revision: nothing it sees may go.
    pub pinned: Option<Revision>,
    /// Sum of the hashes of all live records: equal contents have equal digests, whatever the order they came in.
    pub digest: u64,
    /// Changes of this revision and before have had their superseded version packed.
    pub packed: Revision,
    pub usage: Usage,
}

impl Default for Space {
    fn default() -> Self {
        Self {
            index: BTreeMap::new(),
            changes: VecDeque::new(),
            revision: Revision(1), // etcd's: the empty store is at revision 1
            compacted: Revision(0),
            dropped: Revision(0),
            pinned: None,
            digest: 0,
            packed: Revision(1),
            usage: Usage::default(),
        }
    }
}

/// Hash of one live record. The checksum covers key and value; mixing spreads it and the numbers over 64 bits. It finds damage
/// and divergence, not malice.
pub(crate) fn record_hash(key: &[u8], record: &Record) -> u64 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(key);
    crc.update(&record.value);
    [record.create_revision.0, record.mod_revision.0, record.version, record.lease]
        .iter()
        .fold(mix(u64::from(crc.finalize()) ^ ((record.value.len() as u64) << 32)), |hash, number| mix(hash ^ number))
}

type Bounds<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// Bounds of `from` to `to` in the sense of [`Op`]; None when the range is empty.
fn bounds<'a>(from: &'a [u8], to: Option<&'a [u8]>) -> Option<Bounds<'a>> {
    match to {
        None => Some((Bound::Included(from), Bound::Included(from))),
        Some([]) => Some((Bound::Included(from), Bound::Unbounded)),
        Some(to) if from < to => Some((Bound::Included(from), Bound::Excluded(to))),
        Some(_) => None,
    }
}

/// What applying a transaction to a space gave.
pub(crate) struct Applied {
    pub succeeded: bool,
    pub results: Vec<OpResult>,
    pub changes: Vec<Change>,
}

impl Space {
    /// Whether `at` can be read: neither compacted nor in the future.
    pub fn check(&self, at: Revision) -> Result<(), StoreError> {
        if at > self.revision {
            return Err(StoreError::FutureRevision { requested: at, current: self.revision });
        }
        if at < self.compacted {
            return Err(StoreError::Compacted { requested: at, compacted: self.compacted });
        }
        Ok(())
    }

    pub fn head(&self, key: &[u8]) -> Option<&Arc<Record>> {
        self.index.get(key)?.live()
    }

    /// Keys from `from` on as of `at`, at most `keys_max` chains looked at. Answers the key to go on from, None at the end or when
    /// `visit` ended it.
    pub fn visit(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
        at: Revision,
        keys_max: usize,
        visit: &mut Visit<'_>,
    ) -> Option<Bytes> {
        let newest = at == self.revision;
        for (seen, (key, chain)) in self.index.range::<[u8], _>(bounds(from, to)?).enumerate() {
            if seen == keys_max {
                return Some(key.clone());
            }
            let goes_on = if newest {
                chain.live().is_none_or(|record| visit(key, record))
            } else {
                chain.at(at).is_none_or(|record| visit(key, &record))
            };
            if !goes_on {
                return None;
            }
        }
        None
    }

    /// Adds to `page` what a transaction's range finds, up to `limit` (0: none), and counts the rest.
    pub fn scan(&self, from: &[u8], to: Option<&[u8]>, at: Revision, limit: usize, page: &mut Page) {
        self.visit(from, to, at, usize::MAX, &mut |key, record| {
            page.count += 1;
            if limit > 0 && page.records.len() >= limit {
                page.more = true;
            } else {
                page.records.push((key.clone(), record.clone()));
            }
            true
        });
    }

    fn holds(&self, compare: &Compare) -> bool {
        let ordered = |key: &Bytes, op: Cmp, wanted: u64, of: fn(&Record) -> u64| {
            let found = self.head(key).map_or(0, |record| of(record));
            matches(op, found.cmp(&wanted))
        };
        match compare {
            Compare::ModRevision { key, op, revision } => ordered(key, *op, revision.0, |record| record.mod_revision.0),
            Compare::CreateRevision { key, op, revision } => {
                ordered(key, *op, revision.0, |record| record.create_revision.0)
            }
            Compare::Version { key, op, version } => ordered(key, *op, *version, |record| record.version),
            Compare::Lease { key, op, lease } => ordered(key, *op, *lease, |record| record.lease),
            Compare::Value { key, op, value } => {
                self.head(key).is_some_and(|record| matches(*op, record.value.cmp(value)))
            }
        }
    }

    /// Runs a transaction whose leases exist. One revision if it changes anything.
    ///
    /// Errors: [`StoreError::DuplicateKey`], [`StoreError::EmptyKey`]; then nothing has changed.
    pub fn transact(&mut self, compare: &[Compare], then: &[Op], otherwise: &[Op]) -> Result<Applied, StoreError> {
        for branch in [then, otherwise] {
            check_writes(branch)?;
        }
        let succeeded = compare.iter().all(|compare| self.holds(compare));
        let revision = self.revision.next();
        let mut applied = Applied { succeeded, results: Vec::new(), changes: Vec::new() };
        for op in if succeeded { then } else { otherwise } {
            let result = match op {
                Op::Put { key, value, lease } => {
                    let change = self.put(key, value, *lease, revision);
                    let result =
                        change.record.clone().map(|record| OpResult::Put { record, previous: change.previous.clone() });
                    applied.changes.push(change);
                    result
                }
                Op::Delete { from, to } => {
                    let deleted = self.delete(from, to.as_deref(), revision);
                    let records = deleted
                        .iter()
                        .filter_map(|change| Some((change.key.clone(), change.previous.clone()?)))
                        .collect();
                    applied.changes.extend(deleted);
                    Some(OpResult::Delete { deleted: records })
                }
                Op::Range { from, to, limit } => {
                    let mut page = Page::default();
                    // Heads may be of the revision being made, which is what a later operation is to see.
                    let at = self.revision;
                    self.scan(from, to.as_deref(), at, *limit, &mut page);
                    Some(OpResult::Range(page))
                }
            };
            applied.results.extend(result);
        }
        if !applied.changes.is_empty() {
            self.revision = revision;
        }
        Ok(applied)
    }

    fn put(&mut self, key: &Bytes, value: &Bytes, lease: u64, revision: Revision) -> Change {
        // Key and value are copied out of the log's entry: a slice of it would keep its megabyte alive.
        let value = Bytes::copy_from_slice(value);
        let previous = self.head(key).cloned();
        let record = Arc::new(Record {
            value,
            create_revision: previous.as_ref().map_or(revision, |previous| previous.create_revision),
            mod_revision: revision,
            version: previous.as_ref().map_or(0, |previous| previous.version) + 1,
            lease,
        });
        let key = self.set(key, Version::Live(record.clone()), previous.as_ref());
        self.digest = self.digest.wrapping_add(record_hash(&key, &record));
        Change { revision, key, record: Some(record), previous }
    }

    fn delete(&mut self, from: &[u8], to: Option<&[u8]>, revision: Revision) -> Vec<Change> {
        let Some(range) = bounds(from, to) else { return Vec::new() };
        let live: Vec<(Bytes, Arc<Record>)> = self
            .index
            .range::<[u8], _>(range)
            .filter_map(|(key, chain)| Some((key.clone(), chain.live()?.clone())))
            .collect();
        live.into_iter()
            .map(|(key, previous)| {
                let key = self.set(&key, Version::Deleted(revision), Some(&previous));
                Change { revision, key, record: None, previous: Some(previous) }
            })
            .collect()
    }

    /// Makes `head` the newest version of `key`, keeps the accounts and the list of changes. Answers the index's own key.
    fn set(&mut self, key: &Bytes, head: Version, previous: Option<&Arc<Record>>) -> Bytes {
        let revision = head.revision();
        let head_bytes = head.bytes();
        let now_live = !head.is_deleted();
        if let Some(previous) = previous {
            self.digest = self.digest.wrapping_sub(record_hash(key, previous));
            self.usage.keys -= 1;
            self.usage.live_bytes -= KEY_BYTES + key.len() + Version::Live(previous.clone()).bytes();
            self.usage.history_bytes += Version::Live(previous.clone()).bytes();
        }
        if now_live {
            self.usage.keys += 1;
            self.usage.live_bytes += KEY_BYTES + key.len() + head_bytes;
        }
        let key = if let Some((known, _)) = self.index.get_key_value(key) {
            let known = known.clone();
            if let Some(chain) = self.index.get_mut(&known) {
                chain.supersede(head);
            }
            known
        } else {
            let own = Bytes::copy_from_slice(key);
            self.index.insert(own.clone(), Chain::new(head));
            own
        };
        self.usage.changes += 1;
        self.usage.history_bytes += CHANGE_BYTES;
        self.changes.push_back((revision, key.clone()));
        key
    }

    /// Refuses reads below `revision`, up to which history may go.
    pub fn compact(&mut self, revision: Revision) {
        self.compacted = self.compacted.max(revision.min(self.revision));
    }

    /// Drops history that is compacted and not pinned, at most `changes_max` changes of it. Answers whether some is left.
    pub fn drop_history(&mut self, changes_max: usize) -> bool {
        let end = self.pinned.map_or(self.compacted, |pinned| pinned.min(self.compacted));
        for _ in 0..changes_max {
            let Some((revision, key)) = self.changes.front().filter(|(revision, _)| *revision <= end).cloned() else {
                self.dropped = self.dropped.max(end);
                return false;
            };
            self.changes.pop_front();
            self.usage.changes -= 1;
            self.usage.history_bytes -= CHANGE_BYTES;
            self.trim(&key, revision);
        }
        true
    }

    /// Drops the versions of `key` that were superseded at `revision` or before, and the key if it is deleted since then.
    fn trim(&mut self, key: &Bytes, revision: Revision) {
        let Some(chain) = self.index.get_mut(key) else { return };
        let superseded =
            (0..chain.older().len()).take_while(|index| chain.version(index + 1).revision() <= revision).count();
        if superseded > 0
            && let Some(older) = &mut chain.older
        {
            let freed: usize =
                older.drain(..superseded).filter(|version| !version.is_deleted()).map(|version| version.bytes()).sum();
            self.usage.history_bytes -= freed;
            if older.is_empty() {
                chain.older = None;
            }
        }
        if chain.older.is_none() && matches!(chain.head, Version::Deleted(at) if at <= revision) {
            self.index.remove(key);
        }
    }

    /// Changes after `packed` whose superseded version is still plain: some `count`, whole revisions only.
    pub fn to_pack(&self, until: Revision, count: usize) -> Vec<(Revision, Bytes)> {
        let start = self.changes.partition_point(|(revision, _)| *revision <= self.packed);
        let mut found: Vec<(Revision, Bytes)> = Vec::new();
        for change in self.changes.iter().skip(start).take_while(|(revision, _)| *revision <= until) {
            if found.len() >= count && found.last().is_some_and(|last| last.0 != change.0) {
                break;
            }
            found.push(change.clone());
        }
        found
    }

    /// Puts a packed version in its place.
    pub fn replace(&mut self, key: &[u8], record: &Arc<Record>, packed: Packed) {
        if let Some((before, after)) = self.index.get_mut(key).and_then(|chain| chain.replace(record, packed)) {
            self.usage.history_bytes = self.usage.history_bytes - before + after;
        }
    }

    /// Up to `count` changes from revision `from` on, whole revisions only.
    pub fn history(&self, from: Revision, count: usize) -> Vec<Change> {
        let start = self.changes.partition_point(|(revision, _)| *revision < from);
        let mut found: Vec<Change> = Vec::new();
        for (revision, key) in self.changes.iter().skip(start) {
            if found.len() >= count && found.last().is_some_and(|last| last.revision != *revision) {
                break;
            }
            let Some(chain) = self.index.get(key) else { continue };
            let (previous, record) = chain.change(*revision);
            found.push(Change { revision: *revision, key: key.clone(), record, previous });
        }
        found
    }
}

fn matches(op: Cmp, found: std::cmp::Ordering) -> bool {
    match op {
        Cmp::Equal => found.is_eq(),
        Cmp::Greater => found.is_gt(),
        Cmp::Less => found.is_lt(),
        Cmp::NotEqual => found.is_ne(),
    }
}

/// No key may be put twice, nor put and deleted, in one branch (etcd `checkIntervals`): a revision has one change a key.
fn check_writes(ops: &[Op]) -> Result<(), StoreError> {
    let mut puts: Vec<&Bytes> = Vec::new();
    for op in ops {
        if let Op::Put { key, .. } = op {
            if key.is_empty() {
                return Err(StoreError::EmptyKey);
            }
            puts.push(key);
        }
    }
    puts.sort_unstable();
    if let Some(pair) = puts.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(StoreError::DuplicateKey { key: pair[0].clone() });
    }
    for op in ops {
        if let Op::Delete { from, to } = op {
            let at = puts.partition_point(|key| key[..] < from[..]);
            let inside = |key: &[u8]| match to.as_deref() {
                None => key == &from[..],
                Some([]) => true,
                Some(to) => key < to,
            };
            if let Some(key) = puts.get(at).filter(|key| inside(key)) {
                return Err(StoreError::DuplicateKey { key: (*key).clone() });
            }
        }
    }
    Ok(())
}
