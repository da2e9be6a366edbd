"""An informer: one list, then one watch resumed for ever, as a stream of `Feed`s to a sink.

               list (paged, from the server's cache)
    START ----------------------------------------> LISTED --- watch from its revision ---> FOLLOWING
      ^                                                                                      ^  |  |
      |                                                      events and bookmarks move it on |  |  |
      |                                                                                      +--+  |
      |                              the watch ended or broke: resumed from the last revision ^----+
      |  410 Expired: list anew, after a back-off                                                  |
      +--------------------------------------------------------------------------------------------+

The sink gets bytes as the server sent them, so that a view in the core can parse them without Python objects;
`ObjectSink` turns them into callbacks with dicts for parts that follow few objects (the agent). Back-off: 0.8 s
doubling to 30 s with jitter, as client-go's reflector; it starts anew after a watch that lived.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from knarr.client.errors import ApiError, Expired, TooManyRequests
from knarr.client.protocol import Client, Object, Resource

_log = logging.getLogger(__name__)

_PAGE: Final = 500  # objects a list request
_BACKOFF_FIRST: Final = 0.8  # seconds
_BACKOFF_MAX: Final = 30.0  # seconds
_WATCH_MIN: Final = 300  # seconds a watch is asked to last, up to twice of it, so that many do not end together
_LIVED: Final = 5.0  # seconds after which a watch counts as having worked


class Sink(Protocol):
    """What an informer feeds. All calls come from the informer's event loop."""

    def begin(self) -> None:
        """A list begins: what it does not name is gone when it ends."""
        ...

    def page(self, body: bytes) -> tuple[str, str]:
        """One list answer. Returns its resourceVersion and continue token ("" at the end)."""
        ...

    def finish(self, resource_version: str) -> None:
        """The list is whole; objects not seen since `begin` are gone."""
        ...

    def chunk(self, body: bytes) -> str:
        """Bytes of a watch, cut anywhere. Returns the newest revision seen ("" if none in this chunk).
        Raises ApiError for an ERROR event (Expired: 410)."""
        ...

    def reset(self) -> None:
        """A watch ended: forget the unfinished rest of its last chunk."""
        ...


class Informer:
    """Keeps one sink as new as the server. params: labelSelector, fieldSelector. accept, list_accept: another form
    (metadata only has one word for objects and one for lists)."""

    def __init__(
        self,
        client: Client,
        resource: Resource,
        sink: Sink,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        accept: str = "application/json",
        list_accept: str = "",
        page: int = _PAGE,
        seed: int | None = None,
    ) -> None:
        self.resource = resource
        self.synced = asyncio.Event()
        self.failures = 0
        self._client = client
        self._sink = sink
        self._path = resource.path(namespace)
        self._select = {"labelSelector": label_selector, "fieldSelector": field_selector}
        self._accept = accept
        self._list_accept = list_accept or accept
        self._page = page
        self._random = random.Random(seed)
        self._revision = ""
        self._backoff = _BACKOFF_FIRST

    async def run(self) -> None:
        """Until cancelled. Errors of the server or the connection are logged, counted and waited out."""
        while True:
            try:
                if not self._revision:
                    await self._list()
                await self._follow()
            except Expired:
                _log.info("watch expired, listing again", extra={"resource": self.resource.group_resource})
                self._revision = ""
                await self._wait(None)
            except ApiError as error:
                self.failures += 1
                _log.warning(
                    "list or watch failed", extra={"resource": self.resource.group_resource, "error": str(error)}
                )
                await self._wait(error.retry_after if isinstance(error, TooManyRequests) else None)

    async def _list(self) -> None:
        """All pages. The first comes from the server's cache at any revision (resourceVersion 0), as a reflector's;
        after an expiry too old a cache would end in the same 410, so then the newest is asked for."""
        self._sink.begin()
        params = self._params(limit=str(self._page))
        if not self.synced.is_set():
            params["resourceVersion"] = "0"
            params["resourceVersionMatch"] = "NotOlderThan"
        while True:
            body = await self._client.request("GET", self._path, params=params, accept=self._list_accept)
            revision, token = self._sink.page(body)
            if not token:
                break
            params = self._params(limit=str(self._page), **{"continue": token})
        self._sink.finish(revision)
        self._revision = revision
        self.synced.set()

    async def _follow(self) -> None:
        """One watch, from the last revision to its end."""
        seconds = _WATCH_MIN + self._random.randrange(_WATCH_MIN)
        params = self._params(
            watch="true",
            allowWatchBookmarks="true",
            resourceVersion=self._revision,
            timeoutSeconds=str(seconds),
        )
        began = time.monotonic()
        self._sink.reset()
        try:
            async for chunk in self._client.stream(self._path, params=params, accept=self._accept):
                self._revision = self._sink.chunk(chunk) or self._revision
        finally:
            if time.monotonic() - began > _LIVED:
                self._backoff = _BACKOFF_FIRST
        if time.monotonic() - began < 1.0:  # a server that ends watches at once is not asked again at once
            await self._wait(None)

    async def _wait(self, asked: float | None) -> None:
        pause = asked if asked is not None else self._backoff * (1 + self._random.random())
        self._backoff = min(self._backoff * 2, _BACKOFF_MAX)
        await asyncio.sleep(pause)

    def _params(self, **given: str) -> dict[str, str]:
        return {key: value for key, value in (self._select | given).items() if value}


Handler = Callable[[str, Object, Object | None], None]
"""(ADDED | MODIFIED | DELETED, the object, what it was before). A relist yields only what changed."""


class ObjectSink:
    """A sink that holds whole objects by (namespace, name) and calls a handler with each change. For some hundred
    objects; views in the core are for more."""

    def __init__(self, handler: Handler | None = None) -> None:
        self.objects: dict[tuple[str, str], Object] = {}
        self._handler = handler
        self._seen: set[tuple[str, str]] = set()
        self._rest = b""

    def begin(self) -> None:
        self._seen = set()

    def page(self, body: bytes) -> tuple[str, str]:
        answer: dict[str, Any] = json.loads(body)
        kind, api_version = str(answer.get("kind", "")).removesuffix("List"), answer.get("apiVersion", "")
        for item in answer.get("items") or []:
            item.setdefault("kind", kind)
            item.setdefault("apiVersion", api_version)
            self._put(item)
        meta = answer.get("metadata") or {}
        return str(meta.get("resourceVersion") or ""), str(meta.get("continue") or "")

    def finish(self, resource_version: str) -> None:
        for key in [key for key in self.objects if key not in self._seen]:
            self._drop(key, self.objects[key])

    def reset(self) -> None:
        self._rest = b""

    def chunk(self, body: bytes) -> str:
        from knarr.client.errors import of_status

        *lines, self._rest = (self._rest + body).split(b"\n")
        revision = ""
        for line in filter(None, lines):
            event = json.loads(line)
            item = event["object"]
            if event["type"] == "ERROR":
                raise of_status(item)
            revision = item["metadata"]["resourceVersion"]
            if event["type"] == "DELETED":
                self._drop(_key(item), item)
            elif event["type"] != "BOOKMARK":
                self._put(item)
        return revision

    def _put(self, item: Object) -> None:
        key = _key(item)
        self._seen.add(key)
        before = self.objects.get(key)
        if before is not None and before["metadata"].get("uid") != item["metadata"].get("uid"):
            self._drop(key, before)
            before = None
        self.objects[key] = item
        if before is not None and before["metadata"]["resourceVersion"] == item["metadata"]["resourceVersion"]:
            return
        if self._handler is not None:
            self._handler("ADDED" if before is None else "MODIFIED", item, before)

    def _drop(self, key: tuple[str, str], last: Object) -> None:
        before = self.objects.pop(key, None)
        if before is not None and self._handler is not None:
            self._handler("DELETED", last, before)


def _key(item: Object) -> tuple[str, str]:
    meta = item["metadata"]
    return meta.get("namespace", ""), meta["name"]
