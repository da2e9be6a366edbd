//! NodeResourcesBalancedAllocation: the closer the used fractions of cpu and memory would be, the better. A pod that requests neither is
//! not scored, lest such pods gather on one node.

use crate::nodes::{Nodes, Ordinal};
use crate::plugins::SCORE_MAX;
use crate::pod::Demands;

pub fn applies(demands: &Demands) -> bool {
    demands.requests.milli_cpu != 0 || demands.requests.memory != 0
}

pub fn score(nodes: &Nodes, at: Ordinal, demands: &Demands) -> i64 {
    let i = at.index();
    let cpu = fraction(nodes.milli_cpu[i], nodes.used_milli_cpu[i].saturating_add(demands.requests.milli_cpu));
    let memory = fraction(nodes.memory[i], nodes.used_memory[i].saturating_add(demands.requests.memory));
    // the standard deviation of two values is half of what lies between them; of one it is none
    let deviation = match (cpu, memory) {
        (Some(cpu), Some(memory)) => ((cpu - memory) / 2.0).abs(),
        _ => 0.0,
    };
    ((1.0 - deviation) * SCORE_MAX as f64) as i64
}

fn fraction(total: i64, requested: i64) -> Option<f64> {
    (total != 0).then(|| (requested as f64 / total as f64).clamp(0.0, 1.0))
}
