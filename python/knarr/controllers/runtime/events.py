"""The event recorder: similar events are counted and combined, and an object that spams is silenced, as client-go's
correlator.

Three steps on each event, per source and object: a token bucket (25 at once, then one in 5 minutes); more than 10
events that differ in nothing but the message within 10 minutes become one "(combined from similar events): ..."; an
event seen before is counted by a patch. Source: client-go `tools/record/events_cache.go`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from knarr.client.errors import ApiError, NotFound
from knarr.client.protocol import Client, Object, Resource
from knarr.controllers.runtime.plan import Event

_log = logging.getLogger(__name__)

EVENTS: Final = Resource("", "v1", "events", "Event")
_BURST: Final = 25
_REFILL: Final = 300.0  # seconds for one more event
_SIMILAR_MAX: Final = 10
_SIMILAR_WINDOW: Final = 600.0  # seconds
_CACHE: Final = 4096  # entries of each table
_QUEUE: Final = 1000  # events waiting to be sent; more are dropped (they are advice, not state)
_COMBINED: Final = "(combined from similar events): "
_MESSAGE_MAX: Final = 1024  # characters, the API's bound


class _Sent(NamedTuple):
    name: str
    times: int
    first: str


class Correlator:
    """Pure but for the time it is given. seconds: monotonic."""

    def __init__(self) -> None:
        self._buckets: OrderedDict[Any, tuple[float, float]] = OrderedDict()
        self._similar: OrderedDict[Any, tuple[float, set[str]]] = OrderedDict()

    def judge(self, event: Event, now: float) -> tuple[tuple[str, ...], str] | None:
        """The key under which equal events are counted and the message to send; None: silenced."""
        ref = event.regarding
        subject = (ref.get("kind", ""), ref.get("namespace", ""), ref["name"], ref.get("uid", ""))
        message = event.message[:_MESSAGE_MAX]
        kind = (*subject, event.type, event.reason)
        last, messages = self._similar.get(kind, (now, set()))
        if now - last > _SIMILAR_WINDOW:
            messages = set()
        messages.add(message)
        _keep(self._similar, kind, (now, messages))
        tokens, at = self._buckets.get(subject, (float(_BURST), now))
        tokens = min(float(_BURST), tokens + (now - at) / _REFILL)
        _keep(self._buckets, subject, (tokens - 1 if tokens >= 1 else tokens, now))
        if tokens < 1:
            return None
        if len(messages) >= _SIMILAR_MAX:
            return kind, (_COMBINED + message)[:_MESSAGE_MAX]
        return (*kind, message), message


class Recorder:
    """Sends one controller's events, one after the other, never making it wait."""

    def __init__(self, client: Client, component: str) -> None:
        self._client = client
        self._component = component
        self._correlator = Correlator()
        self._sent: OrderedDict[tuple[str, ...], _Sent] = OrderedDict()
        self._queue: asyncio.Queue[Event] = asyncio.Queue(_QUEUE)
        self.dropped = 0

    def record(self, event: Event) -> None:
        try:
            self._queue.put_nowait(event)
        except asyncio.QueueFull:
            self.dropped += 1

    async def run(self) -> None:
        while True:
            event = await self._queue.get()
            try:
                await self._send(event)
            except ApiError as error:
                self.dropped += 1
                _log.info("event not recorded", extra={"reason": event.reason, "error": str(error)})

    async def _send(self, event: Event) -> None:
        judged = self._correlator.judge(event, time.monotonic())
        if judged is None:
            self.dropped += 1
            return
        key, message = judged
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        namespace = event.regarding.get("namespace") or "default"
        known = self._sent.get(key)
        if known is not None:
            patch = {"count": known.times + 1, "lastTimestamp": now, "message": message}
            try:
                await self._client.patch(EVENTS, known.name, patch, namespace)
                _keep(self._sent, key, known._replace(times=known.times + 1))
                return
            except NotFound:  # it has expired (an hour): begin anew
                self._sent.pop(key, None)
        name = f"{event.regarding['name']}.{time.time_ns():x}"
        body: Object = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": event.regarding,
            "reason": event.reason,
            "message": message,
            "type": event.type,
            "source": {"component": self._component},
            "reportingComponent": self._component,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        await self._client.create(EVENTS, body, namespace)
        _keep(self._sent, key, _Sent(name, 1, now))


def _keep(table: OrderedDict[Any, Any], key: Any, value: Any) -> None:
    table[key] = value
    table.move_to_end(key)
    if len(table) > _CACHE:
        table.popitem(last=False)
