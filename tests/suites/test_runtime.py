"""One suite for every Runtime. Goal: an implementation keeps the promises of `knarr.agent.runtime.Runtime`. Method: the
life of a sandbox and its container, each call repeated where the protocol says that this is harmless."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from knarr.agent.runtime import (
    ContainerSpec,
    ContainerState,
    Runtime,
    RuntimeCallError,
    SandboxSpec,
)
from knarr.agent.runtime.hollow import HollowRuntime

LABELS = {"knarr.dev/test": "suite"}


@pytest.fixture(params=["hollow", pytest.param("cri", marks=pytest.mark.cluster)])
async def runtime(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Runtime]:
    if request.param == "hollow":
        yield HollowRuntime("10.1.0.0/24")
        return
    from tests.cluster.agent.node import own_containerd

    async with own_containerd(tmp_path) as made:
        yield made


def sandbox(tmp_path: Path, attempt: int = 0) -> SandboxSpec:
    logs = tmp_path / "logs"
    (logs / "c").mkdir(parents=True, exist_ok=True)
    return SandboxSpec(
        "p",
        "default",
        "uid-1",
        attempt,
        hostname="p",
        log_directory=str(logs),
        labels={**LABELS, "attempt": str(attempt)},
    )


def container(image: str, attempt: int = 0) -> ContainerSpec:
    return ContainerSpec(
        "c",
        attempt,
        image,
        image_name="knarr.dev/busybox:1",
        command=("sleep", "1000"),
        log_path="c/0.log",
        labels=LABELS,
    )


async def image_of(runtime: Runtime) -> str:
    image = await runtime.image("knarr.dev/busybox:1")
    assert image is not None
    return image.id


async def test_the_life_of_a_pod(runtime: Runtime, tmp_path: Path) -> None:
    info = await runtime.info()
    assert info.ready and info.network_ready and info.name
    spec = sandbox(tmp_path)
    sid = await runtime.run_sandbox(spec)
    seen = await runtime.sandbox(sid)
    assert seen.ready and seen.ips and (seen.uid, seen.attempt) == ("uid-1", 0)
    assert [s.id for s in await runtime.sandboxes(LABELS)] == [sid]
    assert await runtime.sandboxes({"knarr.dev/test": "other"}) == []

    cid = await runtime.create_container(sid, container(await image_of(runtime)), spec)
    assert (await runtime.container(cid)).state is ContainerState.CREATED
    await runtime.start_container(cid)
    running = await runtime.container(cid)
    assert running.state is ContainerState.RUNNING and running.started_at > 0
    assert [(c.id, c.sandbox_id) for c in await runtime.containers(LABELS)] == [(cid, sid)]
    assert (await runtime.exec_sync(cid, ["true"], 5)).code == 0
    assert [s.id for s in await runtime.stats()] == [cid]

    ended = asyncio.create_task(first_event(runtime))
    await asyncio.sleep(0.2)
    await runtime.stop_container(cid, 0)
    assert await asyncio.wait_for(ended, 5) == cid
    stopped = await runtime.container(cid)
    assert stopped.state is ContainerState.EXITED and stopped.finished_at >= stopped.started_at
    await runtime.stop_container(cid, 0)

    await runtime.stop_sandbox(sid)
    await runtime.stop_sandbox(sid)
    assert not (await runtime.sandbox(sid)).ready
    with pytest.raises(RuntimeCallError):
        await runtime.create_container(sid, container(await image_of(runtime), 1), spec)
    await runtime.remove_sandbox(sid)
    await runtime.remove_sandbox(sid)
    assert await runtime.containers(LABELS) == [] and await runtime.sandboxes(LABELS) == []


async def first_event(runtime: Runtime) -> str:
    async for container_id in runtime.events():
        return container_id
    raise AssertionError("this runtime tells no events")


async def test_what_is_not_there(runtime: Runtime) -> None:
    for call in (runtime.container("0" * 32), runtime.sandbox("0" * 32)):
        with pytest.raises(RuntimeCallError) as caught:
            await call
        assert caught.value.not_found
    await runtime.stop_container("0" * 32, 0)
    await runtime.remove_container("0" * 32)
    await runtime.stop_sandbox("0" * 32)


async def test_stopping_the_sandbox_ends_its_containers(runtime: Runtime, tmp_path: Path) -> None:
    spec = sandbox(tmp_path)
    sid = await runtime.run_sandbox(spec)
    cid = await runtime.create_container(sid, container(await image_of(runtime)), spec)
    await runtime.start_container(cid)
    with pytest.raises(RuntimeCallError):
        await runtime.run_sandbox(spec)
    await runtime.stop_sandbox(sid)
    assert (await runtime.container(cid)).state is ContainerState.EXITED
    await runtime.remove_sandbox(sid)
