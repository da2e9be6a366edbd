//! Key spaces, revisions, transactions, leases and snapshots.
//!
//! Knows: keys, bytes, revisions, versions. Never knows: Kubernetes, Raft, disks, clocks; time and durability are driven from
//! outside. Start reading at [`types`], what callers say and hear.

mod types;

pub use types::{Change, Cmp, Compare, KeySpace, Op, OpResult, Page, Record, Sink, Store, StoreError, Txn, TxnOutcome};
