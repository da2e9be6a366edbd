//! The question and its answer: node authorizer first, then RBAC, and `system:masters` before both.

use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use knarr_base::User;
use knarr_value::Value;
use parking_lot::RwLock;

use crate::attributes::{Attributes, Target};
use crate::compiled::Grants;
use crate::index::{Index, Key, RbacKind, RoleRef};
use crate::node::{self, Graph, PodNodes, Reference};
use crate::rule::{Rule, covers, quoted};

/// Members may do everything; no rule can take it from them.
pub const MASTERS: &str = "system:masters";
/// Users whose grants are kept ready: one entry a user, some 200 bytes. 130,000 nodes fit.
const CACHED_USERS_MAX: usize = 1 << 18;

/// Whether a request may go on, and what the authorizers said if not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    Allowed,
    /// The reason may be empty; Kubernetes appends it to the message after a colon.
    Denied(String),
}

/// A role or binding would grant what its writer does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EscalationError(pub String);

impl std::fmt::Display for EscalationError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for EscalationError {}

/// What the users named by one set of bindings hold, by scope.
#[derive(Default)]
struct Class {
    cluster: Grants,
    namespaces: HashMap<String, Grants, FixedState>,
}

impl Class {
    fn compile(index: &Index, bindings: &[Key]) -> Self {
        let mut scopes: HashMap<&str, Vec<Arc<[Rule]>>, FixedState> = HashMap::default();
        for binding in bindings {
            if let Some(rules) = index.rules_of(binding) {
                scopes.entry(binding.0.as_str()).or_default().push(rules);
            }
        }
        let mut class = Self::default();
        for (namespace, rules) in scopes {
            let grants = Grants::compile(rules.iter().flat_map(|rules| rules.iter()));
            if namespace.is_empty() {
                class.cluster = grants;
            } else {
                class.namespaces.insert(namespace.to_owned(), grants);
            }
        }
        class
    }

    fn allow(&self, attributes: &Attributes<'_>) -> bool {
        let local = match attributes.target {
            Target::Resource { namespace, .. } if !namespace.is_empty() => self.namespaces.get(namespace),
            _ => None,
        };
        self.cluster.allow(attributes) || local.is_some_and(|grants| grants.allow(attributes))
    }
}

struct CachedUser {
    name: String,
    groups: Vec<String>,
    class: Arc<Class>,
}

#[derive(Default)]
struct State {
    index: Index,
    users: HashMap<u64, CachedUser, FixedState>,
    classes: HashMap<Vec<Key>, Arc<Class>, FixedState>,
}

/// The index and its answers. Shared between threads; a decision takes two read locks and allocates nothing but for subresources.
pub struct Authorizer {
    state: RwLock<State>,
    graph: RwLock<Graph>,
    pods: PodNodes,
    node_rules: Grants,
    hash: FixedState,
}

impl Authorizer {
    /// `pods` tells where a pod runs; it is asked only for nodes reading single pods.
    pub fn new(pods: PodNodes) -> Self {
        Self {
            state: RwLock::default(),
            graph: RwLock::default(),
            pods,
            node_rules: Grants::compile(&node::rules()),
            hash: FixedState::default(),
        }
    }

    /// Takes a role or binding in as it now is; None when it was deleted.
    pub fn apply(&self, kind: RbacKind, namespace: &str, name: &str, object: Option<&Value>) {
        let mut state = self.state.write();
        state.index.apply(kind, namespace, name, object);
        state.users.clear();
        state.classes.clear();
    }

    /// A pod was bound to a node; `references` as [`node::references_of_pod`] finds them.
    pub fn pod_bound(&self, node: &str, references: Vec<Reference>) {
        self.graph.write().bind(node, references);
    }

    /// A bound pod is gone: the opposite of [`Authorizer::pod_bound`], with the references it had then.
    pub fn pod_gone(&self, node: &str, references: Vec<Reference>) {
        self.graph.write().unbind(node, references);
    }

    /// May `user` do this?
    pub fn authorize(&self, user: &User, attributes: &Attributes<'_>) -> Decision {
        if user.groups.iter().any(|group| group == MASTERS) {
            return Decision::Allowed;
        }
        let mut reason = String::new();
        if let Some(node) = node::node_of(user) {
            let rules = || self.node_rules.allow(attributes);
            match node::authorize(&self.graph.read(), &self.pods, node, attributes, rules) {
                Ok(()) => return Decision::Allowed,
                Err(why) => reason = why,
            }
        }
        if self.class_of(user).allow(attributes) { Decision::Allowed } else { Decision::Denied(reason) }
    }

    /// Which binding allows what [`Authorizer::authorize`] allowed, as access reviews tell it; None where it was none of RBAC's.
    pub fn explain(&self, user: &User, attributes: &Attributes<'_>) -> Option<String> {
        if user.groups.iter().any(|group| group == MASTERS) {
            return None;
        }
        let here = match attributes.target {
            Target::Resource { namespace, .. } => namespace,
            Target::Path(_) => "",
        };
        let state = self.state.read();
        let bindings = state.index.bindings_of(user);
        let mut bindings = bindings.iter().filter(|binding| binding.0.is_empty() || binding.0 == here);
        let allowing = bindings.find(|binding| {
            state.index.rules_of(binding).is_some_and(|rules| Grants::compile(rules.iter()).allow(attributes))
        })?;
        Some(format!("RBAC: allowed by {}", state.index.describe(allowing, user)?))
    }

    /// All rules that RBAC gives `user` in `namespace` (empty: cluster scope only), as SelfSubjectRulesReview lists them.
    pub fn rules_for(&self, user: &User, namespace: &str) -> Vec<Rule> {
        if user.groups.iter().any(|group| group == MASTERS) {
            let star = || vec!["*".to_owned()];
            return vec![
                Rule { verbs: star(), groups: star(), resources: star(), ..Rule::default() },
                Rule { verbs: star(), urls: star(), ..Rule::default() },
            ];
        }
        let state = self.state.read();
        let bindings = state.index.bindings_of(user);
        let scopes = bindings.iter().filter(|binding| binding.0.is_empty() || binding.0 == namespace);
        scopes.filter_map(|binding| state.index.rules_of(binding)).flat_map(|rules| rules.to_vec()).collect()
    }

    /// May `user` write a role with these rules? Needs every rule itself, or the verb `escalate` on the role.
    pub fn check_role(&self, user: &User, namespace: &str, name: &str, rules: &[Rule]) -> Result<(), EscalationError> {
        let resource = if namespace.is_empty() { "clusterroles" } else { "roles" };
        if self.may_on_role(user, "escalate", resource, namespace, name) {
            return Ok(());
        }
        self.check_rules(user, namespace, rules)
    }

    /// May `user` bind this role in `namespace`? Needs every rule of it, or the verb `bind` on it. A role that does not exist
    /// can be bound by the verb only.
    pub fn check_binding(&self, user: &User, namespace: &str, role: &RoleRef) -> Result<(), EscalationError> {
        let resource = if role.cluster { "clusterroles" } else { "roles" };
        if self.may_on_role(user, "bind", resource, namespace, &role.name) {
            return Ok(());
        }
        let rules = self.state.read().index.rules_of_role(namespace, role);
        match rules {
            Some(rules) => self.check_rules(user, namespace, &rules),
            None => {
                let kind = if role.cluster { "clusterrole" } else { "role" };
                Err(EscalationError(format!("{kind}.rbac.authorization.k8s.io {:?} not found", role.name)))
            }
        }
    }

    fn may_on_role(&self, user: &User, verb: &str, resource: &str, namespace: &str, name: &str) -> bool {
        let group = "rbac.authorization.k8s.io";
        let target = Target::Resource { group, resource, subresource: "", namespace, name, node_name: None };
        self.authorize(user, &Attributes { verb, target }) == Decision::Allowed
    }

    fn check_rules(&self, user: &User, namespace: &str, rules: &[Rule]) -> Result<(), EscalationError> {
        let missing = covers(&self.rules_for(user, namespace), rules);
        if missing.is_empty() {
            return Ok(());
        }
        let mut lines: Vec<String> = missing.iter().map(Rule::compact_string).collect();
        lines.sort_unstable();
        lines.dedup();
        Err(EscalationError(format!(
            "user {:?} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
            user.name,
            quoted(&user.groups),
            lines.join("\n")
        )))
    }

    /// What the user holds, from the cache or compiled now.
    fn class_of(&self, user: &User) -> Arc<Class> {
        let mut hasher = self.hash.build_hasher();
        user.name.hash(&mut hasher);
        user.groups.hash(&mut hasher);
        let key = hasher.finish();
        if let Some(cached) = self.state.read().users.get(&key)
            && cached.name == user.name
            && cached.groups == user.groups
        {
            return cached.class.clone();
        }
        // One lock from reading the index to writing the cache: a class never outlives the index it was compiled from.
        let mut state = self.state.write();
        let bindings = state.index.bindings_of(user);
        let class = match state.classes.get(&bindings) {
            Some(class) => class.clone(),
            None => {
                let class = Arc::new(Class::compile(&state.index, &bindings));
                state.classes.insert(bindings, class.clone());
                class
            }
        };
        if state.users.len() >= CACHED_USERS_MAX {
            state.users.clear();
        }
        let cached = CachedUser { name: user.name.clone(), groups: user.groups.clone(), class: class.clone() };
        state.users.insert(key, cached);
        class
    }
}
