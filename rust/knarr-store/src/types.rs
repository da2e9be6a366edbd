//! What callers of a store say and hear: transactions, records, changes, errors, and the trait [`Store`].

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use knarr_base::{BoxFuture, Revision};

/// A space of keys with a revision, a history and a quota of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeySpace {
    /// The objects of the cluster.
    Cluster,
    /// What clients of the etcd v3 API see.
    Etcd,
}

impl KeySpace {
    /// All key spaces, in the order of their numbers.
    pub const ALL: [Self; 2] = [Self::Cluster, Self::Etcd];

    /// The number that stands for the space in logs and snapshots.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Cluster => 0,
            Self::Etcd => 1,
        }
    }

    /// The space of a number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|space| space.number() == number)
    }
}

impl fmt::Display for KeySpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cluster => "cluster",
            Self::Etcd => "etcd",
        })
    }
}

/// One version of one key. Shared, never copied, between the index, readers and the watch hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The value as it was put.
    pub value: Bytes,
    /// Revision in which the key was last created.
    pub create_revision: Revision,
    /// Revision of this version.
    pub mod_revision: Revision,
    /// 1 for the first version since creation.
    pub version: u64,
    /// Lease the key is attached to, 0 for none.
    pub lease: u64,
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cmp {
    /// The record's value equals the given one.
    Equal,
    /// It is greater.
    Greater,
    /// It is less.
    Less,
    /// It differs.
    NotEqual,
}

/// A condition of a transaction. An absent key has revision, version and lease 0 and, as in etcd, satisfies no comparison of its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compare {
    /// Compares the revision of the last change.
    ModRevision { key: Bytes, op: Cmp, revision: Revision },
    /// Compares the revision of the creation.
    CreateRevision { key: Bytes, op: Cmp, revision: Revision },
    /// Compares the count of versions since creation.
    Version { key: Bytes, op: Cmp, version: u64 },
    /// Compares the value, byte by byte.
    Value { key: Bytes, op: Cmp, value: Bytes },
    /// Compares the lease.
    Lease { key: Bytes, op: Cmp, lease: u64 },
}

/// An operation of a transaction. `to` None means the one key `from`; an empty `to` means to the end; otherwise it is exclusive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Writes a key.
    Put { key: Bytes, value: Bytes, lease: u64 },
    /// Deletes the keys of a range.
    Delete { from: Bytes, to: Option<Bytes> },
    /// Reads the keys of a range as they are at this point of the transaction; `limit` 0 is none.
    Range { from: Bytes, to: Option<Bytes>, limit: usize },
}

/// A transaction: if all of `compare` holds, `then`, else `otherwise`. It makes one revision if it changes anything, none if not;
/// a later operation sees what an earlier one did. As in etcd, no key may be put twice, or put and deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Txn {
    /// The space all its keys are in.
    pub space: KeySpace,
    /// All must hold for `then`.
    pub compare: Vec<Compare>,
    /// Done when they hold.
    pub then: Vec<Op>,
    /// Done when they do not.
    pub otherwise: Vec<Op>,
}

/// What one operation of a transaction found or did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpResult {
    /// The record written and the one it replaced.
    Put { record: Arc<Record>, previous: Option<Arc<Record>> },
    /// The records deleted, with their keys.
    Delete { deleted: Vec<(Bytes, Arc<Record>)> },
    /// What was read.
    Range(Page),
}

/// The end of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxnOutcome {
    /// The space's revision after it: its own if it changed anything.
    pub revision: Revision,
    /// Whether `then` was done.
    pub succeeded: bool,
    /// One for each operation of the branch that was done.
    pub results: Vec<OpResult>,
}

/// One key changed in one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The revision.
    pub revision: Revision,
    /// The key.
    pub key: Bytes,
    /// The new record, None when the key was deleted.
    pub record: Option<Arc<Record>>,
    /// The record before, None when the key was created.
    pub previous: Option<Arc<Record>>,
}

/// Part of a range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Keys in order, with their records.
    pub records: Vec<(Bytes, Arc<Record>)>,
    /// Whether the limit cut it short.
    pub more: bool,
    /// Keys in the whole range, those beyond the limit included: in a transaction. A [`Store::range`] stops at the first beyond the
    /// limit, so with `more` this is what it saw; [`Store::count`] tells.
    pub count: u64,
}

/// Takes the changes of a store. Called on the thread that applies, one revision a call, in order and without a gap, before the
/// writer is answered: what it does is in the way of every write, so it takes note and returns.
pub trait Sink: Send + Sync {
    /// `changes` are those of `revision`, in the order the transaction made them; never empty.
    fn changes(&self, space: KeySpace, revision: Revision, changes: &[Change]);
}

/// What a walk calls with each key and its record; false ends it.
pub type Visit<'a> = dyn FnMut(&Bytes, &Arc<Record>) -> bool + 'a;

/// A store of multi-version keys. Reads never wait for a disk; writes are answered once they are durable and applied.
pub trait Store: Send + Sync {
    /// The revision of the last change applied.
    fn revision(&self, space: KeySpace) -> Revision;
    /// History up to and with this revision is gone.
    fn compacted(&self, space: KeySpace) -> Revision;
    /// One key, as it is or (`at`) was.
    fn get(&self, space: KeySpace, key: &[u8], at: Option<Revision>) -> Result<Option<Arc<Record>>, StoreError>;
    /// Keys from `from` to `to` (exclusive; empty: to the end), all as of one revision, which is answered too. `limit` 0 is none.
    fn range(
        &self,
        space: KeySpace,
        from: &[u8],
        to: &[u8],
        at: Option<Revision>,
        limit: usize,
    ) -> Result<(Page, Revision), StoreError>;
    /// Shows `visit` the records from `from` to `to` in order, all as of one revision, which is answered; it ends early by answering
    /// false. Nothing is copied: this is how many records are read at once. A writer may be waiting meanwhile, so `visit` is brief,
    /// and asks nothing of the store.
    fn visit(
        &self,
        space: KeySpace,
        from: &[u8],
        to: &[u8],
        at: Option<Revision>,
        visit: &mut Visit<'_>,
    ) -> Result<Revision, StoreError>;
    /// The number of keys in a range: a walk of some 20 ns a key.
    fn count(&self, space: KeySpace, from: &[u8], to: &[u8], at: Option<Revision>) -> Result<u64, StoreError> {
        let mut count = 0;
        self.visit(space, from, to, at, &mut |_, _| {
            count += 1;
            true
        })?;
        Ok(count)
    }
    /// Runs a transaction: durable and applied when it resolves.
    fn txn(&self, txn: Txn) -> BoxFuture<Result<TxnOutcome, StoreError>>;
    /// A point that every write acknowledged before this call precedes: a read after it is linearizable. Never touches the disk.
    /// Answers the revision of [`KeySpace::Cluster`].
    fn barrier(&self) -> BoxFuture<Result<Revision, StoreError>>;
    /// Hands all changes from now on to `sink`.
    fn subscribe(&self, sink: Arc<dyn Sink>);
    /// All changes with revision `from` and later, in order; [`StoreError::Compacted`] when some are gone.
    fn history(&self, space: KeySpace, from: Revision) -> Result<Vec<Change>, StoreError>;
}

/// Why a store refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// The revision asked for is no longer held.
    Compacted { requested: Revision, compacted: Revision },
    /// The revision asked for is not there yet.
    FutureRevision { requested: Revision, current: Revision },
    /// Nobody leads the group; whether the write happens is unknown.
    NoLeader,
    /// The store is closed.
    Closed,
    /// The transaction is larger than [`knarr_base::limits::TXN_BYTES_MAX`].
    TooLarge { bytes: usize, bytes_max: usize },
    /// The transaction has more operations than [`knarr_base::limits::TXN_OPS_MAX`].
    TooManyOps { ops: usize, ops_max: usize },
    /// The key space is full; deletions are still accepted.
    QuotaExceeded,
    /// A key is put twice, or put and deleted, in one transaction.
    DuplicateKey { key: Bytes },
    /// A put has an empty key.
    EmptyKey,
    /// There is no such lease.
    LeaseNotFound { lease: u64 },
    /// There is such a lease already.
    LeaseExists { lease: u64 },
    /// The lease's time is beyond [`knarr_base::limits::LEASE_SECONDS_MAX`].
    LeaseTooLong { seconds: i64 },
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compacted { requested, compacted } => {
                write!(f, "revision {requested} is gone: history is compacted up to {compacted}")
            }
            Self::FutureRevision { requested, current } => {
                write!(f, "revision {requested} is not there yet: the current one is {current}")
            }
            Self::NoLeader => f.write_str("no member leads the group"),
            Self::Closed => f.write_str("the store is closed"),
            Self::TooLarge { bytes, bytes_max } => {
                write!(f, "the transaction has {bytes} bytes, more than {bytes_max}")
            }
            Self::TooManyOps { ops, ops_max } => {
                write!(f, "the transaction has {ops} operations, more than {ops_max}")
            }
            Self::QuotaExceeded => f.write_str("the key space is full; delete something"),
            Self::DuplicateKey { key } => {
                write!(f, "key {:?} is written twice in one transaction", String::from_utf8_lossy(key))
            }
            Self::EmptyKey => f.write_str("a key is empty"),
            Self::LeaseNotFound { lease } => write!(f, "there is no lease {lease:x}"),
            Self::LeaseExists { lease } => write!(f, "lease {lease:x} exists already"),
            Self::LeaseTooLong { seconds } => write!(f, "a lease of {seconds} s is too long"),
        }
    }
}

impl std::error::Error for StoreError {}
