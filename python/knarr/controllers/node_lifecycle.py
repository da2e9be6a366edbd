"""Node lifecycle: a node that stops renewing its Lease becomes Unknown, is tainted, and its pods are evicted.

    heartbeat (Lease renewTime, or Ready's lastHeartbeatTime) older than 40 s
        -> conditions Ready, MemoryPressure, DiskPressure, PIDPressure become Unknown (NodeStatusUnknown);
           its pods become not ready
    Ready False   -> taints node.kubernetes.io/not-ready NoSchedule and NoExecute
    Ready Unknown -> taints node.kubernetes.io/unreachable NoSchedule and NoExecute
    pressures, network, unschedulable -> their NoSchedule taints
    NoExecute taints -> pods without a toleration, or after its tolerationSeconds since the taint, are deleted

Heartbeats are compared with this process's clock only through when a change of them was seen, as
kube-controller-manager does: a node's clock does not matter. Source: kubernetes
`pkg/controller/nodelifecycle/node_lifecycle_controller.go`, `pkg/controller/tainteviction/taint_eviction.go`.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Final, NamedTuple

from knarr.client.protocol import Object
from knarr.controllers.runtime.declare import Controller, To, Views, Watch, Writes
from knarr.controllers.runtime.objects import LEASES, NODES, PODS, condition, format_time, parse_time, split
from knarr.controllers.runtime.plan import Event, Plan, Write, reference

_PERIOD: Final = 5.0  # seconds between looks at a node (kube-controller-manager's node-monitor-period)
_GRACE: Final = 40.0  # seconds without heartbeat
_STARTUP: Final = 60.0  # seconds a node that never reported is given
_KUBELET_CONDITIONS: Final = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
_NOT_READY: Final = "node.kubernetes.io/not-ready"
_UNREACHABLE: Final = "node.kubernetes.io/unreachable"
_BY_CONDITION: Final = {
    "MemoryPressure": "node.kubernetes.io/memory-pressure",
    "DiskPressure": "node.kubernetes.io/disk-pressure",
    "PIDPressure": "node.kubernetes.io/pid-pressure",
    "NetworkUnavailable": "node.kubernetes.io/network-unavailable",
}
_UNSCHEDULABLE: Final = "node.kubernetes.io/unschedulable"
_OURS: Final = {_NOT_READY, _UNREACHABLE, _UNSCHEDULABLE, *_BY_CONDITION.values()}


class Node(NamedTuple):
    namespace: str
    name: str
    uid: str
    revision: int
    created: Annotated[str | None, "metadata.creationTimestamp"]
    deleted: Annotated[str | None, "metadata.deletionTimestamp"]
    taints: Annotated[list[dict[str, Any]] | None, "spec.taints"]
    unschedulable: Annotated[bool | None, "spec.unschedulable"]
    conditions: Annotated[list[dict[str, Any]] | None, "status.conditions"]


class Lease(NamedTuple):
    namespace: str
    name: str
    uid: str
    revision: int
    renewed: Annotated[str | None, "spec.renewTime"]


class Pod(NamedTuple):
    namespace: str
    name: str
    uid: str
    revision: int
    deleted: Annotated[str | None, "metadata.deletionTimestamp"]
    node: Annotated[str | None, "spec.nodeName"]
    phase: Annotated[str | None, "status.phase"]
    ready: Annotated[str | None, "status.conditions[type=Ready].status"]
    tolerations: Annotated[list[dict[str, Any]] | None, "spec.tolerations"]


def reconcile(views: Views, key: str, now: datetime) -> Plan:
    """key: /name of a Node."""
    plan = Plan()
    node = views[Node].get("", split(key)[1])
    seen: dict[str, tuple[Any, datetime]] = views.memory.setdefault("heartbeats", {})
    if node is None:
        seen.pop(key, None)
        return plan
    plan.requeue_after = _PERIOD
    conditions = list(node.conditions or [])
    silent = _silent(views, node, seen, key, now)
    if silent:
        unknown = _unknown(conditions, now)
        if unknown != conditions:
            conditions = unknown
            body = {"status": {"conditions": conditions}}
            plan.writes.append(
                Write("patch", NODES, "", node.name, body, "status", "strategic", uid=node.uid, missing_ok=True)
            )
            regarding = reference(NODES, "", node.name, node.uid)
            plan.events.append(Event(regarding, "NodeNotReady", f"Node {node.name} status is now: NodeNotReady"))
    taints = _taints(node, conditions, now)
    if taints is not None:
        plan.writes.append(
            Write(
                "patch",
                NODES,
                "",
                node.name,
                {"spec": {"taints": taints}},
                uid=node.uid,
                revision=0 if silent and plan.writes else node.revision,
                group=1,
                missing_ok=True,
            )
        )
    ready = condition(conditions, "Ready")
    if ready is not None and ready.get("status") == "True" and not _executing(node.taints or []):
        return plan
    current = node.taints if taints is None else taints
    _evict(views, plan, node, current or [], now, ready is None or ready.get("status") != "True")
    return plan


def _silent(views: Views, node: Node, seen: dict[str, tuple[Any, datetime]], key: str, now: datetime) -> bool:
    """Whether nothing was heard for the grace period. Its first sight counts as hearing."""
    lease = views[Lease].get("kube-node-lease", node.name)
    ready = condition(node.conditions, "Ready") or {}
    signs = (lease.renewed if lease else None, ready.get("lastHeartbeatTime"), ready.get("status") == "Unknown")
    before = seen.get(key)
    if before is None or before[0][:2] != signs[:2]:
        # A first look at what was judged silent before a restart is no sign of life.
        if before is None and signs[2]:
            seen[key] = (signs, now - timedelta(seconds=_GRACE + _STARTUP))
        else:
            seen[key] = (signs, now)
    grace = _STARTUP if not ready else float(views.settings.get("node_grace_seconds", _GRACE))
    since = seen[key][1]
    if not ready:
        created = parse_time(node.created)
        since = created if created is not None else since
    return (now - since).total_seconds() > grace


def _unknown(conditions: list[Object], now: datetime) -> list[Object]:
    """The kubelet's conditions as Unknown; those that are so already stay."""
    time = format_time(now)
    after = list(conditions)
    for kind in _KUBELET_CONDITIONS:
        current = condition(after, kind)
        if current is None:
            after.append(
                {
                    "type": kind,
                    "status": "Unknown",
                    "reason": "NodeStatusNeverUpdated",
                    "message": "Kubelet never posted node status.",
                    "lastHeartbeatTime": time,
                    "lastTransitionTime": time,
                }
            )
        elif current.get("status") != "Unknown":
            after[after.index(current)] = current | {
                "status": "Unknown",
                "reason": "NodeStatusUnknown",
                "message": "Kubelet stopped posting node status.",
                "lastTransitionTime": time,
            }
    return after


def _taints(node: Node, conditions: list[Object], now: datetime) -> list[Object] | None:
    """The node's taints as they ought to be; None when they are. Only this controller's keys are touched."""
    wanted: dict[tuple[str, str], Object] = {}

    def want(key: str, effect: str) -> None:
        wanted[(key, effect)] = {"key": key, "effect": effect}

    ready = condition(conditions, "Ready")
    state = ready.get("status") if ready else None
    if state in ("False", "Unknown"):
        for effect in ("NoSchedule", "NoExecute"):
            want(_NOT_READY if state == "False" else _UNREACHABLE, effect)
    for kind, key in _BY_CONDITION.items():
        found = condition(conditions, kind)
        if found is not None and found.get("status") == "True":
            want(key, "NoSchedule")
    if node.unschedulable:
        want(_UNSCHEDULABLE, "NoSchedule")
    before = node.taints or []
    after: list[Object] = []
    for taint in before:
        place = (taint["key"], taint["effect"])
        ours = taint["key"] in _OURS and taint["effect"] in ("NoSchedule", "NoExecute")
        # A node registers with not-ready:NoSchedule, before it has any condition.
        if not ours or wanted.pop(place, None) is not None or (state is None and taint["key"] == _NOT_READY):
            after.append(taint)
    for taint in wanted.values():
        after.append(taint | {"timeAdded": format_time(now)})
    return None if after == before else after


def _executing(taints: list[Object]) -> list[Object]:
    return [taint for taint in taints if taint.get("effect") == "NoExecute"]


def _evict(views: Views, plan: Plan, node: Node, taints: list[Object], now: datetime, not_ready: bool) -> None:
    """Mark the node's pods not ready, and delete those that tolerate its NoExecute taints no longer."""
    executing = _executing(taints)
    for pod in views[Pod].with_field("spec.nodeName", node.name):
        if not_ready and pod.ready == "True":
            unready = {
                "type": "Ready",
                "status": "False",
                "reason": "NodeNotReady",
                "message": "",
                "lastTransitionTime": format_time(now),
            }
            plan.writes.append(
                Write(
                    "patch",
                    PODS,
                    pod.namespace,
                    pod.name,
                    {"status": {"conditions": [unready]}},
                    "status",
                    "strategic",
                    uid=pod.uid,
                    group=1,
                    missing_ok=True,
                )
            )
        if pod.deleted is not None or not executing:
            continue
        left = seconds_tolerated(pod.tolerations or [], executing, now)
        if left is None:
            continue
        if left > 0:
            plan.requeue_after = min(plan.requeue_after or left, left)
            continue
        message = f"Marking for deletion Pod {pod.namespace}/{pod.name}"
        event = Event(reference(PODS, pod.namespace, pod.name, pod.uid), "TaintManagerEviction", message)
        target = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "DeletionByTaintManager",
            "message": "Taint manager: deleting due to NoExecute taint",
            "lastTransitionTime": format_time(now),
        }
        plan.writes.append(
            Write(
                "patch",
                PODS,
                pod.namespace,
                pod.name,
                {"status": {"conditions": [target]}},
                "status",
                "strategic",
                uid=pod.uid,
                group=2,
                missing_ok=True,
            )
        )
        plan.writes.append(
            Write("delete", PODS, pod.namespace, pod.name, uid=pod.uid, group=3, missing_ok=True, on_success=event)
        )


def seconds_tolerated(tolerations: list[Object], taints: list[Object], now: datetime) -> float | None:
    """How long a pod may still stay: None for ever, 0 or less not at all. The shortest of its tolerations counts, from
    when the newest of the taints was added."""
    shortest: float | None = None
    for taint in taints:
        tolerating = [one for one in tolerations if tolerates(one, taint)]
        if not tolerating:
            return 0.0
        for one in tolerating:
            seconds = one.get("tolerationSeconds")
            if seconds is not None:
                shortest = max(0.0, float(seconds)) if shortest is None else min(shortest, max(0.0, float(seconds)))
    if shortest is None:
        return None
    added = [time for taint in taints if (time := parse_time(taint.get("timeAdded")))]
    since = max(added) if added else now
    return (since + timedelta(seconds=shortest) - now).total_seconds()


def tolerates(toleration: Object, taint: Object) -> bool:
    effect, key = toleration.get("effect"), toleration.get("key")
    if effect and effect != taint.get("effect"):
        return False
    if key and key != taint.get("key"):
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return True
    return bool(key) and toleration.get("value", "") == taint.get("value", "")


CONTROLLER = Controller(
    name="node-lifecycle",
    account="node-controller",
    watches=(
        Watch(NODES, Node, (To("own", fields=("spec.taints", "spec.unschedulable", "status.conditions")),)),
        Watch(LEASES, Lease),
        Watch(PODS, Pod, indexes=("spec.nodeName",)),
    ),
    writes=(
        Writes(NODES, ("patch",), fields=("spec.taints",)),
        Writes(NODES, ("patch",), "status", ("status.conditions",)),
        Writes(PODS, ("delete",)),
        Writes(PODS, ("patch",), "status"),
    ),
    reconcile=reconcile,
)
