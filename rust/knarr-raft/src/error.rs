//! Why a log cannot be opened or written.

use std::fmt;

use knarr_base::{DiskError, LogIndex};

/// Why the data of a member cannot be used. One line each; nothing has been changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// Bytes that had been synced are not what was written.
    Damaged { file: String, offset: u64, what: &'static str },
    /// The log does not begin where the snapshot ends.
    Gap { snapshot: LogIndex, first: LogIndex },
    /// The disk refused.
    Disk(DiskError),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged { file, offset, what } => write!(f, "{file} is damaged at offset {offset}: {what}"),
            Self::Gap { snapshot, first } => {
                write!(
                    f,
                    "the log begins at entry {first}, but the newest snapshot ends at {snapshot}: a snapshot file is missing"
                )
            }
            Self::Disk(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for OpenError {}

impl From<DiskError> for OpenError {
    fn from(error: DiskError) -> Self {
        Self::Disk(error)
    }
}

/// The log could not be written or synced: fatal, since nobody knows what is on the disk now. The process has to end and recover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogError(pub DiskError);

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the log cannot be written: {}", self.0)
    }
}

impl std::error::Error for LogError {}

impl From<DiskError> for LogError {
    fn from(error: DiskError) -> Self {
        Self(error)
    }
}
