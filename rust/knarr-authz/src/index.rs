//! Roles and bindings as they stand, and which bindings name a user.

use std::collections::BTreeSet;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use knarr_base::User;
use knarr_value::Value;

use crate::rule::Rule;

/// The four kinds that the index is fed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RbacKind {
    Role,
    ClusterRole,
    RoleBinding,
    ClusterRoleBinding,
}

impl RbacKind {
    /// From the plural in a store key or URL.
    pub fn from_plural(plural: &str) -> Option<Self> {
        Some(match plural {
            "roles" => Self::Role,
            "clusterroles" => Self::ClusterRole,
            "rolebindings" => Self::RoleBinding,
            "clusterrolebindings" => Self::ClusterRoleBinding,
            _ => return None,
        })
    }
}

/// What a binding grants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoleRef {
    /// ClusterRole rather than Role.
    pub cluster: bool,
    pub name: String,
}

impl RoleRef {
    /// The `roleRef` of a binding.
    pub fn from_binding(binding: &Value) -> Self {
        Self {
            cluster: binding.str_at(&["roleRef", "kind"]) == "ClusterRole",
            name: binding.str_at(&["roleRef", "name"]).to_owned(),
        }
    }
}

/// Namespace (empty: cluster) and name.
pub(crate) type Key = (String, String);

#[derive(Debug)]
pub(crate) struct Binding {
    subjects: Vec<String>,
    pub(crate) role: RoleRef,
}

#[derive(Debug, Default)]
pub(crate) struct Index {
    roles: HashMap<Key, Arc<[Rule]>, FixedState>,
    bindings: HashMap<Key, Binding, FixedState>,
    /// `u:NAME` or `g:GROUP` to the bindings that name it.
    by_subject: HashMap<String, BTreeSet<Key>, FixedState>,
}

/// The words under which a binding's subjects are indexed.
fn subjects(binding: &Value, namespace: &str) -> Vec<String> {
    let listed = binding.get("subjects").and_then(Value::as_list).unwrap_or_default();
    let word = |subject: &Value| {
        let name = subject.str_at(&["name"]);
        match subject.str_at(&["kind"]) {
            "User" => Some(format!("u:{name}")),
            "Group" => Some(format!("g:{name}")),
            "ServiceAccount" => {
                let own = subject.str_at(&["namespace"]);
                // A RoleBinding's account without a namespace is of the binding's own.
                let namespace = if own.is_empty() { namespace } else { own };
                (!namespace.is_empty()).then(|| format!("u:system:serviceaccount:{namespace}:{name}"))
            }
            _ => None,
        }
    };
    listed.iter().filter_map(word).collect()
}

impl Index {
    /// Takes one object in, or out when `object` is None.
    pub(crate) fn apply(&mut self, kind: RbacKind, namespace: &str, name: &str, object: Option<&Value>) {
        let namespace = match kind {
            RbacKind::ClusterRole | RbacKind::ClusterRoleBinding => "",
            RbacKind::Role | RbacKind::RoleBinding => namespace,
        };
        let key = (namespace.to_owned(), name.to_owned());
        match kind {
            RbacKind::Role | RbacKind::ClusterRole => {
                match object {
                    Some(role) => self.roles.insert(key, Rule::list_from_role(role).into()),
                    None => self.roles.remove(&key),
                };
            }
            RbacKind::RoleBinding | RbacKind::ClusterRoleBinding => {
                if let Some(old) = self.bindings.remove(&key) {
                    for subject in old.subjects {
                        if let Some(keys) = self.by_subject.get_mut(&subject) {
                            keys.remove(&key);
                            if keys.is_empty() {
                                self.by_subject.remove(&subject);
                            }
                        }
                    }
                }
                if let Some(binding) = object {
                    let subjects = subjects(binding, namespace);
                    for subject in &subjects {
                        self.by_subject.entry(subject.clone()).or_default().insert(key.clone());
                    }
                    self.bindings.insert(key, Binding { subjects, role: RoleRef::from_binding(binding) });
                }
            }
        }
    }

    /// The bindings that name the user or one of its groups, sorted and each once: equal sets grant the same.
    pub(crate) fn bindings_of(&self, user: &User) -> Vec<Key> {
        let words = user.groups.iter().map(|group| format!("g:{group}"));
        let words = std::iter::once(format!("u:{}", user.name)).chain(words);
        let keys: BTreeSet<&Key> = words.filter_map(|word| self.by_subject.get(&word)).flatten().collect();
        keys.into_iter().cloned().collect()
    }

    /// A binding, its role and the subject that is this user, in RBAC's words.
    pub(crate) fn describe(&self, key: &Key, user: &User) -> Option<String> {
        let binding = self.bindings.get(key)?;
        let (namespace, name) = key;
        let role = &binding.role;
        let kind = if role.cluster { "ClusterRole" } else { "Role" };
        let binding_text = match namespace.is_empty() {
            true => format!("ClusterRoleBinding {name:?}"),
            false => format!("RoleBinding {:?}", format!("{name}/{namespace}")),
        };
        let is_user = |word: &&String| match word.split_once(':') {
            Some(("u", name)) => name == user.name,
            Some((_, group)) => user.groups.iter().any(|known| known == group),
            None => false,
        };
        let word = binding.subjects.iter().find(is_user)?;
        let subject = match word.split_once(':') {
            Some(("g", group)) => format!("Group {group:?}"),
            _ => {
                let account = user.name.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
                match account {
                    Some((namespace, name)) => format!("ServiceAccount {:?}", format!("{name}/{namespace}")),
                    None => format!("User {:?}", user.name),
                }
            }
        };
        Some(format!("{binding_text} of {kind} {:?} to {subject}", role.name))
    }

    /// The rules of the role that a binding refers to; None when the role does not exist.
    pub(crate) fn rules_of(&self, binding: &Key) -> Option<Arc<[Rule]>> {
        let role = &self.bindings.get(binding)?.role;
        self.rules_of_role(&binding.0, role)
    }

    pub(crate) fn rules_of_role(&self, namespace: &str, role: &RoleRef) -> Option<Arc<[Rule]>> {
        // A ClusterRoleBinding lives in no namespace and can only refer to a ClusterRole.
        let namespace = if role.cluster { "" } else { namespace };
        if namespace.is_empty() && !role.cluster {
            return None;
        }
        self.roles.get(&(namespace.to_owned(), role.name.clone())).cloned()
    }
}
