//! Nobody grants what he does not hold: writes of roles and bindings are asked about before they are stored.
//!
//! Source: Kubernetes' `pkg/registry/rbac/{role,clusterrole,rolebinding,clusterrolebinding}/policybased/storage.go`.

use std::sync::Arc;

use knarr_authz::{Authorizer, RoleRef, Rule};
use knarr_base::User;
use knarr_machinery::{Guard, Resource, Status};
use knarr_schema::CompiledKind;
use knarr_value::Value;

const GROUP: &str = "rbac.authorization.k8s.io";

/// Asks RBAC about writes of RBAC's own kinds.
pub(crate) struct EscalationGuard(pub Arc<Authorizer>);

impl Guard for EscalationGuard {
    fn may_write(&self, user: &User, kind: &CompiledKind, new: &Value, old: Option<&Value>) -> Result<(), Status> {
        if kind.group != GROUP {
            return Ok(());
        }
        let (namespace, name) = (new.str_at(&["metadata", "namespace"]), new.str_at(&["metadata", "name"]));
        let same = |field: &str| old.is_some_and(|old| old.get(field) == new.get(field));
        let checked = match kind.kind.as_str() {
            "Role" | "ClusterRole" if same("rules") && same("aggregationRule") => return Ok(()),
            "Role" | "ClusterRole" => {
                let mut rules = Rule::list_from_role(new);
                if new.get("aggregationRule").is_some_and(|rule| !rule.is_null()) && !same("aggregationRule") {
                    rules.extend(everything()); // it may gather any rule there is or will be
                }
                self.0.check_role(user, namespace, name, &rules)
            }
            "RoleBinding" | "ClusterRoleBinding" if same("subjects") && same("roleRef") => return Ok(()),
            "RoleBinding" | "ClusterRoleBinding" => {
                let cluster = new.str_at(&["roleRef", "kind"]) == "ClusterRole";
                let role = RoleRef { cluster, name: new.str_at(&["roleRef", "name"]).to_owned() };
                self.0.check_binding(user, namespace, &role)
            }
            _ => return Ok(()),
        };
        checked.map_err(|error| {
            Status::forbidden(Resource { group: GROUP, plural: &kind.plural }, name, error.to_string())
        })
    }
}

/// All verbs on everything.
fn everything() -> [Rule; 2] {
    let paths = Rule { verbs: vec!["*".into()], urls: vec!["*".into()], ..Rule::default() };
    [Rule::resources(&["*"], "*", &["*"]), paths]
}
