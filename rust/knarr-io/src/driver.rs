//! Two threads: one drives Raft and applies, the other does what nobody waits for.
//!
//! The Raft thread takes all proposals that came while it synced, concatenates them into entries of at most a megabyte, and writes
//! them with one sync: the more writers, the larger the batch. It sleeps when there is nothing to do; a group of one needs no ticks.
//! A disk that fails, or a log that makes no sense, ends the process: only its log can restore it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use knarr_base::{Clock, Disk, Instant, MemberId, Revision, limits};
use knarr_raft::{Group, Snapshot, SnapshotWriter};
use knarr_store::{Answer, Batch, Command, KeySpace, Lessor, Machine, Pin, StoreError, encode_command};
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

pub(crate) type Reply = oneshot::Sender<Result<Answer, StoreError>>;

/// A command on its way to the log.
pub(crate) struct Proposal {
    pub command: Vec<u8>,
    /// None: nobody waits (compaction, expiry).
    pub reply: Option<Reply>,
}

#[derive(Default)]
pub(crate) struct Queue {
    pub proposals: Vec<Proposal>,
    pub bytes: usize,
    pub closed: bool,
    /// A snapshot that is durable, for the Raft thread to release the log.
    pub finished: Option<(Snapshot, Pin, u64)>,
}

/// What callers, the Raft thread and the maintenance thread share.
pub(crate) struct Shared {
    pub machine: Machine,
    pub queue: Mutex<Queue>,
    pub wake: Condvar,
    /// Signalled when the queue has room again.
    pub room: tokio::sync::Notify,
    pub disk: Arc<dyn Disk>,
    pub clock: Arc<dyn Clock>,
    pub lessor: Mutex<Lessor>,
    pub counters: Counters,
    pub stop: AtomicBool,
    pub open: AtomicBool,
}

#[derive(Default)]
pub(crate) struct Counters {
    pub proposals: AtomicU64,
    pub entries: AtomicU64,
    pub syncs: AtomicU64,
    pub snapshots: AtomicU64,
    pub log_bytes: AtomicU64,
    pub audits: AtomicU64,
    pub audit_failures: AtomicU64,
}

/// Ends the process: a member whose log or state is not what it believes must not answer anybody.
fn fatal(message: &str, error: &dyn std::fmt::Display) -> ! {
    eprintln!("knarr: store: {message}: {error}");
    std::process::abort();
}

/// The Raft thread.
pub(crate) struct Driver {
    pub shared: Arc<Shared>,
    pub group: Group,
    pub member: MemberId,
    pub incarnation: u64,
    pub sequence: u64,
    /// Writers in the order of their sequences, the first `waiting_from`.
    pub waiting: std::collections::VecDeque<Option<Reply>>,
    pub snapshot_bytes: u64,
    pub snapshot_log_bytes_min: u64,
    /// The snapshot being written.
    pub snapshotting: bool,
    pub snapshots: std::sync::mpsc::Sender<(Snapshot, Pin)>,
}

impl Driver {
    pub fn run(mut self) {
        loop {
            let (proposals, finished, closed) = self.next();
            if let Some((snapshot, pin, bytes)) = finished {
                self.shared.machine.unpin(pin);
                if let Err(error) = self.group.end_snapshot(&snapshot) {
                    fatal("cannot release the log", &error);
                }
                self.snapshotting = false;
                self.snapshot_bytes = bytes;
                self.shared.counters.snapshots.fetch_add(1, Ordering::Relaxed);
            }
            self.propose(proposals);
            self.work();
            self.maybe_snapshot();
            if closed {
                return;
            }
        }
    }

    /// Waits for something to do.
    fn next(&self) -> (Vec<Proposal>, Option<(Snapshot, Pin, u64)>, bool) {
        let mut queue = self.shared.queue.lock();
        while queue.proposals.is_empty() && queue.finished.is_none() && !queue.closed {
            self.shared.wake.wait(&mut queue);
        }
        queue.bytes = 0;
        let taken = (std::mem::take(&mut queue.proposals), queue.finished.take(), queue.closed);
        drop(queue);
        self.shared.room.notify_waiters();
        taken
    }

    fn propose(&mut self, proposals: Vec<Proposal>) {
        let mut batch: Option<Batch> = None;
        let mut unsynced = 0;
        for proposal in proposals {
            self.sequence += 1;
            let open = batch.get_or_insert_with(|| {
                Batch::new(self.member, self.incarnation, self.sequence - self.waiting.len() as u64)
            });
            open.push(self.sequence, &proposal.command);
            self.waiting.push_back(proposal.reply);
            self.shared.counters.proposals.fetch_add(1, Ordering::Relaxed);
            if open.len() >= limits::ENTRY_BYTES_MAX
                && let Some(full) = batch.take()
            {
                unsynced += full.len();
                self.entry(full);
                if unsynced >= limits::SYNC_BYTES_MAX {
                    self.work();
                    unsynced = 0;
                }
            }
        }
        if let Some(rest) = batch {
            self.entry(rest);
        }
    }

    fn entry(&mut self, batch: Batch) {
        self.shared.counters.entries.fetch_add(1, Ordering::Relaxed);
        assert!(self.group.propose(batch.into_data()), "a group of one leads itself");
    }

    /// Writes, syncs, applies, answers.
    fn work(&mut self) {
        let committed = match self.group.work() {
            Ok(committed) => committed,
            Err(error) => fatal("the disk failed", &error),
        };
        self.shared.counters.log_bytes.store(self.group.log_bytes(), Ordering::Relaxed);
        if !committed.is_empty() {
            self.shared.counters.syncs.fetch_add(1, Ordering::Relaxed);
        }
        for entry in committed {
            let answers = match self.shared.machine.apply(entry.index, entry.data) {
                Ok(answers) => answers,
                Err(error) => fatal("an entry of the log makes no sense", &error),
            };
            for (id, answer) in answers {
                if id.member != self.member || id.incarnation != self.incarnation {
                    continue; // of a life before this one: nobody waits
                }
                // One proposer, one log: answers come in the order of the proposals.
                assert_eq!(
                    id.sequence,
                    self.sequence + 1 - self.waiting.len() as u64,
                    "each proposal is applied in turn"
                );
                if let Some(Some(reply)) = self.waiting.pop_front() {
                    let _ = reply.send(answer); // the writer may have gone
                }
            }
        }
    }

    fn maybe_snapshot(&mut self) {
        if self.snapshotting || self.group.log_bytes() < self.snapshot_bytes.max(self.snapshot_log_bytes_min) {
            return;
        }
        let snapshot = self.group.begin_snapshot();
        let pin = self.shared.machine.pin();
        assert_eq!(pin.index, snapshot.index, "a snapshot is of what was applied");
        self.snapshotting = self.snapshots.send((snapshot, pin)).is_ok();
    }
}

/// The maintenance thread: snapshots, spare segments, history, leases.
pub(crate) struct Maintenance {
    pub shared: Arc<Shared>,
    pub snapshots: std::sync::mpsc::Receiver<(Snapshot, Pin)>,
    pub spare: Box<dyn Fn() -> Result<(), knarr_base::DiskError> + Send>,
    pub history: Duration,
    pub history_bytes_max: usize,
    pub interval: Duration,
    /// Time between two audits.
    pub audit: Duration,
}

impl Maintenance {
    pub fn run(self) {
        // When each revision was current, oldest first: what is older than `history` is compacted.
        let mut samples: [std::collections::VecDeque<(Instant, Revision)>; 2] = Default::default();
        let mut audited = self.shared.clock.now();
        if let Err(error) = (self.spare)() {
            fatal("cannot make the next segment", &error);
        }
        loop {
            match self.snapshots.recv_timeout(self.interval) {
                Ok((snapshot, pin)) => {
                    let bytes = match write_snapshot(&*self.shared.disk, &self.shared.machine, &snapshot, &pin) {
                        Ok(bytes) => bytes,
                        Err(error) => fatal("cannot write a snapshot", &error),
                    };
                    self.shared.queue.lock().finished = Some((snapshot, pin, bytes));
                    self.shared.wake.notify_one();
                }
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return,
            }
            if self.shared.stop.load(Ordering::SeqCst) {
                return;
            }
            self.look_after(&mut samples);
            let now = self.shared.clock.now();
            if now.since(audited) >= self.audit {
                audited = now;
                self.audit();
            }
        }
    }

    /// Compares the state with the digest that was kept as it changed. A difference is damaged memory: told, and counted for whoever
    /// watches the figures; what is on disk has its own checksums.
    fn audit(&self) {
        for space in KeySpace::ALL {
            let Some(sound) = self.shared.machine.audit_quietly(space) else { continue };
            self.shared.counters.audits.fetch_add(1, Ordering::Relaxed);
            if !sound {
                self.shared.counters.audit_failures.fetch_add(1, Ordering::Relaxed);
                eprintln!(
                    "knarr: store: the records of the key space {space} in memory are not those that were written"
                );
            }
        }
    }

    fn look_after(&self, samples: &mut [std::collections::VecDeque<(Instant, Revision)>; 2]) {
        let now = self.shared.clock.now();
        let mut settled = [Revision(0); 2];
        for space in KeySpace::ALL {
            let samples = &mut samples[usize::from(space.number())];
            // What was current at the last look is some seconds old now: its superseded versions are packed.
            settled[usize::from(space.number())] = samples.back().map_or(Revision(0), |(_, revision)| *revision);
            let current = self.shared.machine.revision(space);
            if samples.back().is_none_or(|(_, last)| *last != current) {
                samples.push_back((now, current));
            }
            let full = self.shared.machine.usage(space).history_bytes > self.history_bytes_max;
            let mut due = None;
            while samples.len() > 1 && (now.since(samples[1].0) >= self.history || full && due.is_none()) {
                due = samples.pop_front().map(|(_, revision)| revision);
            }
            if let Some(revision) = due.filter(|revision| *revision > self.shared.machine.compacted(space)) {
                self.propose(&Command::Compact { space, revision });
            }
        }
        let expired = self.shared.lessor.lock().expired(now);
        for lease in expired {
            self.propose(&Command::LeaseRevoke { lease });
            self.shared.lessor.lock().forget(lease);
        }
        self.shared.machine.maintain(|space| settled[usize::from(space.number())]);
        if let Err(error) = (self.spare)() {
            fatal("cannot make the next segment", &error);
        }
    }

    fn propose(&self, command: &Command) {
        if let Ok(command) = encode_command(command) {
            self.shared.queue.lock().proposals.push(Proposal { command, reply: None });
            self.shared.wake.notify_one();
        }
    }
}

/// Writes the pinned state. Answers its bytes.
pub(crate) fn write_snapshot(
    disk: &dyn Disk,
    machine: &Machine,
    snapshot: &Snapshot,
    pin: &Pin,
) -> Result<u64, knarr_base::DiskError> {
    let mut writer = SnapshotWriter::new(disk, snapshot)?;
    machine.pages(pin, |page| writer.page(&page))?;
    writer.finish()
}

/// The machine of a snapshot's pages.
pub(crate) fn restore(pages: Vec<Bytes>) -> Result<Machine, knarr_store::Malformed> {
    let mut pages = pages.into_iter();
    Machine::restore(|| pages.next())
}
