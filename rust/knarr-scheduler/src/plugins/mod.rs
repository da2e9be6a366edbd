//! The plugins of the default profile, under kube-scheduler's names, one file each.
//!
//! A plugin whose answer depends on the pod's class and the node's own properties only is *static*: it is asked once per class and
//! node, and the answers are kept as bitmaps. One that depends on the load is asked for each pod it is tried on.

pub mod balanced_allocation;
pub mod least_allocated;
pub mod node_affinity;
pub mod node_name;
pub mod node_ports;
pub mod node_resources_fit;
pub mod node_unschedulable;
pub mod taint_toleration;

use knarr_value::Str;

use crate::nodes::{Nodes, Ordinal};
use crate::pod::Demands;

/// The best score a plugin gives (`MaxNodeScore`).
pub const SCORE_MAX: i64 = 100;

/// Weights of the default profile. Source: kube-scheduler 1.34, `getDefaultPlugins`.
pub const TAINT_TOLERATION_WEIGHT: i64 = 3;
pub const NODE_AFFINITY_WEIGHT: i64 = 2;
pub const NODE_RESOURCES_FIT_WEIGHT: i64 = 1;
pub const BALANCED_ALLOCATION_WEIGHT: i64 = 1;

/// Why a node was filtered out, in kube-scheduler's words.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    Unschedulable,
    NodeName,
    Taint,
    Affinity,
    Ports,
    TooManyPods,
    Insufficient(Str),
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Reason::Unschedulable => f.write_str("node(s) were unschedulable"),
            Reason::NodeName => f.write_str("node(s) didn't match the requested node name"),
            Reason::Taint => f.write_str("node(s) had untolerated taint(s)"),
            Reason::Affinity => f.write_str("node(s) didn't match Pod's node affinity/selector"),
            Reason::Ports => f.write_str("node(s) didn't have free ports for the requested pod ports"),
            Reason::TooManyPods => f.write_str("Too many pods"),
            Reason::Insufficient(resource) => write!(f, "Insufficient {resource}"),
        }
    }
}

/// The first static filter, in the profile's order, that a node does not pass.
pub fn static_filter(nodes: &Nodes, at: Ordinal, demands: &Demands) -> Option<Reason> {
    if !node_unschedulable::passes(nodes, at, demands) {
        return Some(Reason::Unschedulable);
    }
    if !node_name::passes(nodes, at, demands) {
        return Some(Reason::NodeName);
    }
    if !taint_toleration::passes(nodes, at, demands) {
        return Some(Reason::Taint);
    }
    if !node_affinity::passes(nodes, at, demands) {
        return Some(Reason::Affinity);
    }
    None
}

/// Whether a node has room now: NodePorts, then NodeResourcesFit.
pub fn load_filter(nodes: &Nodes, at: Ordinal, demands: &Demands) -> bool {
    node_ports::passes(nodes, at, demands) && node_resources_fit::passes(nodes, at, demands)
}

/// Why a node has no room: all that NodeResourcesFit lacks, or the ports.
pub fn load_reasons(nodes: &Nodes, at: Ordinal, demands: &Demands) -> Vec<Reason> {
    if !node_ports::passes(nodes, at, demands) {
        return vec![Reason::Ports];
    }
    node_resources_fit::lacks(nodes, at, demands)
}

/// Scores from 0 to their highest mapped to 0..100, turned round where fewer is better. Source: `DefaultNormalizeScore`.
pub fn normalize(scores: &mut [i64], reverse: bool) {
    let highest = scores.iter().copied().max().unwrap_or(0).max(0);
    if highest == 0 {
        if reverse {
            scores.fill(SCORE_MAX);
        }
        return;
    }
    for score in scores {
        let scaled = SCORE_MAX * *score / highest;
        *score = if reverse { SCORE_MAX - scaled } else { scaled };
    }
}
