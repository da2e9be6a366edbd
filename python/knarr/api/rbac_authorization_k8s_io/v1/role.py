"""Role: what may be done in a namespace."""

from knarr.declare import NAME, Column, Kind
from knarr.declare.rules import apply, at, meta_create, meta_update

from ..._shared.rbac import NAMESPACED_RULE

KIND = Kind(
    group="rbac.authorization.k8s.io",
    version="v1",
    kind="Role",
    plural="roles",
    type="io.k8s.api.rbac.v1.Role",
    namespaced=True,
    description=(
        "Role is a namespaced, logical grouping of PolicyRules that can be referenced as a unit by a RoleBinding."
    ),
    types=(NAMESPACED_RULE,),
    create=(meta_create("pathSegment"), at("rules[*]", apply("PolicyRule.namespaced"))),
    update=(meta_update(), at("rules[*]", apply("PolicyRule.namespaced"))),
    create_on_update=True,
    columns=(
        NAME,
        Column(
            "Created At",
            (
                "CreationTimestamp is a timestamp representing the server time when this object was "
                "created. It is not guaranteed to be set in happens-before order across separate "
                "operations. Clients may not set this value. It is represented in RFC3339 form and is in "
                "UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: "
                "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"
            ),
            path="metadata.creationTimestamp",
            type="date",
        ),
    ),
)
