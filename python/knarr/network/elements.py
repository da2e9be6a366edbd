"""Services as nftables elements: a few rules for all of them, and maps whose elements are the Services.

The rules never change with the Services. A packet to a Service finds its chain by (address, protocol, port) in
`services`; the chain `of_N` draws one of N numbers into the packet's mark and `pick` finds (address, port) of that
number in `endpoints`:

    services   10.96.0.5 . tcp . 80                 : goto of_2
    endpoints  10.96.0.5 . tcp . 80 . 0x6b0000      : 10.244.0.7 . 8080
               10.96.0.5 . tcp . 80 . 0x6b0001      : 10.244.0.9 . 8080

So an endpoint that comes or goes is one element, and one more where N changes. Numbers are handed out so that an
endpoint keeps its own while it stays: only the last one moves, into the hole of one that went.

Chains are made on demand, one for each N in use, and one for each (N, seconds) of Services with client affinity.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from knarr.network.services import Backends, Endpoint, Key, Service, ServicePort, usable

# the mark says "chosen by us" in its upper half and which endpoint in its lower; external traffic is told apart to be
# masqueraded
MARK, MARK_EXTERNAL = 0x6B0000, 0x6C0000
ENDPOINTS_MAX = 0x1000  # a mark's lower bits that other users of marks (hostPort: 0x2000) leave alone

Element = tuple[str, str]
Endpoints = list[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Chain:
    """How one of `count` endpoints is drawn. external: come from outside to a node's port. affinity: seconds, 0 for
    none."""

    count: int
    external: bool = False
    masquerade: bool = False
    node_port: bool = False
    affinity: int = 0

    @property
    def name(self) -> str:
        kind = ("node_" if self.node_port else "") + ("masq_" if self.masquerade else "")
        return f"{kind}of_{self.count}" + (f"_for_{self.affinity}" if self.affinity else "")

    def rules(self) -> list[str]:
        """The chain's rules, in nftables' words."""
        mark = MARK_EXTERNAL if self.masquerade else MARK
        pick = "pick_node" if self.node_port else "pick"
        draw = (
            f"meta mark set numgen random mod {self.count} offset {mark}" if self.count > 1 else f"meta mark set {mark}"
        )
        if not self.affinity:
            return [draw, f"goto {pick}"]
        client = "ip saddr . ip daddr . meta l4proto . th dport"
        # Each connection begins the time anew: a client that keeps coming keeps its endpoint.
        remember = f"update @affinity {{ {client} timeout {self.affinity}s : meta mark }}"
        return [
            f"meta mark set {client} map @affinity {remember} jump {pick}",
            draw,
            remember,
            f"goto {pick}",
        ]


@dataclass(slots=True)
class Elements:
    """The elements of one Service, map by map, and the chains they lead to."""

    maps: dict[str, dict[str, str]] = field(default_factory=dict)
    chains: set[Chain] = field(default_factory=set)

    def add(self, name: str, key: str, value: str = "") -> None:
        self.maps.setdefault(name, {})[key] = value


Numbering = dict[str, Endpoints]


def elements_of(service: Service, backends: Backends, numbering: Numbering) -> Elements:
    """What one Service needs in the maps of the IPv4 table.

    numbering: by port, the endpoints in the order of their numbers; kept by the caller from call to call and changed in
    place.
    """
    made = Elements()
    if service.headless or service.external_name or not service.proxied:
        return made
    cluster = [each for each in service.cluster_addresses if ":" not in each]
    outside = [each for each in service.external_addresses if ":" not in each]
    for port in service.ports:
        candidates = backends.endpoints(port, 4)
        internal = numbered(numbering, f"{port_key(port)} internal", usable(candidates, service.internal_local))
        external = numbered(numbering, f"{port_key(port)} external", usable(candidates, service.external_local))
        for address in cluster:
            add_addressed(made, service, port, address, internal)
        for address in outside:
            add_addressed(made, service, port, address, external, masquerade=not service.external_local)
        if port.node_port:
            add_node_port(made, service, port, external)
        for address, _ in {*internal, *external}:
            made.add("hairpin", f"{address} . {address}")
    for address in [*cluster, *outside]:
        made.add("addresses", address)
    return made


def add_addressed(
    made: Elements, service: Service, port: ServicePort, address: str, chosen: Endpoints, masquerade: bool = False
) -> None:
    key = f"{address} . {port.protocol} . {port.port}"
    if not chosen:
        return  # the filter refuses what still has a Service's address
    chain = Chain(len(chosen), masquerade=masquerade, affinity=service.affinity_seconds)
    made.chains.add(chain)
    made.add("services", key, f"goto {chain.name}")
    mark = MARK_EXTERNAL if masquerade else MARK
    for number, (target, target_port) in enumerate(chosen):
        made.add("endpoints", f"{key} . {mark + number:#x}", f"{target} . {target_port}")


def add_node_port(made: Elements, service: Service, port: ServicePort, chosen: Endpoints) -> None:
    key = f"{port.protocol} . {port.node_port}"
    if not chosen:
        made.add("refused_node_ports", key)
        return
    masquerade = not service.external_local
    chain = Chain(len(chosen), masquerade=masquerade, node_port=True, affinity=service.affinity_seconds)
    made.chains.add(chain)
    made.add("node_ports", key, f"goto {chain.name}")
    mark = MARK_EXTERNAL if masquerade else MARK
    for number, (target, target_port) in enumerate(chosen):
        made.add("node_endpoints", f"{key} . {mark + number:#x}", f"{target} . {target_port}")


def port_key(port: ServicePort) -> str:
    return f"{port.name}/{port.protocol}/{port.port}"


def numbered(numbering: Numbering, key: str, chosen: Iterable[tuple[Endpoint, int]]) -> Endpoints:
    """The endpoints in the order of their numbers: those that stay keep theirs, new ones fill the holes, the last ones
    close the rest."""
    wanted = list(dict.fromkeys((endpoint.address, port) for endpoint, port in chosen))[:ENDPOINTS_MAX]
    staying = set(wanted)
    kept: list[tuple[str, int] | None] = [each if each in staying else None for each in numbering.get(key, [])]
    there = set(kept)
    new = [each for each in wanted if each not in there]
    for i, each in enumerate(kept):
        if each is None and new:
            kept[i] = new.pop(0)
    filled: list[tuple[str, int] | None] = [*kept, *new]
    while None in filled:
        last = filled.pop()
        if last is not None:
            filled[filled.index(None)] = last
    order = [each for each in filled if each is not None]
    if order:
        numbering[key] = order
    else:
        numbering.pop(key, None)
    return order


def merged(parts: Iterable[Elements]) -> Elements:
    """All Services' elements together. Where two claim the same key, the first in the given order has it."""
    whole = Elements()
    for part in parts:
        whole.chains |= part.chains
        for name, entries in part.maps.items():
            into = whole.maps.setdefault(name, {})
            for key, value in entries.items():
                into.setdefault(key, value)
    return whole


@dataclass(slots=True)
class Difference:
    """What must change: elements to delete and to add by map, and chains to make."""

    delete: list[tuple[str, str]] = field(default_factory=list)
    add: list[tuple[str, str, str]] = field(default_factory=list)
    chains: list[Chain] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.delete or self.add or self.chains)


def difference(current: Mapping[str, Mapping[str, str]], chains: set[Chain], wanted: Elements) -> Difference:
    """From the maps as they are to the maps as they should be. Chains that nothing leads to any more stay: they cost
    nothing."""
    made = Difference(chains=sorted(wanted.chains - chains, key=lambda chain: chain.name))
    for name in sorted({*current, *wanted.maps}):
        before, after = current.get(name, {}), wanted.maps.get(name, {})
        made.delete += [(name, key) for key, value in before.items() if after.get(key, None) != value]
        made.add += [(name, key, value) for key, value in after.items() if before.get(key, None) != value]
    return made


def owners(services: Mapping[Key, Service]) -> list[Key]:
    """Services in the order in which they may claim an address: oldest names first, so that the winner does not change
    by chance."""
    return sorted(services)
