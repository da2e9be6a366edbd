"""The API seen from a program: the protocol `Client`, its HTTP form, kubeconfigs, and informers.

Knows: paths, verbs, Status answers, watches and how they are resumed. Never knows: a particular kind, the store, a
controller. Start reading at protocol.py; http.py is the one implementation over a socket, informer.py keeps a list
fresh with it.

Names are resolved on first use, so that `import knarr.client` costs nothing (aiohttp alone takes 100 ms to import).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from knarr.client.errors import (
        AlreadyExists,
        ApiError,
        BadRequest,
        Conflict,
        ConnectionFailed,
        Expired,
        Forbidden,
        Invalid,
        NotFound,
        ServerTimeout,
        ServiceUnavailable,
        TooManyRequests,
        Unauthorized,
    )
    from knarr.client.http import HttpClient
    from knarr.client.informer import Informer
    from knarr.client.kubeconfig import Connection, load_kubeconfig
    from knarr.client.protocol import Client, Object, Resource, WatchEvent

_HOMES = {
    "errors": (
        "AlreadyExists",
        "ApiError",
        "BadRequest",
        "Conflict",
        "ConnectionFailed",
        "Expired",
        "Forbidden",
        "Invalid",
        "NotFound",
        "ServerTimeout",
        "ServiceUnavailable",
        "TooManyRequests",
        "Unauthorized",
    ),
    "http": ("HttpClient",),
    "informer": ("Informer",),
    "kubeconfig": ("Connection", "load_kubeconfig"),
    "protocol": ("Client", "Object", "Resource", "WatchEvent"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AlreadyExists",
    "ApiError",
    "BadRequest",
    "Client",
    "Conflict",
    "Connection",
    "ConnectionFailed",
    "Expired",
    "Forbidden",
    "HttpClient",
    "Informer",
    "Invalid",
    "NotFound",
    "Object",
    "Resource",
    "ServerTimeout",
    "ServiceUnavailable",
    "TooManyRequests",
    "Unauthorized",
    "WatchEvent",
    "load_kubeconfig",
]


def __getattr__(name: str) -> object:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value
