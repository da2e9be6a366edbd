//! NodePorts: the pod's host ports are free on the node.

use crate::nodes::{Nodes, Ordinal};
use crate::pod::Demands;

pub fn passes(nodes: &Nodes, at: Ordinal, demands: &Demands) -> bool {
    let taken = &nodes.ports[at.index()];
    demands.ports.iter().all(|wanted| !taken.iter().any(|port| port.clashes(wanted)))
}
