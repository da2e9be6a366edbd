//! The replicated log: Raft, its segments on disk, and snapshot files.
//!
//! Knows: terms, votes, entries, files through [`knarr_base::Disk`]. Never knows: what an entry's bytes mean, sockets, threads,
//! time (a driver ticks it). Start reading at [`Group`]; `sector.rs` draws what is on disk.
//!
//! The log's pointers, in order, asserted where they move:
//!
//! ```text
//! released <= snapshot <= applied <= committed <= synced <= last
//! ```

mod error;
mod group;
mod log;
mod sector;
mod snapshot;
mod storage;

pub use error::{LogError, OpenError};
pub use group::{Committed, Group, Options, Started};
pub use log::LogOptions;
pub use snapshot::{Snapshot, SnapshotWriter};
