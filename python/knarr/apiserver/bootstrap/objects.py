"""Makes the bootstrap objects true, by ordinary requests of the server's own user."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any

from knarr.apiserver.bootstrap import policy
from knarr.apiserver.local import Local

Object = dict[str, Any]
NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


def ensure(local: Local, service_address: str, dns_address: str, masters: list[str], port: int) -> None:
    """Make what is missing. service_address: of Service default/kubernetes; masters: addresses that serve the API on
    `port`."""
    for name in NAMESPACES:
        create_missing(local, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    ensure_policy(local)
    ensure_kubernetes_service(local, service_address, masters, port)
    create_missing(local, dns_service(dns_address))


def ensure_policy(local: Local) -> None:
    present: dict[tuple[str, str, str], Object] = {}
    for plural in ("clusterroles", "clusterrolebindings", "roles", "rolebindings"):
        for item in local.list(policy.GROUP, "v1", plural):
            meta = item["metadata"]
            present[plural, meta.get("namespace", ""), meta["name"]] = item
    for wanted in [*policy.objects(), *policy.controllers()]:
        meta = wanted["metadata"]
        plural = wanted["kind"].lower() + "s"
        found = present.get((plural, meta.get("namespace", ""), meta["name"]))
        if found is None:
            local.create(wanted)
        elif found["metadata"].get("annotations", {}).get(policy.AUTOUPDATE) != "false":
            mended = mend(found, wanted)
            if mended is not None:
                local.update(mended)


def mend(found: Object, wanted: Object) -> Object | None:
    """`found` with the rules or subjects of `wanted` that it lacks; None where it lacks none."""
    field = "subjects" if "roleRef" in wanted else "rules"
    if wanted.get("aggregationRule"):
        return None  # its rules are the aggregation controller's
    lacking = [each for each in wanted.get(field, []) if each not in (found.get(field) or [])]
    if not lacking:
        return None
    # an item of a list does not say what it is
    named = {key: wanted[key] for key in ("apiVersion", "kind")}
    return found | named | {field: [*(found.get(field) or []), *lacking]}


def ensure_kubernetes_service(local: Local, service_address: str, masters: list[str], port: int) -> None:
    """Service default/kubernetes and what is behind it. The server keeps these itself: no controller selects it."""
    labels = {"component": "apiserver", "provider": "kubernetes"}
    create_missing(
        local,
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "kubernetes", "namespace": "default", "labels": labels},
            "spec": {
                "type": "ClusterIP",
                "clusterIP": service_address,
                "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}],
            },
        },
    )
    ports = [{"name": "https", "port": port, "protocol": "TCP"}]
    endpoints = {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"},
        },
        "subsets": [{"addresses": [{"ip": each} for each in masters], "ports": ports}],
    }
    slice_ = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": "kubernetes"},
        },
        "addressType": "IPv6" if ":" in masters[0] else "IPv4",
        "endpoints": [{"addresses": [each], "conditions": {"ready": True}} for each in masters],
        "ports": ports,
    }
    if any(ip_address(each).is_loopback for each in masters):
        return  # no pod could reach it there, and Kubernetes refuses such endpoints
    put(local, endpoints, ("subsets",))
    put(local, slice_, ("endpoints", "ports"))


def dns_service(address: str) -> Object:
    """Service kube-system/kube-dns: each node answers it itself, so it selects nothing."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "kube-dns",
            "namespace": "kube-system",
            "labels": {"k8s-app": "kube-dns", "kubernetes.io/name": "CoreDNS", "kubernetes.io/cluster-service": "true"},
        },
        "spec": {
            "clusterIP": address,
            "ports": [
                {"name": "dns", "port": 53, "protocol": "UDP"},
                {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
            ],
        },
    }


def create_missing(local: Local, wanted: Object) -> None:
    if local.get(wanted) is None:
        local.create(wanted)


def put(local: Local, wanted: Object, fields: Iterable[str]) -> None:
    """Create `wanted`, or bring these fields of what is there to what they should be."""
    found = local.get(wanted)
    if found is None:
        local.create(wanted)
    elif any(found.get(field) != wanted.get(field) for field in fields):
        local.update(found | {field: wanted[field] for field in fields})
