//! Key spaces, revisions, transactions, leases and snapshots.
//!
//! Knows: keys, bytes, revisions, versions. Never knows: Kubernetes, Raft, disks, clocks; time and durability are driven from
//! outside. Start reading at [`Store`], what callers say and hear; then [`Machine`], which a log's entries drive; `chain.rs` has a
//! worked history of one key.

mod chain;
mod command;
mod machine;
mod memory;
mod snapshot;
mod space;
mod types;
mod wire;

pub use command::{Batch, Command, ProposalId, encode_command};
pub use machine::{Answer, Answered, Lease, Lessor, Machine, txn_outcome};
pub use memory::{MemoryStore, put};
pub use snapshot::Pin;
pub use space::Usage;
pub use types::{
    Change, Cmp, Compare, KeySpace, Op, OpResult, Page, Record, Sink, Store, StoreError, Txn, TxnOutcome, Visit,
};
pub use wire::Malformed;
