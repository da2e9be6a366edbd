//! The thread that drives the scheduler: changes of nodes and pods in, bindings, conditions and Events out.
//!
//! ```text
//!   store --sink--> pending (newest change of each object) --> Scheduler --> bind_many --> store
//!                                                                       \--> status patch, Event   through the Api
//! ```
//!
//! What waits is bounded by the objects there are: a change replaces an older one of the same object. The thread sleeps while there is
//! nothing to place.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use knarr_base::{BoxFuture, Clock, Revision, Rng, User};
use knarr_machinery::{Accept, Api, Binding, KindEntry, Machinery, Options, Request, Response, Status, Verb};
use knarr_scheduler::{Assignment, Options as SchedulerOptions, Outcome, Scheduler, Unschedulable};
use knarr_store::{Change, KeySpace, Record, Sink};
use knarr_value::{Map, Str, Value, json, stored};
use parking_lot::{Condvar, Mutex};
use tokio::runtime::Handle;

/// Pods bound by one proposal. Large enough to share an fsync among many, small enough that the first of them does not wait.
const BATCH: usize = 256;
/// Objects read from the store at a time when starting.
const PAGE: usize = 1000;
/// Events and conditions being written at a time; beyond them Events are left out, as event recorders do.
const WRITES_MAX: usize = 2048;
/// How long the thread sleeps at most, so that a stop is never waited for long.
const SLEEP_MAX: Duration = Duration::from_secs(3600);
const NAME: &str = "default-scheduler";

/// Binds many pods as the scheduler's user, after authorization.
pub type Bind = Arc<dyn Fn(Vec<Binding>) -> BoxFuture<Vec<Result<(), Status>>> + Send + Sync>;

/// What the driver is connected to.
pub struct Wiring {
    pub machinery: Arc<Machinery>,
    pub api: Arc<dyn Api>,
    pub bind: Bind,
    pub clock: Arc<dyn Clock>,
    pub rng: Box<dyn Rng>,
    pub runtime: Handle,
    /// In whose name conditions and Events are written.
    pub user: Arc<User>,
}

/// A running scheduler; it ends when this is dropped.
pub struct SchedulerThread {
    feed: Arc<Feed>,
    thread: Option<JoinHandle<()>>,
}

/// A kind that the scheduler needs is not served.
#[derive(Debug)]
pub struct MissingKind(pub &'static str);

impl SchedulerThread {
    /// Start scheduling. The kinds Pod, Node and Event must be served already.
    pub fn start(wiring: Wiring) -> Result<Self, MissingKind> {
        let registry = wiring.machinery.registry();
        let kind = |plural| registry.stored("", plural).cloned().ok_or(MissingKind(plural));
        let (pods, nodes, events) = (kind("pods")?, kind("nodes")?, kind("events")?);
        let feed = Arc::new(Feed { nodes: nodes.prefix.clone(), pods: pods.prefix.clone(), ..Feed::default() });
        wiring.machinery.store().subscribe(feed.clone());
        let driver = Driver {
            scheduler: Scheduler::new(SchedulerOptions { name: Str::from(NAME) }, wiring.rng),
            machinery: wiring.machinery,
            api: wiring.api,
            bind: wiring.bind,
            clock: wiring.clock,
            runtime: wiring.runtime,
            user: wiring.user,
            feed: feed.clone(),
            pods,
            nodes,
            events,
            told: BTreeMap::new(),
            writing: Arc::new(AtomicUsize::new(0)),
        };
        let thread = std::thread::Builder::new().name("knarr-scheduler".into()).spawn(move || driver.run()).ok();
        Ok(SchedulerThread { feed, thread })
    }
}

impl Drop for SchedulerThread {
    fn drop(&mut self) {
        self.feed.stop.store(true, Ordering::Release);
        self.feed.wake();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// The newest change of each key, with its revision; None where the object is gone.
type Pending = BTreeMap<Bytes, (Revision, Option<Arc<Record>>)>;

/// Changes that the scheduler has not seen yet.
#[derive(Default)]
struct Feed {
    nodes: Bytes,
    pods: Bytes,
    pending: Mutex<Pending>,
    changed: Condvar,
    stop: AtomicBool,
}

impl Sink for Feed {
    fn changes(&self, space: KeySpace, revision: Revision, changes: &[Change]) {
        if space != KeySpace::Cluster {
            return;
        }
        let concerns = |change: &Change| {
            let record = change.record.as_ref().or(change.previous.as_ref());
            change.key.starts_with(&self.nodes)
                || change.key.starts_with(&self.pods) && record.is_none_or(|record| !is_foreign(record))
        };
        let mut pending = None;
        for change in changes.iter().filter(|change| concerns(change)) {
            let pending = pending.get_or_insert_with(|| self.pending.lock());
            pending.insert(change.key.clone(), (revision, change.record.clone()));
        }
        if pending.is_some() {
            drop(pending);
            self.changed.notify_one();
        }
    }
}

/// Whether a pod is another scheduler's to place, and is not placed yet: it takes nothing from any node. Told by the header alone, so
/// that such a pod costs no parsing and no wake-up.
fn is_foreign(record: &Record) -> bool {
    stored::decode(&record.value).is_ok_and(|pod| {
        pod.field("spec.nodeName").is_none_or(str::is_empty)
            && pod.field("spec.schedulerName").is_some_and(|scheduler| scheduler != NAME)
    })
}

impl Feed {
    /// What came since the last call; waits for it up to `limit` where there is nothing.
    fn take(&self, limit: Duration) -> Pending {
        let mut pending = self.pending.lock();
        if pending.is_empty() && !self.stop.load(Ordering::Acquire) && !limit.is_zero() {
            self.changed.wait_for(&mut pending, limit);
        }
        std::mem::take(&mut pending)
    }

    fn wake(&self) {
        let _pending = self.pending.lock(); // whoever is about to wait has seen the flag, or is waiting already
        self.changed.notify_all();
    }
}

struct Driver {
    scheduler: Scheduler,
    machinery: Arc<Machinery>,
    api: Arc<dyn Api>,
    bind: Bind,
    clock: Arc<dyn Clock>,
    runtime: Handle,
    user: Arc<User>,
    feed: Arc<Feed>,
    pods: Arc<KindEntry>,
    nodes: Arc<KindEntry>,
    events: Arc<KindEntry>,
    /// What was last said about a pod that found no node: (uid, message) by namespace and name.
    told: BTreeMap<(Str, Str), (Str, String)>,
    writing: Arc<AtomicUsize>,
}

impl Driver {
    fn run(mut self) {
        let known = self.load();
        while !self.feed.stop.load(Ordering::Acquire) {
            let pending = self.feed.take(self.sleep());
            for (key, (revision, record)) in pending {
                // what the first reading had seen already
                if revision > known {
                    self.change(&key, record);
                }
            }
            let outcomes = self.scheduler.schedule(self.clock.now(), BATCH);
            if !outcomes.is_empty() {
                self.carry_out(outcomes);
            }
        }
    }

    /// How long there is nothing to do, should nothing change.
    fn sleep(&self) -> Duration {
        let now = self.clock.now();
        self.scheduler
            .wakes_at()
            .map_or(SLEEP_MAX, |at| Duration::from_nanos(at.0.saturating_sub(now.0)).min(SLEEP_MAX))
    }

    /// Read all nodes, then all pods, as of one revision, which is answered.
    fn load(&mut self) -> Revision {
        let store = self.machinery.store().clone();
        let mut at = None;
        for kind in [self.nodes.clone(), self.pods.clone()] {
            let (mut from, to) = kind.range("");
            while !self.feed.stop.load(Ordering::Acquire) {
                let read = store.range(KeySpace::Cluster, &from, &to, at, PAGE);
                let Ok((page, revision)) = read else { break };
                at = Some(revision);
                for (key, record) in &page.records {
                    if !(key.starts_with(&self.pods.prefix) && is_foreign(record)) {
                        self.change(key, Some(record.clone()));
                    }
                }
                let Some((last, _)) = page.records.last().filter(|_| page.more) else { break };
                from = [&last[..], b"\0"].concat().into();
            }
        }
        at.unwrap_or(Revision(0))
    }

    fn change(&mut self, key: &Bytes, record: Option<Arc<Record>>) {
        let is_pod = key.starts_with(&self.pods.prefix);
        let kind = if is_pod { &self.pods } else { &self.nodes };
        let (namespace, name) = kind.split_key(key);
        let object = record.and_then(|record| stored::to_value(&record.value, record.mod_revision).ok());
        match (is_pod, object) {
            (true, Some(object)) => self.scheduler.put_pod(&object),
            (true, None) => {
                self.scheduler.remove_pod(namespace, name);
                self.told.remove(&(Str::from(namespace), Str::from(name)));
            }
            (false, Some(object)) => self.scheduler.put_node(&object),
            (false, None) => self.scheduler.remove_node(name),
        }
    }

    fn carry_out(&mut self, outcomes: Vec<Outcome>) {
        let mut assigned = Vec::new();
        for outcome in outcomes {
            match outcome {
                Outcome::Assigned(assignment) => assigned.push(assignment),
                Outcome::Unschedulable(why) => self.tell_unschedulable(why),
            }
        }
        if assigned.is_empty() {
            return;
        }
        let bindings = assigned.iter().map(binding).collect();
        let results = self.runtime.block_on((self.bind)(bindings));
        for (assignment, result) in assigned.into_iter().zip(results) {
            self.told.remove(&(assignment.namespace.clone(), assignment.name.clone()));
            match result {
                Ok(()) => self.tell_scheduled(&assignment),
                // gone or bound by somebody else meanwhile: the change that says so is on its way
                Err(_) => self.scheduler.forget(&assignment, self.clock.now()),
            }
        }
    }

    fn tell_scheduled(&self, assignment: &Assignment) {
        let Assignment { namespace, name, uid, node } = assignment;
        let message = format!("Successfully assigned {namespace}/{name} to {node}");
        self.record((namespace, name, uid), "Normal", "Scheduled", "Binding", &message);
    }

    fn tell_unschedulable(&mut self, why: Unschedulable) {
        let Unschedulable { namespace, name, uid, message } = why;
        let said = (uid.clone(), message.clone());
        if self.told.get(&(namespace.clone(), name.clone())) == Some(&said) {
            return;
        }
        self.told.insert((namespace.clone(), name.clone()), said);
        self.record((&namespace, &name, &uid), "Warning", "FailedScheduling", "Scheduling", &message);
        let condition = map([
            ("type", "PodScheduled".into()),
            ("status", "False".into()),
            ("reason", "Unschedulable".into()),
            ("message", Value::from(message.as_str())),
            ("lastProbeTime", Value::Null),
            ("lastTransitionTime", Value::from(self.clock.wall().rfc3339().as_str())),
        ]);
        let patch = map([
            ("metadata", map([("uid", Value::from(uid.as_str()))])),
            ("status", map([("conditions", Value::List(vec![condition]))])),
        ]);
        self.write(Request {
            verb: Verb::Patch,
            kind: self.pods.clone(),
            namespace,
            name,
            subresource: Str::from("status"),
            user: self.user.clone(),
            body: json::to_vec(&patch).into(),
            content_type: Str::from("application/strategic-merge-patch+json"),
            accept: Accept::default(),
            options: self.options(),
        });
    }

    /// Create an Event about a pod (namespace, name, uid).
    fn record(&self, pod: (&Str, &Str, &Str), kind: &str, reason: &str, action: &str, message: &str) {
        let (namespace, name, uid) = pod;
        let now = self.clock.wall();
        let text = |text: &str| Value::from(text);
        let event = map([
            ("apiVersion", text("v1")),
            ("kind", text("Event")),
            (
                "metadata",
                map([
                    ("name", text(&format!("{name}.{:x}", now.0.saturating_mul(1000)))),
                    ("namespace", text(namespace)),
                ]),
            ),
            (
                "involvedObject",
                map([
                    ("apiVersion", text("v1")),
                    ("kind", text("Pod")),
                    ("namespace", text(namespace)),
                    ("name", text(name)),
                    ("uid", text(uid)),
                ]),
            ),
            ("type", text(kind)),
            ("reason", text(reason)),
            ("action", text(action)),
            ("message", text(message)),
            ("eventTime", text(&now.rfc3339_micros())),
            ("reportingComponent", text(NAME)),
            ("reportingInstance", text(NAME)),
            ("source", map([("component", text(NAME))])),
        ]);
        self.write(Request {
            verb: Verb::Create,
            kind: self.events.clone(),
            namespace: namespace.clone(),
            name: Str::default(),
            subresource: Str::default(),
            user: self.user.clone(),
            body: json::to_vec(&event).into(),
            content_type: Str::from("application/json"),
            accept: Accept::default(),
            options: self.options(),
        });
    }

    fn options(&self) -> Options {
        Options { field_manager: Str::from("kube-scheduler"), ..Options::default() }
    }

    /// Send a request that nobody waits for.
    fn write(&self, request: Request) {
        if self.writing.fetch_add(1, Ordering::AcqRel) >= WRITES_MAX {
            self.writing.fetch_sub(1, Ordering::AcqRel);
            return;
        }
        let (api, writing) = (self.api.clone(), self.writing.clone());
        self.runtime.spawn(async move {
            let _answer: Response = api.call(request).await;
            writing.fetch_sub(1, Ordering::AcqRel);
        });
    }
}

fn binding(assignment: &Assignment) -> Binding {
    let Assignment { namespace, name, uid, node } = assignment.clone();
    Binding { namespace, name, uid, resource_version: Str::default(), node, annotations: BTreeMap::new() }
}

fn map<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Map(entries.into_iter().map(|(key, value)| (Str::from(key), value)).collect::<Map>())
}
