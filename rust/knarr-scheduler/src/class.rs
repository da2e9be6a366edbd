//! Equivalence classes: pods with equal demands share one bitmap of the nodes that their own properties admit.
//!
//! ```text
//!   class 7:  admitted  1 1 0 1 1 1 0 1 ...     static filters passed, one bit a node
//!             version   4711                    of the node changes it has seen
//! ```
//!
//! Before use a class catches up: each node that changed since its version is asked again, a class too far behind is built anew.
//! Classes that nobody used for a while are dropped, oldest first.

use std::sync::Arc;

use fixedbitset::FixedBitSet;

use crate::HashMap;
use crate::nodes::{Nodes, Ordinal};
use crate::plugins;
use crate::pod::Demands;

/// Classes kept. Each costs one bit a node and its demands: 2 MB for 1,024 classes on 16,000 nodes.
const CLASSES_MAX: usize = 1024;

/// What is known of one class.
#[derive(Debug)]
pub struct Class {
    pub demands: Arc<Demands>,
    /// Nodes that pass the static filters.
    pub admitted: FixedBitSet,
    version: u64,
    used: u64,
    /// Nothing was feasible when the openings stood at this count, and why; while they do, nothing will be.
    pub hopeless: Option<(u64, String)>,
}

/// The classes in use.
#[derive(Debug, Default)]
pub struct Classes {
    by_demands: HashMap<Arc<Demands>, Class>,
    uses: u64,
}

impl Classes {
    /// The class of these demands, up to date with the nodes.
    pub fn get(&mut self, nodes: &Nodes, demands: &Arc<Demands>) -> &mut Class {
        self.uses += 1;
        if !self.by_demands.contains_key(demands) && self.by_demands.len() >= CLASSES_MAX {
            self.drop_oldest();
        }
        let class = self.by_demands.entry(demands.clone()).or_insert_with(|| Class {
            demands: demands.clone(),
            admitted: FixedBitSet::new(),
            version: u64::MAX,
            used: 0,
            hopeless: None,
        });
        class.used = self.uses;
        class.catch_up(nodes);
        class
    }

    pub fn len(&self) -> usize {
        self.by_demands.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_demands.is_empty()
    }

    fn drop_oldest(&mut self) {
        let mut ages: Vec<u64> = self.by_demands.values().map(|class| class.used).collect();
        ages.sort_unstable();
        let keep_from = ages[ages.len() / 2];
        self.by_demands.retain(|_, class| class.used >= keep_from);
    }
}

impl Class {
    fn catch_up(&mut self, nodes: &Nodes) {
        let now = nodes.version();
        if self.version == now {
            return;
        }
        self.admitted.grow(nodes.width());
        match nodes.changed_since(self.version) {
            Some(changed) => {
                for at in changed {
                    self.ask(nodes, *at);
                }
            }
            None => {
                for at in 0..nodes.width() {
                    self.ask(nodes, Ordinal(at as u32));
                }
            }
        }
        self.version = now;
    }

    fn ask(&mut self, nodes: &Nodes, at: Ordinal) {
        let live = nodes.live.contains(at.index());
        self.admitted.set(at.index(), live && plugins::static_filter(nodes, at, &self.demands).is_none());
    }
}
