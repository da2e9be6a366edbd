//! The scheduling cycle: which node for the next pod, and why none.

use std::collections::BTreeMap;
use std::sync::Arc;

use knarr_base::{Instant, Rng};
use knarr_value::{Str, Value};

use crate::HashMap;
use crate::class::Classes;
use crate::nodes::{Nodes, Ordinal};
use crate::plugins::{self, Reason, balanced_allocation, least_allocated, node_affinity, taint_toleration};
use crate::pod::{Demands, Pod};
use crate::queue::{Key, Queue};

/// Below this many nodes all feasible ones are scored (`minFeasibleNodesToFind`).
const FEASIBLE_MIN: usize = 100;
/// Of very many nodes at least this share, percent (`minFeasibleNodesPercentageToFind`).
const FEASIBLE_PERCENT_MIN: usize = 5;

/// How to schedule.
#[derive(Clone, Debug)]
pub struct Options {
    /// Pods of other schedulers are counted, not placed.
    pub name: Str,
}

impl Default for Options {
    fn default() -> Self {
        Options { name: Str::from("default-scheduler") }
    }
}

/// One pod goes to one node; the resources are already counted there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    pub namespace: Str,
    pub name: Str,
    pub uid: Str,
    pub node: Str,
}

/// No node for this pod now. message: kube-scheduler's, with the count of nodes per reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unschedulable {
    pub namespace: Str,
    pub name: Str,
    pub uid: Str,
    pub message: String,
}

/// What became of one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Assigned(Assignment),
    Unschedulable(Unschedulable),
}

/// Nodes, pods and who waits. All methods are deterministic in the changes, the times and the random numbers given.
pub struct Scheduler {
    options: Options,
    nodes: Nodes,
    classes: Classes,
    queue: Queue,
    pods: HashMap<Key, Entry>,
    rng: Box<dyn Rng>,
    /// Where the next search begins, so that all nodes get their turn.
    start: usize,
    /// Counts what may let a pod in that did not fit: nodes changed, pods gone.
    openings: u64,
    /// Pods bound to nodes that are not known here (yet).
    early: usize,
    feasible: Vec<Ordinal>,
    scores: Vec<i64>,
    column: Vec<i64>,
}

/// A pod, and the node on which its resources are counted.
struct Entry {
    pod: Pod,
    counted_on: Option<Str>,
}

impl Entry {
    /// Bound to a node that is not known here.
    fn is_early(&self) -> bool {
        self.counted_on.is_none() && !self.pod.node.is_empty() && !self.pod.ended
    }
}

impl Scheduler {
    /// rng: breaks ties among nodes of the same score.
    pub fn new(options: Options, rng: Box<dyn Rng>) -> Self {
        Scheduler {
            options,
            nodes: Nodes::default(),
            classes: Classes::default(),
            queue: Queue::default(),
            pods: HashMap::default(),
            rng,
            start: 0,
            openings: 0,
            early: 0,
            feasible: Vec::new(),
            scores: Vec::new(),
            column: Vec::new(),
        }
    }

    pub fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    /// Pods that wait for a node.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// When `schedule` may have something to do that it has not now; Some(now or earlier) where pods are ready.
    pub fn wakes_at(&self) -> Option<Instant> {
        if self.queue.ready() > 0 { Some(Instant(0)) } else { self.queue.wakes_at() }
    }

    /// A Node object as it is now.
    pub fn put_node(&mut self, object: &Value) {
        let name = object.str_at(&["metadata", "name"]);
        let new = self.nodes.ordinal(name).is_none();
        if self.nodes.put(object) {
            if new {
                self.count_early_pods(name);
            }
            self.opened();
        }
    }

    /// A node is gone. Its pods stay known: they count again should it come back.
    pub fn remove_node(&mut self, name: &str) {
        let Some(at) = self.nodes.ordinal(name) else { return };
        let there = self.pods.values_mut().filter(|entry| entry.counted_on.as_deref() == Some(name));
        for entry in there {
            self.nodes.load(at, &entry.pod.demands, -1);
            entry.counted_on = None;
            self.early += usize::from(entry.is_early());
        }
        self.nodes.remove(name);
        self.openings += 1;
    }

    /// A Pod object as it is now.
    pub fn put_pod(&mut self, object: &Value) {
        let pod = Pod::of(object);
        let key = key_of(&pod.namespace, &pod.name);
        let before = self.pods.remove(&key);
        let mut changed = true;
        let mut assumed = None;
        if let Some(before) = before {
            self.early -= usize::from(before.is_early());
            let same = before.pod.uid == pod.uid;
            changed = !same || before.pod.demands != pod.demands || before.pod.gated != pod.gated;
            // placed by us, and the binding is not in the object yet
            let keep = same && pod.node.is_empty() && !pod.ended && before.pod.node.is_empty();
            match before.counted_on {
                Some(node) if keep && !changed => assumed = Some(node),
                Some(node) => {
                    self.uncount(&node, &before.pod.demands);
                    if pod.node != node || pod.ended {
                        self.opened();
                    }
                }
                None => {}
            }
        }
        let counts = !pod.ended;
        let node = if pod.node.is_empty() { assumed.clone() } else { Some(pod.node.clone()) };
        let counted_on = match node {
            Some(node) if counts => {
                if assumed.is_some() || self.count(&node, &pod.demands) {
                    Some(node)
                } else {
                    None
                }
            }
            _ => None,
        };
        let waits = pod.node.is_empty()
            && counted_on.is_none()
            && !pod.ended
            && !pod.deleting
            && !pod.gated
            && pod.scheduler == self.options.name;
        if waits {
            self.queue.put(&key, &pod.uid, pod.priority, changed);
        } else {
            self.queue.remove(&key);
        }
        let entry = Entry { pod, counted_on };
        self.early += usize::from(entry.is_early());
        self.pods.insert(key, entry);
    }

    /// A pod is gone.
    pub fn remove_pod(&mut self, namespace: &str, name: &str) {
        let key = key_of(namespace, name);
        self.queue.remove(&key);
        let Some(entry) = self.pods.remove(&key) else { return };
        self.early -= usize::from(entry.is_early());
        if let Some(node) = entry.counted_on {
            self.uncount(&node, &entry.pod.demands);
            self.opened();
        }
    }

    /// The binding of an assignment was refused: take its resources back and try again later.
    pub fn forget(&mut self, assignment: &Assignment, now: Instant) {
        let key = key_of(&assignment.namespace, &assignment.name);
        let Some(entry) = self.pods.get_mut(&key) else { return };
        if entry.pod.uid != assignment.uid || !entry.pod.node.is_empty() {
            return;
        }
        let (uid, priority, demands) = (entry.pod.uid.clone(), entry.pod.priority, entry.pod.demands.clone());
        if let Some(node) = entry.counted_on.take() {
            self.uncount(&node, &demands);
            self.opened();
        }
        self.queue.put_back(&key, &uid, priority, now);
    }

    /// Try up to `limit` waiting pods, in order.
    pub fn schedule(&mut self, now: Instant, limit: usize) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        while outcomes.len() < limit {
            let Some(key) = self.queue.next(now) else { break };
            let Some(entry) = self.pods.get(&key) else {
                self.queue.remove(&key);
                continue;
            };
            let demands = entry.pod.demands.clone();
            let (namespace, name, uid) = (entry.pod.namespace.clone(), entry.pod.name.clone(), entry.pod.uid.clone());
            match self.place(&demands) {
                Ok(at) => {
                    let node = self.nodes.name[at.index()].clone();
                    self.nodes.load(at, &demands, 1);
                    if let Some(entry) = self.pods.get_mut(&key) {
                        entry.counted_on = Some(node.clone());
                    }
                    self.queue.remove(&key);
                    outcomes.push(Outcome::Assigned(Assignment { namespace, name, uid, node }));
                }
                Err(message) => {
                    self.queue.park(&key, now);
                    outcomes.push(Outcome::Unschedulable(Unschedulable { namespace, name, uid, message }));
                }
            }
        }
        outcomes
    }

    /// The node for a pod of these demands, or why there is none.
    fn place(&mut self, demands: &Arc<Demands>) -> Result<Ordinal, String> {
        let wanted = feasible_wanted(self.nodes.len());
        let class = self.classes.get(&self.nodes, demands);
        if let Some((_, message)) = class.hopeless.as_ref().filter(|(at, _)| *at == self.openings) {
            return Err(message.clone());
        }
        self.feasible.clear();
        let width = self.nodes.width();
        let mut last = self.start;
        let ahead = class.admitted.ones().skip_while(|at| *at < self.start);
        let behind = class.admitted.ones().take_while(|at| *at < self.start);
        for index in ahead.chain(behind) {
            let at = Ordinal(index as u32);
            if plugins::load_filter(&self.nodes, at, demands) {
                self.feasible.push(at);
                last = index;
                if self.feasible.len() == wanted {
                    break;
                }
            }
        }
        if self.feasible.is_empty() {
            let message = explain(&self.nodes, demands);
            class.hopeless = Some((self.openings, message.clone()));
            return Err(message);
        }
        self.start = if self.feasible.len() < wanted || width == 0 { self.start } else { (last + 1) % width };
        if let [only] = self.feasible[..] {
            return Ok(only);
        }
        self.score(demands);
        Ok(self.best())
    }

    /// Weighted scores of `self.feasible` into `self.scores`.
    fn score(&mut self, demands: &Demands) {
        let Scheduler { nodes, feasible, scores, column, .. } = self;
        scores.clear();
        scores.extend(
            feasible.iter().map(|at| plugins::NODE_RESOURCES_FIT_WEIGHT * least_allocated::score(nodes, *at, demands)),
        );
        if balanced_allocation::applies(demands) {
            for (score, at) in scores.iter_mut().zip(feasible.iter()) {
                *score += plugins::BALANCED_ALLOCATION_WEIGHT * balanced_allocation::score(nodes, *at, demands);
            }
        }
        let mut normalized = |weight: i64, reverse: bool, plugin: fn(&Nodes, Ordinal, &Demands) -> i64| {
            column.clear();
            column.extend(feasible.iter().map(|at| plugin(nodes, *at, demands)));
            plugins::normalize(column, reverse);
            for (score, each) in scores.iter_mut().zip(column.iter()) {
                *score += weight * each;
            }
        };
        normalized(plugins::TAINT_TOLERATION_WEIGHT, true, taint_toleration::score);
        if !demands.preferred.is_empty() {
            normalized(plugins::NODE_AFFINITY_WEIGHT, false, node_affinity::score);
        }
    }

    /// One of the nodes with the highest score, each with the same chance.
    fn best(&mut self) -> Ordinal {
        let highest = self.scores.iter().copied().max().unwrap_or(0);
        let ties = self.scores.iter().filter(|score| **score == highest).count() as u64;
        let chosen = if ties > 1 { self.rng.below(ties) } else { 0 };
        let mut of_highest = self.feasible.iter().zip(&self.scores).filter(|(_, score)| **score == highest);
        of_highest.nth(chosen as usize).map_or(self.feasible[0], |(at, _)| *at)
    }

    /// The feasible nodes for a pod and their scores, all of them: what `schedule` chooses among on a small cluster.
    /// For explaining, and for tests against a plain loop.
    pub fn feasible_and_scores(&mut self, object: &Value) -> Vec<(Str, i64)> {
        let demands = Pod::of(object).demands;
        let class = self.classes.get(&self.nodes, &demands);
        self.feasible = class.admitted.ones().map(|index| Ordinal(index as u32)).collect();
        let nodes = &self.nodes;
        self.feasible.retain(|at| plugins::load_filter(nodes, *at, &demands));
        self.score(&demands);
        let names = self.feasible.iter().map(|at| self.nodes.name[at.index()].clone());
        names.zip(self.scores.iter().copied()).collect()
    }

    fn count(&mut self, node: &str, demands: &Demands) -> bool {
        let Some(at) = self.nodes.ordinal(node) else { return false };
        self.nodes.load(at, demands, 1);
        true
    }

    fn uncount(&mut self, node: &str, demands: &Demands) {
        if let Some(at) = self.nodes.ordinal(node) {
            self.nodes.load(at, demands, -1);
        }
    }

    /// Pods that were bound to a node before it was known here.
    fn count_early_pods(&mut self, name: &str) {
        let Some(at) = self.nodes.ordinal(name).filter(|_| self.early > 0) else { return };
        for entry in self.pods.values_mut() {
            if entry.pod.node == name && entry.counted_on.is_none() && !entry.pod.ended {
                self.nodes.load(at, &entry.pod.demands, 1);
                entry.counted_on = Some(entry.pod.node.clone());
                self.early -= 1;
            }
        }
    }

    fn opened(&mut self) {
        self.openings += 1;
        self.queue.release_parked();
    }
}

/// kube-scheduler's sentence: how many nodes there are, and how many were lost to what.
fn explain(nodes: &Nodes, demands: &Demands) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for index in nodes.live.ones() {
        let at = Ordinal(index as u32);
        let reasons: Vec<Reason> = match plugins::static_filter(nodes, at, demands) {
            Some(reason) => vec![reason],
            None => plugins::load_reasons(nodes, at, demands),
        };
        for reason in reasons {
            *counts.entry(reason.to_string()).or_default() += 1;
        }
    }
    if nodes.is_empty() {
        return "no nodes available to schedule pods".into();
    }
    let mut parts: Vec<String> = counts.into_iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    parts.sort();
    format!("0/{} nodes are available: {}.", nodes.len(), parts.join(", "))
}

/// How many feasible nodes are enough. Source: `numFeasibleNodesToFind`.
fn feasible_wanted(nodes: usize) -> usize {
    if nodes < FEASIBLE_MIN {
        return nodes.max(1);
    }
    let percent = 50usize.saturating_sub(nodes / 125).max(FEASIBLE_PERCENT_MIN);
    (nodes * percent / 100).max(FEASIBLE_MIN)
}

fn key_of(namespace: &str, name: &str) -> Key {
    Key::from(format!("{namespace}/{name}"))
}
