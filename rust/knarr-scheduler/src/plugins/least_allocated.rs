//! NodeResourcesFit's score, strategy LeastAllocated: the more of cpu and memory is free, the better, each of weight 1.

use crate::nodes::{Nodes, Ordinal};
use crate::plugins::SCORE_MAX;
use crate::pod::Demands;

pub fn score(nodes: &Nodes, at: Ordinal, demands: &Demands) -> i64 {
    let i = at.index();
    let cpu = (nodes.milli_cpu[i], nodes.nonzero_milli_cpu[i].saturating_add(demands.nonzero.0));
    let memory = (nodes.memory[i], nodes.nonzero_memory[i].saturating_add(demands.nonzero.1));
    let (mut sum, mut weights) = (0, 0);
    for (total, requested) in [cpu, memory] {
        if total == 0 {
            continue;
        }
        weights += 1;
        // A sum that wrapped may be below zero.
        if (0..=total).contains(&requested) {
            sum += (i128::from(total - requested) * i128::from(SCORE_MAX) / i128::from(total)) as i64;
        }
    }
    if weights == 0 { 0 } else { sum / weights }
}
