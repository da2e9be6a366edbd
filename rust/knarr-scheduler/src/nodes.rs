//! Nodes as columns: one array per property, one dense ordinal per node; names exist at the edge only.
//!
//! ```text
//!   ordinal      0     1     2     3          a deleted node leaves a hole that the next new one fills
//!   name        [n1]  [n2]  [  ]  [n4]
//!   milli_cpu   4000  4000    0   8000        allocatable
//!   used.cpu     250   100    0      0        requested by the pods that are there
//! ```
//!
//! What filters of a class depend on beyond the load (labels, taints, unschedulable, the name) changes rarely: each such change adds
//! the ordinal to a log, from which classes bring their bitmaps up to date.

use fixedbitset::FixedBitSet;
use knarr_value::{Str, Value};

use crate::HashMap;
use crate::pod::{Demands, HostPort, list};
use crate::resources::{Resources, amount};

/// A node's place in every column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ordinal(pub u32);

impl Ordinal {
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Changes remembered for classes that have not been used for a while; a class further behind is computed anew.
const CHANGES_MAX: usize = 4096;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taint {
    pub key: Str,
    pub value: Str,
    pub effect: Str,
}

/// Every node, by column.
#[derive(Debug, Default)]
pub struct Nodes {
    pub live: FixedBitSet,
    pub name: Vec<Str>,
    pub labels: Vec<Vec<(Str, Str)>>,
    pub taints: Vec<Vec<Taint>>,
    pub unschedulable: Vec<bool>,
    pub milli_cpu: Vec<i64>,
    pub memory: Vec<i64>,
    pub storage: Vec<i64>,
    pub pods_max: Vec<i64>,
    pub used_milli_cpu: Vec<i64>,
    pub used_memory: Vec<i64>,
    pub used_storage: Vec<i64>,
    pub nonzero_milli_cpu: Vec<i64>,
    pub nonzero_memory: Vec<i64>,
    pub pods: Vec<i64>,
    pub ports: Vec<Vec<HostPort>>,
    pub scalar: Vec<Vec<(Str, i64)>>,
    pub used_scalar: Vec<Vec<(Str, i64)>>,
    by_name: HashMap<Str, Ordinal>,
    holes: Vec<Ordinal>,
    changes: Vec<Ordinal>,
    /// Number of changes that fell out of `changes`.
    changes_before: u64,
}

impl Nodes {
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Ordinals in use or free: the length of every column.
    pub fn width(&self) -> usize {
        self.name.len()
    }

    pub fn ordinal(&self, name: &str) -> Option<Ordinal> {
        self.by_name.get(name).copied()
    }

    /// Take a Node object as it is now. Whether anything changed that could let a pod in.
    pub fn put(&mut self, object: &Value) -> bool {
        let name = object.str_at(&["metadata", "name"]);
        let (at, new) = match self.ordinal(name) {
            Some(at) => (at, false),
            None => (self.claim(name), true),
        };
        let i = at.index();
        let allocatable = object.path(&["status", "allocatable"]);
        let total = Resources::from_list(allocatable);
        let pods = allocatable.and_then(|list| list.get("pods")).map_or(0, |value| amount(value, false));
        let load = (total.milli_cpu, total.memory, total.storage, pods);
        let had = (self.milli_cpu[i], self.memory[i], self.storage[i], self.pods_max[i]);
        let loads_changed = load != had || self.scalar[i] != total.scalar;
        (self.milli_cpu[i], self.memory[i], self.storage[i], self.pods_max[i]) = load;
        self.scalar[i] = total.scalar;

        let labels = labels_of(object);
        let taints = taints_of(object);
        let unschedulable = object.path(&["spec", "unschedulable"]).and_then(Value::as_bool).unwrap_or(false);
        let moved =
            new || self.labels[i] != labels || self.taints[i] != taints || self.unschedulable[i] != unschedulable;
        if moved {
            (self.labels[i], self.taints[i], self.unschedulable[i]) = (labels, taints, unschedulable);
            self.changed(at);
        }
        moved || loads_changed
    }

    /// Forget a node.
    pub fn remove(&mut self, name: &str) {
        let Some(at) = self.by_name.remove(name) else { return };
        let i = at.index();
        self.live.set(i, false);
        self.name[i] = Str::default();
        self.labels[i].clear();
        self.taints[i].clear();
        (self.milli_cpu[i], self.memory[i], self.storage[i], self.pods_max[i]) = (0, 0, 0, 0);
        self.scalar[i].clear();
        self.holes.push(at);
        self.changed(at);
    }

    /// Count a pod in (`sign` 1) or out (-1). Sums wrap, as kube-scheduler's do: pods that name their node may ask for anything, and
    /// what came in must go out again to the last byte.
    pub fn load(&mut self, at: Ordinal, demands: &Demands, sign: i64) {
        let i = at.index();
        let requests = &demands.requests;
        for (column, amount) in [
            (&mut self.used_milli_cpu, requests.milli_cpu),
            (&mut self.used_memory, requests.memory),
            (&mut self.used_storage, requests.storage),
            (&mut self.nonzero_milli_cpu, demands.nonzero.0),
            (&mut self.nonzero_memory, demands.nonzero.1),
            (&mut self.pods, 1),
        ] {
            column[i] = column[i].wrapping_add(amount.wrapping_mul(sign));
        }
        for (name, amount) in &requests.scalar {
            let row = &mut self.used_scalar[i];
            match row.iter_mut().find(|(n, _)| n == name) {
                Some(entry) => entry.1 = entry.1.wrapping_add(amount.wrapping_mul(sign)),
                None => row.push((name.clone(), amount.wrapping_mul(sign))),
            }
        }
        for port in &demands.ports {
            if sign > 0 {
                self.ports[i].push(port.clone());
            } else if let Some(found) = self.ports[i].iter().position(|each| each == port) {
                self.ports[i].swap_remove(found);
            }
        }
    }

    /// A scalar resource: (allocatable, requested).
    pub fn scalar_of(&self, at: Ordinal, name: &str) -> (i64, i64) {
        let find = |row: &[(Str, i64)]| row.iter().find(|(n, _)| n == name).map_or(0, |(_, amount)| *amount);
        (find(&self.scalar[at.index()]), find(&self.used_scalar[at.index()]))
    }

    /// How many changes there were in all; what a class that is up to date remembers.
    pub fn version(&self) -> u64 {
        self.changes_before + self.changes.len() as u64
    }

    /// The nodes that changed since `version`; None where that is too long ago to tell.
    pub fn changed_since(&self, version: u64) -> Option<&[Ordinal]> {
        let skip = version.checked_sub(self.changes_before)?;
        self.changes.get(skip as usize..)
    }

    fn changed(&mut self, at: Ordinal) {
        if self.changes.len() == CHANGES_MAX {
            self.changes.drain(..CHANGES_MAX / 2);
            self.changes_before += (CHANGES_MAX / 2) as u64;
        }
        self.changes.push(at);
    }

    fn claim(&mut self, name: &str) -> Ordinal {
        let at = match self.holes.pop() {
            Some(at) => at,
            None => {
                let at = Ordinal(self.name.len() as u32);
                self.live.grow(self.name.len() + 1);
                self.name.push(Str::default());
                self.labels.push(Vec::new());
                self.taints.push(Vec::new());
                self.unschedulable.push(false);
                for column in [
                    &mut self.milli_cpu,
                    &mut self.memory,
                    &mut self.storage,
                    &mut self.pods_max,
                    &mut self.used_milli_cpu,
                    &mut self.used_memory,
                    &mut self.used_storage,
                    &mut self.nonzero_milli_cpu,
                    &mut self.nonzero_memory,
                    &mut self.pods,
                ] {
                    column.push(0);
                }
                self.ports.push(Vec::new());
                self.scalar.push(Vec::new());
                self.used_scalar.push(Vec::new());
                at
            }
        };
        self.live.set(at.index(), true);
        self.name[at.index()] = Str::from(name);
        self.by_name.insert(Str::from(name), at);
        at
    }
}

fn labels_of(object: &Value) -> Vec<(Str, Str)> {
    let map = object.path(&["metadata", "labels"]).and_then(Value::as_map);
    let pairs = map.into_iter().flat_map(|map| map.iter());
    let mut found: Vec<(Str, Str)> =
        pairs.map(|(key, value)| (key.clone(), Str::from(value.as_str().unwrap_or_default()))).collect();
    found.sort();
    found
}

fn taints_of(object: &Value) -> Vec<Taint> {
    let empty = Value::Null;
    let text = |taint: &Value, field: &str| Str::from(taint.str_at(&[field]));
    list(object.get("spec").unwrap_or(&empty), "taints")
        .iter()
        .map(|taint| Taint { key: text(taint, "key"), value: text(taint, "value"), effect: text(taint, "effect") })
        .collect()
}
