"""Where a pod may run: node selectors, affinity, spreading, tolerations, taints."""

from knarr.declare import TypeRules
from knarr.declare.rules import (
    all_of,
    any_of,
    apply,
    at,
    between,
    entries,
    fail,
    is_set,
    is_unset,
    is_value,
    label_selector,
    native,
    not_,
    one_of,
    required,
    text,
    when,
)

_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")

NODE_SELECTOR_TERM = TypeRules(
    "NodeSelectorTerm",
    rules=(
        at(
            "matchExpressions[*]",
            when(
                all_of(is_value("operator", "In", "NotIn"), is_unset("values")),
                at("values", fail("required", "must be specified when `operator` is 'In' or 'NotIn'")),
            ),
            when(
                all_of(is_value("operator", "Exists", "DoesNotExist"), is_set("values")),
                at("values", fail("forbidden", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")),
            ),
            when(
                all_of(is_value("operator", "Gt", "Lt"), any_of(is_unset("values"), entries("values", 2))),
                at("values", fail("required", "must be specified single value when `operator` is 'Lt' or 'Gt'")),
            ),
            at(
                "operator",
                one_of("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt", invalid="not a valid selector operator"),
            ),
            at("key", text("qualifiedName", empty=True)),
        ),
        at(
            "matchFields[*]",
            when(
                all_of(is_value("operator", "In", "NotIn"), any_of(is_unset("values"), entries("values", 2))),
                at(
                    "values",
                    fail(
                        "required", "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
                    ),
                ),
            ),
            at("operator", one_of("In", "NotIn", invalid="not a valid selector operator")),
            at("key", one_of("metadata.name", invalid="not a valid field selector key")),
            when(is_value("key", "metadata.name"), at("values[*]", text("dns1123Subdomain", empty=True))),
        ),
    ),
)

_WEIGHT = at("weight", between(1, 100, zero=True, detail="must be in the range 1-100"))

NODE_AFFINITY = TypeRules(
    "NodeAffinity",
    rules=(
        at(
            "requiredDuringSchedulingIgnoredDuringExecution",
            when(
                is_set(pointer=True),
                at(
                    "nodeSelectorTerms",
                    required("must have at least one node selector term"),
                    at("[*]", apply("NodeSelectorTerm"), at("matchExpressions[*].values[*]", text("labelValue"))),
                ),
            ),
        ),
        at(
            "preferredDuringSchedulingIgnoredDuringExecution[*]",
            _WEIGHT,
            at("preference", apply("NodeSelectorTerm")),
        ),
    ),
    uses=(NODE_SELECTOR_TERM,),
)

POD_AFFINITY_TERM = TypeRules(
    "PodAffinityTerm",
    rules=(
        at("labelSelector", label_selector()),
        at("namespaceSelector", label_selector()),
        at("namespaces", native("affinityNamespaces")),
        at("topologyKey", required("can not be empty"), text("qualifiedName", empty=True)),
    ),
)

POD_AFFINITY = TypeRules(
    "PodAffinity",
    rules=(
        at("requiredDuringSchedulingIgnoredDuringExecution[*]", apply("PodAffinityTerm")),
        at(
            "preferredDuringSchedulingIgnoredDuringExecution[*]",
            _WEIGHT,
            at("podAffinityTerm", apply("PodAffinityTerm")),
        ),
    ),
    uses=(POD_AFFINITY_TERM,),
)

TOLERATION = TypeRules(
    "Toleration",
    rules=(
        at("key", text("qualifiedName")),
        when(
            all_of(is_unset("key"), not_(is_value("operator", "Exists"))),
            at("operator", native("tolerationOperator")),
        ),
        when(
            all_of(is_set("tolerationSeconds", pointer=True), not_(is_value("effect", "NoExecute"))),
            at("effect", native("tolerationEffect")),
        ),
        native("tolerationValue"),
        at("operator", one_of("Equal", "Exists", optional=True)),
        at("effect", one_of(*_EFFECTS, optional=True)),
    ),
)

TAINT = TypeRules(
    "Taint",
    rules=(
        at("key", text("qualifiedName", empty=True)),
        at("value", text("labelValue")),
        at("effect", one_of(*_EFFECTS, required=True)),
    ),
)

SPREAD = TypeRules(
    "TopologySpreadConstraint",
    rules=(
        at("maxSkew", between(1, zero=True, detail="must be greater than zero")),
        at("topologyKey", required("can not be empty")),
        at("whenUnsatisfiable", one_of("DoNotSchedule", "ScheduleAnyway")),
        native("minDomains"),
        at("nodeAffinityPolicy", one_of("Honor", "Ignore", optional=True)),
        at("nodeTaintsPolicy", one_of("Honor", "Ignore", optional=True)),
        at("labelSelector", label_selector()),
    ),
)

__all__ = ["NODE_AFFINITY", "POD_AFFINITY", "SPREAD", "TAINT", "TOLERATION"]
