"""Services and their endpoints as values: what of the objects decides where packets and names go.

Source: Kubernetes' Service and EndpointSlice API, kube-proxy 1.34 (`pkg/proxy/servicechangetracker.go`, `topology.go`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

Object = dict[str, Any]
Key = tuple[str, str]
SERVICE_NAME = "kubernetes.io/service-name"
HEADLESS_LABEL = "service.kubernetes.io/headless"
PROXY_NAME_LABEL = "service.kubernetes.io/service-proxy-name"
AFFINITY_SECONDS = 10800


@dataclass(frozen=True, slots=True)
class ServicePort:
    """One port of a Service. protocol: tcp, udp or sctp. node_port: 0 for none."""

    name: str
    protocol: str
    port: int
    node_port: int = 0


@dataclass(frozen=True, slots=True)
class Service:
    """What a Service asks for. addresses: cluster and external ones that are answered alike; empty where it is
    headless."""

    namespace: str
    name: str
    cluster_addresses: tuple[str, ...] = ()
    external_addresses: tuple[str, ...] = ()
    ports: tuple[ServicePort, ...] = ()
    headless: bool = False
    external_name: str = ""
    affinity_seconds: int = 0
    internal_local: bool = False
    external_local: bool = False
    publish_not_ready: bool = False
    proxied: bool = True

    @property
    def key(self) -> Key:
        return self.namespace, self.name


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address behind a Service. local: on this node."""

    address: str
    hostname: str = ""
    ready: bool = True
    serving: bool = True
    terminating: bool = False
    local: bool = False


@dataclass(frozen=True, slots=True)
class Slice:
    """One EndpointSlice: ports by (name, protocol) to number, and endpoints. service: "" where it names none."""

    namespace: str
    name: str
    service: str
    family: int
    ports: tuple[tuple[str, str, int], ...] = ()
    endpoints: tuple[Endpoint, ...] = ()


@dataclass(slots=True)
class Backends:
    """Everything that the slices of one Service say."""

    slices: dict[str, Slice] = field(default_factory=dict)

    def endpoints(self, port: ServicePort, family: int) -> list[tuple[Endpoint, int]]:
        """(endpoint, port number) of a Service's port, each address once, in a steady order."""
        found: dict[tuple[str, int], Endpoint] = {}
        for each in self.slices.values():
            if each.family != family:
                continue
            number = next((n for name, protocol, n in each.ports if (name, protocol) == (port.name, port.protocol)), 0)
            if not number:
                continue
            for endpoint in each.endpoints:
                found.setdefault((endpoint.address, number), endpoint)
        return [(endpoint, number) for (_, number), endpoint in sorted(found.items())]


def service_of(item: Object) -> Service:
    """Read a Service object."""
    meta, spec = item["metadata"], item.get("spec", {})
    kind = spec.get("type", "ClusterIP")
    cluster = spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else [])
    headless = kind != "ExternalName" and cluster[:1] == ["None"]
    ingress = (item.get("status", {}).get("loadBalancer") or {}).get("ingress") or []
    external = [*(spec.get("externalIPs") or []), *(each["ip"] for each in ingress if each.get("ip"))]
    affinity = 0
    if spec.get("sessionAffinity") == "ClientIP":
        config = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
        affinity = config.get("timeoutSeconds") or AFFINITY_SECONDS
    labels = meta.get("labels") or {}
    return Service(
        namespace=meta["namespace"],
        name=meta["name"],
        cluster_addresses=() if headless or kind == "ExternalName" else tuple(cluster),
        external_addresses=() if headless or kind == "ExternalName" else tuple(dict.fromkeys(external)),
        ports=tuple(port_of(port) for port in spec.get("ports") or []),
        headless=headless,
        external_name=spec.get("externalName", "") if kind == "ExternalName" else "",
        affinity_seconds=affinity,
        internal_local=spec.get("internalTrafficPolicy") == "Local",
        external_local=spec.get("externalTrafficPolicy") == "Local" and kind in ("NodePort", "LoadBalancer"),
        publish_not_ready=bool(spec.get("publishNotReadyAddresses")),
        proxied=PROXY_NAME_LABEL not in labels,
    )


def port_of(port: Object) -> ServicePort:
    protocol = port.get("protocol", "TCP").lower()
    return ServicePort(port.get("name", ""), protocol, port["port"], port.get("nodePort", 0))


def slice_of(item: Object, node: str) -> Slice:
    """Read an EndpointSlice object. node: this node's name. Conditions that are absent count as Kubernetes says: ready
    and serving."""
    meta = item["metadata"]
    ports = [
        (port.get("name") or "", (port.get("protocol") or "TCP").lower(), port["port"])
        for port in item.get("ports") or []
        if port.get("port")
    ]
    endpoints = []
    for each in item.get("endpoints") or []:
        conditions = each.get("conditions") or {}
        ready = conditions.get("ready") is not False
        serving = conditions.get("serving")
        endpoints += [
            Endpoint(
                address=address,
                hostname=each.get("hostname") or "",
                ready=ready,
                serving=ready if serving is None else bool(serving),
                terminating=bool(conditions.get("terminating")),
                local=each.get("nodeName") == node,
            )
            for address in (each.get("addresses") or [])[:1]  # the rest are not defined to mean anything
        ]
    service = (meta.get("labels") or {}).get(SERVICE_NAME, "")
    family = 6 if item.get("addressType") == "IPv6" else 4 if item.get("addressType", "IPv4") == "IPv4" else 0
    return Slice(meta["namespace"], meta["name"], service, family, tuple(ports), tuple(endpoints))


def usable(candidates: list[tuple[Endpoint, int]], local: bool) -> list[tuple[Endpoint, int]]:
    """The endpoints that packets go to: the ready ones, else those that still serve while they end; `local`: of this
    node only.

    Source: KEP-1669, KEP-1672.
    """
    here = [each for each in candidates if each[0].local] if local else candidates
    ready = [each for each in here if each[0].ready]
    return ready or [each for each in here if each[0].serving and each[0].terminating]


def family_of(address: str) -> int:
    return ip_address(address).version
