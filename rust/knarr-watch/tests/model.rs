//! Goal: invariant 2: to each watcher every event of its selection, once, in revision order, across slow reading, reconnects
//! from a returned revision and a ring so small that it forgets. Method: random writes and watchers over a real (in-memory)
//! store, against a model that looks at the whole history of every key and selects by trying each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use knarr_base::{Clock, Instant, Revision, WallTime};
use knarr_store::{KeySpace, MemoryStore, Op, Store, Txn};
use knarr_value::{FieldSelector, LabelSelector, Str, stored, value};
use knarr_watch::{Encoder, EncodingId, Hub, Initial, Kind, Limits, ResourceId, WatchItem, WatchSpec, Watcher};
use proptest::prelude::*;

#[derive(Default)]
struct Still(AtomicU64);
impl Clock for Still {
    fn now(&self) -> Instant {
        Instant(self.0.load(Ordering::Relaxed))
    }
    fn wall(&self) -> WallTime {
        WallTime(0)
    }
}

/// What a frame says, as text: kind, key, revision, and the label and node of the object shown.
fn encoder(made: Arc<AtomicU64>) -> Encoder {
    Arc::new(move |event| {
        made.fetch_add(1, Ordering::Relaxed);
        let shown = event.object().map(|record| {
            let stored = stored::decode(&record.value).expect("stored");
            let label = stored.label("color").unwrap_or("");
            format!("{label},{}", stored.field("spec.nodeName").unwrap_or(""))
        });
        let key = String::from_utf8_lossy(event.key);
        Bytes::from(format!("{:?} {key} {} {}", event.kind, event.revision, shown.unwrap_or_default()))
    })
}

fn object(color: u8, node: u8) -> Vec<u8> {
    let (color, node) = (format!("c{color}"), format!("n{node}"));
    let object = value!({"metadata": {"labels": {"color": (color.as_str())}}, "spec": {"nodeName": (node.as_str())}});
    stored::of_value(&object, &[(Str::from("spec.nodeName"), Str::from(node.as_str()))])
}

/// A state of an object: color and node.
type State = (u8, u8);
/// One change: revision, key, new and previous state.
type Change = (u64, (u8, u8), Option<State>, Option<State>);

#[derive(Clone, Debug)]
struct Selects {
    namespace: Option<u8>,
    name: Option<u8>,
    color: Option<u8>,
    not_color: bool,
    node: Option<u8>,
}

impl Selects {
    fn is(&self, key: (u8, u8), state: State) -> bool {
        self.namespace.is_none_or(|one| one == key.0)
            && self.name.is_none_or(|one| one == key.1)
            && self.color.is_none_or(|one| (one == state.0) != self.not_color)
            && self.node.is_none_or(|one| one == state.1)
    }

    /// The model: every change is looked at.
    fn expected(&self, changes: &[Change], after: u64) -> Vec<String> {
        let mut out = Vec::new();
        for (revision, key, new, old) in changes.iter().filter(|change| change.0 > after) {
            let is = new.is_some_and(|state| self.is(*key, state));
            let was = old.is_some_and(|state| self.is(*key, state));
            let (kind, shown) = match (was, is) {
                (false, true) => (Kind::Added, *new),
                (true, true) => (Kind::Modified, *new),
                (true, false) => (Kind::Deleted, *old),
                (false, false) => continue,
            };
            let (color, node) = shown.expect("a state");
            out.push(format!("{kind:?} core/pods/ns{}/p{} {revision} c{color},n{node}", key.0, key.1));
        }
        out
    }
}

#[derive(Clone, Debug)]
enum Step {
    Put {
        key: (u8, u8),
        state: State,
    },
    Delete {
        key: (u8, u8),
    },
    /// An unrelated key: revisions that this resource does not see.
    Other,
    Start(Selects),
    /// Reads up to `count` events of one watcher: few for a slow one.
    Read {
        watcher: usize,
        count: usize,
    },
    /// Drops the watcher and starts another from the last revision it returned.
    Reconnect {
        watcher: usize,
    },
    Tick,
}

fn selects() -> impl Strategy<Value = Selects> {
    let some = |max: u8| prop_oneof![2 => Just(None), 1 => (0..max).prop_map(Some)];
    (some(2), some(4), some(3), any::<bool>(), some(3)).prop_map(|(namespace, name, color, not_color, node)| Selects {
        namespace,
        name,
        color,
        not_color,
        node,
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = || (0..2u8, 0..4u8);
    let step = prop_oneof![
        8 => (key(), (0..3u8, 0..3u8)).prop_map(|(key, state)| Step::Put { key, state }),
        3 => key().prop_map(|key| Step::Delete { key }),
        1 => Just(Step::Other),
        2 => selects().prop_map(Step::Start),
        4 => (0..8usize, 1..20usize).prop_map(|(watcher, count)| Step::Read { watcher, count }),
        1 => (0..8usize).prop_map(|watcher| Step::Reconnect { watcher }),
        1 => Just(Step::Tick),
    ];
    proptest::collection::vec(step, 1..150)
}

struct World {
    store: Arc<MemoryStore>,
    clock: Arc<Still>,
    hub: Hub,
    resource: ResourceId,
    encoding: EncodingId,
    made: Arc<AtomicU64>,
}

impl World {
    fn new(ring_bytes_max: usize) -> Self {
        let store = MemoryStore::new();
        let clock = Arc::new(Still::default());
        let limits = Limits { ring_bytes_max, ring_age_seconds_max: 3600, bookmark_seconds: 2 };
        let hub = Hub::new(Arc::clone(&store) as Arc<dyn Store>, Arc::clone(&clock) as Arc<dyn Clock>, limits);
        let resource = hub.register(Bytes::from_static(b"core/pods/"), &["spec.nodeName"]);
        let made = Arc::new(AtomicU64::new(0));
        let encoding = hub.encoding(resource, 1, || encoder(Arc::clone(&made)));
        Self { store, clock, hub, resource, encoding, made }
    }

    fn watch(&self, selects: &Selects, from: u64, initial: Option<Initial>) -> Watcher {
        let labels = match (selects.color, selects.not_color) {
            (None, _) => LabelSelector::everything(),
            (Some(color), false) => LabelSelector::parse(&format!("color=c{color}")).expect("selector"),
            (Some(color), true) => LabelSelector::parse(&format!("color!=c{color}")).expect("selector"),
        };
        let fields = selects.node.map_or(FieldSelector::everything(), |node| {
            FieldSelector::parse(&format!("spec.nodeName=n{node}")).expect("selector")
        });
        self.hub.watch(WatchSpec {
            resource: self.resource,
            namespace: selects.namespace.map(|one| Str::from(format!("ns{one}"))),
            name: selects.name.map(|one| Str::from(format!("p{one}"))),
            labels,
            fields,
            from: Revision(from),
            initial,
            encoding: self.encoding,
            first_encoding: None,
            bookmarks: true,
            timeout_seconds: 1_000_000,
        })
    }

    fn write(&self, op: Op) -> u64 {
        let txn = Txn { space: KeySpace::Cluster, compare: Vec::new(), then: vec![op], otherwise: Vec::new() };
        self.store.txn_now(txn).expect("written").revision.0
    }

    fn put(&self, key: &str, value: Vec<u8>) -> u64 {
        self.write(Op::Put { key: Bytes::from(key.to_owned()), value: Bytes::from(value), lease: 0 })
    }
}

/// One frame, if there is one now.
fn next(watcher: &mut Watcher) -> Option<String> {
    let mut cx = Context::from_waker(Waker::noop());
    match watcher.poll_next(&mut cx) {
        Poll::Ready(Some(WatchItem::Frame(frame))) => Some(String::from_utf8_lossy(&frame).into_owned()),
        Poll::Ready(Some(WatchItem::End(frame))) => panic!("ended: {}", String::from_utf8_lossy(&frame)),
        Poll::Ready(None) => panic!("over"),
        Poll::Pending => None,
    }
}

struct Watching {
    watcher: Watcher,
    selects: Selects,
    from: u64,
    got: Vec<String>,
    /// The newest revision that a frame (or the start) told the client.
    told: u64,
}

impl Watching {
    fn read(&mut self, count: usize) {
        for _ in 0..count {
            let Some(frame) = next(&mut self.watcher) else { return };
            let mut words = frame.split(' ');
            let kind = words.next().unwrap_or("");
            let revision = words.nth(1).and_then(|word| word.parse().ok()).expect("a revision");
            assert!(revision >= self.told, "out of order: {frame} after {}", self.told);
            self.told = revision;
            if kind != "Bookmark" {
                self.got.push(frame);
            }
        }
    }
}

fn run(steps: Vec<Step>, ring_bytes_max: usize) {
    let world = World::new(ring_bytes_max);
    let mut state: std::collections::BTreeMap<(u8, u8), State> = std::collections::BTreeMap::new();
    let mut changes: Vec<Change> = Vec::new();
    let mut watching: Vec<Watching> = Vec::new();
    let name = |key: (u8, u8)| format!("core/pods/ns{}/p{}", key.0, key.1);
    for step in steps {
        match step {
            Step::Put { key, state: new } => {
                let revision = world.put(&name(key), object(new.0, new.1));
                changes.push((revision, key, Some(new), state.insert(key, new)));
            }
            Step::Delete { key } => {
                if let Some(old) = state.remove(&key) {
                    let revision = world.write(Op::Delete { from: Bytes::from(name(key)), to: None });
                    changes.push((revision, key, None, Some(old)));
                }
            }
            Step::Other => {
                world.put("core/secrets/ns0/s", vec![1]);
            }
            Step::Start(selects) => {
                let from = world.store.revision(KeySpace::Cluster).0;
                // Half of them begin in the past.
                let from = if changes.len().is_multiple_of(2) { from } else { changes[changes.len() / 2].0 };
                let watcher = world.watch(&selects, from, None);
                watching.push(Watching { watcher, selects, from, got: Vec::new(), told: from });
            }
            Step::Read { watcher, count } => {
                if let Some(one) = watching.get_mut(watcher) {
                    one.read(count);
                }
            }
            Step::Reconnect { watcher } => {
                if let Some(one) = watching.get_mut(watcher) {
                    one.watcher = world.watch(&one.selects, one.told, None);
                }
            }
            Step::Tick => {
                world.clock.0.fetch_add(1_000_000_000, Ordering::Relaxed);
                world.hub.tick();
            }
        }
    }
    for mut one in watching {
        one.read(usize::MAX);
        assert_eq!(one.got, one.selects.expected(&changes, one.from), "{:?} from {}", one.selects, one.from);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_event_once_and_in_order(steps in steps()) {
        run(steps, 1 << 20);
    }

    /// A ring of one or two entries: readers are resumed from the store's history all the time.
    #[test]
    fn a_ring_that_forgets_loses_nothing(steps in steps()) {
        run(steps, 600);
    }
}

fn all() -> Selects {
    Selects { namespace: None, name: None, color: None, not_color: false, node: None }
}

#[test]
fn an_event_is_encoded_once_for_all_watchers() {
    let world = World::new(1 << 20);
    let from = world.store.revision(KeySpace::Cluster).0;
    let mut watchers: Vec<_> = (0..200).map(|_| world.watch(&all(), from, None)).collect();
    for n in 0..10 {
        world.put(&format!("core/pods/ns0/p{n}"), object(0, 0));
    }
    for watcher in &mut watchers {
        assert_eq!(std::iter::from_fn(|| next(watcher)).count(), 10);
    }
    assert_eq!(world.made.load(Ordering::Relaxed), 10);
}

#[test]
fn the_initial_state_ends_with_its_bookmark_and_goes_on_without_a_gap() {
    let world = World::new(1 << 20);
    world.put("core/pods/ns0/a", object(1, 1));
    let at = world.put("core/pods/ns0/b", object(2, 2));
    let (page, revision) = world.store.range(KeySpace::Cluster, b"core/pods/", b"core/pods0", None, 0).expect("range");
    let later = world.put("core/pods/ns0/a", object(0, 0));
    let initial = Initial { objects: page.records, bookmark: true };
    let mut watcher = world.watch(&all(), revision.0, Some(initial));
    let got: Vec<_> = std::iter::from_fn(|| next(&mut watcher)).collect();
    assert_eq!(got[0], format!("Added core/pods/ns0/a {} c1,n1", at - 1));
    assert_eq!(got[1], format!("Added core/pods/ns0/b {at} c2,n2"));
    assert_eq!(got[2], format!("InitialEventsEnd  {at} "));
    assert_eq!(got[3], format!("Modified core/pods/ns0/a {later} c0,n0"));
    assert_eq!(got.len(), 4);
}

#[test]
fn beyond_history_the_stream_ends_with_410() {
    let world = World::new(600);
    for n in 0..20 {
        world.put(&format!("core/pods/ns0/p{n}"), object(0, 0));
    }
    let now = world.store.revision(KeySpace::Cluster);
    world.store.compact(KeySpace::Cluster, now).expect("compacted");
    let mut watcher = world.watch(&all(), 2, None);
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(Some(WatchItem::End(frame))) = watcher.poll_next(&mut cx) else { panic!("no end") };
    assert!(String::from_utf8_lossy(&frame).starts_with("Expired  2 "));
    assert!(matches!(watcher.poll_next(&mut cx), Poll::Ready(None)));
}

#[test]
fn bookmarks_come_with_the_tick_and_time_ends_the_stream() {
    let world = World::new(1 << 20);
    let from = world.store.revision(KeySpace::Cluster).0;
    let mut watcher = world.watch(&all(), from, None);
    assert_eq!(next(&mut watcher), None);
    let revision = world.put("core/secrets/ns0/s", vec![1]);
    for _ in 0..2 {
        world.clock.0.fetch_add(1_000_000_000, Ordering::Relaxed);
        world.hub.tick();
    }
    assert_eq!(next(&mut watcher), Some(format!("Bookmark  {revision} ")));
    assert_eq!(next(&mut watcher), None);
    world.clock.0.fetch_add(1_000_001 * 1_000_000_000, Ordering::Relaxed);
    world.hub.tick();
    let mut cx = Context::from_waker(Waker::noop());
    assert!(matches!(watcher.poll_next(&mut cx), Poll::Ready(None)));
}

#[test]
fn a_parked_watcher_is_woken_by_its_event_and_no_other() {
    struct Count(AtomicU64);
    impl std::task::Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let world = World::new(1 << 20);
    let from = world.store.revision(KeySpace::Cluster).0;
    let mine = Selects { node: Some(1), ..all() };
    let mut watcher = world.watch(&mine, from, None);
    let count = Arc::new(Count(AtomicU64::new(0)));
    let waker = Waker::from(Arc::clone(&count));
    assert!(watcher.poll_next(&mut Context::from_waker(&waker)).is_pending());
    world.put("core/pods/ns0/a", object(0, 2));
    assert_eq!(count.0.load(Ordering::Relaxed), 0);
    world.put("core/pods/ns0/a", object(0, 1));
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
    drop(watcher);
    assert_eq!(world.hub.usage().0, 0, "the class goes with its last watcher");
}
