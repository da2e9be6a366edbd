"""As many pods as asked for, made from a template: what ReplicaSet and ReplicationController do alike.

Adopts pods that its selector matches and nobody controls, releases those that it no longer matches; creates in
slow-start batches; deletes the cheapest to lose first. Source: kubernetes `pkg/controller/replicaset/replica_set.go`,
`controller_utils.go`; there a ReplicationController is a ReplicaSet too, by an adapter
(`pkg/controller/replication/conversion.go`). Here only the resource and the form of the selector differ.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, NamedTuple

from knarr.client.protocol import Object, Resource
from knarr.controllers.runtime.declare import Controller, To, Views, Watch, Writes
from knarr.controllers.runtime.objects import (
    PODS,
    adopt,
    condition,
    controller_reference,
    format_time,
    parse_time,
    release,
    split,
)
from knarr.controllers.runtime.plan import Event, Plan, Write, reference, slow_start

_BURST: Final = 500  # pods created or deleted by one reconcile
_COUNTS: Final = ("replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration")
_POD_FIELDS: Final = (
    "metadata.deletionTimestamp",
    "metadata.labels",
    "metadata.ownerReferences",
    "status.phase",
    "status.conditions[type=Ready].status",
    "status.conditions[type=Ready].lastTransitionTime",
)


class Owner(NamedTuple):
    """A ReplicaSet or a ReplicationController: their fields have the same names."""

    namespace: str
    name: str
    uid: str
    revision: int
    deleted: Annotated[str | None, "metadata.deletionTimestamp"]
    generation: Annotated[int | None, "metadata.generation"]
    replicas: Annotated[int | None, "spec.replicas"]
    selector: Annotated[dict[str, Any] | None, "spec.selector"]
    template: Annotated[dict[str, Any] | None, "spec.template"]
    min_ready: Annotated[int | None, "spec.minReadySeconds"]
    status: Annotated[dict[str, Any] | None, "status"]


class Pod(NamedTuple):
    namespace: str
    name: str
    uid: str
    revision: int
    deleted: Annotated[str | None, "metadata.deletionTimestamp"]
    created: Annotated[str | None, "metadata.creationTimestamp"]
    cost: Annotated[str | None, "metadata.annotations['controller.kubernetes.io/pod-deletion-cost']"]
    node: Annotated[str | None, "spec.nodeName"]
    phase: Annotated[str | None, "status.phase"]
    ready: Annotated[str | None, "status.conditions[type=Ready].status"]
    ready_since: Annotated[str | None, "status.conditions[type=Ready].lastTransitionTime"]
    restarts: Annotated[int | None, "status.containerStatuses[max].restartCount"]


class Related(NamedTuple):
    """Who controls an owner; asked for only when pods are to be deleted."""

    namespace: str
    name: str
    uid: str
    revision: int
    owners: Annotated[list[dict[str, Any]] | None, "metadata.ownerReferences"]


@dataclass(frozen=True, slots=True)
class Replicas:
    """One of the two. labels: the selector is a map of labels, not a LabelSelector."""

    resource: Resource
    labels: bool = False

    def controller(self, name: str, account: str) -> Controller:
        """The declaration of its controller."""
        kind, group = self.resource.kind, self.resource.group
        selected = To(
            "selected-by-map" if self.labels else "selected-by-selector",
            "spec.selector",
            Owner,
            fields=("metadata.labels", "metadata.ownerReferences"),
        )
        finalizers = {"apiGroups": [group], "resources": [f"{self.resource.plural}/finalizers"], "verbs": ["update"]}
        return Controller(
            name=name,
            account=account,
            watches=(
                Watch(self.resource, Owner, (To("own"),)),
                Watch(self.resource, Related),
                Watch(PODS, Pod, (To("controller", kind, fields=_POD_FIELDS), selected), labels=True),
            ),
            writes=(
                Writes(PODS, ("create", "delete", "patch")),
                Writes(self.resource, ("patch",), "status", ("status",)),
            ),
            reconcile=self.reconcile,
            extra_rules=(finalizers,),
        )

    def reconcile(self, views: Views, key: str, now: datetime) -> Plan:
        """key: namespace/name of an owner."""
        plan = Plan()
        found = views[Owner].get(*split(key))
        if found is None:
            return plan
        selector = self.selector(found)
        pods = views[Pod]
        strays = pods.strays(found.uid, selector)
        stray_uids = {pod.uid for pod in strays}
        owned = [pod for pod in pods.controlled_by(found.uid) if pod.uid not in stray_uids]
        if found.deleted is None:
            owner = controller_reference(self.resource, found.name, found.uid)
            for pod in strays:
                plan.writes.append(release(PODS, pod.namespace, pod.name, pod.uid, found.uid))
            for pod in pods.orphans(selector, found.namespace):
                if _active(pod):
                    plan.writes.append(adopt(PODS, pod.namespace, pod.name, pod.uid, owner))
                    owned.append(pod)
        active = [pod for pod in owned if _active(pod)]
        if found.deleted is None:
            _manage(self.resource, views, plan, found, active)
        _status(self.resource, views, plan, found, active, now)
        return plan

    def selector(self, found: Owner) -> dict[str, Any] | None:
        """As a LabelSelector. A map without labels selects nothing."""
        if not self.labels:
            return found.selector
        return {"matchLabels": found.selector} if found.selector else None


def _active(pod: Pod) -> bool:
    return pod.deleted is None and pod.phase not in ("Succeeded", "Failed")


def _manage(resource: Resource, views: Views, plan: Plan, found: Owner, active: list[Pod]) -> None:
    """Writes that make the pods as many as asked for. A failed one says so in the status."""
    wanted = 1 if found.replicas is None else found.replicas
    missing = wanted - len(active)
    regarding = reference(resource, found.namespace, found.name, found.uid)
    first = 1 if plan.writes else 0
    if missing > 0:
        made = Event(regarding, "SuccessfulCreate", "Created pod: {name}")
        failed = Event(regarding, "FailedCreate", "Error creating: {error}", "Warning")
        body = pod_of(resource, found)
        for group in slow_start(min(missing, _BURST)):
            plan.writes.append(
                Write(
                    "create", PODS, found.namespace, body=body, group=first + group, on_success=made, on_failure=failed
                )
            )
    elif missing < 0:
        chosen = rank(active, _related(views, found))[: min(-missing, _BURST)]
        for pod in chosen:
            done = Event(regarding, "SuccessfulDelete", f"Deleted pod: {pod.name}")
            failed = Event(regarding, "FailedDelete", "Error deleting: {error}", "Warning")
            plan.writes.append(
                Write(
                    "delete",
                    PODS,
                    pod.namespace,
                    pod.name,
                    uid=pod.uid,
                    group=first,
                    missing_ok=True,
                    on_success=done,
                    on_failure=failed,
                )
            )
    if missing:
        plan.report.append(f"{len(active)} pods, {wanted} wanted")


def pod_of(resource: Resource, found: Owner) -> Object:
    """A pod from the template."""
    template = found.template or {}
    meta = template.get("metadata") or {}
    metadata: Object = {
        "generateName": f"{found.name}-",
        "ownerReferences": [controller_reference(resource, found.name, found.uid)],
    }
    for field in ("labels", "annotations", "finalizers"):
        if meta.get(field):
            metadata[field] = meta[field]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template.get("spec") or {}}


def _related(views: Views, found: Owner) -> Counter[str]:
    """Active pods per node of this owner and of its siblings (other sets of the same Deployment): doubled-up pods go
    first."""
    count: Counter[str] = Counter()
    members = [found]
    owners = views[Related].of_uid(found.uid)
    for owner in (owners.owners if owners else None) or ():
        if owner.get("controller"):
            siblings = [row for row in views[Owner].controlled_by(owner["uid"]) if row.uid != found.uid]
            members.extend(siblings)
    for member in members:
        for pod in views[Pod].controlled_by(member.uid):
            if pod.node and _active(pod):
                count[pod.node] += 1
    return count


def rank(pods: list[Pod], related: Counter[str]) -> list[Pod]:
    """Cheapest to lose first. Source: `controller_utils.go`, ActivePodsWithRanks.Less; ages are compared by the power
    of two of their difference there only to spread load, here exactly."""
    phases = {"Pending": 0, "Unknown": 1, "Running": 2}

    def order(pod: Pod) -> tuple[Any, ...]:
        ready = pod.ready == "True"
        return (
            bool(pod.node),
            phases.get(pod.phase or "Pending", 0),
            ready,
            _cost(pod.cost),
            -related[pod.node or ""],
            _reverse(pod.ready_since) if ready else "",
            -(pod.restarts or 0),
            _reverse(pod.created),
            pod.name,
        )

    return sorted(pods, key=order)


def _reverse(time: str | None) -> float:
    """Newer first; unknown before all."""
    parsed = parse_time(time)
    return -parsed.timestamp() if parsed else float("-inf")


def _cost(text: str | None) -> int:
    try:
        return int(text) if text else 0
    except ValueError:
        return 0


def available_in(pod: Pod, min_ready: int, now: datetime) -> float | None:
    """Seconds until the pod counts as available: 0 now, None not ready."""
    if pod.ready != "True":
        return None
    since = parse_time(pod.ready_since)
    if not min_ready:
        return 0.0
    if since is None:
        return None
    return max(0.0, (since + timedelta(seconds=min_ready) - now).total_seconds())


def _status(resource: Resource, views: Views, plan: Plan, found: Owner, active: list[Pod], now: datetime) -> None:
    min_ready = found.min_ready or 0
    waits = [available_in(pod, min_ready, now) for pod in active]
    labels = ((found.template or {}).get("metadata") or {}).get("labels") or {}
    partly = {pod.uid for pod in views[Pod].strays(found.uid, {"matchLabels": labels})}
    status: Object = {
        "replicas": len(active),
        "fullyLabeledReplicas": sum(pod.uid not in partly for pod in active),
        "readyReplicas": sum(pod.ready == "True" for pod in active),
        "availableReplicas": sum(wait == 0.0 for wait in waits),
        "observedGeneration": found.generation or 0,
    }
    later = [wait for wait in waits if wait]
    if later:
        plan.requeue_after = min(later) + 0.01
    before = found.status or {}
    creating = any(write.verb == "create" for write in plan.writes)
    conditions = before.get("conditions") or []
    # A failure's condition goes when a reconcile has nothing left to do; while pods are being made it stays.
    kept = conditions if creating else [c for c in conditions if c.get("type") != "ReplicaFailure"]
    if any(before.get(field, 0) != status[field] for field in _COUNTS) or kept != conditions:
        plan.writes.append(_status_write(resource, found, status | {"conditions": kept}, group=99 if creating else 2))

    def failed(error: str) -> list[Write]:
        if condition(conditions, "ReplicaFailure"):
            return []
        failure = {
            "type": "ReplicaFailure",
            "status": "True",
            "reason": "FailedCreate" if creating else "FailedDelete",
            "message": error,
            "lastTransitionTime": format_time(now),
        }
        return [_status_write(resource, found, status | {"conditions": [*kept, failure]}, group=0)]

    if any(write.resource is PODS and write.verb in ("create", "delete") for write in plan.writes):
        plan.failed = failed


def _status_write(resource: Resource, found: Owner, status: Object, group: int) -> Write:
    return Write(
        "patch",
        resource,
        found.namespace,
        found.name,
        {"status": status},
        "status",
        uid=found.uid,
        revision=found.revision,
        group=group,
        missing_ok=True,
    )
