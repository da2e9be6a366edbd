//! A store without log or disk: the same state machine, every transaction resolved at once. For tests and for offline use.

use std::future::ready;
use std::sync::Arc;

use bytes::Bytes;
use knarr_base::{BoxFuture, LogIndex, MemberId, Revision};
use parking_lot::Mutex;

use crate::command::{Batch, Command, encode_command};
use crate::machine::{Answer, Machine, txn_outcome};
use crate::types::{Change, KeySpace, Page, Record, Sink, Store, StoreError, Txn, TxnOutcome, Visit};

/// [`Store`] in memory.
#[derive(Default)]
pub struct MemoryStore {
    machine: Machine,
    /// The next entry's index, which is its sequence too.
    next: Mutex<u64>,
}

impl MemoryStore {
    /// An empty one.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The state machine, for leases and sizes.
    #[must_use]
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Runs any command, through the log's encoding as a real store does.
    pub fn execute(&self, command: &Command) -> Result<Answer, StoreError> {
        let encoded = encode_command(command)?;
        let mut next = self.next.lock();
        *next += 1;
        let mut batch = Batch::new(MemberId(1), 1, *next);
        batch.push(*next, &encoded);
        match self.machine.apply(LogIndex(*next), batch.into_data().into()) {
            Ok(mut answers) => answers.pop().map_or(Err(StoreError::Closed), |(_, answer)| answer),
            Err(error) => panic!("a command of our own encoding does not decode: {error}"),
        }
    }

    /// Forgets history up to and with `revision`.
    pub fn compact(&self, space: KeySpace, revision: Revision) -> Result<(), StoreError> {
        self.execute(&Command::Compact { space, revision })?;
        self.machine.maintain(|_| Revision(0));
        Ok(())
    }

    /// Runs a transaction.
    pub fn txn_now(&self, txn: Txn) -> Result<TxnOutcome, StoreError> {
        self.execute(&Command::Txn(txn)).map(txn_outcome)
    }
}

impl Store for MemoryStore {
    fn revision(&self, space: KeySpace) -> Revision {
        self.machine.revision(space)
    }

    fn compacted(&self, space: KeySpace) -> Revision {
        self.machine.compacted(space)
    }

    fn get(&self, space: KeySpace, key: &[u8], at: Option<Revision>) -> Result<Option<Arc<Record>>, StoreError> {
        self.machine.get(space, key, at)
    }

    fn range(
        &self,
        space: KeySpace,
        from: &[u8],
        to: &[u8],
        at: Option<Revision>,
        limit: usize,
    ) -> Result<(Page, Revision), StoreError> {
        self.machine.range(space, from, to, at, limit)
    }

    fn visit(
        &self,
        space: KeySpace,
        from: &[u8],
        to: &[u8],
        at: Option<Revision>,
        visit: &mut Visit<'_>,
    ) -> Result<Revision, StoreError> {
        self.machine.visit(space, from, to, at, visit)
    }

    fn txn(&self, txn: Txn) -> BoxFuture<Result<TxnOutcome, StoreError>> {
        Box::pin(ready(self.txn_now(txn)))
    }

    fn barrier(&self) -> BoxFuture<Result<Revision, StoreError>> {
        Box::pin(ready(Ok(self.machine.revision(KeySpace::Cluster))))
    }

    fn subscribe(&self, sink: Arc<dyn Sink>) {
        self.machine.subscribe(sink);
    }

    fn history(&self, space: KeySpace, from: Revision) -> Result<Vec<Change>, StoreError> {
        self.machine.history(space, from)
    }
}

/// Convenience: a transaction that puts one key.
#[must_use]
pub fn put(space: KeySpace, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Txn {
    let op = crate::types::Op::Put { key: key.into(), value: value.into(), lease: 0 };
    Txn { space, compare: Vec::new(), then: vec![op], otherwise: Vec::new() }
}
