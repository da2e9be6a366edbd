//! NodeUnschedulable: a cordoned node takes only pods that tolerate its taint.

use crate::nodes::{Nodes, Ordinal};
use crate::plugins::taint_toleration::tolerates;
use crate::pod::Demands;

/// The taint that cordoning stands for.
const KEY: &str = "node.kubernetes.io/unschedulable";

pub fn passes(nodes: &Nodes, at: Ordinal, demands: &Demands) -> bool {
    !nodes.unschedulable[at.index()] || demands.tolerations.iter().any(|each| tolerates(each, KEY, "", "NoSchedule"))
}
