//! NodeResourcesFit, as a filter: what the pod requests is free on the node, and the node takes one pod more.

use knarr_value::Str;

use crate::nodes::{Nodes, Ordinal};
use crate::plugins::Reason;
use crate::pod::Demands;

pub fn passes(nodes: &Nodes, at: Ordinal, demands: &Demands) -> bool {
    let (i, requests) = (at.index(), &demands.requests);
    let fits = |request: i64, total: i64, used: i64| request == 0 || request <= total.saturating_sub(used);
    nodes.pods[i] < nodes.pods_max[i]
        && fits(requests.milli_cpu, nodes.milli_cpu[i], nodes.used_milli_cpu[i])
        && fits(requests.memory, nodes.memory[i], nodes.used_memory[i])
        && fits(requests.storage, nodes.storage[i], nodes.used_storage[i])
        && requests.scalar.iter().all(|(name, request)| {
            let (total, used) = nodes.scalar_of(at, name);
            fits(*request, total, used)
        })
}

/// Everything that is lacking, in kube-scheduler's order.
pub fn lacks(nodes: &Nodes, at: Ordinal, demands: &Demands) -> Vec<Reason> {
    let (i, requests) = (at.index(), &demands.requests);
    let mut found = Vec::new();
    if nodes.pods[i] >= nodes.pods_max[i] {
        found.push(Reason::TooManyPods);
    }
    for (name, request, total, used) in [
        ("cpu", requests.milli_cpu, nodes.milli_cpu[i], nodes.used_milli_cpu[i]),
        ("memory", requests.memory, nodes.memory[i], nodes.used_memory[i]),
        ("ephemeral-storage", requests.storage, nodes.storage[i], nodes.used_storage[i]),
    ] {
        if request > 0 && request > total.saturating_sub(used) {
            found.push(Reason::Insufficient(Str::from(name)));
        }
    }
    for (name, request) in &requests.scalar {
        let (total, used) = nodes.scalar_of(at, name);
        if *request > total.saturating_sub(used) {
            found.push(Reason::Insufficient(name.clone()));
        }
    }
    found
}
