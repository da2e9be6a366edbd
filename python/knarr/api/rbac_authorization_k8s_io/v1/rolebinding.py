"""RoleBinding: who may do, in its namespace, what a role says."""

from knarr.declare import AGE, NAME, Column, Kind, set_to
from knarr.declare.rules import at, meta_create, meta_update, native

from ..._shared.rbac import SUBJECT, role_binding

_RULES = role_binding("Role", "ClusterRole", namespaced=True)

KIND = Kind(
    group="rbac.authorization.k8s.io",
    version="v1",
    kind="RoleBinding",
    plural="rolebindings",
    type="io.k8s.api.rbac.v1.RoleBinding",
    namespaced=True,
    description=(
        "RoleBinding references a role, but does not contain it. It can reference a Role in the same "
        "namespace or a ClusterRole in the global namespace."
    ),
    defaults=(set_to("roleRef.apiGroup", "rbac.authorization.k8s.io", zero=True),),
    types=(SUBJECT,),
    create=(meta_create("pathSegment"), *_RULES),
    update=(meta_update(), *_RULES, at("roleRef", native("roleRef"))),
    create_on_update=True,
    columns=(
        NAME,
        Column(
            "Role",
            (
                "RoleRef can reference a Role in the current namespace or a ClusterRole in the global "
                "namespace. If the RoleRef cannot be resolved, the Authorizer must return an error."
            ),
            cell="role.ref",
        ),
        AGE,
        Column("Users", "Users in the roleBinding", cell="rolebinding.users", priority=1),
        Column("Groups", "Groups in the roleBinding", cell="rolebinding.groups", priority=1),
        Column(
            "ServiceAccounts",
            "ServiceAccounts in the roleBinding",
            cell="rolebinding.serviceAccounts",
            priority=1,
        ),
    ),
)
