//! One life of a store, from a seed: write, be acknowledged, lose power, come back, be checked.

use std::sync::Arc;

use bytes::Bytes;
use knarr_base::rng::mix;
use knarr_base::{Disk, DiskErrorKind, MemberId, Revision, Rng, SeededRng};
use knarr_raft::{Group, LogOptions, OpenError, Options, Snapshot, SnapshotWriter};
use knarr_store::{Batch, Command, KeySpace, Machine, Op, Pin, Txn, encode_command};

use crate::disk::SimDisk;
use crate::invariants::{acknowledged, damage, history, reads};
use crate::model::{Effect, Model};

/// A known bug put back, to see that the world finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// None.
    None,
    /// The disk says it synced and did not.
    LyingSync,
    /// Writers are answered before the log is written.
    EarlyAnswer,
}

/// The end of a run. Equal seeds give equal reports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Hash of everything that happened.
    pub trace: u64,
    /// What the world's generator would have drawn next.
    pub next_random: u64,
    /// Power losses survived, flips refused, snapshots taken, revisions written.
    pub losses: u64,
    pub flips: u64,
    pub snapshots: u64,
    pub revisions: u64,
}

/// A store that is up.
struct Up {
    group: Group,
    machine: Machine,
    incarnation: u64,
    sequence: u64,
    snapshot: Option<(Snapshot, Pin)>,
}

struct World {
    disk: SimDisk,
    model: Model,
    rng: SeededRng,
    options: Options,
    bug: Bug,
    report: Report,
    keys: u64,
    value_bytes_max: u64,
}

/// Why an attempt ended.
enum Stop {
    PowerLost,
    Broken(String),
}

impl From<String> for Stop {
    fn from(words: String) -> Self {
        Self::Broken(words)
    }
}

/// Lives the life of `seed`. Errors: an invariant is broken; the words say which.
pub fn run(seed: u64) -> Result<Report, String> {
    run_with(seed, Bug::None)
}

/// The same with a known bug put back.
pub fn run_with(seed: u64, bug: Bug) -> Result<Report, String> {
    let mut world = World::new(seed, bug);
    let lives = 3 + world.rng.below(6);
    for life in 0..lives {
        // The last life keeps its power: the store must come up and serve.
        if life + 1 < lives {
            // Soon, so that opening is hit as often as work.
            let within = if world.rng.chance(0.3) { 12 } else { 150 };
            let after = 1 + world.rng.below(within);
            world.disk.fail_after(after);
        }
        match world.live() {
            Ok(()) => world.disk.keep_power(),
            Err(Stop::PowerLost) => {
                if life + 1 == lives {
                    return Err(format!("seed {seed}: no power loss was planned, but it does not serve"));
                }
                world.report.losses += 1;
                world.disk.power_cycle();
            }
            Err(Stop::Broken(words)) => return Err(format!("seed {seed}, life {life}: {words}")),
        }
        if world.rng.chance(0.3) {
            world.flip().map_err(|words| format!("seed {seed}, after life {life}: {words}"))?;
        }
    }
    world.report.revisions = world.model.revision().0;
    world.report.next_random = world.rng.next_u64();
    world.note(world.disk.operations());
    Ok(world.report)
}

/// The first life of `seed` loses its power in disk operation `at`, counted from 1; the next, while it recovers or works, in its
/// operation `again`; the third keeps its power and must serve. Answers whether the first life was so long. Errors: an invariant is
/// broken; the words say which.
pub fn run_losing_power_at(seed: u64, at: u64, again: u64) -> Result<bool, String> {
    let mut world = World::new(seed, Bug::None);
    for (life, after) in [Some(at), Some(again), None].into_iter().enumerate() {
        if let Some(after) = after {
            world.disk.fail_after(after);
        }
        match (world.live(), after) {
            (Ok(()), Some(_)) if life == 0 => return Ok(false),
            (Ok(()), _) => world.disk.keep_power(),
            (Err(Stop::PowerLost), Some(_)) => world.disk.power_cycle(),
            (Err(Stop::PowerLost), None) => return Err(format!("seed {seed}, {at}, {again}: it does not serve")),
            (Err(Stop::Broken(words)), _) => return Err(format!("seed {seed}, {at}, {again}, life {life}: {words}")),
        }
    }
    Ok(true)
}

impl World {
    /// A machine that was never on: all its parameters come from the seed.
    fn new(seed: u64, bug: Bug) -> Self {
        let root = SeededRng::new(mix(seed));
        let mut rng = root.child("world");
        let disk = SimDisk::new(root.child("disk"));
        if bug == Bug::LyingSync {
            disk.lie_about_syncs();
        }
        let mut options = Options::alone();
        options.log = LogOptions { segment_bytes: 4_096 << rng.below(4), fsync: true };
        options.entry_cache_bytes_max = rng.below(2) as usize * 10_000;
        let (keys, value_bytes_max) = (1 + rng.below(30), 1 + rng.below(3_000));
        Self { disk, model: Model::default(), rng, options, bug, report: Report::default(), keys, value_bytes_max }
    }

    fn note(&mut self, what: u64) {
        self.report.trace = mix(self.report.trace ^ what);
    }

    /// Comes up, is checked, works for a while.
    fn live(&mut self) -> Result<(), Stop> {
        let mut up = self.open()?;
        let recovered = up.machine.revision(KeySpace::Cluster);
        acknowledged::check(&self.model, recovered)?;
        self.model.truncate(recovered);
        self.model.acknowledged = recovered; // it was served: from now on it must stay
        self.check(&up.machine)?;
        self.note(recovered.0);
        for _ in 0..5 + self.rng.below(40) {
            self.step(&mut up)?;
        }
        self.check(&up.machine)
    }

    fn open(&mut self) -> Result<Up, Stop> {
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let rng = Box::new(self.rng.child("raft"));
        let mut started = Group::open(disk, self.options.clone(), rng).map_err(stop_of_open)?;
        let machine = match started.pages.take() {
            Some(pages) => {
                let mut pages = pages.into_iter();
                Machine::restore(|| pages.next()).map_err(|error| Stop::Broken(error.to_string()))?
            }
            None => Machine::new(),
        };
        let mut group = started.group;
        group.campaign();
        for entry in group.work().map_err(|error| stop_of(&error.0))? {
            machine.apply(entry.index, entry.data).map_err(|error| Stop::Broken(error.to_string()))?;
        }
        if !group.leads() {
            return Err(Stop::Broken("a group of one does not lead itself".to_owned()));
        }
        let incarnation = machine.incarnation(MemberId(1)) + 1;
        Ok(Up { group, machine, incarnation, sequence: 0, snapshot: None })
    }

    fn check(&mut self, machine: &Machine) -> Result<(), Stop> {
        let (compacted, revision) = (machine.compacted(KeySpace::Cluster), machine.revision(KeySpace::Cluster));
        let oldest = Revision(compacted.0.max(1));
        for at in [revision, oldest, Revision(oldest.0 + self.rng.below(revision.0 - oldest.0 + 1))] {
            reads::check(&self.model, machine, at)?;
        }
        let from = compacted.next();
        let changes = machine.history(KeySpace::Cluster, from).map_err(|error| error.to_string())?;
        history::check(&self.model, from, &changes)?;
        if machine.digest() != machine.audit() {
            return Err(Stop::Broken("the digest does not match the index".to_owned()));
        }
        self.note(machine.digest());
        Ok(())
    }

    fn step(&mut self, up: &mut Up) -> Result<(), Stop> {
        for _ in 0..1 + self.rng.below(3) {
            let mut batch = Batch::new(MemberId(1), up.incarnation, up.sequence + 1);
            for _ in 0..1 + self.rng.below(4) {
                up.sequence += 1;
                let command = self.command(&up.machine);
                let encoded = encode_command(&command).map_err(|error| error.to_string())?;
                batch.push(up.sequence, &encoded);
                // A proposal that is repeated counts once.
                if self.rng.chance(0.1) {
                    batch.push(up.sequence, &encoded);
                }
            }
            if !up.group.propose(batch.into_data()) {
                return Err(Stop::Broken("a proposal is refused by its leader".to_owned()));
            }
        }
        if self.bug == Bug::EarlyAnswer {
            self.model.acknowledged = self.model.revision();
        }
        for entry in up.group.work().map_err(|error| stop_of(&error.0))? {
            up.machine.apply(entry.index, entry.data).map_err(|error| Stop::Broken(error.to_string()))?;
        }
        self.model.acknowledged = self.model.revision();
        if up.machine.revision(KeySpace::Cluster) != self.model.revision() {
            return Err(Stop::Broken("the store is at another revision than its writers".to_owned()));
        }
        match self.rng.below(8) {
            0 => {
                let settled = up.machine.revision(KeySpace::Cluster);
                up.machine.maintain(|_| settled);
            }
            1 => up.group.spare()().map_err(|error| stop_of(&error))?,
            2 if up.snapshot.is_none() => up.snapshot = Some((up.group.begin_snapshot(), up.machine.pin())),
            3 => self.snapshot(up)?,
            _ => {}
        }
        Ok(())
    }

    /// Writes the snapshot that was begun some steps ago.
    fn snapshot(&mut self, up: &mut Up) -> Result<(), Stop> {
        let Some((snapshot, pin)) = up.snapshot.take() else { return Ok(()) };
        let mut writer = SnapshotWriter::new(&self.disk, &snapshot).map_err(|error| stop_of(&error))?;
        up.machine.pages(&pin, |page| writer.page(&page)).map_err(|error| stop_of(&error))?;
        writer.finish().map_err(|error| stop_of(&error))?;
        up.machine.unpin(pin);
        up.group.end_snapshot(&snapshot).map_err(|error| stop_of(&error.0))?;
        self.report.snapshots += 1;
        Ok(())
    }

    /// A random command, and its effect on the model.
    fn command(&mut self, machine: &Machine) -> Command {
        let space = KeySpace::Cluster;
        if self.rng.chance(0.05) {
            let (low, high) = (machine.compacted(space).0, machine.revision(space).0);
            return Command::Compact { space, revision: Revision(low + self.rng.below(high - low + 1)) };
        }
        let before = self.model.at(self.model.revision());
        let mut then = Vec::new();
        let mut effects: Vec<Effect> = Vec::new();
        for _ in 0..1 + self.rng.below(3) {
            let key = Bytes::from(format!("core/pods/ns/p{:03}", self.rng.below(self.keys)));
            if effects.iter().any(|(used, _)| *used == key) {
                continue;
            }
            if self.rng.chance(0.2) {
                if before.contains_key(&key) {
                    effects.push((key.clone(), None));
                    then.push(Op::Delete { from: key, to: None });
                }
                continue;
            }
            // Like a Pod's next version: mostly the same bytes.
            let length = self.rng.below(self.value_bytes_max) as usize;
            let mut value = before.get(&key).map(|old| old.to_vec()).unwrap_or_default();
            if value.is_empty() || self.rng.chance(0.2) {
                value = vec![0; length];
                self.rng.fill(&mut value);
            } else {
                let at = self.rng.below(value.len() as u64) as usize;
                value[at] = value[at].wrapping_add(1);
            }
            let value = Bytes::from(value);
            effects.push((key.clone(), Some(value.clone())));
            then.push(Op::Put { key, value, lease: 0 });
        }
        self.model.propose(effects);
        Command::Txn(Txn { space, compare: Vec::new(), then, otherwise: Vec::new() })
    }

    /// Flips a bit in log or snapshot: the start is refused, by name; flipped back, nothing has changed.
    fn flip(&mut self) -> Result<(), String> {
        // First let it come up, so that what a tear left is wiped and what is on the disk is synced.
        self.disk.keep_power();
        let Ok(up) = self.open() else { return Err("it does not come up with its power on".to_owned()) };
        let recovered = up.machine.revision(KeySpace::Cluster);
        acknowledged::check(&self.model, recovered)?;
        self.model.truncate(recovered);
        self.model.acknowledged = recovered;
        drop(up);
        let names = self.disk.list().map_err(|error| error.to_string())?;
        let newest = names.iter().rfind(|name| name.starts_with("snap-") && name.ends_with(".snap")).cloned();
        let targets: Vec<String> =
            names.into_iter().filter(|name| name.starts_with("log-") || Some(name) == newest.as_ref()).collect();
        let file = targets[self.rng.below(targets.len() as u64) as usize].clone();
        let bytes = self.disk.bytes(&file);
        let (offset, bit) = (self.rng.below(bytes.len() as u64), self.rng.below(8) as u8);
        self.disk.flip(&file, offset as usize, bit);
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let refused = Group::open(disk, self.options.clone(), Box::new(self.rng.child("raft"))).err();
        damage::check(refused.as_ref(), &file, offset / 512 * 512, file.starts_with("log-"))?;
        self.disk.flip(&file, offset as usize, bit);
        self.report.flips += 1;
        self.note(offset);
        Ok(())
    }
}

fn stop_of(error: &knarr_base::DiskError) -> Stop {
    if error.kind == DiskErrorKind::PowerLost { Stop::PowerLost } else { Stop::Broken(error.to_string()) }
}

fn stop_of_open(error: OpenError) -> Stop {
    match error {
        OpenError::Disk(error) => stop_of(&error),
        other => Stop::Broken(other.to_string()),
    }
}
