"""Sources: one shared informer and view for each resource, whoever reads it; and the catalog of every resource there
is.

A source tells its readers the keys that changed, and wakes those who wait for their own write to come back.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

from knarr._core import View, WatchStatus
from knarr.client.errors import ApiError, of_status
from knarr.client.informer import Informer
from knarr.client.protocol import Client, Resource
from knarr.controllers.runtime.declare import META_PATHS, Catalog, Lens, Meta

_log = logging.getLogger(__name__)

_METADATA_ONLY: Final = "application/json;as=PartialObjectMetadata{};g=meta.k8s.io;v=v1,application/json"
_DISCOVERY: Final = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_DISCOVERY_PERIOD: Final = 30.0  # seconds, as the garbage collector of kube-controller-manager
_NOT_FOLLOWED: Final = {"events", "events.events.k8s.io"}  # they own nothing, are many, and expire
_PAGE: Final = 1000

Reader = Callable[[list[str]], None]


class Source:
    """One resource's view and informer, as an informer's sink."""

    def __init__(self, client: Client, resource: Resource, view: View, *, metadata_only: bool = False) -> None:
        self.resource = resource
        self.view = view
        self.meta: Lens[Meta] = view.lens(Meta, META_PATHS)
        self._readers: list[tuple[int, Reader]] = []
        self._parked: list[Callable[[], bool]] = []
        self.informer = Informer(
            client,
            resource,
            self,
            accept=_METADATA_ONLY.format("") if metadata_only else "application/json",
            list_accept=_METADATA_ONLY.format("List") if metadata_only else "",
            page=_PAGE,
        )

    def read(self, subscription: int, reader: Reader) -> None:
        self._readers.append((subscription, reader))

    def park(self, wake: Callable[[], bool]) -> None:
        """Call `wake` after each change until it answers True."""
        self._parked.append(wake)

    def begin(self) -> None:
        self.view.begin()

    def page(self, body: bytes) -> tuple[str, str]:
        return self.view.page(body)

    def finish(self, resource_version: str) -> None:
        self.view.finish(resource_version)
        self.dispatch()

    def reset(self) -> None:
        self.view.reset()

    def chunk(self, body: bytes) -> str:
        try:
            return self.view.chunk(body)
        except WatchStatus as status:
            raise of_status(json.loads(status.args[0])) from None
        finally:
            self.dispatch()

    def dispatch(self) -> None:
        """Tell readers and waiters what changed."""
        for subscription, reader in self._readers:
            keys = self.view.take(subscription)
            if keys:
                reader(keys)
        if self._parked:
            self._parked = [wake for wake in self._parked if not wake()]


class CatalogSources:
    """Keeps a `Catalog` of every resource the server has: metadata views of all, those that controllers read anyway
    shared."""

    def __init__(
        self,
        client: Client,
        shared: dict[Resource, Source],
        on_new: Callable[[Source], None],
        spawn: Callable[[Source], asyncio.Task[None]],
    ) -> None:
        self.catalog = Catalog()
        self._client = client
        self._shared = shared
        self._own: dict[Resource, tuple[Source, asyncio.Task[None]]] = {}
        self._on_new = on_new
        self._spawn = spawn
        self.synced = asyncio.Event()

    async def run(self) -> None:
        while True:
            try:
                resources, failures = await discover(self._client)
            except ApiError as error:
                self.catalog.complete = False
                self.catalog.failures = [str(error)]
                _log.warning("discovery failed", extra={"error": str(error)})
                await asyncio.sleep(1.0)
                continue
            await self._follow(resources)
            self.catalog.failures = failures
            self.catalog.complete = not failures
            self.synced.set()
            await asyncio.sleep(_DISCOVERY_PERIOD)

    async def _follow(self, resources: Sequence[tuple[Resource, frozenset[str]]]) -> None:
        entries: dict[Resource, Lens[Meta]] = {}
        unseen: list[Resource] = []
        fresh: list[Source] = []
        for resource, verbs in resources:
            if resource.group_resource in _NOT_FOLLOWED or not {"list", "watch"} <= verbs:
                if "deletecollection" in verbs:
                    unseen.append(resource)
                continue
            if "delete" not in verbs:
                continue
            source = self._shared.get(resource) or (self._own[resource][0] if resource in self._own else None)
            if source is None:
                source = Source(self._client, resource, View(list(META_PATHS)), metadata_only=True)
                self._own[resource] = (source, self._spawn(source))
                fresh.append(source)
            elif resource not in self.catalog.entries:
                fresh.append(source)
            entries[resource] = source.meta
        for resource in [resource for resource in self._own if resource not in entries]:
            self._own.pop(resource)[1].cancel()
        # Nothing is judged absent, and no key is told, before every list is here.
        await asyncio.gather(*(source.informer.synced.wait() for source in fresh))
        self.catalog.entries, self.catalog.unseen = entries, unseen
        for source in fresh:
            self._on_new(source)


async def discover(client: Client) -> tuple[list[tuple[Resource, frozenset[str]]], list[str]]:
    """Every resource with its verbs, in its group's preferred version; and what could not be discovered (stale
    groups)."""
    found: list[tuple[Resource, frozenset[str]]] = []
    failures: list[str] = []
    for path in ("/api", "/apis"):
        document: dict[str, Any] = json.loads(await client.request("GET", path, accept=_DISCOVERY))
        for group in document.get("items") or []:
            name = (group.get("metadata") or {}).get("name", "")
            seen: set[str] = set()
            for version in group.get("versions") or []:
                if version.get("freshness") == "Stale":
                    failures.append(f"{name}/{version['version']}: stale group discovery")
                for entry in version.get("resources") or []:
                    if entry["resource"] in seen:
                        continue
                    seen.add(entry["resource"])
                    kind = (entry.get("responseKind") or {}).get("kind", "")
                    namespaced = entry.get("scope") == "Namespaced"
                    resource = Resource(name, version["version"], entry["resource"], kind, namespaced)
                    found.append((resource, frozenset(entry.get("verbs") or [])))
    return found, failures
