"""A node for tests: the real agent, real containers in a containerd of its own, or hollow ones, against a FakeApi."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import importlib.util
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from knarr.agent import AgentConfig
from knarr.agent import cni as pod_network
from knarr.agent.agent import Agent
from knarr.agent.containerd import Containerd, import_images
from knarr.agent.drain import drain_and_remove
from knarr.agent.runtime.cri import CriRuntime
from knarr.client import Connection

from .fake_api import FakeApi

ROOT = Path(__file__).resolve().parents[3]
NODE = "node-1"
RUN = os.getpid()
"""Names and addresses of this process: what a run that was killed left behind is in nobody's way."""
CIDR = f"10.253.{RUN % 250}.0/24"


@functools.cache
def images() -> Path:
    """The archive of the pause and busybox images, built once a run."""
    spec = importlib.util.spec_from_file_location("build_images", ROOT / "deploy/images/build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder = tempfile.mkdtemp(prefix="knarr-images-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    out = Path(folder) / "images.tar"
    assert module.main([str(out)]) == 0
    return out


def config_for(data_dir: Path, runtime: str = "cri", **more: Any) -> AgentConfig:
    return AgentConfig(
        kubeconfig=data_dir / "unused",
        node_name=NODE,
        node_ip="127.0.0.1",
        data_dir=data_dir,
        runtime=runtime,
        pod_cidr=CIDR,
        bridge=f"kt{RUN % 10_000_000}",
        port=0,
        **more,
    )


@contextlib.asynccontextmanager
async def own_containerd(tmp_path: Path) -> AsyncIterator[CriRuntime]:
    config = config_for(tmp_path)
    containerd = Containerd(config)
    folder = tmp_path / "agent" / "cni"
    pod_network.write(folder / "net.d", (CIDR,), config.bridge, folder / "ipam")
    await containerd.start()
    await asyncio.to_thread(import_images, containerd.endpoint, images())
    runtime = CriRuntime(containerd.endpoint)
    try:
        yield runtime
    finally:
        for sandbox in await runtime.sandboxes():
            await runtime.stop_sandbox(sandbox.id)
            await runtime.remove_sandbox(sandbox.id)
        await runtime.close()
        await containerd.stop()
        await drain_and_remove(config)


class TestNode:
    """`async with TestNode(tmp_path) as node: node.api.put("pods", ...)`. `restart` starts the agent anew."""

    __test__ = False

    def __init__(self, data_dir: Path, runtime: str = "cri", **more: Any) -> None:
        self.config = config_for(data_dir, runtime, **more)
        self.api = FakeApi()
        self.agent: Agent | None = None
        self._connection: Connection | None = None

    async def __aenter__(self) -> TestNode:
        self._connection = Connection((await self.api.start(),))
        await self.start_agent()
        if self.config.runtime == "cri":
            await asyncio.to_thread(import_images, Containerd(self.config).endpoint, images())
        return self

    async def start_agent(self) -> None:
        assert self._connection is not None
        self.agent = Agent(self.config, self._connection)
        await self.agent.__aenter__()
        await self.agent.serve()
        await asyncio.wait_for(self.agent.node.ready.wait(), 20)

    async def stop_agent(self) -> None:
        if self.agent is not None:
            await self.agent.__aexit__(None, None, None)
            self.agent = None

    async def __aexit__(self, *_: object) -> None:
        await self.stop_agent()
        await self.api.stop()
        await drain_and_remove(self.config)

    # Pods

    def run(self, name: str, *containers: dict[str, Any], **spec: Any) -> None:
        made = [{"name": f"c{n}", "image": "knarr.dev/busybox:1", **c} for n, c in enumerate(containers)]
        inits = [{"image": "knarr.dev/busybox:1", **c} for c in spec.pop("initContainers", [])]
        body = {"containers": made, "nodeName": NODE, "terminationGracePeriodSeconds": 2, "restartPolicy": "Always"}
        if inits:
            body["initContainers"] = inits
        metadata = {"name": name, "generation": 1, "labels": {"app": name}}
        self.api.put("pods", {"metadata": metadata, "spec": {**body, **spec}, "status": {"phase": "Pending"}})

    def status(self, name: str) -> dict[str, Any]:
        pod = self.api.get("pods", name)
        return (pod or {}).get("status") or {}

    def container(self, name: str, index: int = 0) -> dict[str, Any]:
        found = self.status(name).get("containerStatuses") or []
        return found[index] if len(found) > index else {}

    def ready(self, name: str) -> bool:
        return any(c["type"] == "Ready" and c["status"] == "True" for c in self.status(name).get("conditions") or ())

    async def until_ready(self, name: str, seconds: float = 15.0) -> None:
        await self.api.until(lambda: self.ready(name), seconds)

    async def until_ended(self, name: str) -> None:
        await self.api.until(lambda: self.status(name).get("phase") in ("Succeeded", "Failed"))

    async def until_gone(self, name: str) -> None:
        await self.api.until(lambda: self.api.get("pods", name) is None)

    async def logs(self, pod: str, container: str = "c0", **query: str) -> str:
        from knarr.agent.server import Chunks

        assert self.agent is not None
        flat = {k: [v] for k, v in query.items()}
        answer = await self.agent.handlers.handle("GET", f"/containerLogs/default/{pod}/{container}", flat)
        assert isinstance(answer, Chunks), answer
        return b"".join([chunk async for chunk in answer.chunks]).decode()
