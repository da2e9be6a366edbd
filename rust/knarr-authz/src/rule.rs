//! One rule of a role: what it matches, and when one set of rules covers another.
//!
//! Source: kubernetes `pkg/apis/rbac/v1/evaluation_helpers.go`, component-helpers `auth/rbac/validation/policy_comparator.go` and
//! `pkg/registry/rbac/validation/policy_compact.go`.

use knarr_value::{Map, Value};

use crate::attributes::{Attributes, Target};

/// A PolicyRule. Resource rules have groups and resources, the others have urls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rule {
    pub verbs: Vec<String>,
    pub groups: Vec<String>,
    pub resources: Vec<String>,
    pub names: Vec<String>,
    pub urls: Vec<String>,
}

fn strings(value: &Value, key: &str) -> Vec<String> {
    let items = value.get(key).and_then(Value::as_list).unwrap_or_default();
    items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn has(set: &[String], element: &str) -> bool {
    set.iter().any(|candidate| candidate == element)
}

fn has_or_star(set: &[String], element: &str) -> bool {
    set.iter().any(|candidate| candidate == "*" || candidate == element)
}

/// `/healthz/*` covers `/healthz/etcd`; a star stands at the end only.
pub(crate) fn url_matches(pattern: &str, url: &str) -> bool {
    pattern == url || (pattern.ends_with('*') && url.starts_with(pattern.trim_end_matches('*')))
}

impl Rule {
    /// A rule on resources of one group.
    pub fn resources(verbs: &[&str], group: &str, resources: &[&str]) -> Self {
        let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Self { verbs: own(verbs), groups: own(&[group]), resources: own(resources), ..Self::default() }
    }

    /// Reads a PolicyRule; fields of the wrong shape count as absent, because the schema has refused them already.
    pub fn from_value(value: &Value) -> Self {
        Self {
            verbs: strings(value, "verbs"),
            groups: strings(value, "apiGroups"),
            resources: strings(value, "resources"),
            names: strings(value, "resourceNames"),
            urls: strings(value, "nonResourceURLs"),
        }
    }

    /// The `rules` of a Role or ClusterRole.
    pub fn list_from_role(role: &Value) -> Vec<Self> {
        let rules = role.get("rules").and_then(Value::as_list).unwrap_or_default();
        rules.iter().map(Self::from_value).collect()
    }

    /// The PolicyRule as an API object shows it.
    pub fn to_value(&self) -> Value {
        let mut map = Map::default();
        let fields = [
            ("verbs", &self.verbs),
            ("apiGroups", &self.groups),
            ("resources", &self.resources),
            ("resourceNames", &self.names),
            ("nonResourceURLs", &self.urls),
        ];
        for (key, texts) in fields {
            if !texts.is_empty() {
                map.insert(key, Value::List(texts.iter().map(|text| Value::Str(text.as_str().into())).collect()));
            }
        }
        Value::Map(map)
    }

    /// Whether this rule alone allows the request. The plain statement of what [`crate::compiled`] does by look-up.
    pub fn allows(&self, attributes: &Attributes<'_>) -> bool {
        if !has_or_star(&self.verbs, attributes.verb) {
            return false;
        }
        match attributes.target {
            Target::Path(path) => self.urls.iter().any(|pattern| url_matches(pattern, path)),
            Target::Resource { group, resource, subresource, name, .. } => {
                has_or_star(&self.groups, group)
                    && self.resources.iter().any(|rule| resource_matches(rule, resource, subresource))
                    && (self.names.is_empty() || has(&self.names, name))
            }
        }
    }

    /// The rule as many rules of one verb, one resource and one name each.
    fn breakdown(&self) -> Vec<Self> {
        let mut parts = Vec::new();
        let one = |text: &String| vec![text.clone()];
        for group in &self.groups {
            for resource in &self.resources {
                for verb in &self.verbs {
                    let part =
                        Self { verbs: one(verb), groups: one(group), resources: one(resource), ..Self::default() };
                    if self.names.is_empty() {
                        parts.push(part);
                    } else {
                        parts.extend(self.names.iter().map(|name| Self { names: one(name), ..part.clone() }));
                    }
                }
            }
        }
        for url in &self.urls {
            parts.extend(self.verbs.iter().map(|verb| Self { verbs: one(verb), urls: one(url), ..Self::default() }));
        }
        parts
    }

    fn covers(&self, part: &Self) -> bool {
        let all =
            |owned: &[String], asked: &[String]| has(owned, "*") || asked.iter().all(|element| has(owned, element));
        all(&self.verbs, &part.verbs)
            && all(&self.groups, &part.groups)
            && part.resources.iter().all(|asked| {
                let any_of = asked.split_once('/').is_some_and(|(_, sub)| has(&self.resources, &format!("*/{sub}")));
                has_or_star(&self.resources, asked) || any_of
            })
            && part.urls.iter().all(|asked| self.urls.iter().any(|owned| url_matches(owned, asked)))
            && (self.names.is_empty()
                || (!part.names.is_empty() && part.names.iter().all(|name| has(&self.names, name))))
    }

    /// `{APIGroups:["apps"], Resources:["deployments"], Verbs:["get"]}`
    pub fn compact_string(&self) -> String {
        let fields = [
            ("APIGroups", &self.groups),
            ("Resources", &self.resources),
            ("NonResourceURLs", &self.urls),
            ("ResourceNames", &self.names),
            ("Verbs", &self.verbs),
        ];
        let shown = fields.into_iter().filter(|(_, texts)| !texts.is_empty());
        format!("{{{}}}", shown.map(|(key, texts)| format!("{key}:{}", quoted(texts))).collect::<Vec<_>>().join(", "))
    }
}

/// Go's `%q` of a list of strings: `["a" "b"]`.
pub(crate) fn quoted(texts: &[String]) -> String {
    format!("[{}]", texts.iter().map(|text| format!("{text:?}")).collect::<Vec<_>>().join(" "))
}

fn resource_matches(rule: &str, resource: &str, subresource: &str) -> bool {
    if rule == "*" {
        return true;
    }
    if subresource.is_empty() {
        return rule == resource;
    }
    match rule.split_once('/') {
        Some((owner, sub)) => sub == subresource && (owner == "*" || owner == resource),
        None => false,
    }
}

/// What of `asked` is not covered by `owned`, each piece with one resource and one name, verbs joined. Empty: all is covered.
pub fn covers(owned: &[Rule], asked: &[Rule]) -> Vec<Rule> {
    let mut missing: Vec<Rule> = Vec::new();
    for part in asked.iter().flat_map(Rule::breakdown) {
        if owned.iter().any(|rule| rule.covers(&part)) {
            continue;
        }
        let same = |known: &&mut Rule| {
            part.urls.is_empty()
                && known.groups == part.groups
                && known.resources == part.resources
                && known.names == part.names
        };
        match missing.iter_mut().find(same) {
            Some(known) => known.verbs.extend(part.verbs),
            None => missing.push(part),
        }
    }
    missing
}
