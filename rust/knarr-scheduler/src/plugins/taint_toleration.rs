//! TaintToleration: no untolerated NoSchedule or NoExecute taint; fewer untolerated PreferNoSchedule taints are better.

use crate::nodes::{Nodes, Ordinal, Taint};
use crate::pod::{Demands, Toleration};

pub fn passes(nodes: &Nodes, at: Ordinal, demands: &Demands) -> bool {
    nodes.taints[at.index()]
        .iter()
        .filter(|taint| taint.effect == "NoSchedule" || taint.effect == "NoExecute")
        .all(|taint| demands.tolerations.iter().any(|each| tolerates_taint(each, taint)))
}

/// Untolerated PreferNoSchedule taints; to be normalized in reverse.
pub fn score(nodes: &Nodes, at: Ordinal, demands: &Demands) -> i64 {
    let prefer = nodes.taints[at.index()].iter().filter(|taint| taint.effect == "PreferNoSchedule");
    let tolerations =
        || demands.tolerations.iter().filter(|each| each.effect.is_empty() || each.effect == "PreferNoSchedule");
    prefer.filter(|taint| !tolerations().any(|each| tolerates_taint(each, taint))).count() as i64
}

fn tolerates_taint(toleration: &Toleration, taint: &Taint) -> bool {
    tolerates(toleration, &taint.key, &taint.value, &taint.effect)
}

/// Whether a toleration covers a taint. Source: core/v1 Toleration.ToleratesTaint.
pub fn tolerates(toleration: &Toleration, key: &str, value: &str, effect: &str) -> bool {
    if !toleration.effect.is_empty() && toleration.effect != effect {
        return false;
    }
    if !toleration.key.is_empty() && toleration.key != key {
        return false;
    }
    match toleration.operator.as_str() {
        "" | "Equal" => toleration.value == value,
        "Exists" => true,
        _ => false,
    }
}
