//! A disk that loses its power.
//!
//! Each file has what was synced and what was written since, by sector; the directory likewise, by operation. A power loss keeps,
//! for each sector and each operation that was not synced, the old or the new, as the seed will have it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use knarr_base::disk::SECTOR_BYTES;
use knarr_base::{Disk, DiskError, DiskErrorKind, File, Rng, SeededRng};
use parking_lot::Mutex;

#[derive(Default)]
struct Data {
    now: Vec<u8>,
    synced: Vec<u8>,
    dirty: BTreeSet<usize>,
}

enum DirOp {
    Link(String, usize),
    Rename(String, String),
    Unlink(String),
}

struct Inner {
    data: Vec<Data>,
    names: BTreeMap<String, usize>,
    synced_names: BTreeMap<String, usize>,
    pending: Vec<DirOp>,
    rng: SeededRng,
    operations: u64,
    /// The operation that the power fails in.
    fails_at: Option<u64>,
    off: bool,
    /// A known bug put back: syncs of files do nothing.
    lying_sync: bool,
}

/// The disk; clones share it.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<Inner>>);

struct SimFile {
    disk: SimDisk,
    id: usize,
    name: String,
}

fn error(operation: &'static str, file: &str, kind: DiskErrorKind) -> DiskError {
    DiskError { operation, file: file.to_owned(), kind }
}

impl SimDisk {
    /// An empty disk.
    #[must_use]
    pub fn new(rng: SeededRng) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            data: Vec::new(),
            names: BTreeMap::new(),
            synced_names: BTreeMap::new(),
            pending: Vec::new(),
            rng,
            operations: 0,
            fails_at: None,
            off: false,
            lying_sync: false,
        })))
    }

    /// The power fails in the `after`th operation from now on.
    pub fn fail_after(&self, after: u64) {
        let mut inner = self.0.lock();
        inner.fails_at = Some(inner.operations + after);
    }

    /// No failure is planned any more.
    pub fn keep_power(&self) {
        self.0.lock().fails_at = None;
    }

    /// From now on a sync answers without syncing: the bug that every durability test has to find.
    pub fn lie_about_syncs(&self) {
        self.0.lock().lying_sync = true;
    }

    /// Operations so far.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.0.lock().operations
    }

    /// The power is lost and comes back: what was not synced is decided.
    pub fn power_cycle(&self) {
        let inner = &mut *self.0.lock();
        // Some losses keep nothing, some all, most a mixture.
        let keep = [0.0, 1.0, 0.5, 0.1, 0.9][inner.rng.below(5) as usize];
        for data in &mut inner.data {
            let grown = data.now.len();
            let mut kept = data.synced.clone();
            for sector in std::mem::take(&mut data.dirty) {
                if inner.rng.chance(keep) {
                    let range = sector * SECTOR_BYTES..((sector + 1) * SECTOR_BYTES).min(grown);
                    if kept.len() < range.end {
                        kept.resize(range.end, 0);
                    }
                    kept[range.clone()].copy_from_slice(&data.now[range]);
                }
            }
            data.synced.clone_from(&kept);
            data.now = kept;
        }
        let mut names = inner.synced_names.clone();
        for operation in std::mem::take(&mut inner.pending) {
            if !inner.rng.chance(keep) {
                continue;
            }
            match operation {
                DirOp::Link(name, id) => {
                    names.insert(name, id);
                }
                DirOp::Rename(from, to) => {
                    if let Some(id) = names.remove(&from) {
                        names.insert(to, id);
                    }
                }
                DirOp::Unlink(name) => {
                    names.remove(&name);
                }
            }
        }
        inner.synced_names.clone_from(&names);
        inner.names = names;
        inner.off = false;
        inner.fails_at = None;
    }

    /// Flips one bit of what is on the disk.
    pub fn flip(&self, name: &str, offset: usize, bit: u8) {
        let inner = &mut *self.0.lock();
        let Some(id) = inner.names.get(name) else { return };
        let data = &mut inner.data[*id];
        data.now[offset] ^= 1 << bit;
        if let Some(byte) = data.synced.get_mut(offset) {
            *byte ^= 1 << bit;
        }
    }

    /// Bytes of a file as they are now.
    #[must_use]
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        let inner = self.0.lock();
        inner.names.get(name).map(|id| inner.data[*id].now.clone()).unwrap_or_default()
    }

    /// Counts an operation; the one that the power fails in has its effect, undecided, and answers an error, as do all after it.
    fn operate(inner: &mut Inner) -> bool {
        inner.operations += 1;
        if inner.off {
            return false;
        }
        if inner.fails_at.is_some_and(|at| inner.operations >= at) {
            inner.off = true;
        }
        true
    }
}

fn finish(inner: &Inner, operation: &'static str, name: &str) -> Result<(), DiskError> {
    if inner.off { Err(error(operation, name, DiskErrorKind::PowerLost)) } else { Ok(()) }
}

impl File for SimFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let inner = &mut *self.disk.0.lock();
        if SimDisk::operate(inner) {
            let data = &mut inner.data[self.id];
            let (start, end) = (offset as usize, offset as usize + bytes.len());
            if data.now.len() < end {
                data.now.resize(end, 0);
            }
            data.now[start..end].copy_from_slice(bytes);
            if !bytes.is_empty() {
                data.dirty.extend(start / SECTOR_BYTES..=(end - 1) / SECTOR_BYTES);
            }
        }
        finish(inner, "write", &self.name)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<usize, DiskError> {
        let inner = self.disk.0.lock();
        finish(&inner, "read", &self.name)?;
        let now = &inner.data[self.id].now;
        let rest = now.get(offset as usize..).unwrap_or_default();
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn sync_data(&mut self) -> Result<(), DiskError> {
        let inner = &mut *self.disk.0.lock();
        // The power may fail while the sync is under way: then nothing is certain, as if it had not begun.
        SimDisk::operate(inner);
        finish(inner, "sync", &self.name)?;
        if !inner.lying_sync {
            let data = &mut inner.data[self.id];
            for sector in std::mem::take(&mut data.dirty) {
                let range = sector * SECTOR_BYTES..((sector + 1) * SECTOR_BYTES).min(data.now.len());
                if data.synced.len() < range.end {
                    data.synced.resize(range.end, 0);
                }
                data.synced[range.clone()].copy_from_slice(&data.now[range]);
            }
        }
        Ok(())
    }

    fn len(&self) -> Result<u64, DiskError> {
        Ok(self.disk.0.lock().data[self.id].now.len() as u64)
    }
}

impl Disk for SimDisk {
    fn create(&self, name: &str, size: u64) -> Result<Box<dyn File>, DiskError> {
        let inner = &mut *self.0.lock();
        if inner.names.contains_key(name) {
            return Err(error("create", name, DiskErrorKind::Exists));
        }
        let id = inner.data.len();
        if SimDisk::operate(inner) {
            // Where the power fails within, the file is there, but its zeros need not be.
            let whole = vec![0; size as usize];
            let synced = if inner.off { whole[..inner.rng.below(size + 1) as usize].to_vec() } else { whole.clone() };
            inner.data.push(Data { now: whole, synced, dirty: BTreeSet::new() });
            inner.names.insert(name.to_owned(), id);
            inner.pending.push(DirOp::Link(name.to_owned(), id));
        }
        finish(inner, "create", name)?;
        Ok(Box::new(SimFile { disk: self.clone(), id, name: name.to_owned() }))
    }

    fn open(&self, name: &str) -> Result<Box<dyn File>, DiskError> {
        let inner = self.0.lock();
        finish(&inner, "open", name)?;
        let id = *inner.names.get(name).ok_or_else(|| error("open", name, DiskErrorKind::NotFound))?;
        Ok(Box::new(SimFile { disk: self.clone(), id, name: name.to_owned() }))
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        let inner = &mut *self.0.lock();
        if SimDisk::operate(inner) {
            let id = inner.names.remove(from).ok_or_else(|| error("rename", from, DiskErrorKind::NotFound))?;
            inner.names.insert(to.to_owned(), id);
            inner.pending.push(DirOp::Rename(from.to_owned(), to.to_owned()));
        }
        finish(inner, "rename", from)
    }

    fn remove(&self, name: &str) -> Result<(), DiskError> {
        let inner = &mut *self.0.lock();
        if SimDisk::operate(inner) {
            inner.names.remove(name).ok_or_else(|| error("remove", name, DiskErrorKind::NotFound))?;
            inner.pending.push(DirOp::Unlink(name.to_owned()));
        }
        finish(inner, "remove", name)
    }

    fn list(&self) -> Result<Vec<String>, DiskError> {
        let inner = self.0.lock();
        finish(&inner, "list", "")?;
        Ok(inner.names.keys().cloned().collect())
    }

    fn sync_dir(&self) -> Result<(), DiskError> {
        let inner = &mut *self.0.lock();
        SimDisk::operate(inner);
        finish(inner, "sync", "")?;
        inner.synced_names = inner.names.clone();
        inner.pending.clear();
        Ok(())
    }

    fn lock(&self, _name: &str) -> Result<Box<dyn Send>, DiskError> {
        Ok(Box::new(()))
    }
}
