//! A set of rules laid out for look-up by resource: what a class of users is granted in one scope.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::attributes::{Attributes, Target};
use crate::rule::{Rule, url_matches};

/// Verbs as bits: the usual ones by position, any other by text beside them.
const VERBS: [&str; 12] = [
    "get",
    "list",
    "watch",
    "create",
    "update",
    "patch",
    "delete",
    "deletecollection",
    "bind",
    "escalate",
    "impersonate",
    "use",
];
const ALL_VERBS: u16 = u16::MAX;

#[derive(Debug, Default)]
struct Verbs {
    bits: u16,
    others: Vec<String>,
}

impl Verbs {
    fn new(verbs: &[String]) -> Self {
        let mut this = Self::default();
        for verb in verbs {
            match bit(verb) {
                _ if verb == "*" => this.bits = ALL_VERBS,
                Some(bit) => this.bits |= bit,
                None => this.others.push(verb.clone()),
            }
        }
        this
    }

    fn has(&self, verb: &str) -> bool {
        if self.bits == ALL_VERBS {
            return true;
        }
        match bit(verb) {
            Some(bit) => self.bits & bit != 0,
            None => self.others.iter().any(|known| known == verb),
        }
    }
}

fn bit(verb: &str) -> Option<u16> {
    VERBS.iter().position(|known| *known == verb).map(|position| 1 << position)
}

/// What one rule says about one resource word.
#[derive(Debug)]
struct Grant {
    verbs: Verbs,
    /// Empty: all groups.
    groups: Vec<String>,
    /// Empty: all names.
    names: Vec<String>,
}

impl Grant {
    fn allows(&self, verb: &str, group: &str, name: &str) -> bool {
        self.verbs.has(verb)
            && (self.groups.is_empty() || self.groups.iter().any(|known| known == group))
            && (self.names.is_empty() || self.names.iter().any(|known| known == name))
    }
}

/// Rules by the resource they name; `*` and `*/sub` are keys like any other, looked up after the exact one.
#[derive(Debug, Default)]
pub(crate) struct Grants {
    by_resource: HashMap<String, Vec<Grant>, FixedState>,
    urls: Vec<(Verbs, String)>,
}

impl Grants {
    pub(crate) fn compile<'a>(rules: impl IntoIterator<Item = &'a Rule>) -> Self {
        let mut this = Self::default();
        for rule in rules {
            let everywhere = rule.groups.iter().any(|group| group == "*");
            // No group at all matches none: such a rule is about urls.
            if !rule.groups.is_empty() {
                for resource in &rule.resources {
                    this.by_resource.entry(resource.clone()).or_default().push(Grant {
                        verbs: Verbs::new(&rule.verbs),
                        groups: if everywhere { Vec::new() } else { rule.groups.clone() },
                        names: rule.names.clone(),
                    });
                }
            }
            this.urls.extend(rule.urls.iter().map(|url| (Verbs::new(&rule.verbs), url.clone())));
        }
        this
    }

    /// Whether a rule allows the request: equal to `any(Rule::allows)` over the rules compiled.
    pub(crate) fn allow(&self, attributes: &Attributes<'_>) -> bool {
        match attributes.target {
            Target::Path(path) => {
                self.urls.iter().any(|(verbs, pattern)| verbs.has(attributes.verb) && url_matches(pattern, path))
            }
            Target::Resource { group, resource, subresource, name, .. } => {
                let granted = |word: &str| {
                    self.by_resource
                        .get(word)
                        .is_some_and(|grants| grants.iter().any(|grant| grant.allows(attributes.verb, group, name)))
                };
                if subresource.is_empty() {
                    return granted(resource) || granted("*");
                }
                granted(&format!("{resource}/{subresource}")) || granted("*") || granted(&format!("*/{subresource}"))
            }
        }
    }
}
