"""The controllers, one file each, and `runtime`, their shell.

Knows: the client's protocol and views. Never knows: the store, HTTP, an agent. A controller is its module's
CONTROLLER: what it reads, what wakes it, what it writes, and a pure `reconcile(views, key, now) -> Plan`.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from knarr.controllers.runtime.declare import Controller

NAMES = (
    "clusterrole_aggregation",
    "deployment",
    "endpoints",
    "endpointslice",
    "endpointslice_mirroring",
    "garbage_collector",
    "namespace",
    "node_lifecycle",
    "pod_garbage_collector",
    "replicaset",
    "replicationcontroller",
    "root_ca",
    "serviceaccount",
)

__all__ = ["NAMES", "load"]


def load(names: Iterable[str] | None = None) -> list[Controller]:
    """The declarations of these controllers (None: all). Raises ValueError for an unknown name."""
    chosen = tuple(NAMES if names is None else names)
    unknown = sorted(set(chosen) - set(NAMES))
    if unknown:
        raise ValueError(f"no such controller: {', '.join(unknown)}; there are {', '.join(NAMES)}")
    return [import_module(f"{__name__}.{name}").CONTROLLER for name in chosen]
