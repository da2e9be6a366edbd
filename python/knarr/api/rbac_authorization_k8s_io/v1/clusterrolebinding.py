"""ClusterRoleBinding: who may do everywhere what a cluster role says."""

from knarr.declare import AGE, NAME, Column, Kind, set_to
from knarr.declare.rules import at, meta_create, meta_update, native

from ..._shared.rbac import SUBJECT, role_binding

_RULES = role_binding("ClusterRole", namespaced=False)

KIND = Kind(
    group="rbac.authorization.k8s.io",
    version="v1",
    kind="ClusterRoleBinding",
    plural="clusterrolebindings",
    type="io.k8s.api.rbac.v1.ClusterRoleBinding",
    namespaced=False,
    description="ClusterRoleBinding references a ClusterRole, but not contain it.",
    defaults=(set_to("roleRef.apiGroup", "rbac.authorization.k8s.io", zero=True),),
    types=(SUBJECT,),
    create=(meta_create("pathSegment", namespaced=False), *_RULES),
    update=(meta_update(), *_RULES, at("roleRef", native("roleRef"))),
    create_on_update=True,
    columns=(
        NAME,
        Column(
            "Role",
            (
                "RoleRef can only reference a ClusterRole in the global namespace. If the RoleRef cannot "
                "be resolved, the Authorizer must return an error."
            ),
            cell="role.ref",
        ),
        AGE,
        Column("Users", "Users in the clusterRoleBinding", cell="rolebinding.users", priority=1),
        Column("Groups", "Groups in the clusterRoleBinding", cell="rolebinding.groups", priority=1),
        Column(
            "ServiceAccounts",
            "ServiceAccounts in the clusterRoleBinding",
            cell="rolebinding.serviceAccounts",
            priority=1,
        ),
    ),
)
