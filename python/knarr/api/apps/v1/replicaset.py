"""ReplicaSet: so many pods of one template."""

from knarr.declare import Column, Kind, Selectable, TypeRules, set_to
from knarr.declare.kind import status
from knarr.declare.rules import apply, at, between, immutable, meta_create, meta_update, native

from ..._shared.pod_spec import POD_TEMPLATE
from ..._shared.workload import (
    WORKLOAD_SELECTOR,
    WORKLOAD_WARNINGS,
    long_running_template,
    replica_columns,
    scale,
    status_counts,
)

REPLICASET_SPEC = TypeRules(
    "ReplicaSetSpec",
    type="io.k8s.api.apps.v1.ReplicaSetSpec",
    defaults=(set_to("replicas", 1),),
    rules=(
        at("replicas", between(0)),
        at("minReadySeconds", between(0)),
        *WORKLOAD_SELECTOR,
        native("templateLabels"),
        *long_running_template("ReplicaSet"),
    ),
    uses=(POD_TEMPLATE,),
)

_STATUS = status_counts(
    "replicas",
    "fullyLabeledReplicas",
    "readyReplicas",
    "availableReplicas",
    "terminatingReplicas",
    "observedGeneration",
    parts=("fullyLabeledReplicas", "readyReplicas", "availableReplicas"),
)

KIND = Kind(
    group="apps",
    version="v1",
    kind="ReplicaSet",
    plural="replicasets",
    type="io.k8s.api.apps.v1.ReplicaSet",
    short=("rs",),
    categories=("all",),
    description="ReplicaSet ensures that a specified number of pod replicas are running at any given time.",
    types=(REPLICASET_SPEC,),
    create=(meta_create(), at("spec", apply("ReplicaSetSpec"))),
    update=(meta_update(), at("spec", apply("ReplicaSetSpec")), at("spec.selector", immutable())),
    warnings=WORKLOAD_WARNINGS,
    has_status=True,
    generation=("spec",),
    subresources=(status(meta_update(), _STATUS), scale()),
    selectable=(Selectable("status.replicas", default="0"),),
    columns=replica_columns(
        desired=(
            "Replicas is the number of desired pods. This is a pointer to distinguish between "
            "explicit zero and unspecified. Defaults to 1. More info: "
            "https://kubernetes.io/docs/concepts/workloads/controllers/replicaset"
        ),
        current=(
            "Replicas is the most recently observed number of non-terminating pods. More info: "
            "https://kubernetes.io/docs/concepts/workloads/controllers/replicaset"
        ),
        ready="The number of non-terminating pods targeted by this ReplicaSet with a Ready Condition.",
        selector=Column(
            "Selector",
            (
                "Selector is a label query over pods that should match the replica count. If the selector"
                " is empty, it is defaulted to the labels present on the pod template. Label keys and "
                "values that must match in order to be controlled by this replica set. More info: "
                "https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors"
            ),
            cell="workload.selector",
            priority=1,
        ),
    ),
)
