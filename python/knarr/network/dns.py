"""Cluster DNS on this node: the core's name server, told of Services and endpoints, behind an address of its own.

The Service kube-dns has one cluster address for all nodes, and each node answers it itself: the address lies on a link
of the node that leads nowhere, so that queries of its pods, and of the node, end here.
"""

from __future__ import annotations

import logging
from pathlib import Path

from knarr import _core
from knarr.network.links import LINK, ip
from knarr.network.services import Backends, Key, Service

log = logging.getLogger("knarr.network")

PORT = 53


class ClusterDns:
    """Names below `domain`. Implements `proxy.Names`."""

    def __init__(self, domain: str, resolv_conf: Path) -> None:
        self._server = _core.Dns(domain)
        self._server.set_upstreams([(address, PORT) for address in nameservers(resolv_conf)])

    def listen(self, address: str) -> None:
        """Answer on this address. Raises OSError."""
        self._server.listen(address, PORT)

    def put(self, service: Service, backends: Backends) -> None:
        if service.external_name:
            self._server.put_external(service.namespace, service.name, service.external_name)
        elif service.headless:
            self._server.put_headless(service.namespace, service.name, headless(service, backends))
        else:
            ports = [(port.name, port.protocol, port.port) for port in service.ports]
            self._server.put_cluster(service.namespace, service.name, list(service.cluster_addresses), ports)

    def remove(self, key: Key) -> None:
        self._server.remove(*key)

    def put_namespace(self, name: str) -> None:
        self._server.put_namespace(name)

    def remove_namespace(self, name: str) -> None:
        self._server.remove_namespace(name)


Ports = list[tuple[str, str, int]]


def headless(service: Service, backends: Backends) -> list[tuple[str, str, Ports]]:
    """(address, hostname, named ports) of the endpoints that have names: the ready ones, or all where the Service
    publishes them."""
    found: dict[tuple[str, str], Ports] = {}
    for each in backends.slices.values():
        named = [(name, protocol, number) for name, protocol, number in each.ports if name]
        for endpoint in each.endpoints:
            if endpoint.ready or service.publish_not_ready:
                found.setdefault((endpoint.address, endpoint.hostname), []).extend(named)
    return [(address, hostname, sorted(set(ports))) for (address, hostname), ports in sorted(found.items())]


def nameservers(resolv_conf: Path) -> list[str]:
    """The servers that a resolv.conf names, without this node's own cluster DNS."""
    try:
        lines = resolv_conf.read_text().splitlines()
    except OSError:
        return []
    words = [line.split() for line in lines]
    return [each[1].split("%")[0] for each in words if len(each) > 1 and each[0] == "nameserver"]


def ensure_link(address: str) -> None:
    """Make the link and give it the address. Idempotent. Raises OSError with ip's words."""
    ip("link", "add", LINK, "type", "bridge", tolerate="File exists")
    bits = "128" if ":" in address else "32"
    ip("addr", "replace", f"{address}/{bits}", "dev", LINK)
    ip("link", "set", LINK, "up")
