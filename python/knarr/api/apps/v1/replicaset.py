"""ReplicaSet: so many pods of one template."""

from knarr.declare import AGE, NAME, Column, Kind, Scale, Selectable, Subresource, TypeRules, set_to
from knarr.declare.kind import status
from knarr.declare.rules import apply, at, between, fail, immutable, meta_create, meta_update, over, when

from ..._shared.pod_spec import LONG_RUNNING_TEMPLATE, POD_TEMPLATE, WORKLOAD_SELECTOR

REPLICASET_SPEC = TypeRules(
    "ReplicaSetSpec",
    type="io.k8s.api.apps.v1.ReplicaSetSpec",
    defaults=(set_to("replicas", 1),),
    rules=(
        at("replicas", between(0)),
        at("minReadySeconds", between(0)),
        *WORKLOAD_SELECTOR,
        *LONG_RUNNING_TEMPLATE,
    ),
    uses=(POD_TEMPLATE,),
)

_STATUS = at(
    "status",
    *(
        at(field, between(0))
        for field in (
            "replicas",
            "fullyLabeledReplicas",
            "readyReplicas",
            "availableReplicas",
            "terminatingReplicas",
            "observedGeneration",
        )
    ),
    *(
        when(over(field, "replicas"), at(field, fail("invalid", "cannot be greater than status.replicas")))
        for field in ("fullyLabeledReplicas", "readyReplicas", "availableReplicas")
    ),
    when(
        over("availableReplicas", "readyReplicas"),
        at("availableReplicas", fail("invalid", "cannot be greater than readyReplicas")),
    ),
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
    has_status=True,
    generation=("spec",),
    subresources=(
        status(meta_update(), _STATUS),
        Subresource("scale", ("get", "patch", "update"), body=("autoscaling", "v1", "Scale"), scale=Scale()),
    ),
    selectable=(Selectable("status.replicas", default="0"),),
    columns=(
        NAME,
        Column(
            "Desired",
            (
                "Replicas is the number of desired pods. This is a pointer to distinguish between "
                "explicit zero and unspecified. Defaults to 1. More info: "
                "https://kubernetes.io/docs/concepts/workloads/controllers/replicaset"
            ),
            path="spec.replicas",
            cell="integer",
            type="integer",
        ),
        Column(
            "Current",
            (
                "Replicas is the most recently observed number of non-terminating pods. More info: "
                "https://kubernetes.io/docs/concepts/workloads/controllers/replicaset"
            ),
            path="status.replicas",
            cell="integer",
            type="integer",
        ),
        Column(
            "Ready",
            "The number of non-terminating pods targeted by this ReplicaSet with a Ready Condition.",
            path="status.readyReplicas",
            cell="integer",
            type="integer",
        ),
        AGE,
        Column("Containers", "Names of each container in the template.", cell="workload.containers", priority=1),
        Column("Images", "Images referenced by each container in the template.", cell="workload.images", priority=1),
        Column(
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
