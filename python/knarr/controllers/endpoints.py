"""Endpoints: the older form of EndpointSlice, one object a Service, at most 1,000 addresses.

Source: kubernetes `pkg/controller/endpoint/endpoints_controller.go`, `pkg/api/v1/endpoints/util.go`.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any, Final, NamedTuple

from knarr.client.protocol import Object
from knarr.controllers._endpoints import POD_FIELDS, Pod, Service, belongs, named, ports_of, target
from knarr.controllers.runtime.declare import Controller, To, Views, Watch, Writes
from knarr.controllers.runtime.objects import ENDPOINTS, PODS, SERVICES, split
from knarr.controllers.runtime.plan import Plan, Write

_MANAGED: Final = "endpoints.kubernetes.io/managed-by"
_MANAGER: Final = "endpoint-controller"
_HEADLESS: Final = "service.kubernetes.io/headless"
_OVER: Final = "endpoints.kubernetes.io/over-capacity"
_MAX: Final = 1000


class Endpoints(NamedTuple):
    namespace: str
    name: str
    uid: str
    revision: int
    labels: Annotated[dict[str, str] | None, "metadata.labels"]
    over: Annotated[str | None, "metadata.annotations['endpoints.kubernetes.io/over-capacity']"]
    subsets: Annotated[list[dict[str, Any]] | None, "subsets"]


def reconcile(views: Views, key: str, now: datetime) -> Plan:
    """key: namespace/name of a Service."""
    plan = Plan()
    namespace, name = split(key)
    service = views[Service].get(namespace, name)
    found = views[Endpoints].get(namespace, name)
    if service is None:
        # Only what this controller made: others' Endpoints (leader election, an operator's) bear no such label.
        if found is not None and (found.labels or {}).get(_MANAGED) == _MANAGER:
            plan.writes.append(Write("delete", ENDPOINTS, namespace, name, uid=found.uid, missing_ok=True))
        return plan
    if not service.selector or service.type == "ExternalName" or service.deleted is not None:
        return plan
    subsets, over = _subsets(views, service)
    labels = {key: value for key, value in (service.labels or {}).items() if key not in (_HEADLESS, _MANAGED)}
    labels[_MANAGED] = _MANAGER
    if service.headless:
        labels[_HEADLESS] = ""
    body: Object = {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": name, "labels": labels} | ({"annotations": {_OVER: "truncated"}} if over else {}),
        "subsets": subsets,
    }
    if found is None:
        plan.writes.append(Write("create", ENDPOINTS, namespace, body=body))
    elif (_normal(found.subsets), found.labels or {}, bool(found.over)) != (_normal(subsets), labels, over):
        body["metadata"] |= {"uid": found.uid, "resourceVersion": str(found.revision)}
        plan.writes.append(Write("update", ENDPOINTS, namespace, name, body, uid=found.uid, revision=found.revision))
    return plan


def _subsets(views: Views, service: Service) -> tuple[list[Object], bool]:
    """Subsets by ports, ready and not ready addresses apart, in a stable order; whether addresses were left off."""
    family = (service.families or ["IPv4"])[0]
    groups: dict[str, tuple[list[Object], list[Object]]] = {}
    pods = [
        pod
        for pod in views[Pod].labelled(service.selector, service.namespace)
        if belongs(pod, service, terminating=False) and pod.address(family)
    ]
    pods.sort(key=lambda pod: (not pod.is_ready, pod.name))
    for pod in pods[:_MAX]:
        ports = ports_of(service, pod)
        if not ports and not service.headless:
            continue
        address: Object = {"ip": pod.address(family), "targetRef": target(pod)}
        if pod.node:
            address["nodeName"] = pod.node
        if named(pod, service):
            address["hostname"] = named(pod, service)
        ready, not_ready = groups.setdefault(json.dumps(ports), ([], []))
        if pod.is_ready or service.not_ready_too:
            ready.append(address)
        elif _shown(pod):
            not_ready.append(address)
    subsets: list[Object] = []
    for ports_text, (ready, not_ready) in sorted(groups.items()):
        subset: Object = {}
        if ready:
            subset["addresses"] = sorted(ready, key=lambda a: str(a["ip"]))
        if not_ready:
            subset["notReadyAddresses"] = sorted(not_ready, key=lambda a: str(a["ip"]))
        ports = json.loads(ports_text)
        if ports:
            subset["ports"] = ports
        if ready or not_ready:
            subsets.append(subset)
    return subsets, len(pods) > _MAX


def _shown(pod: Pod) -> bool:
    """Not ready and not going to be: such pods are not listed even as not ready."""
    if pod.restart == "Never":
        return pod.phase not in ("Failed", "Succeeded")
    if pod.restart == "OnFailure":
        return pod.phase != "Succeeded"
    return True


def _normal(subsets: list[Object] | None) -> list[str]:
    """For comparison: port names that are empty are not stored."""
    normal = []
    for subset in subsets or []:
        ports = [{key: value for key, value in port.items() if value != ""} for port in subset.get("ports") or []]
        normal.append(json.dumps({**subset, "ports": ports}, sort_keys=True))
    return sorted(normal)


CONTROLLER = Controller(
    name="endpoint",
    account="endpoint-controller",
    watches=(
        Watch(SERVICES, Service, (To("own"),)),
        Watch(PODS, Pod, (To("selected-by-map", "spec.selector", Service, fields=POD_FIELDS),), labels=True),
        Watch(ENDPOINTS, Endpoints, (To("own"),)),
    ),
    writes=(Writes(ENDPOINTS, ("create", "delete", "get", "update")),),
    reconcile=reconcile,
    extra_rules=({"apiGroups": [""], "resources": ["endpoints/restricted"], "verbs": ["create"]},),
)


def master_endpoints(addresses: list[str], port: int, current: Object | None) -> tuple[Object, Object]:
    """Endpoints and EndpointSlice of Service default/kubernetes: the masters' own addresses (IPv4 or IPv6, one family),
    which the server writes itself. current: the Endpoints as they are, whose metadata is kept."""
    family = "IPv6" if addresses and ":" in addresses[0] else "IPv4"
    metadata: Object = {
        "name": "kubernetes",
        "namespace": "default",
        "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"},
    }
    ports = [{"name": "https", "port": port, "protocol": "TCP"}]
    ordered = sorted(addresses)
    endpoints: Object = {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": (current or {}).get("metadata") or metadata,
        "subsets": [{"addresses": [{"ip": ip} for ip in ordered], "ports": ports}] if ordered else [],
    }
    endpoint_slice: Object = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": "kubernetes"},
        },
        "addressType": family,
        "endpoints": [{"addresses": [ip], "conditions": {"ready": True}} for ip in ordered],
        "ports": ports,
    }
    return endpoints, endpoint_slice
