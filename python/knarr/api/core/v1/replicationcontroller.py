"""ReplicationController: so many pods of one template, with a selector of plain labels (what ReplicaSet replaced)."""

from knarr.declare import Column, Kind, Selectable, TypeRules, copy, set_to
from knarr.declare.kind import status
from knarr.declare.rules import apply, at, between, is_set, meta_create, meta_update, native, required, when

from ..._shared.pod_spec import POD_TEMPLATE
from ..._shared.workload import WORKLOAD_WARNINGS, long_running_template, replica_columns, scale, status_counts

SPEC = TypeRules(
    "ReplicationControllerSpec",
    type="io.k8s.api.core.v1.ReplicationControllerSpec",
    defaults=(set_to("replicas", 1), copy("selector", "template.metadata.labels", zero=True)),
    rules=(
        at("minReadySeconds", between(0)),
        at("selector", required()),
        at("replicas", between(0)),
        at("template", required(pointer=True)),
        native("templateLabelsOfMap"),
        when(is_set("template", pointer=True), *long_running_template("ReplicationController")),
    ),
    uses=(POD_TEMPLATE,),
)

_STATUS = status_counts(
    "replicas",
    "fullyLabeledReplicas",
    "readyReplicas",
    "availableReplicas",
    "observedGeneration",
    parts=("fullyLabeledReplicas", "readyReplicas", "availableReplicas"),
)

KIND = Kind(
    group="",
    version="v1",
    kind="ReplicationController",
    plural="replicationcontrollers",
    type="io.k8s.api.core.v1.ReplicationController",
    short=("rc",),
    categories=("all",),
    description="ReplicationController represents the configuration of a replication controller.",
    types=(SPEC,),
    defaults=(copy("metadata.labels", "spec.template.metadata.labels", zero=True),),
    create=(meta_create(), at("spec", apply("ReplicationControllerSpec"))),
    update=(meta_update(), at("spec", apply("ReplicationControllerSpec"))),
    warnings=WORKLOAD_WARNINGS,
    has_status=True,
    generation=("spec",),
    subresources=(status(meta_update(), _STATUS), scale(labels=True)),
    dependents="orphan",
    selectable=(Selectable("status.replicas", default="0"),),
    columns=replica_columns(
        desired=(
            "Replicas is the number of desired replicas. This is a pointer to distinguish between explicit zero and "
            "unspecified. Defaults to 1. More info: https://kubernetes.io/docs/concepts/workloads/controllers/"
            "replicationcontroller#what-is-a-replicationcontroller"
        ),
        current=(
            "Replicas is the most recently observed number of replicas. More info: https://kubernetes.io/docs/"
            "concepts/workloads/controllers/replicationcontroller#what-is-a-replicationcontroller"
        ),
        ready="The number of ready replicas for this replication controller.",
        selector=Column(
            "Selector",
            (
                "Selector is a label query over pods that should match the Replicas count. If Selector is empty, it "
                "is defaulted to the labels present on the Pod template. Label keys and values that must match in "
                "order to be controlled by this replication controller, if empty defaulted to labels on Pod template. "
                "More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors"
            ),
            cell="selector.labels",
            priority=1,
        ),
    ),
)
