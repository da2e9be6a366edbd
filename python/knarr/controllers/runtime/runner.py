"""One controller at work: keys from its sources, reconcile on a held view, its plan executed, the next look only at a
view that has seen the plan's own writes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final

from knarr.client.errors import AlreadyExists, ApiError, Conflict, NotFound
from knarr.client.protocol import Client, Object, Preconditions, Resource
from knarr.controllers.runtime.declare import Catalog, Controller, To, Views
from knarr.controllers.runtime.events import Recorder
from knarr.controllers.runtime.metrics import Metrics
from knarr.controllers.runtime.plan import Event, Plan, Write
from knarr.controllers.runtime.queue import WorkQueue
from knarr.controllers.runtime.sources import Source

_log = logging.getLogger(__name__)

_EXPECT_MAX: Final = 300.0  # seconds a key waits for its own writes, as client-go controllers' ExpectationsTimeout
_GROUP_MAX: Final = 50  # requests of one plan under way at once


class Runner:
    """client: called once, at the first write, for a client that is this controller's own user."""

    def __init__(
        self,
        controller: Controller,
        views: Views,
        sources: dict[Resource, Source],
        client: Callable[[str], Awaitable[Client]],
        metrics: Metrics,
    ) -> None:
        self.controller = controller
        self.queue = WorkQueue()
        self._views = views
        self._sources = sources
        self._read = [sources[watch.resource].view for watch in controller.watches]
        self._new_client = client
        self._client: Client | None = None
        self._recorder: Recorder | None = None
        self._metrics = metrics.of(controller.name)
        self._expected: dict[str, list[tuple[Source, int, str, float]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def connect(self, source: Source, subscription: int, to: To) -> None:
        """Let a subscription of a source feed the queue."""
        if to.word == "every" and to.by is not None:
            lens = self._views[to.by]
            source.read(subscription, lambda keys: self._add([f"{row.namespace}/{row.name}" for row in lens.all()]))
        else:
            source.read(subscription, self._add)

    def connect_everything(self, source: Source, to: To) -> None:
        """A catalog's source: keys get the resource in front, `pods|namespace/name/uid`."""
        prefix = "" if to.word == "owners-left" else f"{source.resource.group_resource}|"
        subscription = source.view.subscribe(to.word, list(to.fields) if to.fields is not None else None)
        source.read(subscription, lambda keys: self._add([f"{prefix}{key}" for key in keys]))
        source.dispatch()

    def read_catalog(self, catalog: Catalog) -> None:
        self._views.catalog = catalog

    def _add(self, keys: list[str]) -> None:
        self._metrics.told += len(keys)
        for key in keys:
            self.queue.add(key)

    async def run(self) -> None:
        """Work until cancelled."""
        self._add(list(self.controller.initial))
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self.controller.workers):
                    group.create_task(self._work())
        finally:
            self.queue.close()
            for task in self._tasks:
                task.cancel()

    async def _work(self) -> None:
        while True:
            key = await self.queue.take()
            try:
                if not self._must_wait(key):
                    await self._handle(key)
            finally:
                self.queue.done(key)

    def _must_wait(self, key: str) -> bool:
        """Whether the view has not seen what this key's last plan wrote; then the source wakes the key."""
        expected = [entry for entry in self._expected.get(key, ()) if not _seen(*entry)]
        if not expected:
            self._expected.pop(key, None)
            return False
        self._expected[key] = expected
        source, revision, uid, deadline = expected[0]

        def wake() -> bool:
            if _seen(source, revision, uid, deadline):
                self.queue.add(key)
                return True
            return False

        source.park(wake)
        self.queue.add_after(key, max(0.0, deadline - time.monotonic()))
        return True

    async def _handle(self, key: str) -> None:
        started = time.perf_counter()
        for view in self._read:
            view.hold()
        try:
            plan = self.controller.reconcile(self._views, key, datetime.now(UTC))
        except Exception as error:  # noqa: BLE001 - a bug in one key's reconcile must not stop the others
            self._metrics.errors += 1
            words = {"controller": self.controller.name, "key": key, "error": str(error)}
            _log.exception("reconcile failed", extra=words)
            self.queue.retry(key)
            return
        finally:
            for view in self._read:
                view.release()
            self._metrics.reconciles += 1
            self._metrics.seconds += time.perf_counter() - started
        failure = await self._execute(key, plan) if plan.writes or plan.events else None
        if failure is None:
            self.queue.forget(key)
            if plan.requeue_after is not None:
                self.queue.add_after(key, plan.requeue_after)
            return
        self._metrics.errors += 1
        if not isinstance(failure, Conflict):
            _log.warning("write failed", extra={"controller": self.controller.name, "key": key, "error": str(failure)})
        self.queue.retry(key)

    async def _execute(self, key: str, plan: Plan) -> ApiError | None:
        """The first failure, or None when everything is written."""
        try:
            client = self._client = self._client or await self._connected()
        except ApiError as error:
            return error
        for event in plan.events:
            self._record(event, {})
        failure = await self._execute_writes(client, key, plan.writes)
        if failure is not None and plan.failed is not None and not isinstance(failure, Conflict):
            await self._execute_writes(client, key, plan.failed(failure.message))
        return failure

    async def _execute_writes(self, client: Client, key: str, writes: list[Write]) -> ApiError | None:
        groups: dict[int, list[Write]] = {}
        for write in writes:
            groups.setdefault(write.group, []).append(write)
        for number in sorted(groups):
            group = groups[number]
            failures: list[ApiError] = []
            for start in range(0, len(group), _GROUP_MAX):
                part = group[start : start + _GROUP_MAX]
                if len(part) == 1:
                    outcomes = [await self._write(client, key, part[0])]
                else:
                    outcomes = await asyncio.gather(*(self._write(client, key, write) for write in part))
                failures += [outcome for outcome in outcomes if outcome is not None]
            if failures:
                return failures[0]
        return None

    async def _write(self, client: Client, key: str, write: Write) -> ApiError | None:
        self._metrics.writes += 1
        try:
            answer = await send(client, write)
        except ApiError as error:
            done = (write.missing_ok and isinstance(error, NotFound)) or (
                write.exists_ok and isinstance(error, AlreadyExists)
            )
            if done or in_ending_namespace(error):
                return None
            if write.on_failure is not None and not isinstance(error, Conflict):
                self._record(write.on_failure, {"error": error.message, "name": write.name})
            return error
        self._expect(key, write, answer)
        if write.on_success is not None:
            name = (answer.get("metadata") or {}).get("name") or write.name
            self._record(write.on_success, {"name": name})
        return None

    def _expect(self, key: str, write: Write, answer: Object) -> None:
        source = self._sources.get(write.resource)
        if source is None or write.verb in ("deletecollection", "absent"):
            return
        deadline = time.monotonic() + _EXPECT_MAX
        if write.verb == "delete":
            entry = (source, 0, write.uid, deadline)
        else:
            revision = (answer.get("metadata") or {}).get("resourceVersion") or ""
            entry = (source, int(revision) if revision.isdigit() else 0, "", deadline)
        if not _seen(*entry):
            self._expected.setdefault(key, []).append(entry)

    def _record(self, event: Event, words: dict[str, str]) -> None:
        if self._recorder is None:
            return
        message = event.message
        for word, value in words.items():
            message = message.replace(f"{{{word}}}", value)
        self._recorder.record(Event(event.regarding, event.reason, message, event.type))

    async def _connected(self) -> Client:
        client = await self._new_client(self.controller.account)
        if self._recorder is None:
            self._recorder = Recorder(client, self.controller.account)
            self._tasks.add(asyncio.create_task(self._recorder.run()))
        return client


def _seen(source: Source, revision: int, uid: str, deadline: float) -> bool:
    if time.monotonic() > deadline:
        return True
    if uid:
        row = source.meta.of_uid(uid)
        return row is None or row.deleted is not None
    return source.view.revision() >= revision


async def send(client: Client, write: Write) -> Object:
    """One write as a request, its preconditions in the place the verb has for them."""
    match write.verb:
        case "create":
            return await client.create(
                write.resource,
                write.body,
                write.namespace,
                name=write.name if write.subresource else "",
                subresource=write.subresource,
            )
        case "update":
            return await client.update(
                write.resource, write.name, write.body, write.namespace, subresource=write.subresource
            )
        case "patch":
            body = write.body
            if isinstance(body, dict) and (write.uid or write.revision):
                metadata = dict(body.get("metadata") or {})
                if write.uid:
                    metadata["uid"] = write.uid
                if write.revision:
                    metadata["resourceVersion"] = str(write.revision)
                body = body | {"metadata": metadata}
            return await client.patch(
                write.resource, write.name, body, write.namespace, type=write.patch_type, subresource=write.subresource
            )
        case "delete":
            checks = Preconditions(write.uid, str(write.revision) if write.revision else "")
            return await client.delete(
                write.resource,
                write.name,
                write.namespace,
                grace_period=write.grace_period,
                propagation=write.propagation,
                preconditions=checks if write.uid or write.revision else None,
            )
        case "absent":
            there = await client.get(write.resource, write.name, write.namespace)
            if there["metadata"].get("uid") == write.uid:
                raise Conflict(409, "Conflict", f"{write.resource.group_resource} {write.name} is there")
            return {}
        case "deletecollection":
            await client.request("DELETE", write.resource.path(write.namespace))
            return {}


def in_ending_namespace(error: ApiError) -> bool:
    """Whether a create was refused because its namespace ends: what it was for goes too, and nobody need know."""
    return any(cause.get("reason") == "NamespaceTerminating" for cause in error.causes())
