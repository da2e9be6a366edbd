"""ClusterRole: what may be done in the whole cluster."""

from knarr.declare import NAME, Column, Kind
from knarr.declare.rules import apply, at, is_set, label_selector, meta_create, meta_update, required, when

from ..._shared.rbac import CLUSTER_RULE

_AGGREGATION = at(
    "aggregationRule",
    when(
        is_set(pointer=True),
        at(
            "clusterRoleSelectors",
            required("at least one clusterRoleSelector required if aggregationRule is non-nil"),
            at("[*]", label_selector()),
        ),
    ),
)

KIND = Kind(
    group="rbac.authorization.k8s.io",
    version="v1",
    kind="ClusterRole",
    plural="clusterroles",
    type="io.k8s.api.rbac.v1.ClusterRole",
    namespaced=False,
    description=(
        "ClusterRole is a cluster level, logical grouping of PolicyRules that can be referenced as a "
        "unit by a RoleBinding or ClusterRoleBinding."
    ),
    types=(CLUSTER_RULE,),
    create=(meta_create("pathSegment", namespaced=False), at("rules[*]", apply("PolicyRule.cluster")), _AGGREGATION),
    update=(meta_update(), at("rules[*]", apply("PolicyRule.cluster")), _AGGREGATION),
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
