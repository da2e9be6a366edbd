//! The ring: the recent changes of one resource, in order, bounded by bytes and age.
//!
//! ```text
//!   floor        first                                   end = first + len
//!     |            |                                       |
//!   r=40 | evicted | r=41 r=44 r=47 ...              r=90  |
//! ```
//! Every change with a revision beyond `floor` is in the ring. Positions (`u64`, counted from the hub's start, never reused)
//! name entries for classes and watchers; a position below `first` was evicted.

use std::collections::VecDeque;
use std::sync::Arc;

use knarr_base::Revision;

use crate::event::Entry;

#[derive(Debug)]
pub(crate) struct Ring {
    entries: VecDeque<Arc<Entry>>,
    first: u64,
    floor: Revision,
    bytes: usize,
}

impl Ring {
    pub fn new(floor: Revision) -> Self {
        Self { entries: VecDeque::new(), first: 0, floor, bytes: 0 }
    }

    pub fn first(&self) -> u64 {
        self.first
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn get(&self, position: u64) -> Option<&Arc<Entry>> {
        let index = position.checked_sub(self.first)?;
        self.entries.get(usize::try_from(index).ok()?)
    }

    /// Appends and returns the position.
    pub fn push(&mut self, entry: Arc<Entry>) -> u64 {
        if let Some(last) = self.entries.back() {
            assert!(last.revision <= entry.revision, "the store feeds the hub in revision order");
        }
        self.bytes += entry.weight();
        self.entries.push_back(entry);
        self.first + self.entries.len() as u64 - 1
    }

    /// Drops what is beyond `bytes_max` or arrived before `oldest` (nanoseconds). The newest entry stays as long as it is
    /// young enough, however large.
    pub fn evict(&mut self, bytes_max: usize, oldest: u64) {
        while let Some(entry) = self.entries.front() {
            if (self.bytes <= bytes_max || self.entries.len() == 1) && entry.at >= oldest {
                break;
            }
            self.bytes -= entry.weight();
            self.floor = entry.revision;
            self.first += 1;
            self.entries.pop_front();
        }
        if self.entries.is_empty() && self.entries.capacity() > 64 {
            self.entries.shrink_to_fit();
        }
    }

    /// Positions and entries with a revision beyond `from`. `None` when some of them were evicted.
    pub fn since(&self, from: Revision) -> Option<impl Iterator<Item = (u64, &Arc<Entry>)>> {
        if from < self.floor {
            return None;
        }
        let start = self.entries.partition_point(|entry| entry.revision <= from);
        Some(
            self.entries
                .range(start..)
                .enumerate()
                .map(move |(index, entry)| (self.first + (start + index) as u64, entry)),
        )
    }
}
