"""The objects that load is made of, the same as the peer's load client sends."""

from __future__ import annotations

import json
from typing import Any

from bench.http2 import Request

NAMESPACE = "bench"


def pod(number: int, prefix: str = "p") -> dict[str, Any]:
    """A pod that nobody schedules: one container, two variables, two requests."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"{prefix}-{number:06d}", "labels": {"app": "kload", "shard": str(number % 100)}},
        "spec": {
            "schedulerName": "none",
            "containers": [
                {
                    "name": "c",
                    "image": "registry.k8s.io/pause:3.10.1",
                    "env": [
                        {"name": "A", "value": "b"},
                        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                    ],
                    "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
                }
            ],
        },
    }


def create_pod(number: int, prefix: str = "p", namespace: str = NAMESPACE) -> Request:
    body = json.dumps(pod(number, prefix), separators=(",", ":")).encode()
    return Request("POST", f"/api/v1/namespaces/{namespace}/pods", body)


def create_namespace(name: str = NAMESPACE) -> Request:
    body = json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}).encode()
    return Request("POST", "/api/v1/namespaces", body)


def service_account(namespace: str = NAMESPACE) -> Request:
    """The ServiceAccount that pods of a namespace need; a server without controllers has nobody who makes it."""
    body = json.dumps({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}).encode()
    return Request("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts", body)


def lease(name: str, renewed: str, namespace: str = NAMESPACE) -> dict[str, Any]:
    """A node's lease. renewed: RFC 3339 with microseconds."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"holderIdentity": "h", "leaseDurationSeconds": 40, "renewTime": renewed},
    }
