"""Pod garbage collection: pods that no kubelet will ever end.

Three kinds: bound to a node that is gone (after 40 s in which it might come back); being deleted without ever having
been bound; and finished pods beyond a threshold (12,500), oldest first. Source: kubernetes
`pkg/controller/podgc/gc_controller.go`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, NamedTuple

from knarr.client.protocol import Object
from knarr.controllers.runtime.declare import Controller, To, Views, Watch, Writes
from knarr.controllers.runtime.objects import NODES, PODS, format_time
from knarr.controllers.runtime.plan import Plan, Write

_PERIOD: Final = 20.0  # seconds between looks at everything
_QUARANTINE: Final = 40.0  # seconds a node must be gone
_FINISHED_MAX: Final = 12_500
_KEY: Final = "/all"


class Node(NamedTuple):
    namespace: str
    name: str
    uid: str
    revision: int


class Pod(NamedTuple):
    namespace: str
    name: str
    uid: str
    revision: int
    deleted: Annotated[str | None, "metadata.deletionTimestamp"]
    created: Annotated[str | None, "metadata.creationTimestamp"]
    node: Annotated[str | None, "spec.nodeName"]
    phase: Annotated[str | None, "status.phase"]


def reconcile(views: Views, key: str, now: datetime) -> Plan:
    """key: whatever it is, all pods are looked at; a node's deletion only brings the look forward."""
    plan = Plan(requeue_after=_PERIOD) if key == _KEY else Plan()
    if key != _KEY and views[Node].get("", key[1:]) is not None:
        return plan
    limit = int(views.settings.get("terminated_pod_gc_threshold", _FINISHED_MAX))
    nodes = {node.name for node in views[Node].all()}
    missing: dict[str, datetime] = views.memory.setdefault("missing", {})
    orphans: dict[str, list[Pod]] = {}
    finished: list[Pod] = []
    for pod in views[Pod].all():
        if pod.node and pod.node not in nodes:
            orphans.setdefault(pod.node, []).append(pod)
        elif pod.deleted is not None and not pod.node:
            plan.writes += _end(pod, None)
        elif pod.phase in ("Succeeded", "Failed") and pod.deleted is None:
            finished.append(pod)
    for name in [name for name in missing if name not in orphans]:
        del missing[name]
    for name, pods in orphans.items():
        if (now - missing.setdefault(name, now)).total_seconds() < _QUARANTINE:
            plan.report.append(f"node {name} is gone; waiting whether it comes back")
            continue
        for pod in pods:
            plan.writes += _end(pod, _gone(now))
    finished.sort(key=lambda pod: (pod.created or "", pod.namespace, pod.name))
    for pod in finished[: max(0, len(finished) - limit)]:
        plan.writes.append(_delete(pod))
    return plan


def _gone(now: datetime) -> Object:
    return {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "DeletionByPodGC",
        "message": "PodGC: node no longer exists",
        "lastTransitionTime": format_time(now),
    }


def _end(pod: Pod, reason: Object | None) -> list[Write]:
    """Failed, so that its owner counts it as that, then deleted without grace: nobody is there to grant any."""
    writes = []
    if pod.phase not in ("Succeeded", "Failed"):
        status: Object = {"phase": "Failed"}
        if reason is not None:
            status["conditions"] = [reason]
        writes.append(
            Write(
                "patch",
                PODS,
                pod.namespace,
                pod.name,
                {"status": status},
                "status",
                "strategic",
                uid=pod.uid,
                missing_ok=True,
            )
        )
    return [*writes, _delete(pod)]


def _delete(pod: Pod) -> Write:
    return Write("delete", PODS, pod.namespace, pod.name, uid=pod.uid, grace_period=0, group=1, missing_ok=True)


CONTROLLER = Controller(
    name="pod-garbage-collector",
    account="pod-garbage-collector",
    watches=(Watch(NODES, Node, (To("own", fields=()),)), Watch(PODS, Pod)),
    writes=(Writes(PODS, ("delete",)), Writes(PODS, ("patch",), "status")),
    reconcile=reconcile,
    initial=(_KEY,),
    workers=1,
)
