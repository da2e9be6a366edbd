"""The flows of UDP that the kernel remembers. A connection of TCP ends with its endpoint, but UDP has no end: a client
that keeps sending from one port keeps its endpoint, be it long gone, until the kernel is told to forget the flow.

Speaks to the kernel by netlink, in the network namespace of the thread. Source: kube-proxy 1.34
(`pkg/proxy/conntrack/cleanup.go`), `linux/netfilter/nfnetlink_conntrack.h`.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

Address = tuple[str, int]
Targets = dict[Address, set[Address]]
"""Endpoints by the address and port that clients send to; "" is any address of the node."""

NETFILTER, UDP = 12, 17
GET, DELETE = 0x101, 0x102
REQUEST, ACK, DUMP = 0x1, 0x4, 0x300
ERROR, DONE = 2, 3
ORIGINAL, REPLY = 1, 2  # tuples of a flow
IP, PROTO = 1, 2  # parts of a tuple
SOURCE, DESTINATION = 1, 2  # addresses of IP
NUMBER, SOURCE_PORT, DESTINATION_PORT = 1, 2, 3  # fields of PROTO
TYPE_MASK, NESTED = 0x3FFF, 0x8000
RECEIVE_BYTES = 1 << 16
HEADER = struct.Struct("=IHHII")
FAMILY = struct.Struct("=BBH")


@dataclass(frozen=True, slots=True)
class Flow:
    """sent_to: by the client; answered_by: the endpoint chosen for it, the same where none was. original: the attribute
    that names the flow to the kernel."""

    sent_to: Address
    answered_by: Address
    original: bytes = b""


def is_udp(key: str) -> bool:
    """Whether a key of the table's maps is one of UDP: `10.96.0.5 . udp . 53 ...` or `udp . 30053 ...`."""
    return "udp" in key.split(" . ", 2)[:2]


def targets(maps: Mapping[str, Mapping[str, str]]) -> Targets:
    """Where UDP goes by the maps of the table."""
    made: Targets = {}
    for name in ("services", "endpoints", "node_ports", "node_endpoints"):
        for key, value in maps.get(name, {}).items():
            if not is_udp(key):
                continue
            words = key.split(" . ")
            address, port = (words[0], words[2]) if name in ("services", "endpoints") else ("", words[1])
            ends = made.setdefault((address, int(port)), set())
            if name.endswith("endpoints"):
                target, target_port = value.split(" . ")
                ends.add((target, int(target_port)))
    return made


def stale(flow: Flow, wanted: Targets) -> bool:
    """Whether it goes to what is no endpoint of the Service that its client sends to."""
    ends = wanted.get(flow.sent_to)
    if ends is None and flow.answered_by != flow.sent_to:
        ends = wanted.get(("", flow.sent_to[1]))
    return ends is not None and flow.answered_by not in ends


def forget(wanted: Targets) -> int:
    """Have the kernel forget the flows that are stale; how many there were. Raises OSError."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETFILTER) as kernel:
        found = [flow for flow in flows(_ask(kernel, GET, DUMP)) if stale(flow, wanted)]
        for flow in found:
            try:
                list(_ask(kernel, DELETE, ACK, flow.original))
            except FileNotFoundError:
                continue  # it timed out just now
    return len(found)


def flows(entries: Iterable[bytes]) -> Iterator[Flow]:
    """Those of UDP among the kernel's entries, given as attributes."""
    for entry in entries:
        tuples = dict(_attributes(entry))
        original, reply = _end(tuples[ORIGINAL], DESTINATION), _end(tuples[REPLY], SOURCE)
        if original is not None and reply is not None:
            yield Flow(original, reply, _attribute(ORIGINAL | NESTED, tuples[ORIGINAL]))


def _end(value: bytes, which: int) -> Address | None:
    """The source or the destination of a tuple; None where it is not one of UDP."""
    parts = dict(_attributes(value))
    address, proto = dict(_attributes(parts[IP])), dict(_attributes(parts[PROTO]))
    if proto[NUMBER][0] != UDP or which not in address:
        return None
    port = proto[SOURCE_PORT if which == SOURCE else DESTINATION_PORT]
    return socket.inet_ntoa(address[which]), int.from_bytes(port)


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        yield kind & TYPE_MASK, data[at + 4 : at + length]
        at += (length + 3) & ~3


def _ask(kernel: socket.socket, kind: int, flags: int, attributes: bytes = b"") -> Iterator[bytes]:
    """The attributes of each message of the answer. Raises OSError."""
    body = FAMILY.pack(socket.AF_INET, 0, 0) + attributes
    kernel.send(HEADER.pack(HEADER.size + len(body), kind, REQUEST | flags, 0, 0) + body)
    while True:
        data = kernel.recv(RECEIVE_BYTES)
        while data:
            length, kind, *_ = HEADER.unpack_from(data)
            message, data = data[HEADER.size : length], data[(length + 3) & ~3 :]
            if kind == ERROR and (number := -int(struct.unpack_from("=i", message)[0])):
                raise OSError(number, os.strerror(number))
            if kind in (ERROR, DONE):
                return
            yield message[FAMILY.size :]
