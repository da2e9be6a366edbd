"""Event objects as a kubelet records them: repeated ones counted, a talkative pod held back, never waited for."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from knarr.client import ApiError, NotFound, Resource
from knarr.client.protocol import Client

from .observed import timestamp

log = logging.getLogger(__name__)

EVENTS = Resource("", "v1", "events", "Event")
QUEUE_MAX = 1000
"""Events that wait for the server; beyond it the newest are dropped: an event is advice, memory is not."""
KNOWN_MAX = 2048
"""Events that are remembered to be counted instead of repeated."""
BURST, REFILL_PER_SECOND = 25.0, 1 / 300
"""client-go's spam filter, per object."""


@dataclass
class _Known:
    name: str
    namespace: str
    count: int
    first: int


class Recorder:
    """`record` from anywhere in the loop; `run` sends."""

    def __init__(self, client: Client, node_name: str) -> None:
        self._client, self._node = client, node_name
        self._queue: asyncio.Queue[tuple[dict[str, Any], str, str, str, int]] = asyncio.Queue(QUEUE_MAX)
        self._known: OrderedDict[tuple[str, ...], _Known] = OrderedDict()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self.dropped = 0

    def pod(self, pod: Mapping[str, Any], kind: str, reason: str, message: str, container: str = "") -> None:
        """kind: Normal or Warning. container: name of the one it is about."""
        metadata, spec = pod["metadata"], pod["spec"]
        involved = {
            "kind": "Pod",
            "apiVersion": "v1",
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
            "resourceVersion": metadata.get("resourceVersion", ""),
        }
        if container:
            for field in ("initContainers", "containers", "ephemeralContainers"):
                if any(c["name"] == container for c in spec.get(field) or ()):
                    involved["fieldPath"] = f"spec.{field}{{{container}}}"
        self._put(involved, kind, reason, message)

    def node(self, kind: str, reason: str, message: str) -> None:
        self._put({"kind": "Node", "name": self._node, "uid": self._node}, kind, reason, message)

    def _put(self, involved: dict[str, Any], kind: str, reason: str, message: str) -> None:
        if not self._allowed(involved.get("uid", "")):
            self.dropped += 1
            return
        try:
            self._queue.put_nowait((involved, kind, reason, message[:1024], time.time_ns()))
        except asyncio.QueueFull:
            self.dropped += 1

    def _allowed(self, uid: str) -> bool:
        now = time.monotonic()
        tokens, at = self._buckets.pop(uid, (BURST, now))
        tokens = min(BURST, tokens + (now - at) * REFILL_PER_SECOND)
        self._buckets[uid] = (max(tokens - 1, 0.0), now)
        if len(self._buckets) > KNOWN_MAX:
            self._buckets.popitem(last=False)
        return tokens >= 1

    async def run(self) -> None:
        while True:
            item = await self._queue.get()
            try:
                await self._send(*item)
            except ApiError as error:
                log.debug("event not taken: error=%s", error)
                self.dropped += 1

    async def _send(self, involved: dict[str, Any], kind: str, reason: str, message: str, at: int) -> None:
        key = (involved.get("uid", ""), involved.get("fieldPath", ""), kind, reason, message)
        known = self._known.get(key)
        if known is not None:
            known.count += 1
            self._known.move_to_end(key)
            try:
                patch = {"count": known.count, "lastTimestamp": timestamp(at)}
                await self._client.patch(EVENTS, known.name, patch, known.namespace, type="strategic")
                return
            except NotFound:
                # It expired: it begins anew.
                del self._known[key]
        namespace = involved.get("namespace") or "default"
        name = f"{involved['name']}.{at:x}"
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": involved,
            "reason": reason,
            "message": message,
            "source": {"component": "kubelet", "host": self._node},
            "firstTimestamp": timestamp(at),
            "lastTimestamp": timestamp(at),
            "count": 1,
            "type": kind,
            "reportingComponent": "kubelet",
            "reportingInstance": self._node,
        }
        await self._client.create(EVENTS, body, namespace)
        self._known[key] = _Known(name, namespace, 1, at)
        if len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)
