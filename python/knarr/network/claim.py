"""Whose node a network namespace is: bridge, service table and DNS link are there once, so one node lives in it.

Two marks say so. Both are in the namespace and go with it, so that neither outlives what it guards:

    a socket  `@knarr-node`, bound by the agent while it lives; it falls with the agent, however that ends
    an alias  of the DNS link, "NODE DIRECTORY"; made by the agent, removed by `knarr down` after all else: it stands
              while pods may run, whether or not there is an agent

    alias         socket  directory holds    pods on   what it is
                          a cluster          the bridge
    ours          any     yes                any       ours, of an earlier run
    ours          any     no                 yes       pods of a cluster whose data is gone: refused
    another's     bound   any                any       another's, which runs: refused
    another's     free    yes                any       another's, stopped or crashed: refused
    another's     free    no                 yes       pods of a cluster whose data is gone: refused
    another's     free    no                 no        nobody's any more
    none          bound   -                  any       somebody is about to make it his: refused
    none          free    -                  yes       not made by any node: refused
    none          free    -                  no        nobody's
"""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from knarr.network.links import LINK, ip, links

SOCKET = "knarr-node"
ALIAS_BYTES_MAX = 255
"""IFALIASZ with its NUL: a longer directory is cut. The node's id alone tells whose it is."""
HOLD_SECONDS_MAX = 2.0
"""How long the socket of an agent that is just ending is waited for."""


class ClaimError(Exception):
    """The namespace is another node's."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True)
class Mark:
    """A node: its id, which no other has, and the data directory of its cluster, for people."""

    node: str
    directory: str

    def text(self) -> str:
        whole = os.fsencode(f"{self.node} {self.directory}")
        return whole[:ALIAS_BYTES_MAX].decode(errors="ignore")

    @staticmethod
    def parse(text: str) -> Mark | None:
        node, _, directory = text.partition(" ")
        return Mark(node, directory) if node and directory else None


@dataclass(frozen=True)
class Found:
    """What stands in a namespace. bound: an agent lives in it. data: the mark's directory holds a cluster. used: pods
    hang on the bridge. empty: there is neither link nor bridge."""

    mark: Mark | None = None
    bound: bool = False
    data: bool = False
    used: bool = False
    empty: bool = True


def is_ours(found: Found, node: str, bridge: str) -> bool:
    """Whether the namespace is this node's already; False where it is nobody's. Raises ClaimError where it is
    another's."""
    mark, elsewhere = found.mark, "or run this one in another network namespace"
    if mark is None:
        if found.bound:
            raise ClaimError(
                "this network namespace has a node already", f"`ss -xap` shows who holds @{SOCKET}: end it, {elsewhere}"
            )
        if found.used:
            raise ClaimError(
                f"bridge {bridge} of this network namespace is in use",
                f"`ip link show master {bridge}` shows by what: end it, {elsewhere}",
            )
        return False
    where, end = mark.directory, f"`knarr down --data-dir {mark.directory}`, {elsewhere}"
    if mark.node != node and (found.bound or found.data):
        raise ClaimError(f"this network namespace has the node of the cluster in {where}", f"end it with {end}")
    if found.used and not found.data:
        raise ClaimError(
            f"pods of the cluster that was in {where} still run in this network namespace", f"end them with {end}"
        )
    return mark.node == node and found.data


def marked() -> Mark | None:
    """The mark in the namespace of this thread."""
    return next((Mark.parse(str(link.get("ifalias", ""))) for link in links("show", "dev", LINK)), None)


def look(bridge: str, holds_cluster: Callable[[str], bool]) -> Found:
    """What stands in the namespace of this thread."""
    mark = marked()
    return Found(
        mark,
        bound=is_bound(),
        data=mark is not None and holds_cluster(mark.directory),
        used=bool(links("show", "master", bridge)),
        empty=not links("show", "dev", LINK) and not links("show", "dev", bridge),
    )


def is_bound() -> bool:
    """Whether an agent lives in the namespace. Source: proc_net_unix: `@` stands for the NUL of an abstract name."""
    rows = Path("/proc/thread-self/net/unix").read_text(errors="replace").splitlines()
    return any(row.endswith(f" @{SOCKET}") for row in rows)


def refuse(node: str, bridge: str, holds_cluster: Callable[[str], bool], clear: Callable[[], None]) -> None:
    """Make sure, before anything is made, that this node may live in the namespace of this thread.

    holds_cluster(directory): whether a cluster's data is there. clear(): remove what nobody has any more. Raises
    ClaimError.
    """
    found = look(bridge, holds_cluster)
    if not is_ours(found, node, bridge) and not found.empty:
        with held():
            clear()


@contextmanager
def claimed(mark: Mark, bridge: str, holds_cluster: Callable[[str], bool], clear: Callable[[], None]) -> Iterator[None]:
    """The namespace of this thread is this node's; the alias stays behind. Raises ClaimError, OSError."""
    with held():
        # what is bound is this process's own socket
        found = replace(look(bridge, holds_cluster), bound=False)
        if not is_ours(found, mark.node, bridge):
            if not found.empty:
                clear()
            ip("link", "add", LINK, "type", "bridge")
            ip("link", "set", LINK, "alias", mark.text())
        yield


@contextmanager
def held() -> Iterator[None]:
    """This process alone has the socket. Raises ClaimError."""
    end = time.monotonic() + HOLD_SECONDS_MAX
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as holder:
        while True:
            try:
                holder.bind(f"\0{SOCKET}")
                break
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
            if time.monotonic() > end:
                is_ours(Found(marked(), bound=True), "", "")
            time.sleep(0.05)
        yield
