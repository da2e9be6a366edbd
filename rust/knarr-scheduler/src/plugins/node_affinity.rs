//! NodeAffinity: nodeSelector and required terms must match; preferred terms add their weights.

use knarr_value::Str;

use crate::nodes::{Nodes, Ordinal};
use crate::pod::{Demands, Requirement, Term};

pub fn passes(nodes: &Nodes, at: Ordinal, demands: &Demands) -> bool {
    let labels = &nodes.labels[at.index()];
    let selected = demands.selector.iter().all(|(key, value)| label(labels, key) == Some(value.as_str()));
    selected
        && demands
            .required
            .as_ref()
            .is_none_or(|terms| terms.iter().any(|term| matches(term, labels, &nodes.name[at.index()])))
}

/// The sum of the weights of the preferred terms that match; to be normalized.
pub fn score(nodes: &Nodes, at: Ordinal, demands: &Demands) -> i64 {
    let (labels, name) = (&nodes.labels[at.index()], &nodes.name[at.index()]);
    let prefers = demands.preferred.iter().filter(|(_, term)| matches_preferred(term, labels, name));
    prefers.map(|(weight, _)| *weight).sum()
}

/// A required term without requirements matches no node.
fn matches(term: &Term, labels: &[(Str, Str)], name: &str) -> bool {
    !(term.labels.is_empty() && term.fields.is_empty()) && holds_all(term, labels, name)
}

/// A preferred term without requirements is left out as well. Source: component-helpers nodeaffinity, isEmptyNodeSelectorTerm.
fn matches_preferred(term: &Term, labels: &[(Str, Str)], name: &str) -> bool {
    matches(term, labels, name)
}

fn holds_all(term: &Term, labels: &[(Str, Str)], name: &str) -> bool {
    term.labels.iter().all(|requirement| holds(requirement, label(labels, &requirement.key)))
        && term.fields.iter().all(|requirement| {
            requirement.key == "metadata.name" && requirement.values.len() == 1 && holds(requirement, Some(name))
        })
}

/// Whether a requirement holds for a label's value. Source: labels.Requirement.Matches.
fn holds(requirement: &Requirement, value: Option<&str>) -> bool {
    let among = |value: &str| requirement.values.iter().any(|each| each == value);
    let number = |text: &str| text.parse::<i64>().ok();
    let wanted = || requirement.values.first().filter(|_| requirement.values.len() == 1).and_then(|v| number(v));
    match requirement.operator.as_str() {
        "In" => value.is_some_and(among),
        "NotIn" => !value.is_some_and(among),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => matches!((value.and_then(number), wanted()), (Some(have), Some(want)) if have > want),
        "Lt" => matches!((value.and_then(number), wanted()), (Some(have), Some(want)) if have < want),
        _ => false,
    }
}

fn label<'a>(labels: &'a [(Str, Str)], key: &str) -> Option<&'a str> {
    labels.binary_search_by(|(k, _)| k.as_str().cmp(key)).ok().map(|at| labels[at].1.as_str())
}
