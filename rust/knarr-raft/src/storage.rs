//! What Raft reads of its own log: the newest entries in memory, the terms of their ends.

use std::collections::VecDeque;

use raft::eraftpb::{ConfState, Entry, HardState, Snapshot as RaftSnapshot};
use raft::{Error, GetEntriesContext, RaftState, Storage, StorageError};

/// The tail of the log. Entries that are applied and in nobody's way are forgotten: for Raft the log begins after them.
pub(crate) struct Tail {
    pub hard: HardState,
    pub conf: ConfState,
    pub entries: VecDeque<Entry>,
    pub bytes: usize,
    /// Index and term of the entry before the first.
    pub before: (u64, u64),
}

impl Tail {
    pub fn last_index(&self) -> u64 {
        self.before.0 + self.entries.len() as u64
    }

    /// Appends what was synced; an entry replaces those at and after its index.
    pub fn append(&mut self, entries: Vec<Entry>) {
        if let Some(first) = entries.first() {
            assert!(first.index > self.before.0 && first.index <= self.last_index() + 1, "the log has no gap");
            while self.last_index() >= first.index {
                if let Some(old) = self.entries.pop_back() {
                    self.bytes -= old.data.len();
                }
            }
        }
        self.bytes += entries.iter().map(|entry| entry.data.len()).sum::<usize>();
        self.entries.extend(entries);
    }

    /// Forgets the oldest entries up to `applied` until `bytes_max` is kept.
    pub fn forget(&mut self, applied: u64, bytes_max: usize) {
        while self.bytes > bytes_max
            && let Some(first) = self.entries.front()
            && first.index <= applied
        {
            self.before = (first.index, first.term);
            self.bytes -= first.data.len();
            self.entries.pop_front();
        }
    }

    fn term_of(&self, index: u64) -> raft::Result<u64> {
        if index == self.before.0 {
            return Ok(self.before.1);
        }
        if index < self.before.0 {
            return Err(Error::Store(StorageError::Compacted));
        }
        let entry = self.entries.get((index - self.before.0 - 1) as usize);
        entry.map(|entry| entry.term).ok_or(Error::Store(StorageError::Unavailable))
    }
}

impl Storage for Tail {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(RaftState::new(self.hard.clone(), self.conf.clone()))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low <= self.before.0 {
            return Err(Error::Store(StorageError::Compacted));
        }
        let start = (low - self.before.0 - 1) as usize;
        let budget = max_size.into().unwrap_or(u64::MAX);
        let mut bytes = 0u64;
        let wanted = self.entries.iter().skip(start).take((high - low) as usize);
        Ok(wanted
            .enumerate()
            .take_while(|(position, entry)| {
                bytes = bytes.saturating_add(entry.data.len() as u64);
                *position == 0 || bytes <= budget
            })
            .map(|(_, entry)| entry.clone())
            .collect())
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        self.term_of(index)
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.before.0 + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(Tail::last_index(self))
    }

    fn snapshot(&self, _request: u64, _to: u64) -> raft::Result<RaftSnapshot> {
        // Asked for only when another member lags behind the tail; a group of one has none.
        Err(Error::Store(StorageError::SnapshotTemporarilyUnavailable))
    }
}
