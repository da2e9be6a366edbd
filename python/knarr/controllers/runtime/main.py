"""The process: connect, follow, reconcile, until SIGTERM.

`run` is what `knarr controllers` calls. Controllers are found by name in `knarr.controllers`; each is one module's
CONTROLLER.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import uuid
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final

from knarr._core import View
from knarr.client.http import HttpClient
from knarr.client.kubeconfig import load_kubeconfig
from knarr.client.protocol import Resource
from knarr.controllers import load
from knarr.controllers.runtime.credentials import Credentials
from knarr.controllers.runtime.declare import bind, subscribe, union
from knarr.controllers.runtime.lease import Election
from knarr.controllers.runtime.metrics import Metrics
from knarr.controllers.runtime.runner import Runner
from knarr.controllers.runtime.sources import CatalogSources, Source

_log = logging.getLogger(__name__)

_LEASE: Final = "knarr-controllers"


@dataclass(slots=True)
class RunConfig:
    """kubeconfig: file; None: as kubectl. servers: instead of the kubeconfig's one. root_ca: file with the cluster's CA
    for kube-root-ca.crt (None: that controller does not run). controllers: names, None for all. leader_elect: take a
    Lease first (the embedded controllers run beside the leader and need none). on_ready: called once, when every list
    is here. own_accounts: a ServiceAccount for each controller, else all act as the process. settings: grace periods
    and the like, see the controllers."""

    kubeconfig: str | os.PathLike[str] | None = None
    servers: tuple[str, ...] = ()
    root_ca: str | os.PathLike[str] | None = None
    controllers: tuple[str, ...] | None = None
    leader_elect: bool = False
    on_ready: Callable[[], None] | None = None
    own_accounts: bool = True
    metrics_port: int = 0
    settings: dict[str, Any] = field(default_factory=dict)


def run(config: RunConfig) -> None:
    """Blocks until SIGTERM or SIGINT. Raises LostLease, OSError, ConfigError."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(serve(config))
    else:
        uvloop.run(serve(config))


async def serve(config: RunConfig, stop: asyncio.Event | None = None) -> None:
    """`run` inside a loop; `stop` instead of signals."""
    connection = load_kubeconfig(config.kubeconfig)
    if config.servers:
        connection = connection.with_servers(*config.servers)
    if stop is None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    client = HttpClient(connection, user_agent="knarr-controllers")
    credentials = Credentials(connection, client, own_accounts=config.own_accounts)
    election = Election(client, _LEASE, f"{socket.gethostname()}_{uuid.uuid4()}") if config.leader_elect else None
    tasks: list[asyncio.Task[None]] = []
    try:
        if election is not None and not await _first(stop, election.acquire()):
            return
        if election is not None:
            tasks.append(asyncio.create_task(election.hold()))
        tasks.append(asyncio.create_task(_work(config, client, credentials)))
        stopping = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        for task in done - {stopping}:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if election is not None:
            await election.release()
        await credentials.close()
        await client.close()


async def _first(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Whether the work ended before the stop."""
    task, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    await asyncio.wait([task, stopping], return_when=asyncio.FIRST_COMPLETED)
    ended = task.done()
    for pending in (task, stopping):
        pending.cancel()
    return ended


async def _work(config: RunConfig, client: HttpClient, credentials: Credentials) -> None:
    controllers = load(config.controllers)
    settings = dict(config.settings)
    if config.root_ca is not None:
        with open(config.root_ca, encoding="ascii") as file:  # noqa: ASYNC230 - a kilobyte, once
            settings["root_ca"] = file.read()
    metrics = Metrics()
    sources: dict[Resource, Source] = {}
    for resource, (fields, indexes, labels) in union(controllers).items():
        sources[resource] = Source(client, resource, View(fields, indexes=indexes, label_index=labels))
    views = {resource: source.view for resource, source in sources.items()}
    runners = []
    for controller in controllers:
        runner = Runner(controller, bind(controller, views, settings), sources, credentials.client, metrics)
        for resource, subscription, to in subscribe(controller, views):
            runner.connect(sources[resource], subscription, to)
        runners.append(runner)
    async with asyncio.TaskGroup() as group:
        if config.metrics_port:
            group.create_task(_serve_metrics(metrics, config.metrics_port))
        for source in sources.values():
            group.create_task(source.informer.run())
        readers = [runner for runner in runners if runner.controller.catalog]
        await asyncio.gather(*(source.informer.synced.wait() for source in sources.values()))
        for runner in runners:
            if not runner.controller.catalog:
                group.create_task(runner.run())
        _log.info("controllers work", extra={"controllers": [controller.name for controller in controllers]})
        if config.on_ready is not None:
            config.on_ready()
        if readers:  # after the start: a stock server has some 50 kinds more to list
            catalog = _follow_all(client, sources, readers, group)
            await catalog.synced.wait()
            for runner in readers:
                group.create_task(runner.run())


def _follow_all(
    client: HttpClient, sources: dict[Resource, Source], readers: list[Runner], group: asyncio.TaskGroup
) -> CatalogSources:
    """The catalog, told to every controller that declared it."""

    def on_new(source: Source) -> None:
        for runner in readers:
            for to in runner.controller.everything:
                runner.connect_everything(source, to)

    catalog = CatalogSources(client, sources, on_new, lambda source: group.create_task(source.informer.run()))
    for runner in readers:
        runner.read_catalog(catalog.catalog)
    group.create_task(catalog.run())
    return catalog


async def _serve_metrics(metrics: Metrics, port: int) -> None:
    """GET /metrics and /healthz on loopback, any path the same."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            line = await reader.readline()
            body = b"ok" if b"/healthz" in line else metrics.render().encode()
            head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n"
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            await writer.drain()

    server = await asyncio.start_server(answer, "127.0.0.1", port)
    async with server:
        await server.serve_forever()
