"""The table `ip knarr`: its rules, and changes of its elements, each in one transaction of the kernel.

Speaks to the kernel through libnftables in this process: a new `nft` costs 20 ms, a call here one or two. Source:
nft(8), libnftables(3).
"""

from __future__ import annotations

import ctypes
import ctypes.util
import logging
from collections.abc import Iterable

from knarr.network import conntrack
from knarr.network.elements import MARK, MARK_EXTERNAL, Chain, Difference, Elements, difference

log = logging.getLogger("knarr.network")

TABLE = "knarr"
MARK_MASK = 0xFFFF0000
# a transaction's elements are sent in pieces: the kernel takes a message of bounded size
ELEMENTS_PER_COMMAND = 500


class NftError(Exception):
    """The kernel or libnftables refused a change; nothing of it was applied."""


class Nft:
    """libnftables in this process. Not for several threads at a time."""

    def __init__(self) -> None:
        name = ctypes.util.find_library("nftables") or "libnftables.so.1"
        try:
            self._library = ctypes.CDLL(name)
        except OSError as cause:
            raise NftError(f"libnftables is missing: {cause}") from None
        self._library.nft_ctx_new.restype = ctypes.c_void_p
        self._library.nft_ctx_get_error_buffer.restype = ctypes.c_char_p
        self._library.nft_ctx_get_output_buffer.restype = ctypes.c_char_p
        self._context = ctypes.c_void_p(self._library.nft_ctx_new(0))
        self._library.nft_ctx_buffer_error(self._context)
        self._library.nft_ctx_buffer_output(self._context)

    def run(self, commands: str) -> str:
        """Run commands as one transaction; their output. Raises NftError."""
        failed = self._library.nft_run_cmd_from_buffer(self._context, commands.encode())
        if failed:
            error: bytes = self._library.nft_ctx_get_error_buffer(self._context)
            raise NftError(error.decode(errors="replace").strip() or "refused without a reason")
        output: bytes = self._library.nft_ctx_get_output_buffer(self._context)
        return output.decode()

    def close(self) -> None:
        if self._context:
            self._library.nft_ctx_free(self._context)
            self._context = ctypes.c_void_p()


class ServiceTable:
    """The table as this process left it. cluster_cidr: where pods are; traffic from elsewhere to a Service is
    masqueraded."""

    def __init__(self, nft: Nft, cluster_cidr: str) -> None:
        self.nft = nft
        self.cluster_cidr = cluster_cidr
        self.maps: dict[str, dict[str, str]] = {}
        self.chains: set[Chain] = set()
        self.loaded = False

    def apply(self, wanted: Elements) -> int:
        """Bring the table to `wanted`; the number of elements touched. Raises NftError, and the next call begins
        anew."""
        if not self.loaded:
            self.maps, self.chains = {}, set()
        changes = difference(self.maps, self.chains, wanted)
        if self.loaded and not changes:
            return 0
        commands = [] if self.loaded else base(self.cluster_cidr)
        commands += commands_of(changes)
        try:
            self.nft.run("\n".join(commands))
        except NftError:
            self.loaded = False
            raise
        self.loaded = True
        self._forget_flows(changes, wanted)
        self.maps = {name: dict(entries) for name, entries in wanted.maps.items()}
        self.chains |= wanted.chains
        return len(changes.delete) + len(changes.add)

    def _forget_flows(self, changes: Difference, wanted: Elements) -> None:
        """Packets of a known flow never see the table: those to an endpoint that is gone would go on."""
        keys = [key for _, key in changes.delete] + [key for _, key, _ in changes.add]
        if not any(map(conntrack.is_udp, keys)):
            return
        gone = {key: set[conntrack.Address]() for key in conntrack.targets(self.maps)}
        try:
            conntrack.forget(gone | conntrack.targets(wanted.maps))
        except OSError as error:
            log.warning("flows to endpoints that are gone stay", extra={"error": str(error)})

    def remove(self) -> None:
        """Delete the table. Nothing happens where it is not there."""
        self.nft.run(f"table ip {TABLE}\ndelete table ip {TABLE}")
        self.loaded = False


def base(cluster_cidr: str) -> list[str]:
    """The table without elements, in place of what stood there."""
    service = "ip daddr . meta l4proto . th dport"
    node = "meta l4proto . th dport"
    target = "ip daddr . th dport"
    # neither a pod of the cluster nor this node itself: the answer must come back by way of this node
    outside = f"ip saddr != {cluster_cidr} fib saddr type != local"
    text = f"""
table ip {TABLE}
delete table ip {TABLE}
table ip {TABLE} {{
    map services {{ typeof {service} : verdict; }}
    map endpoints {{ typeof {service} . meta mark : {target}; }}
    map node_ports {{ typeof {node} : verdict; }}
    map node_endpoints {{ typeof {node} . meta mark : {target}; }}
    map affinity {{
        typeof ip saddr . {service} : meta mark
        size 65535
        flags dynamic,timeout
    }}
    set addresses {{ type ipv4_addr; }}
    set refused_node_ports {{ typeof {node}; }}
    set hairpin {{ type ipv4_addr . ipv4_addr; }}

    chain pick {{ dnat ip to {service} . meta mark map @endpoints; }}
    chain pick_node {{ dnat ip to {node} . meta mark map @node_endpoints; }}
    chain services {{
        {service} vmap @services
        ip daddr != 127.0.0.0/8 fib daddr type local {node} vmap @node_ports
    }}
    chain prerouting {{ type nat hook prerouting priority dstnat; jump services; }}
    chain output {{ type nat hook output priority -100; jump services; }}
    chain postrouting {{
        type nat hook postrouting priority srcnat;
        ct status dnat ip saddr . ip daddr @hairpin masquerade
        ct status dnat meta mark & {MARK_MASK:#x} == {MARK_EXTERNAL:#x} masquerade
        ct status dnat meta mark & {MARK_MASK:#x} == {MARK:#x} {outside} masquerade
    }}
    chain refuse {{
        ip daddr @addresses reject
        fib daddr type local {node} @refused_node_ports reject
    }}
    chain forward {{ type filter hook forward priority -5; ct state new jump refuse; }}
    chain filter_output {{ type filter hook output priority -5; ct state new jump refuse; }}
    chain input {{ type filter hook input priority -5; ct state new jump refuse; }}
}}
"""
    return text.strip().splitlines()


def commands_of(changes: Difference) -> list[str]:
    """A difference in nftables' words: chains first, then what goes, then what comes."""
    commands = []
    for chain in changes.chains:
        commands.append(f"add chain ip {TABLE} {chain.name}")
        commands += [f"add rule ip {TABLE} {chain.name} {rule}" for rule in chain.rules()]
    for name, keys in grouped((name, key) for name, key in changes.delete):
        commands += pieces("delete", name, keys)
    for name, entries in grouped((name, f"{key} : {value}" if value else key) for name, key, value in changes.add):
        commands += pieces("add", name, entries)
    return commands


def grouped(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    by_name: dict[str, list[str]] = {}
    for name, text in pairs:
        by_name.setdefault(name, []).append(text)
    return list(by_name.items())


def pieces(verb: str, name: str, entries: list[str]) -> list[str]:
    return [
        f"{verb} element ip {TABLE} {name} {{ {', '.join(entries[i : i + ELEMENTS_PER_COMMAND])} }}"
        for i in range(0, len(entries), ELEMENTS_PER_COMMAND)
    ]
