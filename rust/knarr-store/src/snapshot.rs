//! The whole state as pages, while it goes on changing.
//!
//! [`Machine::pin`] notes a revision of each space; from then on nothing visible at it, and no history before it, is dropped, so
//! that pages can be read one lock at a time, seconds later. Pages, in order:
//!
//! ```text
//! head     applied index; per space revision and compaction; leases; proposers
//! keys     (space; key, its versions oldest first)*             as many as fit, in order
//! changes  (space; revision, key)*                              the order of history
//! end      digest of all that was said: a restored machine must come to the same
//! ```
//!
//! A page is zstd; whoever stores pages checksums them.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use knarr_base::limits::SNAPSHOT_PAGE_BYTES;
use knarr_base::{LogIndex, MemberId, Revision};

use crate::chain::{Chain, KEY_BYTES, Version};
use crate::machine::{Lease, Machine, Proposer};
use crate::space::{CHANGE_BYTES, Space, record_hash};
use crate::types::{KeySpace, Record};
use crate::wire::{Malformed, Reader, put_bytes, put_varint};

/// The largest page that is believed when it is unpacked: one full page and one record.
const PAGE_BYTES_MAX: usize = 64 << 20;

const HEAD: u8 = 0;
const KEYS: u8 = 1;
const CHANGES: u8 = 2;
const END: u8 = 3;

/// A state to be read as a snapshot. [`Machine::unpin`] ends it.
#[derive(Debug)]
pub struct Pin {
    /// The last entry that the snapshot contains.
    pub index: LogIndex,
    revisions: Vec<(KeySpace, Revision, Revision)>,
    head: Vec<u8>,
    digest: u64,
}

impl Machine {
    /// Notes the state as it is now. One pin at a time.
    #[must_use]
    pub fn pin(&self) -> Pin {
        let digest = self.digest();
        let books = self.books.lock();
        let mut head = vec![HEAD];
        put_varint(&mut head, books.applied.0);
        let mut revisions = Vec::new();
        for space in KeySpace::ALL {
            let mut guard = self.space(space).write();
            assert!(guard.pinned.is_none(), "one snapshot at a time");
            guard.pinned = Some(guard.dropped);
            revisions.push((space, guard.revision, guard.compacted));
            put_varint(&mut head, guard.revision.0);
            put_varint(&mut head, guard.compacted.0);
        }
        put_varint(&mut head, books.leases.len() as u64);
        for (id, lease) in &books.leases {
            put_varint(&mut head, *id);
            put_varint(&mut head, lease.seconds.unsigned_abs());
        }
        put_varint(&mut head, books.proposers.len() as u64);
        for (member, proposer) in &books.proposers {
            put_varint(&mut head, member.0);
            put_varint(&mut head, proposer.incarnation);
            put_varint(&mut head, proposer.floor);
            put_varint(&mut head, proposer.applied.len() as u64);
            for sequence in &proposer.applied {
                put_varint(&mut head, *sequence);
            }
        }
        Pin { index: books.applied, revisions, head, digest }
    }

    /// History may be dropped again.
    pub fn unpin(&self, pin: Pin) {
        for (space, _, _) in pin.revisions {
            self.space(space).write().pinned = None;
        }
    }

    /// Reads the pinned state and hands it to `emit`, page by page.
    ///
    /// Errors: those of `emit`, which end it.
    pub fn pages<E>(&self, pin: &Pin, mut emit: impl FnMut(Vec<u8>) -> Result<(), E>) -> Result<(), E> {
        emit(compress(&pin.head))?;
        for (space, revision, compacted) in &pin.revisions {
            let mut from = Bound::Unbounded;
            loop {
                let (page, last) = self.keys_page(*space, *revision, *compacted, from);
                let Some(last) = last else { break };
                emit(compress(&page))?;
                from = Bound::Excluded(last);
            }
            let mut after = (*compacted, 0);
            loop {
                let (page, last) = self.changes_page(*space, *revision, after);
                let Some(last) = last else { break };
                emit(compress(&page))?;
                after = last;
            }
        }
        let mut end = vec![END];
        put_varint(&mut end, pin.digest);
        emit(compress(&end))
    }

    /// A page of keys after `from`, and the last key looked at (None: there was none).
    fn keys_page(
        &self,
        space: KeySpace,
        at: Revision,
        compacted: Revision,
        from: Bound<Bytes>,
    ) -> (Vec<u8>, Option<Bytes>) {
        let guard = self.space(space).read();
        let mut page = vec![KEYS, space.number()];
        let mut last = None;
        for (key, chain) in guard.index.range((from, Bound::Unbounded)) {
            last = Some(key);
            encode_chain(&mut page, key, chain, at, compacted);
            if page.len() >= SNAPSHOT_PAGE_BYTES {
                break;
            }
        }
        (page, last.cloned())
    }

    /// A page of changes after the `after.1`th of revision `after.0`.
    fn changes_page(
        &self,
        space: KeySpace,
        at: Revision,
        after: (Revision, usize),
    ) -> (Vec<u8>, Option<(Revision, usize)>) {
        let guard = self.space(space).read();
        let mut page = vec![CHANGES, space.number()];
        let mut last: Option<(Revision, usize)> = None;
        let (revision, skip) = after;
        // `skip` of the revision are written; of the compacted one, none is wanted.
        let start = if skip == 0 {
            guard.changes.partition_point(|(of, _)| *of <= revision)
        } else {
            guard.changes.partition_point(|(of, _)| *of < revision) + skip
        };
        for (of, key) in guard.changes.iter().skip(start).take_while(|(of, _)| *of <= at) {
            put_varint(&mut page, of.0);
            put_bytes(&mut page, key);
            last = Some(match last.or(Some(after)) {
                Some((known, count)) if known == *of => (known, count + 1),
                _ => (*of, 1),
            });
            if page.len() >= SNAPSHOT_PAGE_BYTES {
                break;
            }
        }
        (page, last)
    }

    /// The machine that the pages describe.
    ///
    /// Errors: the pages are not what [`Machine::pages`] wrote.
    pub fn restore(mut pages: impl FnMut() -> Option<Bytes>) -> Result<Self, Malformed> {
        let machine = Self::new();
        let mut ended = None;
        let mut first = true;
        while let Some(page) = pages() {
            let plain = zstd::bulk::decompress(&page, PAGE_BYTES_MAX).map_err(|_| Malformed("snapshot page"))?;
            let mut reader = Reader::new(plain.into());
            let kind = reader.byte()?;
            if first != (kind == HEAD) || ended.is_some() {
                return Err(Malformed("snapshot: order of pages"));
            }
            first = false;
            match kind {
                HEAD => machine.restore_head(&mut reader)?,
                KEYS => machine.restore_keys(&mut reader)?,
                CHANGES => machine.restore_changes(&mut reader)?,
                END => ended = Some(reader.varint()?),
                _ => return Err(Malformed("snapshot: kind of page")),
            }
            if !reader.is_empty() {
                return Err(Malformed("snapshot: bytes left over"));
            }
        }
        if ended != Some(machine.digest()) {
            return Err(Malformed("snapshot: digest"));
        }
        Ok(machine)
    }

    fn restore_head(&self, reader: &mut Reader) -> Result<(), Malformed> {
        let mut books = self.books.lock();
        books.applied = LogIndex(reader.varint()?);
        for space in KeySpace::ALL {
            let mut guard = self.space(space).write();
            guard.revision = Revision(reader.varint()?);
            guard.compacted = Revision(reader.varint()?);
            guard.dropped = guard.compacted;
            guard.packed = guard.compacted;
        }
        for _ in 0..reader.count()? {
            let id = reader.varint()?;
            let seconds = i64::try_from(reader.varint()?).map_err(|_| Malformed("snapshot: lease"))?;
            books.leases.insert(id, Lease { seconds, keys: BTreeSet::new() });
        }
        for _ in 0..reader.count()? {
            let member = MemberId(reader.varint()?);
            let (incarnation, floor) = (reader.varint()?, reader.varint()?);
            let mut applied = BTreeSet::new();
            for _ in 0..reader.count()? {
                applied.insert(reader.varint()?);
            }
            books.proposers.insert(member, Proposer { incarnation, floor, applied });
        }
        Ok(())
    }

    fn restore_keys(&self, reader: &mut Reader) -> Result<(), Malformed> {
        let number = KeySpace::from_number(reader.byte()?).ok_or(Malformed("snapshot: key space"))?;
        let mut books = self.books.lock();
        let mut guard = self.space(number).write();
        while !reader.is_empty() {
            let key = Bytes::copy_from_slice(&reader.bytes()?);
            let mut chain: Option<Chain> = None;
            for _ in 0..reader.count()? {
                let version = decode_version(reader)?;
                match &mut chain {
                    None => chain = Some(Chain::new(version)),
                    Some(chain) => {
                        guard.usage.history_bytes += if chain.head.is_deleted() { 0 } else { chain.head.bytes() };
                        chain.supersede(version);
                    }
                }
            }
            let Some(chain) = chain else { continue };
            if let Some(record) = chain.live() {
                guard.usage.keys += 1;
                guard.usage.live_bytes += KEY_BYTES + key.len() + chain.head.bytes();
                guard.digest = guard.digest.wrapping_add(record_hash(&key, record));
                if let Some(lease) = books.leases.get_mut(&record.lease) {
                    lease.keys.insert((number, key.clone()));
                }
            }
            guard.index.insert(key, chain);
        }
        Ok(())
    }

    fn restore_changes(&self, reader: &mut Reader) -> Result<(), Malformed> {
        let number = KeySpace::from_number(reader.byte()?).ok_or(Malformed("snapshot: key space"))?;
        let mut guard = self.space(number).write();
        let space: &mut Space = &mut guard;
        while !reader.is_empty() {
            let revision = Revision(reader.varint()?);
            let key = reader.bytes()?;
            let (key, _) = space.index.get_key_value(&key).ok_or(Malformed("snapshot: change of an unknown key"))?;
            space.changes.push_back((revision, key.clone()));
            space.usage.changes += 1;
            space.usage.history_bytes += CHANGE_BYTES;
        }
        Ok(())
    }
}

/// Writes the versions of a key that are visible at a revision from `compacted` to `at`; nothing if there are none.
fn encode_chain(page: &mut Vec<u8>, key: &[u8], chain: &Chain, at: Revision, compacted: Revision) {
    let count = chain.older().len() + 1;
    let visible = |index: usize| {
        let version = chain.version(index);
        let superseded = index + 1 < count && chain.version(index + 1).revision() <= compacted;
        // A deletion that is compacted is as good as no version at all.
        version.revision() <= at && !superseded && !(version.is_deleted() && version.revision() <= compacted)
    };
    let wanted: Vec<usize> = (0..count).filter(|index| visible(*index)).collect();
    if wanted.is_empty() {
        return;
    }
    put_bytes(page, key);
    put_varint(page, wanted.len() as u64);
    for index in wanted {
        match chain.at(chain.version(index).revision()) {
            None => {
                page.push(0);
                put_varint(page, chain.version(index).revision().0);
            }
            Some(record) => {
                page.push(1);
                for number in [record.create_revision.0, record.mod_revision.0, record.version, record.lease] {
                    put_varint(page, number);
                }
                put_bytes(page, &record.value);
            }
        }
    }
}

fn decode_version(reader: &mut Reader) -> Result<Version, Malformed> {
    if reader.byte()? == 0 {
        return Ok(Version::Deleted(Revision(reader.varint()?)));
    }
    let (create_revision, mod_revision) = (Revision(reader.varint()?), Revision(reader.varint()?));
    let (version, lease) = (reader.varint()?, reader.varint()?);
    let value = Bytes::copy_from_slice(&reader.bytes()?);
    Ok(Version::Live(Arc::new(Record { value, create_revision, mod_revision, version, lease })))
}

fn compress(page: &[u8]) -> Vec<u8> {
    match zstd::bulk::compress(page, 1) {
        Ok(packed) => packed,
        Err(error) => panic!("zstd does not compress a page: {error}"), // it can only for want of memory
    }
}
