"""A runtime in which nothing runs: sandboxes and containers are records, pods become Ready, no root is needed.

For tests and load: the real agent and the real API traffic without network, images or processes. Every image is
there, every exec succeeds, every probe finds its port open; containers run until they are stopped.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from ipaddress import ip_network

from . import (
    Container,
    ContainerSpec,
    ContainerState,
    ContainerStats,
    ExecResult,
    Filesystem,
    Image,
    RuntimeCallError,
    RuntimeInfo,
    Sandbox,
    SandboxSpec,
)

_FALLBACK_RANGE = "10.88.0.0/16"


class HollowRuntime:
    """pod_cidr: where addresses are taken from, in turn; they reach nobody."""

    def __init__(self, pod_cidr: str = "") -> None:
        self._sandboxes: dict[str, Sandbox] = {}
        self._containers: dict[str, Container] = {}
        self._events: asyncio.Queue[str] = asyncio.Queue()
        network = ip_network(pod_cidr or _FALLBACK_RANGE)
        self._addresses = (str(network[i % max(network.num_addresses - 4, 1) + 2]) for i in itertools.count())

    async def info(self) -> RuntimeInfo:
        return RuntimeInfo("hollow", "1")

    async def run_sandbox(self, spec: SandboxSpec) -> str:
        taken = (spec.uid, spec.attempt)
        if any((s.uid, s.attempt) == taken for s in self._sandboxes.values()):
            raise RuntimeCallError(f"sandbox {spec.name} attempt {spec.attempt} exists")
        ips = () if spec.namespaces.host_network else (next(self._addresses),)
        made = Sandbox(
            id=uuid.uuid4().hex,
            name=spec.name,
            namespace=spec.namespace,
            uid=spec.uid,
            attempt=spec.attempt,
            ready=True,
            created_at=time.time_ns(),
            ips=ips,
            labels=dict(spec.labels),
            annotations=dict(spec.annotations),
        )
        self._sandboxes[made.id] = made
        return made.id

    async def stop_sandbox(self, sandbox_id: str) -> None:
        found = self._sandboxes.get(sandbox_id)
        if found is None:
            return
        for container in [c for c in self._containers.values() if c.sandbox_id == sandbox_id]:
            await self.stop_container(container.id, 0)
        self._sandboxes[sandbox_id] = replace(found, ready=False)

    async def remove_sandbox(self, sandbox_id: str) -> None:
        await self.stop_sandbox(sandbox_id)
        self._sandboxes.pop(sandbox_id, None)
        self._containers = {k: c for k, c in self._containers.items() if c.sandbox_id != sandbox_id}

    async def sandbox(self, sandbox_id: str) -> Sandbox:
        if sandbox_id not in self._sandboxes:
            raise RuntimeCallError(f"sandbox {sandbox_id} not found", not_found=True)
        return self._sandboxes[sandbox_id]

    async def sandboxes(self, labels: Mapping[str, str] | None = None) -> Sequence[Sandbox]:
        return [replace(s, ips=()) for s in self._sandboxes.values() if _has(s.labels, labels)]

    async def create_container(self, sandbox_id: str, spec: ContainerSpec, sandbox: SandboxSpec) -> str:
        if not (await self.sandbox(sandbox_id)).ready:
            raise RuntimeCallError(f"sandbox {sandbox_id} is not running")
        made = Container(
            id=uuid.uuid4().hex,
            sandbox_id=sandbox_id,
            name=spec.name,
            attempt=spec.attempt,
            state=ContainerState.CREATED,
            created_at=time.time_ns(),
            image=spec.image_name or spec.image,
            image_ref=spec.image,
            labels=dict(spec.labels),
            annotations=dict(spec.annotations),
            log_path=spec.log_path,
        )
        self._containers[made.id] = made
        return made.id

    async def start_container(self, container_id: str) -> None:
        found = await self.container(container_id)
        if found.state is not ContainerState.CREATED:
            raise RuntimeCallError(f"container {container_id} is {found.state.value}, not created")
        self._containers[container_id] = replace(found, state=ContainerState.RUNNING, started_at=time.time_ns())

    async def stop_container(self, container_id: str, grace_seconds: int) -> None:
        found = self._containers.get(container_id)
        if found is None or found.state is not ContainerState.RUNNING:
            return
        self._containers[container_id] = replace(
            found, state=ContainerState.EXITED, finished_at=time.time_ns(), exit_code=0, reason="Completed"
        )
        self._events.put_nowait(container_id)

    async def remove_container(self, container_id: str) -> None:
        await self.stop_container(container_id, 0)
        self._containers.pop(container_id, None)

    async def container(self, container_id: str) -> Container:
        if container_id not in self._containers:
            raise RuntimeCallError(f"container {container_id} not found", not_found=True)
        return self._containers[container_id]

    async def containers(self, labels: Mapping[str, str] | None = None) -> Sequence[Container]:
        return [c for c in self._containers.values() if _has(c.labels, labels)]

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout_seconds: int) -> ExecResult:
        if (await self.container(container_id)).state is not ContainerState.RUNNING:
            raise RuntimeCallError(f"container {container_id} is not running")
        return ExecResult(0, b"", b"")

    async def exec_url(
        self, container_id: str, command: Sequence[str], *, tty: bool, stdin: bool, stdout: bool, stderr: bool
    ) -> str:
        raise RuntimeCallError("the hollow runtime has no processes to run a command in")

    async def attach_url(self, container_id: str, *, tty: bool, stdin: bool, stdout: bool, stderr: bool) -> str:
        raise RuntimeCallError("the hollow runtime has no processes to attach to")

    async def port_forward_url(self, sandbox_id: str, ports: Sequence[int]) -> str:
        raise RuntimeCallError("the hollow runtime has no network to forward to")

    async def reopen_log(self, container_id: str) -> None:
        await self.container(container_id)

    async def image(self, reference: str) -> Image | None:
        digest = hashlib.sha256(reference.encode()).hexdigest()
        return Image(id=f"sha256:{digest}", tags=(reference,), size=0)

    async def images(self) -> Sequence[Image]:
        return []

    async def pull_image(self, reference: str, auth: Mapping[str, str] | None, sandbox: SandboxSpec) -> str:
        found = await self.image(reference)
        return found.id if found is not None else reference

    async def remove_image(self, reference: str) -> None:
        return

    async def image_filesystem(self) -> Filesystem | None:
        return None

    async def stats(self) -> Sequence[ContainerStats]:
        now = time.time_ns()
        running = (c for c in self._containers.values() if c.state is ContainerState.RUNNING)
        return [ContainerStats(c.id, now, 0, 0, 0, 0) for c in running]

    async def probe_tcp(self, host: str, port: int, timeout_seconds: float) -> bool | None:
        return True

    async def events(self) -> AsyncIterator[str]:
        while True:
            yield await self._events.get()

    async def close(self) -> None:
        return


def _has(labels: Mapping[str, str], wanted: Mapping[str, str] | None) -> bool:
    return all(labels.get(k) == v for k, v in (wanted or {}).items())
