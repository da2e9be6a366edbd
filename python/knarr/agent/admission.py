"""Whether a pod that was bound here may run here: what kubelet checks once more. Pure.

Source: Kubernetes 1.34, pkg/kubelet/lifecycle/predicate.go, pkg/kubelet/sysctl.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from .observed import Rejection
from .podspec import host_ports
from .quantity import amount, milli, whole
from .resources import pod_total

OS_LABEL = "kubernetes.io/os"
SAFE_SYSCTLS = (
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
)


RESOURCES = ("cpu", "memory", "ephemeral-storage")


@dataclass(frozen=True)
class Demands:
    """What a pod takes of its node. requests: in the order of RESOURCES, cpu in thousandths, the others in bytes."""

    requests: tuple[int, ...]
    ports: frozenset[tuple[str, str, int]]


def demands(pod: Mapping[str, Any]) -> Demands:
    requests = tuple(_scaled(name, pod_total(pod, "requests", name)) for name in RESOURCES)
    return Demands(requests, frozenset(host_ports(pod)))


def admit(
    pod: Mapping[str, Any],
    node: Mapping[str, Any],
    others: Iterable[Demands],
    unsafe_sysctls: tuple[str, ...] = (),
) -> Rejection | None:
    """None: it may. node: the Node object; others: of the pods admitted before that have not ended.

    The message is that of the Event; the status says `Pod was rejected: ` before it.
    """
    if (pod["metadata"].get("labels") or {}).get(OS_LABEL, "linux") != "linux":
        text = f"Failed to admit pod as the `{OS_LABEL}` label doesn't match node label"
        return Rejection("PodOSSelectorNodeLabelDoesNotMatch", text)
    if (pod["spec"].get("os") or {}).get("name", "linux") != "linux":
        return Rejection("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS")
    others = list(others)
    allocatable = node["status"].get("allocatable") or {}
    capacity = whole(amount(allocatable, "pods"))
    if len(others) + 1 > capacity:
        return _insufficient("pods", 1, len(others), capacity)
    own = demands(pod)
    for n, name in enumerate(RESOURCES):
        wanted = own.requests[n]
        used = sum(other.requests[n] for other in others)
        capacity = _scaled(name, amount(allocatable, name))
        if wanted and wanted + used > capacity:
            return _insufficient(name, wanted, used, capacity)
    if not matches_node(pod, node):
        return _predicate("NodeAffinity", "node(s) didn't match Pod's node affinity/selector")
    if any(_collides(port, taken) for port in own.ports for other in others for taken in other.ports):
        return _predicate("NodePorts", "node(s) didn't have free ports for the requested pod ports")
    if any(not _tolerated(taint, pod) for taint in _taints(node) if taint["effect"] == "NoExecute"):
        return _predicate("TaintToleration", "node(s) had taints that the pod didn't tolerate")
    for sysctl in (pod["spec"].get("securityContext") or {}).get("sysctls") or ():
        if not _sysctl_allowed(sysctl["name"].replace("/", "."), unsafe_sysctls):
            return Rejection("SysctlForbidden", f'forbidden sysctl: "{sysctl["name"]}" not allowlisted')
    return None


def _predicate(name: str, reason: str) -> Rejection:
    return Rejection(name, f"Predicate {name} failed: {reason}")


def _scaled(name: str, value: Fraction) -> int:
    return milli(value) if name == "cpu" else whole(value)


def _insufficient(name: str, wanted: int, used: int, capacity: int) -> Rejection:
    text = f"Node didn't have enough resource: {name}, requested: {wanted}, used: {used}, capacity: {capacity}"
    return Rejection(f"OutOf{name}", text)


def _collides(one: tuple[str, str, int], other: tuple[str, str, int]) -> bool:
    same = one[1:] == other[1:]
    return same and (one[0] == other[0] or "0.0.0.0" in (one[0], other[0]))


def _sysctl_allowed(name: str, unsafe: tuple[str, ...]) -> bool:
    if name in SAFE_SYSCTLS:
        return True
    return any(name == p or (p.endswith("*") and name.startswith(p[:-1])) for p in unsafe)


def _taints(node: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    return (node.get("spec") or {}).get("taints") or ()


def _tolerated(taint: Mapping[str, Any], pod: Mapping[str, Any]) -> bool:
    for one in pod["spec"].get("tolerations") or ():
        same_effect = one.get("effect") in (None, "", taint["effect"])
        same_key = one.get("key") in (None, "", taint["key"])
        same_value = one.get("operator") == "Exists" or (one.get("value") or "") == (taint.get("value") or "")
        if same_effect and same_key and same_value:
            return True
    return False


def matches_node(pod: Mapping[str, Any], node: Mapping[str, Any]) -> bool:
    """nodeSelector and required node affinity."""
    labels = node["metadata"].get("labels") or {}
    if any(labels.get(k) != v for k, v in (pod["spec"].get("nodeSelector") or {}).items()):
        return False
    affinity = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is None:
        return True
    fields = {"metadata.name": node["metadata"]["name"]}
    return any(_term(term, labels, fields) for term in required.get("nodeSelectorTerms") or ())


def _term(term: Mapping[str, Any], labels: Mapping[str, str], fields: Mapping[str, str]) -> bool:
    expressions, names = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not names:
        return False
    return all(_requirement(r, labels) for r in expressions) and all(_requirement(r, fields) for r in names)


def _requirement(requirement: Mapping[str, Any], values: Mapping[str, str]) -> bool:
    key, operator = requirement["key"], requirement["operator"]
    wanted = requirement.get("values") or []
    value = values.get(key)
    match operator:
        case "In":
            return value in wanted
        case "NotIn":
            return value not in wanted
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt":
            try:
                have, limit = int(value or ""), int(wanted[0])
            except (ValueError, IndexError):
                return False
            return have > limit if operator == "Gt" else have < limit
    return False
