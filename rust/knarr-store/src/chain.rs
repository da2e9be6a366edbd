//! The versions of one key.
//!
//! A worked history, `x` put at 2, 5 and 6, deleted at 8, put at 9 (compacted up to 4):
//!
//! ```text
//! older: [ 2 packed (delta to 5) | 5 packed (delta to 6) | 6 packed alone | 8 deleted ]   head: 9 live
//!          read at 4 -> 2          read at 5 -> 5          read at 7 -> 6   read at 8 -> none
//! ```
//!
//! The head is a shared record. A superseded version is packed some seconds later, off the hot path ([`pack`]): as the difference
//! to the next newer version, which for a Pod whose status changed is a tenth of it. Reading an old version decodes from the next
//! plain one backwards, at most [`DELTA_CHAIN_MAX`] steps.

use std::sync::Arc;

use bytes::Bytes;
use knarr_base::Revision;
use knarr_base::limits::DELTA_CHAIN_MAX;

use crate::types::Record;

/// A middle shorter than this is kept as it is: zstd would take microseconds to win a few bytes.
const PLAIN_MIDDLE_MAX: usize = 256;
/// zstd's fastest ordinary level: 2 kB in some 10 us.
const LEVEL: i32 = 1;

/// Newest version and what came before it.
#[derive(Debug)]
pub(crate) struct Chain {
    pub head: Version,
    /// Oldest first; boxed because most keys have none.
    #[allow(clippy::box_collection)] // 8 bytes instead of 24 in each of a million keys
    pub older: Option<Box<Vec<Version>>>,
}

/// One version: 16 bytes beside what it points to.
#[derive(Clone, Debug)]
pub(crate) enum Version {
    Live(Arc<Record>),
    Deleted(Revision),
    Packed(Arc<Packed>),
}

/// A superseded version, compressed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Packed {
    pub create_revision: Revision,
    pub mod_revision: Revision,
    pub version: u64,
    pub lease: u64,
    /// Leading and trailing bytes it has in common with the next newer version; both 0 if it stands alone.
    pub prefix: u32,
    pub suffix: u32,
    /// Length of what is between them; `middle` is compressed where it is shorter than this.
    pub middle_len: u32,
    /// Whether a newer version is needed to decode it.
    pub delta: bool,
    pub middle: Box<[u8]>,
}

impl Version {
    pub fn revision(&self) -> Revision {
        match self {
            Self::Live(record) => record.mod_revision,
            Self::Deleted(revision) => *revision,
            Self::Packed(packed) => packed.mod_revision,
        }
    }

    pub fn is_deleted(&self) -> bool {
        matches!(self, Self::Deleted(_))
    }

    /// Heap bytes: what the space's accounts say of it.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Live(record) => RECORD_BYTES + record.value.len(),
            Self::Deleted(_) => 16,
            Self::Packed(packed) => PACKED_BYTES + packed.middle.len(),
        }
    }
}

/// An `Arc<Record>` with the rounding of the allocator, its slot in the chain included.
pub(crate) const RECORD_BYTES: usize = 128;
/// An `Arc<Packed>`, likewise.
pub(crate) const PACKED_BYTES: usize = 112;
/// A key in the index: its `Bytes`, its chain, and its share of a half-filled B-tree node.
pub(crate) const KEY_BYTES: usize = 112;

impl Chain {
    pub fn new(head: Version) -> Self {
        Self { head, older: None }
    }

    /// The live record at the head.
    pub fn live(&self) -> Option<&Arc<Record>> {
        match &self.head {
            Version::Live(record) => Some(record),
            _ => None,
        }
    }

    pub fn older(&self) -> &[Version] {
        self.older.as_ref().map_or(&[], |older| older.as_slice())
    }

    /// Puts a new head before all others.
    pub fn supersede(&mut self, head: Version) {
        let old = std::mem::replace(&mut self.head, head);
        self.older.get_or_insert_default().push(old);
    }

    /// Position of the version visible at `at`: `older().len()` is the head.
    fn position(&self, at: Revision) -> Option<usize> {
        if self.head.revision() <= at {
            return Some(self.older().len());
        }
        self.older().iter().rposition(|version| version.revision() <= at)
    }

    /// The record at `at`, decoded if it is packed.
    pub fn at(&self, at: Revision) -> Option<Arc<Record>> {
        self.record(self.position(at)?)
    }

    /// The record before the one made at `revision`, and that one.
    pub fn change(&self, revision: Revision) -> (Option<Arc<Record>>, Option<Arc<Record>>) {
        let Some(index) = self.position(revision) else { return (None, None) };
        let previous = index.checked_sub(1).and_then(|index| self.record(index));
        (previous, self.record(index))
    }

    pub fn version(&self, index: usize) -> &Version {
        self.older().get(index).unwrap_or(&self.head)
    }

    fn record(&self, index: usize) -> Option<Arc<Record>> {
        match self.version(index) {
            Version::Live(record) => Some(record.clone()),
            Version::Deleted(_) => None,
            Version::Packed(packed) => Some(Arc::new(self.unpack(index, packed))),
        }
    }

    fn unpack(&self, index: usize, packed: &Packed) -> Record {
        // Forwards to the first version that needs no other, then back, each from the one after it.
        let mut base = index;
        while let Version::Packed(packed) = self.version(base)
            && packed.delta
        {
            base += 1;
        }
        let mut value = match self.version(base) {
            Version::Live(record) => record.value.clone(),
            Version::Packed(alone) => decode(alone, &[]),
            Version::Deleted(_) => unreachable!("a version before a deletion is packed alone"),
        };
        for step in (index..base).rev() {
            if let Version::Packed(packed) = self.version(step) {
                value = decode(packed, &value);
            }
        }
        Record {
            value,
            create_revision: packed.create_revision,
            mod_revision: packed.mod_revision,
            version: packed.version,
            lease: packed.lease,
        }
    }

    /// Whether the version at `index` has to stand alone: every [`DELTA_CHAIN_MAX`]th does, and one before a deletion. The
    /// version's own count decides, not its place in the chain, which compaction shifts.
    fn stands_alone(record: &Record, next: &Version) -> bool {
        record.version.is_multiple_of(DELTA_CHAIN_MAX as u64) || next.is_deleted()
    }

    /// What [`pack`] needs for the version that was superseded at `revision`: it and its successor's value. None if it is packed.
    pub fn packing(&self, revision: Revision) -> Option<(Arc<Record>, Option<Bytes>)> {
        let index = self.position(revision)?.checked_sub(1)?;
        let Version::Live(record) = self.version(index) else { return None };
        let next = self.version(index + 1);
        let newer = match next {
            _ if Self::stands_alone(record, next) => None,
            Version::Live(newer) => Some(newer.value.clone()),
            // The successor was packed before: decode it, a delta is against its plain bytes.
            _ => self.record(index + 1).map(|newer| newer.value.clone()),
        };
        Some((record.clone(), newer))
    }

    /// Puts the packed form in the place of `record`, if it is still there. Answers bytes before and after.
    pub fn replace(&mut self, record: &Arc<Record>, packed: Packed) -> Option<(usize, usize)> {
        let version = self
            .older
            .as_mut()?
            .iter_mut()
            .find(|version| matches!(version, Version::Live(it) if Arc::ptr_eq(it, record)))?;
        let before = version.bytes();
        *version = Version::Packed(Arc::new(packed));
        Some((before, version.bytes()))
    }
}

/// Packs a superseded record against the value of its successor (None: alone).
pub(crate) fn pack(record: &Record, newer: Option<&[u8]>) -> Packed {
    let value: &[u8] = &record.value;
    let newer_value = newer.unwrap_or(&[]);
    let prefix = common(value.iter(), newer_value.iter());
    let suffix = common(value[prefix..].iter().rev(), newer_value[prefix..].iter().rev());
    let middle = &value[prefix..value.len() - suffix];
    let packed = if middle.len() > PLAIN_MIDDLE_MAX { compress(middle, newer_value) } else { None };
    Packed {
        create_revision: record.create_revision,
        mod_revision: record.mod_revision,
        version: record.version,
        lease: record.lease,
        prefix: prefix as u32,
        suffix: suffix as u32,
        middle_len: middle.len() as u32,
        delta: newer.is_some(),
        middle: packed.unwrap_or_else(|| middle.to_vec()).into_boxed_slice(),
    }
}

fn common<'a>(a: impl Iterator<Item = &'a u8>, b: impl Iterator<Item = &'a u8>) -> usize {
    a.zip(b).take_while(|(a, b)| a == b).count()
}

/// zstd with the newer value as dictionary; None where that is no shorter.
fn compress(middle: &[u8], dictionary: &[u8]) -> Option<Vec<u8>> {
    let mut compressor = zstd::bulk::Compressor::with_dictionary(LEVEL, dictionary).ok()?;
    let packed = compressor.compress(middle).ok()?;
    (packed.len() < middle.len()).then_some(packed)
}

/// The plain value. What was packed in this process unpacks: a failure is a broken invariant and ends it.
fn decode(packed: &Packed, newer: &[u8]) -> Bytes {
    let (prefix, suffix, middle_len) = (packed.prefix as usize, packed.suffix as usize, packed.middle_len as usize);
    let mut value = Vec::with_capacity(prefix + middle_len + suffix);
    value.extend_from_slice(&newer[..prefix]);
    if packed.middle.len() == middle_len {
        value.extend_from_slice(&packed.middle);
    } else {
        let plain = zstd::bulk::Decompressor::with_dictionary(newer)
            .and_then(|mut zstd| zstd.decompress(&packed.middle, middle_len));
        match plain {
            Ok(plain) => value.extend_from_slice(&plain),
            Err(error) => panic!("a superseded version does not unpack: {error}"),
        }
    }
    value.extend_from_slice(&newer[newer.len() - suffix..]);
    assert_eq!(value.len(), prefix + middle_len + suffix, "a superseded version unpacks to another length");
    Bytes::from(value)
}
