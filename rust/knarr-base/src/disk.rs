//! What a core may believe about storage.
//!
//! A [`Disk`] is one directory with a flat list of files. The promises, and no more than these:
//!
//! - A write is durable only after [`File::sync_data`] has returned; before that each sector of 512 bytes it touched may hold the
//!   old or the new bytes after a power loss, in any combination. A sector is never half old and half new.
//! - A file's creation, removal and rename are durable only after [`Disk::sync_dir`]; before that each may or may not be seen.
//! - A rename replaces its target in one step.
//! - After a failed sync nothing is known of what was written since the last one that succeeded: the only safe answer is to end the
//!   process and recover (Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020).
//! - Bytes that were synced may still rot; every reader checks what it reads.

use std::fmt;

/// The unit that storage writes whole or not at all.
pub const SECTOR_BYTES: usize = 512;

/// Why a disk operation failed, and on which file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskError {
    /// The operation, e.g. `write`.
    pub operation: &'static str,
    /// The file's name inside the directory; empty for the directory itself.
    pub file: String,
    /// What went wrong.
    pub kind: DiskErrorKind,
}

/// The kinds of failure that callers tell apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskErrorKind {
    /// There is no such file.
    NotFound,
    /// The file exists already.
    Exists,
    /// No space is left on the device.
    Full,
    /// Another process holds the lock.
    Locked,
    /// The simulated machine lost its power.
    PowerLost,
    /// Anything else, in the operating system's words.
    Other(String),
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.file.is_empty() { "the directory" } else { &self.file };
        write!(f, "{} {name}: ", self.operation)?;
        match &self.kind {
            DiskErrorKind::NotFound => f.write_str("no such file"),
            DiskErrorKind::Exists => f.write_str("file exists"),
            DiskErrorKind::Full => f.write_str("no space left on device"),
            DiskErrorKind::Locked => f.write_str("locked by another process"),
            DiskErrorKind::PowerLost => f.write_str("power lost"),
            DiskErrorKind::Other(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for DiskError {}

/// An open file. Offsets and lengths are in bytes.
pub trait File: Send {
    /// Writes all of `bytes` at `offset`; grows the file if needed. Not durable before [`File::sync_data`].
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), DiskError>;
    /// Reads into `into` from `offset`; the count is short at the end of the file only.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<usize, DiskError>;
    /// Makes content and length durable (fdatasync).
    fn sync_data(&mut self) -> Result<(), DiskError>;
    /// Length in bytes.
    fn len(&self) -> Result<u64, DiskError>;
    /// Whether nothing is in the file.
    fn is_empty(&self) -> Result<bool, DiskError> {
        Ok(self.len()? == 0)
    }
}

/// One directory of files.
pub trait Disk: Send + Sync {
    /// Makes a file of `size` zero bytes, written out and synced, so that later writes change no metadata. It must not exist.
    fn create(&self, name: &str, size: u64) -> Result<Box<dyn File>, DiskError>;
    /// Opens a file that exists, for reading and writing.
    fn open(&self, name: &str) -> Result<Box<dyn File>, DiskError>;
    /// Renames, replacing the target.
    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError>;
    /// Removes a file.
    fn remove(&self, name: &str) -> Result<(), DiskError>;
    /// The names of all files, sorted.
    fn list(&self) -> Result<Vec<String>, DiskError>;
    /// Makes creations, renames and removals durable.
    fn sync_dir(&self) -> Result<(), DiskError>;
    /// Takes the directory for this process until the guard is dropped, or answers [`DiskErrorKind::Locked`].
    fn lock(&self, name: &str) -> Result<Box<dyn Send>, DiskError>;
}
