"""Pod lifecycle: what the runtime has, kept true by its events, and by a list now and then.

events of the runtime ----> the one container that ended is looked at, its pod's worker told
a list each LIST_SECONDS (each second where the runtime tells no events) ----> what differs is looked at
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

from knarr.kits.tasks import Backoff

from .podspec import AGENT, POD_UID
from .runtime import Container, ContainerState, Runtime, RuntimeCallError, Sandbox

log = logging.getLogger(__name__)

LIST_SECONDS = 30.0
LIST_SECONDS_WITHOUT_EVENTS = 1.0
UNKNOWN_MAX = 1024
"""Ends of containers nobody knew (yet) that are remembered."""
SETTLE_SECONDS = (0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""The runtime's own record follows its event after a moment: asked again until it shows the end."""


class Worker(Protocol):
    """The part of a pod's worker that is told and asked here."""

    sandboxes: dict[str, Sandbox]
    containers: dict[str, Container]

    def saw(self, sandboxes: Mapping[str, Sandbox], containers: Mapping[str, Container]) -> None: ...

    def saw_container(self, container: Container) -> None: ...


class Pleg:
    """workers(): uid -> worker. orphan(uid, sandboxes): called for pods nobody works on, at each list."""

    def __init__(
        self,
        runtime: Runtime,
        instance: str,
        workers: Callable[[], Mapping[str, Worker]],
        orphan: Callable[[str, list[Sandbox]], None],
    ) -> None:
        self._runtime, self._labels = runtime, {AGENT: instance}
        self._workers, self._orphan = workers, orphan
        self._events = False
        self._unknown: dict[str, None] = {}
        self._missed = False

    async def snapshot(self) -> dict[str, tuple[list[Sandbox], list[Container]]]:
        """By pod uid, everything of ours in full. Raises RuntimeCallError."""
        sandboxes = await self._runtime.sandboxes(self._labels)
        containers = await self._runtime.containers(self._labels)
        found: dict[str, tuple[list[Sandbox], list[Container]]] = {}
        for sandbox in sandboxes:
            uid = sandbox.labels.get(POD_UID, sandbox.uid)
            full = await self._sandbox(sandbox)
            found.setdefault(uid, ([], []))[0].append(full)
        for container in containers:
            uid = container.labels.get(POD_UID, "")
            found.setdefault(uid, ([], []))[1].append(await self._container(container))
        return found

    async def _sandbox(self, listed: Sandbox) -> Sandbox:
        return await self._runtime.sandbox(listed.id) if listed.ready else listed

    async def _container(self, listed: Container) -> Container:
        full = await self._runtime.container(listed.id)
        return replace(full, sandbox_id=listed.sandbox_id)

    async def run_events(self) -> None:
        """Follow the runtime's events for good; where it has none, `run_lists` alone has to do."""
        backoff = Backoff(0.2, 5.0)
        while True:
            try:
                self._events = True
                async for container_id in self._runtime.events():
                    backoff.reset()
                    await self._ended(container_id)
                self._events = False
                return
            except RuntimeCallError as error:
                self._events = False
                # Until the next look at everything, `run_lists` lists each second: what ended meanwhile was not told.
                log.info("events interrupted: error=%s", error)
                self._missed = True
                await asyncio.sleep(backoff.next())

    async def _ended(self, container_id: str) -> None:
        for worker in list(self._workers().values()):
            if container_id in worker.containers:
                await self._look(worker, container_id)
                return
            if container_id in worker.sandboxes:
                await self._look_sandbox(worker, container_id)
                return
        self._unknown[container_id] = None
        if len(self._unknown) > UNKNOWN_MAX:
            del self._unknown[next(iter(self._unknown))]

    def ended_unseen(self, container_id: str) -> bool:
        """Whether its end was told before its worker knew it: a container may end while it is being started."""
        return self._unknown.pop(container_id, container_id) is None

    async def look(self, worker: Worker, container_id: str) -> None:
        """Look at a container that is known to have ended, until the runtime's record shows it."""
        await self._look(worker, container_id)

    async def _look(self, worker: Worker, container_id: str) -> None:
        for delay in SETTLE_SECONDS:
            try:
                container = await self._runtime.container(container_id)
            except RuntimeCallError:
                return
            if container.state is not ContainerState.RUNNING:
                worker.saw_container(container)
                return
            await asyncio.sleep(delay)

    async def _look_sandbox(self, worker: Worker, sandbox_id: str) -> None:
        for delay in SETTLE_SECONDS:
            try:
                sandbox = await self._runtime.sandbox(sandbox_id)
            except RuntimeCallError:
                return
            if not sandbox.ready:
                worker.saw({**worker.sandboxes, sandbox_id: sandbox}, worker.containers)
                return
            await asyncio.sleep(delay)

    async def _pause(self) -> None:
        """A whole period, cut short when events were missed."""
        for _ in range(int(LIST_SECONDS / LIST_SECONDS_WITHOUT_EVENTS)):
            await asyncio.sleep(LIST_SECONDS_WITHOUT_EVENTS)
            if self._missed or not self._events:
                return

    async def run_lists(self) -> None:
        while True:
            await self._pause()
            try:
                self._missed = False
                await self.relist()
            except RuntimeCallError as error:
                log.info("list failed: error=%s", error)

    async def relist(self) -> None:
        """Compare with what the workers hold; look at what differs. Raises RuntimeCallError."""
        before = {uid: (dict(w.sandboxes), dict(w.containers)) for uid, w in self._workers().items()}
        sandboxes: dict[str, dict[str, Sandbox]] = {}
        containers: dict[str, dict[str, Container]] = {}
        for sandbox in await self._runtime.sandboxes(self._labels):
            sandboxes.setdefault(sandbox.labels.get(POD_UID, sandbox.uid), {})[sandbox.id] = sandbox
        for container in await self._runtime.containers(self._labels):
            containers.setdefault(container.labels.get(POD_UID, ""), {})[container.id] = container
        workers = self._workers()
        for uid, worker in workers.items():
            if uid not in before or (worker.sandboxes, worker.containers) != before[uid]:
                # It moved while we listed: the next list is newer than both.
                continue
            await self._compare(worker, sandboxes.get(uid, {}), containers.get(uid, {}))
        for uid in sandboxes.keys() - workers.keys() - before.keys():
            self._orphan(uid, list(sandboxes[uid].values()))

    async def _compare(
        self, worker: Worker, sandboxes: Mapping[str, Sandbox], containers: Mapping[str, Container]
    ) -> None:
        states = {k: c.state for k, c in containers.items()}
        boxes = {k: s.ready for k, s in sandboxes.items()}
        if states == {k: c.state for k, c in worker.containers.items()} and boxes == {
            k: s.ready for k, s in worker.sandboxes.items()
        }:
            return
        held = (dict(worker.sandboxes), dict(worker.containers))
        new_boxes = {}
        for key, sandbox in sandboxes.items():
            known = worker.sandboxes.get(key)
            same = known is not None and known.ready == sandbox.ready
            new_boxes[key] = known if same and known is not None else await self._sandbox(sandbox)
        new_containers = {}
        for key, container in containers.items():
            known_container = worker.containers.get(key)
            same = known_container is not None and known_container.state is container.state
            new_containers[key] = (
                known_container if same and known_container is not None else await self._container(container)
            )
        if held == (worker.sandboxes, worker.containers):
            worker.saw(new_boxes, new_containers)
