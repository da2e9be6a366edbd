"""What a pod's resources mean on the node: QoS class, cgroup values, OOM score. Pure.

Source: Kubernetes 1.34, pkg/apis/core/v1/helper/qos, pkg/kubelet/cm/helpers_linux.go, pkg/kubelet/qos/policy.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from .quantity import amount, milli, whole
from .runtime import Limits

QUOTA_PERIOD_US = 100_000
QUOTA_MIN_US = 1_000
SHARES_MIN, SHARES_MAX = 2, 262_144
GUARANTEED_OOM_SCORE = -997
BESTEFFORT_OOM_SCORE = 1000
SYSTEM_CRITICAL_PRIORITY = 2_000_000_000


def is_sidecar(container: Mapping[str, Any]) -> bool:
    """A restartable init container."""
    return container.get("restartPolicy") == "Always"


def qos_class(pod: Mapping[str, Any]) -> str:
    """Guaranteed, Burstable or BestEffort; what the API server decided at creation wins."""
    decided = pod.get("status", {}).get("qosClass")
    if decided:
        return str(decided)
    spec = pod["spec"]
    sets = (
        [spec["resources"]]
        if spec.get("resources")
        else [c.get("resources", {}) for c in (*spec.get("containers", ()), *spec.get("initContainers", ()))]
    )
    used, guaranteed = False, True
    for resources in sets:
        for name in ("cpu", "memory"):
            limit = amount(resources.get("limits"), name)
            request = amount(resources.get("requests"), name) or limit
            used = used or bool(limit or request)
            guaranteed = guaranteed and bool(limit) and limit == request
    return "Guaranteed" if used and guaranteed else "Burstable" if used else "BestEffort"


def pod_total(pod: Mapping[str, Any], which: str, name: str) -> Fraction:
    """The pod's requests or limits of a resource: sidecars add, other init containers count while they run."""
    spec = pod["spec"]
    level = (spec.get("resources") or {}).get(which) or {}
    overhead = amount(spec.get("overhead"), name)
    if name in level:
        return amount(level, name) + overhead

    def of(container: Mapping[str, Any]) -> Fraction:
        resources = container.get("resources") or {}
        value = amount(resources.get(which), name)
        return value or (amount(resources.get("limits"), name) if which == "requests" else Fraction(0))

    sidecars, peak = Fraction(0), Fraction(0)
    for container in spec.get("initContainers", ()):
        if is_sidecar(container):
            sidecars += of(container)
            peak = max(peak, sidecars)
        else:
            peak = max(peak, sidecars + of(container))
    return max(sum((of(c) for c in spec["containers"]), sidecars), peak) + overhead


def shares(millicores: int) -> int:
    return max(SHARES_MIN, min(SHARES_MAX, millicores * 1024 // 1000))


def quota(millicores: int) -> int:
    """CFS quota in us per QUOTA_PERIOD_US, 0 for none."""
    return max(millicores * QUOTA_PERIOD_US // 1000, QUOTA_MIN_US) if millicores else 0


def container_limits(pod: Mapping[str, Any], container: Mapping[str, Any], memory_capacity: int) -> Limits:
    """The container's cgroup values. memory_capacity: the node's, in bytes."""
    resources = container.get("resources") or {}
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    cpu_limit = milli(amount(limits, "cpu"))
    cpu_request = milli(amount(requests, "cpu")) if "cpu" in requests else cpu_limit
    return Limits(
        cpu_shares=shares(cpu_request),
        cpu_quota=quota(cpu_limit),
        cpu_period=QUOTA_PERIOD_US if cpu_limit else 0,
        memory=whole(amount(limits, "memory")),
        oom_score_adj=oom_score(pod, container, memory_capacity),
    )


def pod_limits(pod: Mapping[str, Any]) -> Limits:
    """The pod cgroup's values: limited only where every container is."""
    spec = pod["spec"]
    level = (spec.get("resources") or {}).get("limits") or {}
    members = [*spec["containers"], *(c for c in spec.get("initContainers", ()) if is_sidecar(c))]

    def limited(name: str) -> bool:
        return name in level or all(name in ((c.get("resources") or {}).get("limits") or {}) for c in members)

    cpu_limit = milli(pod_total(pod, "limits", "cpu")) if limited("cpu") else 0
    return Limits(
        cpu_shares=shares(milli(pod_total(pod, "requests", "cpu"))),
        cpu_quota=quota(cpu_limit),
        cpu_period=QUOTA_PERIOD_US,
        memory=whole(pod_total(pod, "limits", "memory")) if limited("memory") else 0,
    )


def oom_score(pod: Mapping[str, Any], container: Mapping[str, Any], memory_capacity: int) -> int:
    if (pod["spec"].get("priority") or 0) >= SYSTEM_CRITICAL_PRIORITY:
        return GUARANTEED_OOM_SCORE
    qos = qos_class(pod)
    if qos == "Guaranteed":
        return GUARANTEED_OOM_SCORE
    if qos == "BestEffort":
        return BESTEFFORT_OOM_SCORE

    def score(one: Mapping[str, Any]) -> int:
        resources = one.get("resources") or {}
        request = whole(amount(resources.get("requests"), "memory") or amount(resources.get("limits"), "memory"))
        value = 1000 - 1000 * request // memory_capacity
        if value < 1000 + GUARANTEED_OOM_SCORE:
            return 1000 + GUARANTEED_OOM_SCORE
        return BESTEFFORT_OOM_SCORE - 1 if value == BESTEFFORT_OOM_SCORE else value

    if is_sidecar(container):
        # A sidecar dies no earlier than the containers it serves.
        return min(score(container), *(score(c) for c in pod["spec"]["containers"]))
    return score(container)
