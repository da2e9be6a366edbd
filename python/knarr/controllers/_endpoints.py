"""What the controllers of Endpoints and EndpointSlices have in common: which pods of a Service are endpoints, and at
which ports.

Source: kubernetes `pkg/controller/util/endpoint/controller_utils.go`, `k8s.io/endpointslice` `utils.go`.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

from knarr.client.protocol import Object


class Service(NamedTuple):
    namespace: str
    name: str
    uid: str
    revision: int
    deleted: Annotated[str | None, "metadata.deletionTimestamp"]
    labels: Annotated[dict[str, str] | None, "metadata.labels"]
    selector: Annotated[dict[str, str] | None, "spec.selector"]
    ports: Annotated[list[dict[str, Any]] | None, "spec.ports"]
    type: Annotated[str | None, "spec.type"]
    cluster_ip: Annotated[str | None, "spec.clusterIP"]
    families: Annotated[list[str] | None, "spec.ipFamilies"]
    not_ready_too: Annotated[bool | None, "spec.publishNotReadyAddresses"]

    @property
    def headless(self) -> bool:
        return self.cluster_ip == "None"


class Pod(NamedTuple):
    namespace: str
    name: str
    uid: str
    revision: int
    deleted: Annotated[str | None, "metadata.deletionTimestamp"]
    node: Annotated[str | None, "spec.nodeName"]
    hostname: Annotated[str | None, "spec.hostname"]
    subdomain: Annotated[str | None, "spec.subdomain"]
    restart: Annotated[str | None, "spec.restartPolicy"]
    containers: Annotated[list[dict[str, Any]] | None, "spec.containers"]
    inits: Annotated[list[dict[str, Any]] | None, "spec.initContainers"]
    phase: Annotated[str | None, "status.phase"]
    ready: Annotated[str | None, "status.conditions[type=Ready].status"]
    ips: Annotated[list[dict[str, str]] | None, "status.podIPs"]

    @property
    def is_ready(self) -> bool:
        return self.ready == "True"

    def address(self, family: str) -> str:
        """Its first address of a family, "" if it has none."""
        colon = family == "IPv6"
        return next((ip["ip"] for ip in self.ips or [] if ip.get("ip") and (":" in ip["ip"]) == colon), "")


POD_FIELDS = (
    "metadata.labels",
    "metadata.deletionTimestamp",
    "spec.nodeName",
    "status.phase",
    "status.conditions[type=Ready].status",
    "status.podIPs",
)


def belongs(pod: Pod, service: Service, *, terminating: bool) -> bool:
    """Whether the pod is an endpoint at all. terminating: those being deleted are (slices say so of each)."""
    if not pod.ips or pod.phase in ("Succeeded", "Failed"):
        return False
    return pod.deleted is None or terminating or bool(service.not_ready_too)


def port_number(service_port: dict[str, Any], pod: Pod) -> int | None:
    """The pod's port behind a service port; None when the pod has no port of that name."""
    target = service_port.get("targetPort") or service_port.get("port") or 0
    if isinstance(target, int):
        return target
    protocol = service_port.get("protocol", "TCP")
    sidecars = [container for container in pod.inits or [] if container.get("restartPolicy") == "Always"]
    for container in [*(pod.containers or []), *sidecars]:
        for port in container.get("ports") or []:
            if port.get("name") == target and port.get("protocol", "TCP") == protocol:
                return int(port["containerPort"])
    return None


def ports_of(service: Service, pod: Pod) -> list[Object]:
    """The ports of a pod as an endpoint of the service."""
    ports = []
    for given in service.ports or []:
        number = port_number(given, pod)
        if number is None:
            continue
        port: Object = {"name": given.get("name", ""), "protocol": given.get("protocol", "TCP"), "port": number}
        if given.get("appProtocol"):
            port["appProtocol"] = given["appProtocol"]
        ports.append(port)
    return ports


def target(pod: Pod) -> Object:
    return {"kind": "Pod", "namespace": pod.namespace, "name": pod.name, "uid": pod.uid}


def named(pod: Pod, service: Service) -> str:
    """The host name DNS gives the pod under the service, "" for none."""
    return pod.hostname if pod.hostname and pod.subdomain == service.name else ""


def same_ports(given: list[Object] | None, wanted: list[Object]) -> bool:
    """Whether two lists of slice ports say the same, in whatever order and with whatever defaults written out."""

    def key(port: Object) -> tuple[Any, ...]:
        return (port.get("name") or "", port.get("protocol") or "TCP", port.get("port"), port.get("appProtocol") or "")

    return sorted(map(key, given or []), key=str) == sorted(map(key, wanted), key=str)
