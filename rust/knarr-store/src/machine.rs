//! The state machine: key spaces, leases and what was applied, changed by the entries of a log and by nothing else.
//!
//! One thread applies ([`Machine::apply`]); any number read. A reader holds a space's lock for some 50 us at most
//! ([`RANGE_KEYS_PER_LOCK`]), and copies nothing but references. A long range goes on from key to key under a fixed revision, which
//! history keeps as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;
use knarr_base::limits::{RANGE_KEYS_PER_LOCK, SPACE_BYTES_MAX, STORE_LEASES_MAX};
use knarr_base::rng::mix;
use knarr_base::{LogIndex, MemberId, Revision};
use parking_lot::{Mutex, RwLock};

use crate::chain::pack;
use crate::command::{Command, ProposalId, decode_batch};
use crate::space::{Space, Usage, record_hash};
use crate::types::{Change, KeySpace, Op, OpResult, Page, Record, Sink, StoreError, Txn, TxnOutcome, Visit};
use crate::wire::Malformed;

/// Changes dropped or packed under one lock.
const MAINTENANCE_STEP: usize = 64;

/// What became of a proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A transaction ran.
    Txn(TxnOutcome),
    /// Compaction, lease grant or revoke was done.
    Done,
}

/// A proposal and what became of it.
pub type Answered = (ProposalId, Result<Answer, StoreError>);

/// A lease as the log knows it. When it ends is the driver's to know: time is not in the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    /// Time to live granted.
    pub seconds: i64,
    /// Keys attached to it.
    pub keys: BTreeSet<(KeySpace, Bytes)>,
}

/// Which proposals of one member were applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Proposer {
    pub incarnation: u64,
    /// All below are settled.
    pub floor: u64,
    /// Applied ones from `floor` on.
    pub applied: BTreeSet<u64>,
}

/// What only the applying thread changes.
#[derive(Debug, Default)]
pub(crate) struct Books {
    pub applied: LogIndex,
    pub leases: BTreeMap<u64, Lease>,
    pub proposers: BTreeMap<MemberId, Proposer>,
}

/// The replicated state of a store.
#[derive(Default)]
pub struct Machine {
    pub(crate) spaces: [RwLock<Space>; 2],
    pub(crate) books: Mutex<Books>,
    sinks: RwLock<Vec<Arc<dyn Sink>>>,
}

impl Machine {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub(crate) fn space(&self, space: KeySpace) -> &RwLock<Space> {
        &self.spaces[usize::from(space.number())]
    }

    /// The last entry applied.
    #[must_use]
    pub fn applied(&self) -> LogIndex {
        self.books.lock().applied
    }

    /// Applies the entry at `index`, whose data is `data`, and answers each of its commands that was not applied before.
    ///
    /// Entries come in order, each once; the index is checked. Sinks have seen the changes when this returns.
    /// Errors: the entry does not decode; then nothing has changed, and nothing more can be applied.
    pub fn apply(&self, index: LogIndex, data: Bytes) -> Result<Vec<Answered>, Malformed> {
        let mut books = self.books.lock();
        assert_eq!(index.0, books.applied.0 + 1, "entries are applied in order");
        if data.is_empty() {
            books.applied = index;
            return Ok(Vec::new());
        }
        let batch = decode_batch(data)?;
        let mut answers = Vec::with_capacity(batch.commands.len());
        for (sequence, command) in batch.commands {
            if !books.first_time(batch.member, batch.incarnation, batch.floor, sequence) {
                knarr_base::marks::hit("store.proposal.repeated");
                continue;
            }
            let id = ProposalId { member: batch.member, incarnation: batch.incarnation, sequence };
            answers.push((id, self.execute(&mut books, command)));
        }
        books.applied = index;
        Ok(answers)
    }

    fn execute(&self, books: &mut Books, command: Command) -> Result<Answer, StoreError> {
        match command {
            Command::Txn(txn) => self.transact(books, &txn).map(Answer::Txn),
            Command::Compact { space, revision } => {
                self.space(space).write().compact(revision);
                Ok(Answer::Done)
            }
            Command::LeaseGrant { lease, seconds } => {
                if books.leases.contains_key(&lease) || lease == 0 {
                    return Err(StoreError::LeaseExists { lease });
                }
                if books.leases.len() >= STORE_LEASES_MAX {
                    return Err(StoreError::QuotaExceeded);
                }
                books.leases.insert(lease, Lease { seconds, keys: BTreeSet::new() });
                Ok(Answer::Done)
            }
            Command::LeaseRevoke { lease } => {
                let ended = books.leases.get(&lease).cloned().ok_or(StoreError::LeaseNotFound { lease })?;
                for space in KeySpace::ALL {
                    let delete = |key: &Bytes| Op::Delete { from: key.clone(), to: None };
                    let then: Vec<Op> =
                        ended.keys.iter().filter(|(of, _)| *of == space).map(|(_, key)| delete(key)).collect();
                    if !then.is_empty() {
                        self.transact(books, &Txn { space, compare: Vec::new(), then, otherwise: Vec::new() })?;
                    }
                }
                books.leases.remove(&lease);
                Ok(Answer::Done)
            }
        }
    }

    fn transact(&self, books: &mut Books, txn: &Txn) -> Result<TxnOutcome, StoreError> {
        for op in txn.then.iter().chain(&txn.otherwise) {
            if let Op::Put { lease, .. } = op
                && *lease != 0
                && !books.leases.contains_key(lease)
            {
                return Err(StoreError::LeaseNotFound { lease: *lease });
            }
        }
        let (applied, revision) = {
            let mut space = self.space(txn.space).write();
            let puts = txn.then.iter().chain(&txn.otherwise).any(|op| matches!(op, Op::Put { .. }));
            if puts && space.usage.live_bytes + space.usage.history_bytes >= SPACE_BYTES_MAX {
                return Err(StoreError::QuotaExceeded);
            }
            let applied = space.transact(&txn.compare, &txn.then, &txn.otherwise)?;
            (applied, space.revision)
        };
        for change in &applied.changes {
            books.attach(txn.space, change);
        }
        if !applied.changes.is_empty() {
            for sink in self.sinks.read().iter() {
                sink.changes(txn.space, revision, &applied.changes);
            }
        }
        Ok(TxnOutcome { revision, succeeded: applied.succeeded, results: applied.results })
    }

    /// The incarnation of `member` that was seen last: its next one has to be greater.
    #[must_use]
    pub fn incarnation(&self, member: MemberId) -> u64 {
        self.books.lock().proposers.get(&member).map_or(0, |proposer| proposer.incarnation)
    }

    /// Hands all changes from now on to `sink`.
    pub fn subscribe(&self, sink: Arc<dyn Sink>) {
        // Between two entries: a sink never sees half of one.
        let _books = self.books.lock();
        self.sinks.write().push(sink);
    }

    /// The current revision of a space.
    #[must_use]
    pub fn revision(&self, space: KeySpace) -> Revision {
        self.space(space).read().revision
    }

    /// History up to and with this revision is gone.
    #[must_use]
    pub fn compacted(&self, space: KeySpace) -> Revision {
        self.space(space).read().compacted
    }

    /// Sizes of a space.
    #[must_use]
    pub fn usage(&self, space: KeySpace) -> Usage {
        self.space(space).read().usage
    }

    /// The leases there are, with their time to live.
    #[must_use]
    pub fn leases(&self) -> Vec<(u64, i64)> {
        self.books.lock().leases.iter().map(|(id, lease)| (*id, lease.seconds)).collect()
    }

    /// One lease with its keys.
    #[must_use]
    pub fn lease(&self, lease: u64) -> Option<Lease> {
        self.books.lock().leases.get(&lease).cloned()
    }

    /// One key, now or at a revision.
    pub fn get(&self, space: KeySpace, key: &[u8], at: Option<Revision>) -> Result<Option<Arc<Record>>, StoreError> {
        let space = self.space(space).read();
        let Some(at) = at else { return Ok(space.head(key).cloned()) };
        space.check(at)?;
        Ok(space.index.get(key).and_then(|chain| chain.at(at)))
    }

    /// A range as of one revision; see [`Store::range`](crate::Store::range).
    pub fn range(
        &self,
        space: KeySpace,
        from: &[u8],
        to: &[u8],
        at: Option<Revision>,
        limit: usize,
    ) -> Result<(Page, Revision), StoreError> {
        let mut page = Page::default();
        let at = self.visit(space, from, to, at, &mut |key, record| {
            page.count += 1;
            page.more = limit > 0 && page.records.len() >= limit;
            if !page.more {
                page.records.push((key.clone(), record.clone()));
            }
            !page.more
        })?;
        Ok((page, at))
    }

    /// A walk as of one revision; see [`Store::visit`](crate::Store::visit).
    pub fn visit(
        &self,
        space: KeySpace,
        from: &[u8],
        to: &[u8],
        at: Option<Revision>,
        visit: &mut Visit<'_>,
    ) -> Result<Revision, StoreError> {
        let lock = self.space(space);
        let mut guard = lock.read();
        let at = at.unwrap_or(guard.revision);
        guard.check(at)?;
        let mut start = Bytes::copy_from_slice(from);
        while let Some(next) = guard.visit(&start, Some(to), at, RANGE_KEYS_PER_LOCK, visit) {
            start = next;
            drop(guard);
            guard = lock.read();
            guard.check(at)?; // compaction may have passed while nobody held the lock
        }
        Ok(at)
    }

    /// All changes from `from` on; see [`Store::history`](crate::Store::history).
    pub fn history(&self, space: KeySpace, from: Revision) -> Result<Vec<Change>, StoreError> {
        let lock = self.space(space);
        let mut found = Vec::new();
        let mut next = from;
        loop {
            let guard = lock.read();
            if next <= guard.compacted {
                return Err(StoreError::Compacted { requested: from, compacted: guard.compacted });
            }
            let changes = guard.history(next, RANGE_KEYS_PER_LOCK);
            let Some(last) = changes.last() else { return Ok(found) };
            next = last.revision.next();
            found.extend(changes);
        }
    }

    /// Drops compacted history and packs versions that were superseded in revision `until` of their space or before, in steps
    /// that hold a lock shortly. For a thread that nobody waits for.
    pub fn maintain(&self, until: impl Fn(KeySpace) -> Revision) {
        for space in KeySpace::ALL {
            let lock = self.space(space);
            while lock.write().drop_history(MAINTENANCE_STEP) {}
            self.pack_history(space, until(space));
        }
    }

    fn pack_history(&self, space: KeySpace, until: Revision) {
        let lock = self.space(space);
        loop {
            // Compression is done between the locks, one for reading what is to be packed and one for putting it there.
            let (work, end) = {
                let guard = lock.read();
                let changes = guard.to_pack(until, MAINTENANCE_STEP);
                let Some((end, _)) = changes.last() else { return };
                let end = *end;
                let work: Vec<_> = changes
                    .into_iter()
                    .filter_map(|(revision, key)| {
                        let packing = guard.index.get(&key)?.packing(revision)?;
                        Some((key, packing))
                    })
                    .collect();
                (work, end)
            };
            let packed: Vec<_> =
                work.iter().map(|(key, (record, newer))| (key, record, pack(record, newer.as_deref()))).collect();
            let mut guard = lock.write();
            for (key, record, packed) in packed {
                guard.replace(key, record, packed);
            }
            guard.packed = guard.packed.max(end);
        }
    }

    /// A number that equal states share: revisions, compaction, live records, leases, applied index. Kept as changes are made.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let books = self.books.lock();
        self.combine(&books, |space| space.digest)
    }

    /// The same number, computed from the index as it stands: differs from [`Machine::digest`] if memory was damaged. Holds up
    /// writers for the length of a walk (50 ns a key and 0.1 ns a byte): for tests and rare audits.
    #[must_use]
    pub fn audit(&self) -> u64 {
        let books = self.books.lock();
        self.combine(&books, |space| {
            let live = space.index.iter().filter_map(|(key, chain)| Some(record_hash(key, chain.live()?)));
            live.fold(0, u64::wrapping_add)
        })
    }

    /// Compares the digest of a space with its records as they stand, and holds up nobody: the walk is of one revision, a few keys
    /// at a time, while writers go on. Answers None when history did not last as long as the walk.
    #[must_use]
    pub fn audit_quietly(&self, space: KeySpace) -> Option<bool> {
        let (revision, digest) = {
            let guard = self.space(space).read();
            (guard.revision, guard.digest)
        };
        let mut sum = 0u64;
        let walk = self.visit(space, b"", b"", Some(revision), &mut |key, record| {
            sum = sum.wrapping_add(record_hash(key, record));
            true
        });
        walk.ok().map(|_| sum == digest)
    }

    fn combine(&self, books: &Books, of: impl Fn(&Space) -> u64) -> u64 {
        let mut hash = mix(books.applied.0);
        for space in &self.spaces {
            let space = space.read();
            for number in [space.revision.0, space.compacted.0, of(&space)] {
                hash = mix(hash ^ number);
            }
        }
        books.leases.iter().fold(hash, |hash, (id, lease)| {
            mix(mix(hash ^ id) ^ lease.seconds.unsigned_abs() ^ lease.keys.len() as u64)
        })
    }
}

impl Books {
    /// Notes a proposal; false if it was applied before. A proposer's new incarnation starts with a clean slate; an old one's
    /// stragglers, proposed before its end and committed after its return, count as applied: nobody waits for them, and their
    /// writers were told nothing.
    fn first_time(&mut self, member: MemberId, incarnation: u64, floor: u64, sequence: u64) -> bool {
        let proposer = self.proposers.entry(member).or_default();
        if incarnation < proposer.incarnation {
            return false;
        }
        if incarnation > proposer.incarnation {
            *proposer = Proposer { incarnation, ..Proposer::default() };
        }
        if floor > proposer.floor {
            proposer.floor = floor;
            proposer.applied = proposer.applied.split_off(&floor);
        }
        sequence >= proposer.floor && proposer.applied.insert(sequence)
    }

    fn attach(&mut self, space: KeySpace, change: &Change) {
        let lease_of = |record: &Option<Arc<Record>>| record.as_ref().map_or(0, |record| record.lease);
        let (before, after) = (lease_of(&change.previous), lease_of(&change.record));
        if before == after {
            return;
        }
        let key = (space, change.key.clone());
        if let Some(lease) = self.leases.get_mut(&before) {
            lease.keys.remove(&key);
        }
        if let Some(lease) = self.leases.get_mut(&after) {
            lease.keys.insert(key);
        }
    }
}

/// Deadlines of leases: beside the state machine, on the member that leads, in its own time.
#[derive(Debug, Default)]
pub struct Lessor {
    deadlines: HashMap<u64, knarr_base::Instant>,
}

impl Lessor {
    /// Takes over: every lease begins anew, since what the leader before knew of keep-alives is lost with it.
    pub fn restart(&mut self, leases: &[(u64, i64)], now: knarr_base::Instant) {
        self.deadlines.clear();
        for (lease, seconds) in leases {
            self.keep_alive(*lease, *seconds, now);
        }
    }

    /// The lease lives `seconds` from `now`.
    pub fn keep_alive(&mut self, lease: u64, seconds: i64, now: knarr_base::Instant) {
        let wait = std::time::Duration::from_secs(seconds.max(0).unsigned_abs());
        self.deadlines.insert(lease, now + wait);
    }

    /// Seconds that are left of a lease, None if it is not known.
    #[must_use]
    pub fn remaining(&self, lease: u64, now: knarr_base::Instant) -> Option<u64> {
        self.deadlines.get(&lease).map(|deadline| deadline.since(now).as_secs())
    }

    /// The lease has ended.
    pub fn forget(&mut self, lease: u64) {
        self.deadlines.remove(&lease);
    }

    /// Leases whose time is over, in order of their ids; each is to be revoked through the log.
    #[must_use]
    pub fn expired(&self, now: knarr_base::Instant) -> Vec<u64> {
        let mut over: Vec<u64> =
            self.deadlines.iter().filter(|(_, deadline)| **deadline <= now).map(|(lease, _)| *lease).collect();
        over.sort_unstable();
        over
    }

    /// The next deadline.
    #[must_use]
    pub fn next(&self) -> Option<knarr_base::Instant> {
        self.deadlines.values().min().copied()
    }
}

/// Extracts the outcome of a transaction from its answer.
#[must_use]
pub fn txn_outcome(answer: Answer) -> TxnOutcome {
    match answer {
        Answer::Txn(outcome) => outcome,
        Answer::Done => TxnOutcome { revision: Revision(0), succeeded: true, results: Vec::<OpResult>::new() },
    }
}
