"""The end of a node: everything this agent made goes, whether or not an agent or its API server is there any more."""

from __future__ import annotations

import asyncio
import logging
import shutil

from . import leftovers, mounts
from .cgroups import Cgroups
from .config import AgentConfig, instance_id
from .containerd import Containerd
from .podspec import AGENT
from .runtime import Runtime, RuntimeCallError, Sandbox

log = logging.getLogger(__name__)

GRACE_SECONDS = 2
PARALLEL = 8


async def drain_and_remove(config: AgentConfig) -> None:
    """End this agent's sandboxes, unmount its volumes, remove its cgroups, bridge and sockets, stop its containerd.

    Blocks until all is gone; repeating it is harmless. Data (images, the agent's folder) stays: it is the data
    directory's. Raises AgentError when its containerd cannot be started to end what still runs.
    """
    if config.runtime == "cri":
        await _sandboxes(config)
        await asyncio.to_thread(leftovers.remove, config)
        cgroups = Cgroups.detect()
        await asyncio.to_thread(cgroups.remove, f"/knarr-{instance_id(config)}", True)
    await asyncio.to_thread(remove_folders, config)


async def _sandboxes(config: AgentConfig) -> None:
    from .runtime.cri import CriRuntime

    own = None
    if not config.cri_endpoint:
        own = Containerd(config)
        if not own.dir.exists():
            return
        await own.start()
    runtime = CriRuntime(config.cri_endpoint or (own.endpoint if own is not None else ""))
    try:
        sandboxes = list(await runtime.sandboxes({AGENT: instance_id(config)}))
        await end_sandboxes(runtime, sandboxes)
        if own is not None:
            for sandbox in sandboxes:
                own.remove_shim_socket(sandbox.id)
    finally:
        await runtime.close()
        if own is not None:
            await own.stop()
            await asyncio.to_thread(own.end_shims)


async def end_sandboxes(runtime: Runtime, sandboxes: list[Sandbox]) -> None:
    """Containers get SIGTERM and two seconds, then all goes. Raises RuntimeCallError for what could not be ended."""
    limit = asyncio.Semaphore(PARALLEL)

    async def stop(container_id: str) -> None:
        async with limit:
            await runtime.stop_container(container_id, GRACE_SECONDS)

    async def remove(sandbox_id: str) -> None:
        async with limit:
            await runtime.stop_sandbox(sandbox_id)
            await runtime.remove_sandbox(sandbox_id)

    ids = {s.id for s in sandboxes}
    containers = [c for c in await runtime.containers() if c.sandbox_id in ids]
    await asyncio.gather(*(stop(c.id) for c in containers))
    results = await asyncio.gather(*(remove(s.id) for s in sandboxes), return_exceptions=True)
    failed = [r for r in results if isinstance(r, BaseException)]
    for error in failed:
        log.error("sandbox not removed: error=%s", error)
    if failed:
        raise RuntimeCallError(f"{len(failed)} sandboxes could not be removed: {failed[0]}")


def remove_folders(config: AgentConfig) -> None:
    """Unmount what is mounted for pods, and remove what only their life needs."""
    own = Containerd(config)
    for folder in (config.pods_dir, own.dir):
        if folder.exists():
            mounts.unmount_below(folder)
    for folder in (config.pods_dir, config.data_dir / "agent" / "cni"):
        shutil.rmtree(folder, ignore_errors=True)
    if own.run_dir != own.dir:
        shutil.rmtree(own.run_dir, ignore_errors=True)
