//! A member of the Raft group: proposals in, committed entries out, persisted before either is believed.
//!
//! ```text
//! propose -> [Raft: unstable] -> append + sync -> [Raft: stable, committed] -> Committed -> apply
//! ```
//!
//! The group has one member today; the way of an entry is Raft's whatever the number, and nothing here counts on it but
//! [`Group::open`], which stands for election at once instead of waiting for a leader that cannot exist.

use std::sync::Arc;

use bytes::Bytes;
use knarr_base::{Disk, DiskError, LogIndex, MemberId, Rng, Term, limits};
use raft::eraftpb::{ConfState, Entry as RaftEntry, EntryType, HardState};
use raft::{Config, RawNode, StateRole};

use crate::error::{LogError, OpenError};
use crate::log::{Entry, Hard, Log, LogOptions, Recovered, prepare_spare};
use crate::snapshot::{Snapshot, load};
use crate::storage::Tail;

/// How a group is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// This member.
    pub id: MemberId,
    /// All members, used when the log is new; afterwards the log knows.
    pub voters: Vec<MemberId>,
    /// Sizes of the log.
    pub log: LogOptions,
    /// Bytes of applied entries kept in memory.
    pub entry_cache_bytes_max: usize,
}

impl Options {
    /// A group of one.
    #[must_use]
    pub fn alone() -> Self {
        Self {
            id: MemberId(1),
            voters: vec![MemberId(1)],
            log: LogOptions::default(),
            entry_cache_bytes_max: limits::ENTRY_CACHE_BYTES_MAX,
        }
    }
}

/// A committed entry. Empty data is Raft's own entry at the start of a term; it counts as one all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Its position; they come without a gap.
    pub index: LogIndex,
    /// What was proposed.
    pub data: Bytes,
}

/// What was found when a group was opened.
pub struct Started {
    /// The group, not yet elected; the entries after the snapshot come out of [`Group::work`].
    pub group: Group,
    /// The pages of the newest snapshot, None for a new store.
    pub pages: Option<Vec<Bytes>>,
    /// Bytes of its file.
    pub snapshot_bytes: u64,
}

/// One member.
pub struct Group {
    node: RawNode<Tail>,
    log: Log,
    disk: Arc<dyn Disk>,
    options: Options,
    rng: Box<dyn Rng>,
    /// Term and role the election timeout was drawn for.
    drawn: (u64, StateRole),
    applied: u64,
    /// Bytes in the log when the last snapshot began, and of that snapshot.
    snapshot_at_bytes: u64,
    started_bytes: u64,
}

impl Group {
    /// Opens log and snapshot and checks every byte that was synced.
    ///
    /// Errors: [`OpenError`], naming file and offset; nothing is changed then but a torn batch at the end, which is wiped.
    pub fn open(disk: Arc<dyn Disk>, options: Options, rng: Box<dyn Rng>) -> Result<Started, OpenError> {
        let loaded = load(&*disk)?;
        let (log, Recovered { hard, entries }) = Log::open(disk.clone(), options.log)?;
        let (snapshot, pages, snapshot_bytes) = match loaded {
            Some(loaded) => (loaded.snapshot, Some(loaded.pages), loaded.bytes),
            None => (Snapshot { voters: options.voters.clone(), ..Snapshot::default() }, None, 0),
        };
        if let Some(first) = entries.first().filter(|first| first.index > snapshot.index.0 + 1) {
            return Err(OpenError::Gap { snapshot: snapshot.index, first: LogIndex(first.index) });
        }
        let tail = tail(hard, entries, &snapshot);
        let started_bytes = tail.bytes as u64;
        let config = Config {
            id: options.id.0,
            election_tick: limits::ELECTION_TICKS,
            heartbeat_tick: limits::HEARTBEAT_TICKS,
            applied: snapshot.index.0,
            max_size_per_msg: limits::MESSAGE_BYTES_MAX,
            max_inflight_msgs: limits::MESSAGES_IN_FLIGHT_MAX,
            check_quorum: true,
            pre_vote: true,
            ..Config::default()
        };
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let node = match RawNode::new(&config, tail, &logger) {
            Ok(node) => node,
            Err(error) => panic!("Raft refuses a configuration that is our own: {error}"),
        };
        let applied = snapshot.index.0;
        let group = Self {
            drawn: (u64::MAX, StateRole::Follower),
            snapshot_at_bytes: 0,
            node,
            log,
            disk,
            options,
            rng,
            applied,
            started_bytes,
        };
        Ok(Started { group, pages, snapshot_bytes })
    }

    /// Stands for election. A group of one does so at once; [`Group::work`] then carries it out.
    pub fn campaign(&mut self) {
        // It is refused only when this member leads already or may not vote: then there is nothing to do.
        let _ = self.node.campaign();
    }

    /// Time passes: one tick of [`limits::TICK_MS`].
    pub fn tick(&mut self) {
        self.node.tick();
        self.draw_timeout();
    }

    /// Raft draws election timeouts from the thread's randomness; a replay needs them from ours.
    fn draw_timeout(&mut self) {
        let now = (self.node.raft.term, self.node.raft.state);
        if now != self.drawn {
            self.drawn = now;
            let timeout = limits::ELECTION_TICKS + self.rng.below(limits::ELECTION_TICKS as u64) as usize;
            self.node.raft.set_randomized_election_timeout(timeout);
        }
    }

    /// Whether this member leads.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.node.raft.state == StateRole::Leader
    }

    /// The current term.
    #[must_use]
    pub fn term(&self) -> Term {
        Term(self.node.raft.term)
    }

    /// Proposes an entry; it comes out of [`Group::work`] if it is committed. False: this member does not lead, ask again later.
    #[must_use]
    pub fn propose(&mut self, data: Vec<u8>) -> bool {
        self.node.propose(Vec::new(), data).is_ok()
    }

    /// Does what Raft is ready to: writes and syncs what was proposed, in one batch, and hands out what is committed by it.
    ///
    /// Errors: the disk failed. Nothing of this member may be used any more: end the process, the log restores it.
    pub fn work(&mut self) -> Result<Vec<Committed>, LogError> {
        let mut committed = Vec::new();
        while self.node.has_ready() {
            let mut ready = self.node.ready();
            assert!(ready.snapshot().is_empty(), "no other member sends snapshots");
            self.take(ready.take_committed_entries(), &mut committed);
            let entries = ready.take_entries();
            if let Some(hard) = ready.hs() {
                self.node.mut_store().hard = hard.clone();
            }
            if ready.must_sync() || !entries.is_empty() {
                let records: Vec<Entry> = entries.iter().map(from_raft).collect();
                let hard = &self.node.store().hard;
                self.log.append(Hard { term: hard.term, vote: hard.vote, commit: hard.commit }, &records)?;
            }
            self.node.mut_store().append(entries);
            let mut light = self.node.advance(ready);
            if let Some(commit) = light.commit_index() {
                self.node.mut_store().hard.commit = commit;
            }
            self.take(light.take_committed_entries(), &mut committed);
            self.node.advance_apply();
        }
        self.draw_timeout();
        let (applied, bytes_max) = (self.applied, self.options.entry_cache_bytes_max);
        self.node.mut_store().forget(applied, bytes_max);
        Ok(committed)
    }

    fn take(&mut self, entries: Vec<RaftEntry>, committed: &mut Vec<Committed>) {
        for entry in entries {
            assert_eq!(entry.index, self.applied + 1, "committed entries come in order");
            self.applied = entry.index;
            let data = if entry.entry_type == EntryType::EntryNormal { entry.data } else { Bytes::new() };
            committed.push(Committed { index: LogIndex(entry.index), data });
        }
    }

    /// Bytes that the log has grown by since the last snapshot began.
    #[must_use]
    pub fn log_bytes(&self) -> u64 {
        self.started_bytes + self.log.appended_bytes - self.snapshot_at_bytes
    }

    /// What a snapshot of everything handed out so far stands for. Take it before more work is done.
    pub fn begin_snapshot(&mut self) -> Snapshot {
        self.snapshot_at_bytes = self.started_bytes + self.log.appended_bytes;
        let term = self.node.raft.raft_log.term(self.applied).unwrap_or_default();
        let voters = self.node.store().conf.voters.iter().copied().map(MemberId).collect();
        Snapshot { index: LogIndex(self.applied), term: Term(term), voters }
    }

    /// The snapshot is durable: the segments before it go.
    pub fn end_snapshot(&mut self, snapshot: &Snapshot) -> Result<(), LogError> {
        Ok(self.log.release(snapshot.index.0)?)
    }

    /// What makes the next segment's file, on a thread where nobody waits.
    pub fn spare(&self) -> impl Fn() -> Result<(), DiskError> + Send + use<> {
        let (disk, size) = (self.disk.clone(), self.options.log.segment_bytes);
        move || prepare_spare(&*disk, size)
    }
}

/// The tail of the log after the snapshot.
fn tail(hard: Hard, entries: Vec<Entry>, snapshot: &Snapshot) -> Tail {
    let conf = ConfState { voters: snapshot.voters.iter().map(|member| member.0).collect(), ..ConfState::default() };
    // A snapshot is of committed entries; the hard state on disk may know less of the commit than it.
    let commit = hard.commit.max(snapshot.index.0);
    let hard = HardState { term: hard.term.max(snapshot.term.0), vote: hard.vote, commit, ..HardState::default() };
    let before = (snapshot.index.0, snapshot.term.0);
    let mut tail = Tail { hard, conf, entries: Default::default(), bytes: 0, before };
    tail.append(entries.into_iter().filter(|entry| entry.index > before.0).map(to_raft).collect());
    tail
}

fn from_raft(entry: &RaftEntry) -> Entry {
    let kind = match entry.entry_type {
        EntryType::EntryNormal => 0,
        EntryType::EntryConfChange => 1,
        EntryType::EntryConfChangeV2 => 2,
    };
    Entry { index: entry.index, term: entry.term, kind, data: entry.data.clone() }
}

fn to_raft(entry: Entry) -> RaftEntry {
    let entry_type = match entry.kind {
        1 => EntryType::EntryConfChange,
        2 => EntryType::EntryConfChangeV2,
        _ => EntryType::EntryNormal,
    };
    RaftEntry { index: entry.index, term: entry.term, entry_type, data: entry.data, ..RaftEntry::default() }
}
