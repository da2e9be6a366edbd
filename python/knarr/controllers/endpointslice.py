"""EndpointSlice: the pods behind a Service, in slices of at most 100 endpoints of one address family and one set of
ports.

Endpoints stay in the slice they are in; a change touches that slice alone. New ones fill slices with room, fullest
first; empty slices go. Selectorless Services are left to whoever fills them. Source: `k8s.io/endpointslice`
`reconciler.go`, `utils.go`.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any, Final, NamedTuple

from knarr.client.protocol import Object
from knarr.controllers._endpoints import POD_FIELDS, Pod, Service, belongs, named, ports_of, same_ports, target
from knarr.controllers.runtime.declare import Controller, To, Views, Watch, Writes
from knarr.controllers.runtime.objects import (
    ENDPOINT_SLICES,
    NODES,
    PODS,
    SERVICES,
    controller_reference,
    split,
)
from knarr.controllers.runtime.plan import Plan, Write

MANAGER: Final = "endpointslice-controller.k8s.io"
_SERVICE: Final = "kubernetes.io/service-name"
_MANAGED: Final = "endpointslice.kubernetes.io/managed-by"
_HEADLESS: Final = "service.kubernetes.io/headless"
_MAX: Final = 100


class Slice(NamedTuple):
    namespace: str
    name: str
    uid: str
    revision: int
    deleted: Annotated[str | None, "metadata.deletionTimestamp"]
    labels: Annotated[dict[str, str] | None, "metadata.labels"]
    family: Annotated[str | None, "addressType"]
    endpoints: Annotated[list[dict[str, Any]] | None, "endpoints"]
    ports: Annotated[list[dict[str, Any]] | None, "ports"]


class Node(NamedTuple):
    namespace: str
    name: str
    uid: str
    revision: int
    zone: Annotated[str | None, "metadata.labels['topology.kubernetes.io/zone']"]


def reconcile(views: Views, key: str, now: datetime) -> Plan:
    """key: namespace/name of a Service."""
    plan = Plan()
    namespace, name = split(key)
    service = views[Service].get(namespace, name)
    mine = {"matchLabels": {_SERVICE: name, _MANAGED: MANAGER}}
    slices = [row for row in views[Slice].selected(mine, namespace) if row.deleted is None]
    if service is None or service.type == "ExternalName":
        # Gone Services' slices are the garbage collector's; an ExternalName has none any more.
        if service is not None:
            plan.writes += [_delete(row) for row in slices]
        return plan
    if not service.selector or service.deleted is not None:
        return plan
    labels = _labels(service)
    wanted = _wanted(views, service)
    taken: set[str] = set()
    for (family, ports_text), endpoints in sorted(wanted.items(), key=lambda item: (item[0][0] != "IPv4", item[0])):
        ports = json.loads(ports_text)
        fitting = [row for row in slices if row.family == family and same_ports(row.ports, ports)]
        taken.update(row.uid for row in fitting)
        _settle(plan, service, family, ports, endpoints, fitting, labels)
    plan.writes += [_delete(row) for row in slices if row.uid not in taken]
    return plan


def _wanted(views: Views, service: Service) -> dict[tuple[str, str], dict[str, Object]]:
    """Endpoints by pod uid, for each family and set of ports. A family without pods has one empty set."""
    families = service.families or ["IPv4"]
    wanted: dict[tuple[str, str], dict[str, Object]] = {}
    for pod in views[Pod].labelled(service.selector, service.namespace):
        if not belongs(pod, service, terminating=True):
            continue
        ports = json.dumps(ports_of(service, pod))
        for family in families:
            address = pod.address(family)
            if address:
                wanted.setdefault((family, ports), {})[pod.uid] = _endpoint(views, service, pod, address)
    for family in families:
        if not any(found == family for found, _ in wanted):
            wanted[(family, "[]")] = {}
    return wanted


def _endpoint(views: Views, service: Service, pod: Pod, address: str) -> Object:
    serving = pod.is_ready
    terminating = pod.deleted is not None
    endpoint: Object = {
        "addresses": [address],
        "conditions": {
            "ready": bool(service.not_ready_too) or (serving and not terminating),
            "serving": serving,
            "terminating": terminating,
        },
        "targetRef": target(pod),
    }
    if pod.node:
        endpoint["nodeName"] = pod.node
        node = views[Node].get("", pod.node)
        if node is not None and node.zone:
            endpoint["zone"] = node.zone
    if named(pod, service):
        endpoint["hostname"] = named(pod, service)
    return endpoint


def _settle(
    plan: Plan,
    service: Service,
    family: str,
    ports: list[Object],
    wanted: dict[str, Object],
    slices: list[Slice],
    labels: dict[str, str],
) -> None:
    """Writes that make these slices hold what is wanted."""
    left = dict(wanted)
    after: dict[str, list[Object]] = {}
    for row in slices:
        kept = []
        for endpoint in row.endpoints or []:
            uid = (endpoint.get("targetRef") or {}).get("uid", "")
            if uid in left:
                kept.append(left.pop(uid))
        after[row.uid] = kept
    changed = {row.uid for row in slices if after[row.uid] != (row.endpoints or []) or (row.labels or {}) != labels}
    new = [left[uid] for uid in left]
    # Slices that are written anyway take the new ones first, fullest first; then any with room.
    by_room = sorted(slices, key=lambda row: (row.uid not in changed, -len(after[row.uid]), row.name))
    for row in by_room:
        room = _MAX - len(after[row.uid])
        if new and room > 0 and (row.uid in changed or len(new) <= room):
            after[row.uid] += new[:room]
            new = new[room:]
            changed.add(row.uid)
    empty = [row for row in slices if not after[row.uid]]
    spare = len(empty) == len(slices) and not new  # a Service without endpoints keeps one slice that says so
    for row in slices:
        if not after[row.uid] and not (spare and row is empty[0]):
            plan.writes.append(_delete(row))
        elif row.uid in changed:
            body = _body(service, family, ports, after[row.uid], labels)
            body["metadata"] |= {"name": row.name, "uid": row.uid, "resourceVersion": str(row.revision)}
            plan.writes.append(
                Write("update", ENDPOINT_SLICES, row.namespace, row.name, body, uid=row.uid, revision=row.revision)
            )
    chunks = [new[start : start + _MAX] for start in range(0, len(new), _MAX)]
    if not slices and not chunks:
        chunks = [[]]
    for chunk in chunks:
        body = _body(service, family, ports, chunk, labels)
        body["metadata"]["generateName"] = f"{service.name}-"
        plan.writes.append(Write("create", ENDPOINT_SLICES, service.namespace, body=body))


def _body(
    service: Service, family: str, ports: list[Object], endpoints: list[Object], labels: dict[str, str]
) -> Object:
    return {
        "apiVersion": ENDPOINT_SLICES.api_version,
        "kind": ENDPOINT_SLICES.kind,
        "metadata": {
            "labels": labels,
            "ownerReferences": [controller_reference(SERVICES, service.name, service.uid)],
        },
        "addressType": family,
        "endpoints": endpoints,
        "ports": ports,
    }


def _labels(service: Service) -> dict[str, str]:
    """The Service's labels, and who the slice belongs to."""
    reserved = {_SERVICE, _MANAGED, _HEADLESS}
    labels = {key: value for key, value in (service.labels or {}).items() if key not in reserved}
    labels |= {_SERVICE: service.name, _MANAGED: MANAGER}
    if service.headless:
        labels[_HEADLESS] = ""
    return labels


def _delete(row: Slice) -> Write:
    return Write("delete", ENDPOINT_SLICES, row.namespace, row.name, uid=row.uid, missing_ok=True)


CONTROLLER = Controller(
    name="endpointslice",
    account="endpointslice-controller",
    watches=(
        Watch(SERVICES, Service, (To("own"),)),
        Watch(PODS, Pod, (To("selected-by-map", "spec.selector", Service, fields=POD_FIELDS),), labels=True),
        Watch(ENDPOINT_SLICES, Slice, (To("label", _SERVICE),), labels=True),
        Watch(NODES, Node),
    ),
    writes=(Writes(ENDPOINT_SLICES, ("create", "delete", "update")),),
    reconcile=reconcile,
    extra_rules=({"apiGroups": [""], "resources": ["services/finalizers"], "verbs": ["update"]},),
)
