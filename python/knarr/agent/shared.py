"""What all workers of a node use."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from knarr.client.protocol import Client

from .cgroups import Cgroups
from .events import Recorder
from .images import Images
from .objects import Objects, Tokens
from .pleg import Worker
from .podspec import NodeFacts
from .runtime import Runtime
from .status import Host


@dataclass
class Shared:
    """facts() and services() are read at each use: they change."""

    runtime: Runtime
    client: Client
    recorder: Recorder
    images: Images
    objects: Objects
    tokens: Tokens
    cgroups: Cgroups | None
    host: Host
    facts: Callable[[], NodeFacts]
    services: Callable[[], tuple[Mapping[str, Any], ...]]
    allocatable: Callable[[], Mapping[str, str]]
    ended_unseen: Callable[[str], bool]
    look: Callable[[Worker, str], Coroutine[Any, Any, None]]
    mounts: bool = True
    clock: Callable[[], float] = time.time
