//! Snapshot files: `snap-<index>.snap`, pages of bytes, each with length and checksum, written beside and renamed when whole.
//!
//! ```text
//! page: length u32 | crc u32 over number, length and bytes | bytes        number: 0, 1, 2 ...; so no page is moved or missing
//! first page: "knarrsnp" | version u32 | index u64 | term u64 | voters    last page: empty
//! ```

use knarr_base::{Disk, DiskError, File, LogIndex, MemberId, Term};

use crate::error::OpenError;
use crate::log::{read_all, remove_leftover};

const MAGIC: &[u8; 8] = b"knarrsnp";
const VERSION: u32 = 1;
const TEMPORARY: &str = "snap.tmp";
/// Bytes gathered before a write.
const WRITE_BYTES: usize = 1 << 20;

/// What a snapshot stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The last entry it contains.
    pub index: LogIndex,
    /// That entry's term.
    pub term: Term,
    /// The members at that entry.
    pub voters: Vec<MemberId>,
}

fn name(index: u64) -> String {
    format!("snap-{index:016x}.snap")
}

fn index_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("snap-")?.strip_suffix(".snap")?;
    if digits.len() == 16 { u64::from_str_radix(digits, 16).ok() } else { None }
}

/// Writes one snapshot. It counts only after [`SnapshotWriter::finish`].
pub struct SnapshotWriter<'a> {
    disk: &'a dyn Disk,
    file: Box<dyn File>,
    index: u64,
    number: u32,
    offset: u64,
    buffer: Vec<u8>,
}

impl<'a> SnapshotWriter<'a> {
    /// Begins a file.
    pub fn new(disk: &'a dyn Disk, snapshot: &Snapshot) -> Result<Self, DiskError> {
        remove_leftover(disk, TEMPORARY)?;
        let file = disk.create(TEMPORARY, 0)?;
        let mut writer = Self { disk, file, index: snapshot.index.0, number: 0, offset: 0, buffer: Vec::new() };
        let mut head = MAGIC.to_vec();
        head.extend(VERSION.to_le_bytes());
        head.extend(snapshot.index.0.to_le_bytes());
        head.extend(snapshot.term.0.to_le_bytes());
        for voter in &snapshot.voters {
            head.extend(voter.0.to_le_bytes());
        }
        writer.page(&head)?;
        Ok(writer)
    }

    /// Appends a page; it must not be empty, since an empty one ends the file.
    pub fn page(&mut self, bytes: &[u8]) -> Result<(), DiskError> {
        let length = bytes.len() as u32;
        self.buffer.extend(length.to_le_bytes());
        self.buffer.extend(checksum(self.number, bytes).to_le_bytes());
        self.buffer.extend_from_slice(bytes);
        self.number += 1;
        if self.buffer.len() >= WRITE_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), DiskError> {
        self.file.write_at(self.offset, &self.buffer)?;
        self.offset += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Makes the snapshot durable and the newest, then removes older ones. Answers its bytes.
    pub fn finish(mut self) -> Result<u64, DiskError> {
        self.page(&[])?;
        self.flush()?;
        self.file.sync_data()?;
        self.disk.rename(TEMPORARY, &name(self.index))?;
        self.disk.sync_dir()?;
        for old in self.disk.list()? {
            if index_of(&old).is_some_and(|index| index < self.index) {
                self.disk.remove(&old)?;
            }
        }
        Ok(self.offset)
    }
}

fn checksum(number: u32, bytes: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&number.to_le_bytes());
    crc.update(&(bytes.len() as u32).to_le_bytes());
    crc.update(bytes);
    crc.finalize()
}

/// A snapshot as read: what it stands for, its pages, its size on disk and its file's name.
pub(crate) struct Loaded {
    pub snapshot: Snapshot,
    pub pages: Vec<bytes::Bytes>,
    pub bytes: u64,
}

/// Reads and checks the newest snapshot, if there is one.
pub(crate) fn load(disk: &dyn Disk) -> Result<Option<Loaded>, OpenError> {
    let Some(index) = disk.list()?.iter().filter_map(|name| index_of(name)).max() else { return Ok(None) };
    let file = name(index);
    let bytes = bytes::Bytes::from(read_all(&*disk.open(&file)?)?);
    let damaged = |offset: usize, what| OpenError::Damaged { file: file.clone(), offset: offset as u64, what };
    let mut pages = Vec::new();
    let mut at = 0;
    for number in 0u32.. {
        let short = || damaged(at, "the file ends before its last page");
        let header = bytes.get(at..at + 8).ok_or_else(short)?;
        let length = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let crc = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
        let body = bytes.get(at + 8..at + 8 + length).ok_or_else(short)?;
        if checksum(number, body) != crc {
            return Err(damaged(at, "a page's checksum does not match"));
        }
        let page = at + 8..at + 8 + length;
        at = page.end;
        if length == 0 {
            break;
        }
        pages.push(bytes.slice(page));
    }
    if at != bytes.len() {
        return Err(damaged(at, "bytes follow the last page"));
    }
    if pages.is_empty() {
        return Err(damaged(0, "the file has no pages"));
    }
    let head = pages.remove(0);
    let snapshot = parse_head(&head).ok_or_else(|| damaged(0, "not a snapshot of this version"))?;
    if snapshot.index.0 != index {
        return Err(damaged(0, "the file's name is another snapshot's"));
    }
    Ok(Some(Loaded { snapshot, pages, bytes: bytes.len() as u64 }))
}

fn parse_head(head: &[u8]) -> Option<Snapshot> {
    let rest = head.strip_prefix(MAGIC)?.strip_prefix(&VERSION.to_le_bytes())?;
    let numbers: Vec<u64> =
        rest.chunks(8).map(|chunk| chunk.try_into().map(u64::from_le_bytes)).collect::<Result<_, _>>().ok()?;
    let (index, numbers) = numbers.split_first()?;
    let (term, voters) = numbers.split_first()?;
    Some(Snapshot {
        index: LogIndex(*index),
        term: Term(*term),
        voters: voters.iter().copied().map(MemberId).collect(),
    })
}
