"""Kinds and small pure functions that several controllers share."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from knarr.client.protocol import Object, Resource
from knarr.controllers.runtime.plan import Write

CONFIG_MAPS: Final = Resource("", "v1", "configmaps", "ConfigMap")
CLUSTER_ROLES: Final = Resource("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", namespaced=False)
DEPLOYMENTS: Final = Resource("apps", "v1", "deployments", "Deployment")
ENDPOINTS: Final = Resource("", "v1", "endpoints", "Endpoints")
ENDPOINT_SLICES: Final = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
LEASES: Final = Resource("coordination.k8s.io", "v1", "leases", "Lease")
NAMESPACES: Final = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
NODES: Final = Resource("", "v1", "nodes", "Node", namespaced=False)
PODS: Final = Resource("", "v1", "pods", "Pod")
REPLICA_SETS: Final = Resource("apps", "v1", "replicasets", "ReplicaSet")
REPLICATION_CONTROLLERS: Final = Resource("", "v1", "replicationcontrollers", "ReplicationController")
SERVICES: Final = Resource("", "v1", "services", "Service")
SERVICE_ACCOUNTS: Final = Resource("", "v1", "serviceaccounts", "ServiceAccount")

_SAFE: Final = "bcdfghjklmnpqrstvwxz2456789"  # no vowels, no digits that look like them: no words by chance


def split(key: str) -> tuple[str, str]:
    """A key's namespace and name."""
    namespace, _, name = key.partition("/")
    return namespace, name


def parse_time(text: str | None) -> datetime | None:
    """RFC 3339, with or without fractions; None for None and for what is no time."""
    if not text:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def format_time(time: datetime) -> str:
    """metav1.Time: whole seconds, UTC."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def controller_reference(resource: Resource, name: str, uid: str) -> Object:
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "name": name,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def adopt(resource: Resource, namespace: str, name: str, uid: str, owner: Object) -> Write:
    """Make an object without controller the owner's; refused when it is another object by now."""
    body = {"metadata": {"ownerReferences": [owner]}}
    return Write("patch", resource, namespace, name, body, patch_type="strategic", uid=uid)


def release(resource: Resource, namespace: str, name: str, uid: str, owner_uid: str) -> Write:
    """Take an owner reference off an object that is no longer selected; gone is as good."""
    body = {"metadata": {"ownerReferences": [{"$patch": "delete", "uid": owner_uid}]}}
    return Write("patch", resource, namespace, name, body, patch_type="strategic", uid=uid, missing_ok=True)


def fnv32a(data: bytes) -> int:
    value = 0x811C9DC5
    for byte in data:
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value


def stable_hash(value: Any, salt: str = "") -> str:
    """A short name part that depends on the value alone, spelled like Kubernetes' template hashes."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":")) + salt
    return "".join(_SAFE[ord(digit) % len(_SAFE)] for digit in str(fnv32a(text.encode())))


def condition(conditions: Iterable[Object] | None, kind: str) -> Object | None:
    return next((found for found in conditions or () if found.get("type") == kind), None)


def condition_set(conditions: list[Object], new: Object) -> list[Object]:
    """The list with one condition set, as Kubernetes' Set...Condition: unchanged when status and reason are the same,
    and with the old transition time when the status is."""
    current = condition(conditions, new["type"])
    if current and current.get("status") == new["status"] and current.get("reason") == new.get("reason"):
        return conditions
    if current and current.get("status") == new["status"]:
        new = new | {"lastTransitionTime": current.get("lastTransitionTime")}
    return [other for other in conditions if other.get("type") != new["type"]] + [new]
