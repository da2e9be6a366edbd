"""EndpointSlices of Endpoints that somebody else keeps: those of a Service without selector.

Proxies and DNS read slices only: without the mirror a Service that leads out of the cluster by hand-made Endpoints
leads nowhere. One slice for each family and set of ports, of at most 1,000 addresses. Endpoints labelled `skip-mirror`
(whoever writes them writes slices too) and those of leader elections are left alone. Source: kubernetes
`pkg/controller/endpointslicemirroring`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from ipaddress import ip_address
from typing import Annotated, Any, Final, NamedTuple

from knarr.client.protocol import Object
from knarr.controllers._endpoints import Service, same_ports
from knarr.controllers.runtime.declare import Controller, To, Views, Watch, Writes
from knarr.controllers.runtime.objects import ENDPOINT_SLICES, ENDPOINTS, SERVICES, controller_reference, split
from knarr.controllers.runtime.plan import Event, Plan, Write, reference

MANAGER: Final = "endpointslicemirroring-controller.k8s.io"
_SERVICE: Final = "kubernetes.io/service-name"
_MANAGED: Final = "endpointslice.kubernetes.io/managed-by"
_SKIP: Final = "endpointslice.kubernetes.io/skip-mirror"
_LEADER: Final = "control-plane.alpha.kubernetes.io/leader"
_NOT_COPIED: Final = (
    "endpoints.kubernetes.io/last-change-trigger-time",
    "kubectl.kubernetes.io/last-applied-configuration",
)
_MAX: Final = 1000


class Endpoints(NamedTuple):
    namespace: str
    name: str
    uid: str
    revision: int
    deleted: Annotated[str | None, "metadata.deletionTimestamp"]
    labels: Annotated[dict[str, str] | None, "metadata.labels"]
    annotations: Annotated[dict[str, str] | None, "metadata.annotations"]
    subsets: Annotated[list[dict[str, Any]] | None, "subsets"]


class Slice(NamedTuple):
    namespace: str
    name: str
    uid: str
    revision: int
    deleted: Annotated[str | None, "metadata.deletionTimestamp"]
    labels: Annotated[dict[str, str] | None, "metadata.labels"]
    annotations: Annotated[dict[str, str] | None, "metadata.annotations"]
    owners: Annotated[list[dict[str, Any]] | None, "metadata.ownerReferences"]
    family: Annotated[str | None, "addressType"]
    endpoints: Annotated[list[dict[str, Any]] | None, "endpoints"]
    ports: Annotated[list[dict[str, Any]] | None, "ports"]


class _Group(NamedTuple):
    """What one slice is to hold. endpoints: by address."""

    family: str
    ports: list[Object]
    endpoints: dict[str, Object]


def reconcile(views: Views, key: str, now: datetime) -> Plan:
    """key: namespace/name of the Endpoints, which is the Service's too."""
    plan = Plan()
    namespace, name = split(key)
    found = views[Endpoints].get(namespace, name)
    service = views[Service].get(namespace, name)
    mine = {"matchLabels": {_SERVICE: name, _MANAGED: MANAGER}}
    left = [row for row in views[Slice].selected(mine, namespace) if row.deleted is None]
    if found is None or not _mirrored(found) or service is None or service.selector:
        plan.writes += [_delete(row) for row in left]
        return plan
    if found.deleted is not None:
        return plan
    groups, skipped = _groups(found.subsets or [])
    new: list[_Group] = []
    for group in groups:
        row = next((row for row in left if row.family == group.family and same_ports(row.ports, group.ports)), None)
        if row is None:
            new.append(group)
            continue
        left.remove(row)
        if not _holds(row, found, group):
            plan.writes.append(_update(row, found, group))
    for group in new:
        # A slice that is not wanted any more is used again: watchers see one change, not a gap. Its family is fixed.
        row = next((row for row in left if row.family == group.family), None)
        if row is not None:
            left.remove(row)
            plan.writes.append(_update(row, found, group))
            continue
        body = _body(found, group)
        body["metadata"]["generateName"] = f"{name}-"
        plan.writes.append(Write("create", ENDPOINT_SLICES, namespace, body=body))
    plan.writes += [_delete(row) for row in left]
    if skipped and plan.writes:
        text = f"A max of {_MAX} addresses can be mirrored to EndpointSlices per Endpoints subset."
        regarding = reference(ENDPOINTS, namespace, name, found.uid)
        plan.events.append(
            Event(regarding, "TooManyAddressesToMirror", f"{text} {skipped} addresses were skipped", "Warning")
        )
    return plan


def _mirrored(found: Endpoints) -> bool:
    return (found.labels or {}).get(_SKIP) != "true" and _LEADER not in (found.annotations or {})


def _groups(subsets: Iterable[Object]) -> tuple[list[_Group], int]:
    """(the slices wanted, how many addresses are beyond the limit). Subsets with the same ports are one."""
    groups: dict[str, _Group] = {}
    skipped = 0
    for subset in subsets:
        ports = [_port(port) for port in subset.get("ports") or []]
        ports.sort(key=lambda port: json.dumps(port, sort_keys=True))
        for field, ready in (("addresses", True), ("notReadyAddresses", False)):
            for address in subset.get(field) or []:
                ip = ip_address(address["ip"])
                family = f"IPv{ip.version}"
                group = groups.setdefault(f"{family} {json.dumps(ports, sort_keys=True)}", _Group(family, ports, {}))
                if len(group.endpoints) >= _MAX and str(ip) not in group.endpoints:
                    skipped += 1
                    continue
                group.endpoints.setdefault(str(ip), _endpoint(str(ip), address, ready))
    return [groups[key] for key in sorted(groups)], skipped


def _port(port: Object) -> Object:
    made: Object = {
        "name": port.get("name") or "",
        "port": port["port"],
        "protocol": port.get("protocol") or "TCP",
    }
    if port.get("appProtocol"):
        made["appProtocol"] = port["appProtocol"]
    return made


def _endpoint(ip: str, address: Object, ready: bool) -> Object:
    kept = {key: address[key] for key in ("hostname", "nodeName", "targetRef") if address.get(key)}
    return {"addresses": [ip], "conditions": {"ready": ready}, **kept}


def _labels(found: Endpoints) -> dict[str, str]:
    return {**(found.labels or {}), _SERVICE: found.name, _MANAGED: MANAGER}


def _annotations(found: Endpoints) -> dict[str, str]:
    return {key: value for key, value in (found.annotations or {}).items() if key not in _NOT_COPIED}


def _holds(row: Slice, found: Endpoints, group: _Group) -> bool:
    """Whether the slice says all that it should; the order of endpoints says nothing."""

    def canonical(endpoints: Iterable[Object]) -> list[str]:
        return sorted(json.dumps(endpoint, sort_keys=True) for endpoint in endpoints)

    return (
        (row.labels or {}) == _labels(found)
        and (row.annotations or {}) == _annotations(found)
        and any(owner.get("uid") == found.uid for owner in row.owners or [])
        and canonical(row.endpoints or []) == canonical(group.endpoints.values())
    )


def _body(found: Endpoints, group: _Group) -> Object:
    metadata: Object = {
        "labels": _labels(found),
        "ownerReferences": [controller_reference(ENDPOINTS, found.name, found.uid)],
    }
    if annotations := _annotations(found):
        metadata["annotations"] = annotations
    return {
        "apiVersion": ENDPOINT_SLICES.api_version,
        "kind": ENDPOINT_SLICES.kind,
        "metadata": metadata,
        "addressType": group.family,
        "endpoints": list(group.endpoints.values()),
        "ports": group.ports,
    }


def _update(row: Slice, found: Endpoints, group: _Group) -> Write:
    body = _body(found, group)
    body["metadata"] |= {"name": row.name, "uid": row.uid, "resourceVersion": str(row.revision)}
    return Write("update", ENDPOINT_SLICES, row.namespace, row.name, body, uid=row.uid, revision=row.revision)


def _delete(row: Slice) -> Write:
    return Write("delete", ENDPOINT_SLICES, row.namespace, row.name, uid=row.uid, missing_ok=True)


CONTROLLER = Controller(
    name="endpointslice-mirroring",
    account="endpointslicemirroring-controller",
    watches=(
        Watch(ENDPOINTS, Endpoints, (To("own"),)),
        Watch(SERVICES, Service, (To("own"),)),
        Watch(ENDPOINT_SLICES, Slice, (To("label", _SERVICE),), labels=True),
    ),
    writes=(Writes(ENDPOINT_SLICES, ("create", "delete", "update")),),
    reconcile=reconcile,
    extra_rules=(
        {"apiGroups": [""], "resources": ["services/finalizers"], "verbs": ["update"]},
        {"apiGroups": [""], "resources": ["endpoints/finalizers"], "verbs": ["update"]},
    ),
)
