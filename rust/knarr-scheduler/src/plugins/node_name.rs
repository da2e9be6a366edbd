//! NodeName: a pod that names its node goes nowhere else.

use crate::nodes::{Nodes, Ordinal};
use crate::pod::Demands;

pub fn passes(nodes: &Nodes, at: Ordinal, demands: &Demands) -> bool {
    demands.node_name.is_empty() || demands.node_name == nodes.name[at.index()]
}
