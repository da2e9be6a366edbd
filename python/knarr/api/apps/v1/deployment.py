"""Deployment: pods of one template, replaced step by step when it changes."""

from knarr.declare import AGE, NAME, Column, Kind, TypeRules, set_to, steps
from knarr.declare.kind import status
from knarr.declare.rules import (
    apply,
    at,
    between,
    fail,
    forbidden_pointer,
    immutable,
    is_value,
    meta_create,
    meta_update,
    native,
    not_,
    over,
    when,
)

from ..._shared.pod_spec import POD_TEMPLATE
from ..._shared.workload import (
    WORKLOAD_SELECTOR,
    WORKLOAD_WARNINGS,
    long_running_template,
    scale,
    status_counts,
    template_columns,
)

_STRATEGY = at(
    "strategy",
    when(
        is_value("type", "Recreate"),
        at("rollingUpdate", forbidden_pointer("may not be specified when strategy `type` is 'Recreate'")),
        otherwise=[
            when(
                is_value("type", "RollingUpdate"),
                at("rollingUpdate", native("rollingUpdate")),
                otherwise=[native("strategyType")],
            )
        ],
    ),
)

DEPLOYMENT_SPEC = TypeRules(
    "DeploymentSpec",
    type="io.k8s.api.apps.v1.DeploymentSpec",
    defaults=(
        set_to("replicas", 1),
        set_to("strategy.type", "RollingUpdate"),
        set_to("strategy.rollingUpdate", {}, when=is_value("strategy.type", "RollingUpdate")),
        set_to("strategy.rollingUpdate.maxUnavailable", "25%", when=is_value("strategy.type", "RollingUpdate")),
        set_to("strategy.rollingUpdate.maxSurge", "25%", when=is_value("strategy.type", "RollingUpdate")),
        set_to("revisionHistoryLimit", 10),
        set_to("progressDeadlineSeconds", 600),
    ),
    rules=(
        at("replicas", between(0)),
        *WORKLOAD_SELECTOR,
        native("templateLabels"),
        *long_running_template("ReplicaSet"),
        _STRATEGY,
        at("minReadySeconds", between(0)),
        at("revisionHistoryLimit", between(0)),
        at(
            "progressDeadlineSeconds",
            between(0),
            when(not_(over(".", "$.minReadySeconds")), fail("invalid", "must be greater than minReadySeconds")),
        ),
    ),
    uses=(POD_TEMPLATE,),
)

_STATUS = status_counts(
    "observedGeneration",
    "replicas",
    "updatedReplicas",
    "readyReplicas",
    "availableReplicas",
    "unavailableReplicas",
    "terminatingReplicas",
    "collisionCount",
    parts=("updatedReplicas", "readyReplicas", "availableReplicas"),
)

KIND = Kind(
    group="apps",
    version="v1",
    kind="Deployment",
    plural="deployments",
    type="io.k8s.api.apps.v1.Deployment",
    short=("deploy",),
    categories=("all",),
    description="Deployment enables declarative updates for Pods and ReplicaSets.",
    types=(DEPLOYMENT_SPEC,),
    create=(meta_create(), at("spec", apply("DeploymentSpec"))),
    update=(meta_update(), at("spec", apply("DeploymentSpec")), at("spec.selector", immutable())),
    warnings=WORKLOAD_WARNINGS,
    has_status=True,
    generation=("spec", "metadata.annotations"),
    prepare_status=(steps.keep("metadata.labels"),),
    subresources=(status(meta_update(), _STATUS), scale()),
    columns=(
        NAME,
        Column("Ready", "Number of the pod with ready state", cell="deployment.ready"),
        Column(
            "Up-to-date",
            "Total number of non-terminating pods targeted by this deployment that have the desired template spec.",
            path="status.updatedReplicas",
            cell="integer",
        ),
        Column(
            "Available",
            (
                "Total number of available non-terminating pods (ready for at least minReadySeconds) "
                "targeted by this deployment."
            ),
            path="status.availableReplicas",
            cell="integer",
        ),
        AGE,
        *template_columns(
            Column(
                "Selector",
                (
                    "Label selector for pods. Existing ReplicaSets whose pods are selected by this will be "
                    "the ones affected by this deployment."
                ),
                cell="workload.selector",
                priority=1,
            ),
        ),
    ),
)
