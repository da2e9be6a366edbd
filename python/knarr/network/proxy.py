"""Follows Services and EndpointSlices and keeps nftables and DNS as they say. The shell of this package.

Changes are gathered for a moment and applied together; a change that the kernel refuses is tried again with the whole
table. Until the first lists are in, nothing is applied: what an earlier process left goes on serving.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Any, Protocol

from knarr.client import Client, Informer, Resource
from knarr.client.informer import ObjectSink
from knarr.network.elements import Elements, Numbering, elements_of, merged, owners
from knarr.network.nft import NftError, ServiceTable
from knarr.network.services import Backends, Key, Service, Slice, service_of, slice_of

log = logging.getLogger("knarr.network")

SERVICES = Resource("", "v1", "services", "Service")
SLICES = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
GATHER_SECONDS = 0.01
RETRY_SECONDS = 1.0


class Names(Protocol):
    """What is told of Services by name: the cluster's DNS."""

    def put(self, service: Service, backends: Backends) -> None: ...
    def remove(self, key: Key) -> None: ...
    def put_namespace(self, name: str) -> None: ...
    def remove_namespace(self, name: str) -> None: ...


@dataclass(slots=True)
class State:
    """Every Service with its endpoints and the elements that follow from them."""

    node: str
    answered_here: frozenset[str] = frozenset()
    services: dict[Key, Service] = field(default_factory=dict)
    backends: dict[Key, Backends] = field(default_factory=dict)
    slices: dict[Key, Slice] = field(default_factory=dict)
    numbering: dict[Key, Numbering] = field(default_factory=dict)
    elements: dict[Key, Elements] = field(default_factory=dict)
    dirty: set[Key] = field(default_factory=set)

    def put_service(self, item: dict[str, Any]) -> None:
        service = service_of(item)
        if self.services.get(service.key) != service:
            self.services[service.key] = service
            self.dirty.add(service.key)

    def remove_service(self, key: Key) -> None:
        if self.services.pop(key, None):
            self.dirty.add(key)

    def put_slice(self, item: dict[str, Any]) -> None:
        new = slice_of(item, self.node)
        old = self.slices.get((new.namespace, new.name))
        if old == new:
            return
        if old is not None and old.service != new.service:
            self.remove_slice((old.namespace, old.name))
        self.slices[new.namespace, new.name] = new
        if new.service:
            owner = (new.namespace, new.service)
            self.backends.setdefault(owner, Backends()).slices[new.name] = new
            self.dirty.add(owner)

    def remove_slice(self, key: Key) -> None:
        old = self.slices.pop(key, None)
        if old is None or not old.service:
            return
        owner = (old.namespace, old.service)
        behind = self.backends.get(owner)
        if behind is not None:
            behind.slices.pop(old.name, None)
            if not behind.slices:
                del self.backends[owner]
        self.dirty.add(owner)

    def settle(self, names: Names | None) -> Elements:
        """Work off what is dirty; the elements of all Services together."""
        for key in self.dirty:
            service = self.services.get(key)
            behind = self.backends.get(key, Backends())
            if service is None:
                self.elements.pop(key, None)
                self.numbering.pop(key, None)
                if names:
                    names.remove(key)
                continue
            if names:
                names.put(service, behind)
            if self.answered_here.isdisjoint(service.cluster_addresses):
                self.elements[key] = elements_of(service, behind, self.numbering.setdefault(key, {}))
        self.dirty.clear()
        return merged(self.elements[key] for key in owners(self.services) if key in self.elements)


class Proxy:
    """One node's proxy. table: None where there is no network to change (hollow nodes). names: the cluster's DNS, if it
    runs here.

    answered_here: Service addresses that this node answers by itself (cluster DNS), left alone by the table.
    """

    def __init__(
        self,
        client: Client,
        node: str,
        table: ServiceTable | None,
        names: Names | None = None,
        answered_here: frozenset[str] = frozenset(),
    ) -> None:
        self.client = client
        self.table = table
        self.names = names
        self.state = State(node, answered_here)
        self.synced = asyncio.Event()
        self._changed = asyncio.Event()
        self._waiting = {SERVICES.plural, SLICES.plural}

    async def run(self) -> None:
        """Follow the API until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._follow(tasks, SERVICES, self.state.put_service, self.state.remove_service)
            self._follow(tasks, SLICES, self.state.put_slice, self.state.remove_slice)
            if self.names:
                names = self.names
                self._follow(
                    tasks,
                    NAMESPACES,
                    lambda item: names.put_namespace(item["metadata"]["name"]),
                    lambda key: names.remove_namespace(key[1]),
                )
            tasks.create_task(self._apply())

    def _follow(self, tasks: asyncio.TaskGroup, resource: Resource, put: Any, remove: Any) -> None:
        def handler(event: str, item: dict[str, Any], _before: dict[str, Any] | None) -> None:
            if event == "DELETED":
                meta = item["metadata"]
                remove((meta.get("namespace", ""), meta["name"]))
            else:
                put(item)
            self._changed.set()

        informer = Informer(self.client, resource, ObjectSink(handler))
        tasks.create_task(informer.run())
        tasks.create_task(self._note_synced(informer, resource.plural))

    async def _note_synced(self, informer: Informer, plural: str) -> None:
        await informer.synced.wait()
        self._waiting.discard(plural)
        if not self._waiting:
            self.synced.set()
            self._changed.set()

    async def _apply(self) -> None:
        await self.synced.wait()
        while True:
            await self._changed.wait()
            await asyncio.sleep(GATHER_SECONDS)
            self._changed.clear()
            wanted = self.state.settle(self.names)
            if self.table is None:
                continue
            try:
                # a large table takes tenths of a second: not on the loop that answers everything else
                touched = await asyncio.to_thread(self.table.apply, wanted)
            except NftError as error:
                log.error("nftables refused a change, trying the whole table again", extra={"error": str(error)})
                await asyncio.sleep(RETRY_SECONDS)
                self._changed.set()
                continue
            if touched:
                log.info("services applied: %d elements changed", touched)
