"""What kinds that keep pods of one template have in common: Deployment, ReplicaSet, ReplicationController."""

from knarr.declare import AGE, NAME, Column, Scale, Subresource
from knarr.declare.json import Node, Nodes
from knarr.declare.rules import (
    all_of,
    apply,
    at,
    between,
    fail,
    forbidden_pointer,
    is_value,
    native,
    not_,
    one_of,
    over,
    required,
    same,
    updating,
    when,
)

#: The selector of a workload: given, well formed, not empty.
WORKLOAD_SELECTOR: Nodes = (at("selector", required(pointer=True), native("workloadSelector")),)

#: What is allowed and most likely not meant: said when a workload is made, of its template also when its spec changes.
WORKLOAD_WARNINGS: Nodes = (
    when(updating(), otherwise=[native("workloadNameWarning")]),
    when(all_of(updating(), same("spec", "old:spec")), otherwise=[at("spec.template", native("podWarnings"))]),
)


def long_running_template(kind: str) -> Nodes:
    """A template of pods that always run. kind: as Kubernetes calls it in the refusal of a deadline."""
    return (
        at("template", apply("PodTemplateSpec")),
        when(
            not_(is_value("template.spec.restartPolicy", "Always")),
            at("template.spec.restartPolicy", one_of("Always")),
        ),
        at(
            "template.spec.activeDeadlineSeconds",
            forbidden_pointer(f"activeDeadlineSeconds in {kind} is not Supported"),
        ),
    )


def status_counts(*fields: str, parts: tuple[str, ...]) -> Node:
    """Numbers of pods in a status: none negative, `parts` of `replicas` no more than it, available ones ready."""
    return at(
        "status",
        *(at(field, between(0)) for field in fields),
        *(
            when(over(field, "replicas"), at(field, fail("invalid", "cannot be greater than status.replicas")))
            for field in parts
        ),
        when(
            over("availableReplicas", "readyReplicas"),
            at("availableReplicas", fail("invalid", "cannot be greater than readyReplicas")),
        ),
    )


def scale(*, labels: bool = False) -> Subresource:
    """The scale subresource. labels: the selector is a map of labels."""
    return Subresource(
        "scale", ("get", "patch", "update"), body=("autoscaling", "v1", "Scale"), scale=Scale(labels=labels)
    )


def template_columns(selector: Column) -> tuple[Column, ...]:
    """What `-o wide` shows of the template, and the selector."""
    return (
        Column("Containers", "Names of each container in the template.", cell="workload.containers", priority=1),
        Column("Images", "Images referenced by each container in the template.", cell="workload.images", priority=1),
        selector,
    )


def replica_columns(desired: str, current: str, ready: str, selector: Column) -> tuple[Column, ...]:
    """The columns of what counts its pods itself. desired, current, ready: descriptions."""
    counts = (
        ("Desired", desired, "spec.replicas"),
        ("Current", current, "status.replicas"),
        ("Ready", ready, "status.readyReplicas"),
    )
    return (
        NAME,
        *(Column(name, text, path=path, cell="integer", type="integer") for name, text, path in counts),
        AGE,
        *template_columns(selector),
    )


__all__ = [
    "WORKLOAD_SELECTOR",
    "WORKLOAD_WARNINGS",
    "long_running_template",
    "replica_columns",
    "scale",
    "status_counts",
    "template_columns",
]
