//! The log on disk: numbered segments of batches, each appended with one write and one sync.
//!
//! Files: `log-<number>.seg`, preallocated and zero-filled; `spare.seg`, the next one, ready; `new.tmp` and `spare.tmp`, being made. A segment
//! begins with its own length and the hard state, so that no earlier one is needed for them.
//!
//! Opening reads batch after batch. Where the expected batch is not whole, either it is the last one and was torn (some of its
//! sectors are zero, none is damaged, nothing later exists: it was never acknowledged and is wiped), or synced bytes are damaged.

use std::sync::Arc;

use bytes::Bytes;
use knarr_base::disk::SECTOR_BYTES;
use knarr_base::{Disk, DiskError, DiskErrorKind, File, limits, marks};

use crate::error::OpenError;
use crate::sector::{self, HEADER_BYTES, Sector};

/// Sizes of the log; simulations shrink them.
#[derive(Clone, Copy, Debug)]
pub struct LogOptions {
    /// Bytes of a segment.
    pub segment_bytes: u64,
    /// False: acknowledge before anything is durable. For throw-away clusters only.
    pub fsync: bool,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { segment_bytes: limits::SEGMENT_BYTES, fsync: true }
    }
}

/// Raft's hard state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hard {
    pub term: u64,
    pub vote: u64,
    pub commit: u64,
}

/// An entry as it is kept. `kind` is Raft's number of the entry type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub index: u64,
    pub term: u64,
    pub kind: u8,
    pub data: Bytes,
}

const SEGMENT: u8 = 1;
const HARD: u8 = 2;
const ENTRY: u8 = 3;

const SPARE: &str = "spare.seg";
/// Made by the thread that appends, when there is no spare.
const NEW: &str = "new.tmp";
/// Made by the thread that prepares; another name, since both may be at it at once.
const NEW_SPARE: &str = "spare.tmp";

struct Segment {
    number: u32,
    /// The last entry in it, 0 if none.
    last_index: u64,
}

pub(crate) struct Log {
    disk: Arc<dyn Disk>,
    options: LogOptions,
    file: Box<dyn File>,
    offset: u64,
    size: u64,
    /// The next batch's number.
    batch: u64,
    segments: Vec<Segment>,
    hard: Hard,
    /// Bytes appended since the log was opened.
    pub appended_bytes: u64,
}

/// What a log held when it was opened.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    pub hard: Hard,
    /// In order, without a gap.
    pub entries: Vec<Entry>,
}

fn segment_name(number: u32) -> String {
    format!("log-{number:08x}.seg")
}

fn segment_number(name: &str) -> Option<u32> {
    let digits = name.strip_prefix("log-")?.strip_suffix(".seg")?;
    if digits.len() == 8 { u32::from_str_radix(digits, 16).ok() } else { None }
}

/// Removes what an unfinished creation left under `name`, for certain: were the removal still undecided at a power loss, a rename
/// of the file created next could be seen to have moved the old one.
pub(crate) fn remove_leftover(disk: &dyn Disk, name: &str) -> Result<(), DiskError> {
    if disk.list()?.iter().any(|found| found == name) {
        marks::hit("raft.log.leftover");
        disk.remove(name)?;
        disk.sync_dir()?;
    }
    Ok(())
}

/// Makes sure that there is a zero-filled file for the next segment. Takes the time of writing it: call it where nobody waits.
pub(crate) fn prepare_spare(disk: &dyn Disk, size: u64) -> Result<(), DiskError> {
    let names = disk.list()?;
    if names.iter().any(|name| name == SPARE) {
        return Ok(());
    }
    remove_leftover(disk, NEW_SPARE)?;
    disk.create(NEW_SPARE, size)?;
    disk.rename(NEW_SPARE, SPARE)?;
    disk.sync_dir()
}

impl Log {
    pub fn open(disk: Arc<dyn Disk>, options: LogOptions) -> Result<(Self, Recovered), OpenError> {
        let names = disk.list()?;
        let numbers: Vec<u32> = names.iter().filter_map(|name| segment_number(name)).collect();
        let mut recovery = Recovery::default();
        let mut segments = Vec::new();
        let mut open: Option<(Box<dyn File>, u64, u64)> = None;
        for (position, number) in numbers.iter().enumerate() {
            let name = segment_name(*number);
            if position > 0 && numbers[position - 1] + 1 != *number {
                let missing = segment_name(numbers[position - 1] + 1);
                return Err(OpenError::Damaged { file: missing, offset: 0, what: "the segment is missing" });
            }
            let mut file = disk.open(&name)?;
            let bytes = read_all(&*file)?;
            let end = recovery.segment(&name, *number, &bytes)?;
            if let Some(torn) = end.torn {
                // Its sectors carry the number that the next batch will have: wiped, or a tear of that one could mix the two.
                marks::hit("raft.log.torn");
                let zero = vec![0; torn.len()];
                file.write_at(torn.start as u64, &zero)?;
                file.sync_data()?;
            }
            segments.push(Segment { number: *number, last_index: recovery.last_index_of_segment });
            open = Some((file, end.offset as u64, bytes.len() as u64));
        }
        let (file, offset, size) = match open {
            Some(open) => open,
            None => {
                let (file, size) = Self::next_file(&*disk, 1, options.segment_bytes.min(limits::FIRST_SEGMENT_BYTES))?;
                segments.push(Segment { number: 1, last_index: 0 });
                (file, 0, size)
            }
        };
        let Recovery { batch, hard, entries, .. } = recovery;
        let batch = batch.unwrap_or(1);
        Ok((
            Self { disk, options, file, offset, size, batch, segments, hard, appended_bytes: 0 },
            Recovered { hard, entries },
        ))
    }

    /// The file of a new segment: the spare one if it is large enough, under its new name for certain when this returns.
    fn next_file(disk: &dyn Disk, number: u32, size: u64) -> Result<(Box<dyn File>, u64), DiskError> {
        let name = segment_name(number);
        let spare = match disk.open(SPARE) {
            Ok(file) => file.len()? >= size,
            Err(DiskError { kind: DiskErrorKind::NotFound, .. }) => false,
            Err(error) => return Err(error),
        };
        if spare {
            disk.rename(SPARE, &name)?;
        } else {
            remove_leftover(disk, NEW)?;
            disk.create(NEW, size)?;
            disk.rename(NEW, &name)?;
        }
        disk.sync_dir()?;
        let file = disk.open(&name)?;
        let size = file.len()?;
        Ok((file, size))
    }

    /// Appends hard state and entries as one batch: one write, one sync. After an error the log must not be used any more.
    pub fn append(&mut self, hard: Hard, entries: &[Entry]) -> Result<(), DiskError> {
        self.hard = hard;
        let mut payload = Vec::with_capacity(64 + entries.iter().map(|entry| entry.data.len() + 32).sum::<usize>());
        if self.offset == 0 {
            put_segment(&mut payload, self.size);
        }
        put_hard(&mut payload, hard);
        for entry in entries {
            put_entry(&mut payload, entry);
        }
        let bytes = (sector::count(payload.len()) * SECTOR_BYTES) as u64;
        if self.offset + bytes > self.size {
            self.roll(bytes + SECTOR_BYTES as u64)?;
            let mut first = Vec::with_capacity(payload.len() + 16);
            put_segment(&mut first, self.size);
            first.extend_from_slice(&payload);
            payload = first;
        }
        let number = self.segments.last().map_or(1, |segment| segment.number);
        let sealed = sector::seal(&payload, self.batch, number);
        assert!(self.offset + sealed.len() as u64 <= self.size, "a batch fits its segment");
        self.file.write_at(self.offset, &sealed)?;
        if self.options.fsync {
            self.file.sync_data()?;
        }
        self.offset += sealed.len() as u64;
        self.appended_bytes += sealed.len() as u64;
        self.batch += 1;
        if let (Some(segment), Some(entry)) = (self.segments.last_mut(), entries.last()) {
            segment.last_index = segment.last_index.max(entry.index);
        }
        Ok(())
    }

    fn roll(&mut self, bytes: u64) -> Result<(), DiskError> {
        let number = self.segments.last().map_or(1, |segment| segment.number + 1);
        let size = self.options.segment_bytes.max(bytes);
        let (file, size) = Self::next_file(&*self.disk, number, size)?;
        (self.file, self.size, self.offset) = (file, size, 0);
        self.segments.push(Segment { number, last_index: 0 });
        Ok(())
    }

    /// Drops whole segments whose entries are all in a snapshot up to `index`. The last one stays.
    pub fn release(&mut self, index: u64) -> Result<(), DiskError> {
        let mut removed = false;
        while self.segments.len() > 1 && self.segments[0].last_index <= index {
            // Oldest first, and each for certain before the next: a crash never leaves a hole.
            self.disk.remove(&segment_name(self.segments[0].number))?;
            self.disk.sync_dir()?;
            self.segments.remove(0);
            removed = true;
        }
        if removed {
            marks::hit("raft.log.released");
        }
        Ok(())
    }
}

pub(crate) fn read_all(file: &dyn File) -> Result<Vec<u8>, DiskError> {
    let length = file.len()?;
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    let read = file.read_at(0, &mut bytes)?;
    bytes.truncate(read);
    Ok(bytes)
}

fn put_segment(out: &mut Vec<u8>, size: u64) {
    out.push(SEGMENT);
    out.extend(size.to_le_bytes());
}

fn put_hard(out: &mut Vec<u8>, hard: Hard) {
    out.push(HARD);
    for number in [hard.term, hard.vote, hard.commit] {
        out.extend(number.to_le_bytes());
    }
}

fn put_entry(out: &mut Vec<u8>, entry: &Entry) {
    out.push(ENTRY);
    out.push(entry.kind);
    out.extend(entry.index.to_le_bytes());
    out.extend(entry.term.to_le_bytes());
    out.extend((entry.data.len() as u32).to_le_bytes());
    out.extend_from_slice(&entry.data);
}

/// Where a segment's batches end.
struct End {
    offset: usize,
    /// Sectors to be wiped.
    torn: Option<std::ops::Range<usize>>,
}

/// What reading the segments in order has found so far.
#[derive(Default)]
struct Recovery {
    /// The next batch expected; None before the first.
    batch: Option<u64>,
    hard: Hard,
    entries: Vec<Entry>,
    last_index_of_segment: u64,
    /// A batch was torn: nothing may come after it.
    torn: Option<(String, u64)>,
}

impl Recovery {
    fn segment(&mut self, name: &str, number: u32, bytes: &[u8]) -> Result<End, OpenError> {
        self.last_index_of_segment = 0;
        let damaged = |offset: usize, what: &'static str| OpenError::Damaged {
            file: name.to_owned(),
            offset: offset as u64,
            what,
        };
        // A segment has its length and its zeros for certain before it has its name.
        if bytes.is_empty() {
            return Err(damaged(0, "the segment is empty"));
        }
        let look = |offset: usize| sector::inspect(&bytes[offset..(offset + SECTOR_BYTES).min(bytes.len())], number);
        let mut offset = 0;
        'batches: while offset < bytes.len() {
            let mut payload = Vec::new();
            let mut at = offset;
            for expected in 0u32.. {
                let found = if at < bytes.len() { look(at) } else { Sector::Damaged };
                match found {
                    Sector::Damaged => return Err(damaged(at, "a sector's checksum does not match")),
                    Sector::Zero => break 'batches,
                    Sector::Whole { batch, sector, last, used } => {
                        let wanted = *self.batch.get_or_insert(batch);
                        if let Some((file, offset)) = &self.torn {
                            return Err(OpenError::Damaged {
                                file: file.clone(),
                                offset: *offset,
                                what: "a batch that was synced is missing",
                            });
                        }
                        if batch != wanted || sector != expected {
                            return Err(damaged(at, "a batch is out of order"));
                        }
                        payload.extend_from_slice(&bytes[at + HEADER_BYTES..at + HEADER_BYTES + used]);
                        at += SECTOR_BYTES;
                        if last {
                            break;
                        }
                    }
                }
            }
            self.records(&payload, bytes.len(), offset == 0).map_err(|what| damaged(offset, what))?;
            self.batch = self.batch.map(|batch| batch + 1);
            offset = at;
        }
        // From here on all is to be zero, but for what a tear left of the one batch expected.
        let mut torn = None;
        for at in (offset..bytes.len()).step_by(SECTOR_BYTES) {
            match look(at) {
                Sector::Zero => {}
                Sector::Damaged => return Err(damaged(at, "a sector's checksum does not match")),
                Sector::Whole { batch, sector, .. } => {
                    let place = offset + sector as usize * SECTOR_BYTES;
                    if Some(batch) != self.batch && self.batch.is_some() || place != at {
                        return Err(damaged(offset, "a batch that was synced is missing"));
                    }
                    torn = Some(offset..at + SECTOR_BYTES);
                }
            }
        }
        if torn.is_some() && self.torn.is_none() {
            self.torn = Some((name.to_owned(), offset as u64));
        }
        Ok(End { offset, torn })
    }

    /// Takes in the records of one whole batch.
    fn records(&mut self, mut payload: &[u8], file_bytes: usize, first: bool) -> Result<(), &'static str> {
        const SHORT: &str = "a record is cut short";
        let mut has_size = false;
        while let Some((kind, rest)) = payload.split_first() {
            payload = rest;
            match *kind {
                SEGMENT => {
                    has_size = true;
                    if number(&mut payload).ok_or(SHORT)? != file_bytes as u64 {
                        return Err("the file has another length than it was made with");
                    }
                }
                HARD => {
                    let mut next = || number(&mut payload).ok_or(SHORT);
                    self.hard = Hard { term: next()?, vote: next()?, commit: next()? };
                }
                ENTRY => {
                    let (kind, rest) = payload.split_first().ok_or(SHORT)?;
                    payload = rest;
                    let (index, term) = (number(&mut payload).ok_or(SHORT)?, number(&mut payload).ok_or(SHORT)?);
                    let (length, rest) = payload.split_first_chunk::<4>().ok_or(SHORT)?;
                    let (data, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or(SHORT)?;
                    payload = rest;
                    self.entry(Entry { index, term, kind: *kind, data: Bytes::copy_from_slice(data) })?;
                }
                _ => return Err("a record of an unknown kind: written by a newer version?"),
            }
        }
        if first && !has_size { Err("a segment does not begin as one") } else { Ok(()) }
    }

    /// A later entry replaces those at and after its index: a new leader overwrote them.
    fn entry(&mut self, entry: Entry) -> Result<(), &'static str> {
        if let Some(first) = self.entries.first().map(|first| first.index) {
            if entry.index < first || entry.index > first + self.entries.len() as u64 {
                return Err("an entry is missing");
            }
            self.entries.truncate((entry.index - first) as usize);
        }
        self.last_index_of_segment = self.last_index_of_segment.max(entry.index);
        self.entries.push(entry);
        Ok(())
    }
}

fn number(payload: &mut &[u8]) -> Option<u64> {
    let (bytes, rest) = payload.split_first_chunk::<8>()?;
    *payload = rest;
    Some(u64::from_le_bytes(*bytes))
}
