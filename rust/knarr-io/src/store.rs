//! The store of one machine: a Raft group of one over a directory.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use knarr_base::{BoxFuture, Clock, Disk, DiskError, DiskErrorKind, Revision, limits};
use knarr_raft::Group;
use knarr_store::{
    Answer, Change, Command, KeySpace, Lease, Lessor, Page, Record, Sink, Store, StoreError, Txn, TxnOutcome, Usage,
    Visit, encode_command, txn_outcome,
};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::clock::SystemClock;
use crate::disk::DirectoryDisk;
use crate::driver::{Driver, Maintenance, Proposal, Queue, Shared, restore};
use crate::rng::SystemRng;

/// How a store is opened. The default is what a server uses; tests make the rare common.
#[derive(Clone, Debug)]
pub struct Options {
    /// False: acknowledge before anything is durable. For throw-away clusters only.
    pub fsync: bool,
    /// Bytes of a log segment.
    pub segment_bytes: u64,
    /// The log grows by at least this many bytes between snapshots.
    pub snapshot_log_bytes_min: u64,
    /// How long history is kept.
    pub history: Duration,
    /// Bytes of superseded versions beyond which history goes before its time.
    pub history_bytes_max: usize,
    /// Time between two looks at history and leases.
    pub maintenance: Duration,
    /// Time between two comparisons of the state with its digest.
    pub audit: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            fsync: true,
            segment_bytes: limits::SEGMENT_BYTES,
            snapshot_log_bytes_min: limits::SNAPSHOT_LOG_BYTES_MIN,
            history: Duration::from_secs(limits::HISTORY_SECONDS),
            history_bytes_max: limits::HISTORY_BYTES_MAX,
            maintenance: Duration::from_secs(limits::MAINTENANCE_SECONDS),
            audit: Duration::from_secs(limits::AUDIT_SECONDS),
        }
    }
}

/// Why a store cannot be opened; one line for a person.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process uses the directory.
    Locked { dir: PathBuf },
    /// The files are damaged (file and offset within `dir`), or the disk refused.
    Log { dir: PathBuf, source: knarr_raft::OpenError },
    /// A snapshot's checksums hold, but it makes no sense: written by a newer version.
    Snapshot { dir: PathBuf, source: knarr_store::Malformed },
    /// An entry's checksums hold, but it makes no sense: written by a newer version.
    Entry { dir: PathBuf, source: knarr_store::Malformed },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked { dir } => write!(f, "{} is in use by another process", dir.display()),
            Self::Log { dir, source } => write!(f, "{}: {source}", dir.display()),
            Self::Snapshot { dir, source } | Self::Entry { dir, source } => {
                write!(f, "{}: {source}: was it written by a newer version?", dir.display())
            }
        }
    }
}

impl std::error::Error for OpenError {}

/// Figures of a running store.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    /// Commands proposed since start.
    pub proposals: u64,
    /// Raft entries they went into.
    pub entries: u64,
    /// Syncs of the log.
    pub syncs: u64,
    /// Snapshots written since start.
    pub snapshots: u64,
    /// Bytes of log since the last snapshot.
    pub log_bytes: u64,
    /// Comparisons of the state with its digest, and how many found a difference.
    pub audits: u64,
    pub audit_failures: u64,
    /// Sizes of [`KeySpace::Cluster`] and [`KeySpace::Etcd`].
    pub usage: [Usage; 2],
}

/// A durable [`Store`]. Dropping the last reference closes it.
pub struct LocalStore {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    lock: Mutex<Option<Box<dyn Send>>>,
}

impl LocalStore {
    /// Opens or makes the store in `dir` and reads its log. The directory is this process's until [`LocalStore::close`].
    ///
    /// Errors: [`OpenError`]; nothing has been changed then but a torn batch at the log's end.
    pub fn open(dir: impl AsRef<Path>, options: Options) -> Result<Arc<Self>, OpenError> {
        let dir = dir.as_ref();
        let failed = |source: knarr_raft::OpenError| OpenError::Log { dir: dir.to_owned(), source };
        let disk = DirectoryDisk::open(dir).map_err(|error| failed(error.into()))?;
        let lock = match disk.lock("lock") {
            Ok(lock) => lock,
            Err(DiskError { kind: DiskErrorKind::Locked, .. }) => {
                return Err(OpenError::Locked { dir: dir.to_owned() });
            }
            Err(error) => return Err(failed(error.into())),
        };
        let disk: Arc<dyn Disk> = Arc::new(disk);
        let mut raft = knarr_raft::Options::alone();
        raft.log.segment_bytes = options.segment_bytes;
        raft.log.fsync = options.fsync;
        // Nobody lags in a group of one: no applied entry is wanted again.
        raft.entry_cache_bytes_max = 0;
        let member = raft.id;
        let mut started = Group::open(disk.clone(), raft, Box::new(SystemRng::new())).map_err(failed)?;
        let machine = match started.pages.take() {
            Some(pages) => restore(pages).map_err(|source| OpenError::Snapshot { dir: dir.to_owned(), source })?,
            None => knarr_store::Machine::new(),
        };
        let mut group = started.group;
        group.campaign();
        for entry in group.work().map_err(|error| failed(error.0.into()))? {
            machine
                .apply(entry.index, entry.data)
                .map_err(|source| OpenError::Entry { dir: dir.to_owned(), source })?;
        }
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let mut lessor = Lessor::default();
        lessor.restart(&machine.leases(), clock.now());
        // Greater than every one before, even if the wall clock went back.
        let incarnation = clock.wall().0.unsigned_abs().max(machine.incarnation(member) + 1);
        let shared = Arc::new(Shared {
            machine,
            queue: Mutex::new(Queue::default()),
            wake: Default::default(),
            room: Default::default(),
            disk,
            clock,
            lessor: Mutex::new(lessor),
            counters: Default::default(),
            stop: AtomicBool::new(false),
            open: AtomicBool::new(true),
        });
        let (snapshots, requests) = std::sync::mpsc::channel();
        let maintenance = Maintenance {
            shared: shared.clone(),
            snapshots: requests,
            spare: Box::new(group.spare()),
            history: options.history,
            history_bytes_max: options.history_bytes_max,
            interval: options.maintenance,
            audit: options.audit,
        };
        let driver = Driver {
            shared: shared.clone(),
            group,
            member,
            incarnation,
            sequence: 0,
            waiting: Default::default(),
            snapshot_bytes: started.snapshot_bytes,
            snapshot_log_bytes_min: options.snapshot_log_bytes_min,
            snapshotting: false,
            snapshots,
        };
        let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
            // A panic there is a broken invariant: with the thread gone nobody would be answered, so the process goes too.
            std::thread::Builder::new().name(name.to_owned()).spawn(move || {
                if std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err() {
                    std::process::abort();
                }
            })
        };
        let mut threads = Vec::new();
        for (name, run) in [
            ("knarr-raft", Box::new(move || driver.run()) as Box<dyn FnOnce() + Send>),
            ("knarr-upkeep", Box::new(move || maintenance.run())),
        ] {
            let thread = spawn(name, run).map_err(|error| {
                let kind = DiskErrorKind::Other(error.to_string());
                failed(DiskError { operation: "start a thread for", file: String::new(), kind }.into())
            })?;
            threads.push(thread);
        }
        Ok(Arc::new(Self { shared, threads: Mutex::new(threads), lock: Mutex::new(Some(lock)) }))
    }

    /// Finishes what was proposed, syncs, ends the threads and gives the directory back. What is asked later answers
    /// [`StoreError::Closed`]. Blocks for about one sync, or until a snapshot under way is written.
    pub fn close(&self) {
        self.shared.open.store(false, Ordering::SeqCst);
        self.shared.stop.store(true, Ordering::SeqCst);
        self.shared.queue.lock().closed = true;
        self.shared.wake.notify_all();
        self.shared.room.notify_waiters();
        for thread in self.threads.lock().drain(..) {
            let _ = thread.join();
        }
        self.lock.lock().take();
    }

    /// Figures.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let counters = &self.shared.counters;
        Stats {
            proposals: counters.proposals.load(Ordering::Relaxed),
            entries: counters.entries.load(Ordering::Relaxed),
            syncs: counters.syncs.load(Ordering::Relaxed),
            snapshots: counters.snapshots.load(Ordering::Relaxed),
            log_bytes: counters.log_bytes.load(Ordering::Relaxed),
            audits: counters.audits.load(Ordering::Relaxed),
            audit_failures: counters.audit_failures.load(Ordering::Relaxed),
            usage: KeySpace::ALL.map(|space| self.shared.machine.usage(space)),
        }
    }

    /// Digest of the state, kept as it changes.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.shared.machine.digest()
    }

    /// The same, computed from the index: differs if memory was damaged. Holds up writers; for rare audits.
    #[must_use]
    pub fn audit(&self) -> u64 {
        self.shared.machine.audit()
    }

    /// Makes a lease of `seconds`.
    pub fn lease_grant(&self, lease: u64, seconds: i64) -> BoxFuture<Result<(), StoreError>> {
        let answer = self.submit(&Command::LeaseGrant { lease, seconds });
        let shared = self.shared.clone();
        Box::pin(async move {
            answer.await?;
            shared.lessor.lock().keep_alive(lease, seconds, shared.clock.now());
            Ok(())
        })
    }

    /// Ends a lease and deletes its keys.
    pub fn lease_revoke(&self, lease: u64) -> BoxFuture<Result<(), StoreError>> {
        let answer = self.submit(&Command::LeaseRevoke { lease });
        let shared = self.shared.clone();
        Box::pin(async move {
            answer.await?;
            shared.lessor.lock().forget(lease);
            Ok(())
        })
    }

    /// The lease lives its whole time from now. Answers that time in seconds; nothing is written.
    pub fn lease_keep_alive(&self, lease: u64) -> Result<i64, StoreError> {
        let seconds = self.shared.machine.lease(lease).ok_or(StoreError::LeaseNotFound { lease })?.seconds;
        self.shared.lessor.lock().keep_alive(lease, seconds, self.shared.clock.now());
        Ok(seconds)
    }

    /// A lease, its keys and the seconds it has left.
    #[must_use]
    pub fn lease(&self, lease: u64) -> Option<(Lease, u64)> {
        let found = self.shared.machine.lease(lease)?;
        let left = self.shared.lessor.lock().remaining(lease, self.shared.clock.now()).unwrap_or(0);
        Some((found, left))
    }

    /// Forgets history up to and with `revision`, before its time.
    pub fn compact(&self, space: KeySpace, revision: Revision) -> BoxFuture<Result<(), StoreError>> {
        let answer = self.submit(&Command::Compact { space, revision });
        Box::pin(async move { answer.await.map(|_| ()) })
    }

    fn submit(&self, command: &Command) -> BoxFuture<Result<Answer, StoreError>> {
        let command = match encode_command(command) {
            Ok(command) => command,
            Err(error) => return Box::pin(std::future::ready(Err(error))),
        };
        let shared = self.shared.clone();
        let (reply, answer) = oneshot::channel();
        let mut proposal = Some(Proposal { command, reply: Some(reply) });
        // Queued before the future is first polled, as a rule: the Raft thread starts while the caller still settles down to wait.
        offer(&shared, &mut proposal);
        Box::pin(async move {
            while proposal.is_some() {
                let room = shared.room.notified();
                if offer(&shared, &mut proposal) {
                    break;
                }
                room.await;
            }
            answer.await.unwrap_or(Err(StoreError::Closed))
        })
    }
}

/// Queues the proposal if there is room; a closed store drops it, which answers its writer.
fn offer(shared: &Shared, proposal: &mut Option<Proposal>) -> bool {
    let mut queue = shared.queue.lock();
    if queue.closed {
        proposal.take();
        return true;
    }
    if queue.bytes > limits::PROPOSAL_QUEUE_BYTES_MAX || queue.proposals.len() >= limits::PROPOSALS_IN_FLIGHT_MAX {
        return false;
    }
    if let Some(proposal) = proposal.take() {
        queue.bytes += proposal.command.len();
        queue.proposals.push(proposal);
    }
    drop(queue);
    shared.wake.notify_one();
    true
}

impl Drop for LocalStore {
    fn drop(&mut self) {
        self.close();
    }
}

impl Store for LocalStore {
    fn revision(&self, space: KeySpace) -> Revision {
        self.shared.machine.revision(space)
    }

    fn compacted(&self, space: KeySpace) -> Revision {
        self.shared.machine.compacted(space)
    }

    fn get(&self, space: KeySpace, key: &[u8], at: Option<Revision>) -> Result<Option<Arc<Record>>, StoreError> {
        self.shared.machine.get(space, key, at)
    }

    fn range(
        &self,
        space: KeySpace,
        from: &[u8],
        to: &[u8],
        at: Option<Revision>,
        limit: usize,
    ) -> Result<(Page, Revision), StoreError> {
        self.shared.machine.range(space, from, to, at, limit)
    }

    fn visit(
        &self,
        space: KeySpace,
        from: &[u8],
        to: &[u8],
        at: Option<Revision>,
        visit: &mut Visit<'_>,
    ) -> Result<Revision, StoreError> {
        self.shared.machine.visit(space, from, to, at, visit)
    }

    fn txn(&self, txn: Txn) -> BoxFuture<Result<TxnOutcome, StoreError>> {
        let answer = self.submit(&Command::Txn(txn));
        Box::pin(async move { answer.await.map(txn_outcome) })
    }

    fn barrier(&self) -> BoxFuture<Result<Revision, StoreError>> {
        // A group of one: what was acknowledged was applied before, here.
        let open = self.shared.open.load(Ordering::SeqCst);
        let revision = self.shared.machine.revision(KeySpace::Cluster);
        Box::pin(std::future::ready(if open { Ok(revision) } else { Err(StoreError::Closed) }))
    }

    fn subscribe(&self, sink: Arc<dyn Sink>) {
        self.shared.machine.subscribe(sink);
    }

    fn history(&self, space: KeySpace, from: Revision) -> Result<Vec<Change>, StoreError> {
        self.shared.machine.history(space, from)
    }
}
