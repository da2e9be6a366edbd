"""Goal: without root, hollow pods become Ready and go. Method: the whole agent against a small API."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from grpc import StatusCode
from grpc.aio import AioRpcError, Metadata
from knarr.agent.runtime import RuntimeCallError
from knarr.agent.runtime.grpc import translate

from tests.cluster.agent.node import NODE, TestNode


async def test_hollow_pods_become_ready_and_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("knarr.agent.agent.ROTATE_SECONDS", 0.1)
    async with TestNode(tmp_path, "hollow") as node:
        for n in range(20):
            node.run(f"p{n}", {"readinessProbe": {"tcpSocket": {"port": 80}}}, initContainers=[])
        await asyncio.gather(*(node.until_ready(f"p{n}") for n in range(20)))
        assert len({node.status(f"p{n}")["podIP"] for n in range(20)}) == 20
        await asyncio.sleep(0.2)
        revision = node.api.revision
        await asyncio.sleep(0.3)
        assert node.api.revision - revision <= 2, "an idle node writes nothing but its lease and status"
        for n in range(20):
            node.api.delete("pods", f"p{n}")
        await asyncio.gather(*(node.until_gone(f"p{n}") for n in range(20)))
        assert node.agent is not None
        assert await node.agent.runtime.sandboxes() == []
    assert "log not rotated" not in caplog.text, "there are none"


async def test_what_others_write_to_the_node_counts_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A label that a pod asks for, set a moment before it; a condition that is the agent's to tell."""
    monkeypatch.setattr("knarr.agent.node.STATUS_PERIOD_SECONDS", 0.1)
    async with TestNode(tmp_path, "hollow") as node:
        there = node.api.get("nodes", NODE)
        assert there is not None
        labels = {**there["metadata"]["labels"], "disk": "fast"}
        node.api.put("nodes", {**there, "metadata": {**there["metadata"], "labels": labels}})
        node.run("p", {}, nodeSelector={"disk": "fast"})
        await node.until_ready("p")
        node.run("q", {}, nodeSelector={"disk": "slow"})
        await node.until_ended("q")
        assert node.status("q")["reason"] == "NodeAffinity"

        there = node.api.get("nodes", NODE)
        assert there is not None
        lost = [{**c, "status": "Unknown", "reason": "NodeStatusUnknown"} for c in there["status"]["conditions"]]
        foreign = {"type": "FromElsewhere", "status": "False"}
        node.api.put("nodes", {**there, "status": {**there["status"], "conditions": [*lost, foreign]}})

        def told() -> bool:
            found = (node.api.get("nodes", NODE) or {})["status"]["conditions"]
            return {"Ready": "True", "FromElsewhere": "False"}.items() <= {
                c["type"]: c["status"] for c in found
            }.items()

        await node.api.until(told)
        await asyncio.sleep(0.3)
        revision = node.api.revision
        await asyncio.sleep(0.5)
        assert node.api.revision - revision <= 1, "and nothing is told again and again beside another's condition"


async def test_a_container_that_cannot_start_in_a_dying_sandbox_is_not_to_blame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sandbox's processes end one after the other; what the runtime says of the sandbox itself changes last."""
    async with TestNode(tmp_path, "hollow") as node:
        node.run("p", {})
        await node.until_ready("p")
        assert node.agent is not None
        runtime = node.agent.runtime
        (sandbox,), (container,) = await runtime.sandboxes(), await runtime.containers()
        tried = asyncio.Event()

        async def start_container(_: str) -> None:
            tried.set()
            raise RuntimeCallError("namespace path: lstat /proc/1/ns/ipc: no such file or directory")

        with monkeypatch.context() as patch:
            patch.setattr(runtime, "start_container", start_container)
            await runtime.stop_container(container.id, 0)
            await tried.wait()
            await asyncio.sleep(0.1)
        await runtime.stop_sandbox(sandbox.id)
        await node.api.until(lambda: node.container("p").get("restartCount") == 1 and node.ready("p"), 5)


@pytest.mark.parametrize("place", ["ContainerStarter.prepare_pod", "log_dir"])
async def test_what_the_disk_refuses_is_tried_again_after_a_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    async with TestNode(tmp_path, "hollow") as node:
        tries = 0

        def refuse(*_: object) -> Path:
            nonlocal tries
            tries += 1
            if tries < 3:
                raise OSError("No space left on device")
            return tmp_path / "there"

        monkeypatch.setattr(f"knarr.agent.containers.{place}", refuse)
        node.run("p", {})
        await node.api.until(lambda: tries > 0)
        await asyncio.sleep(0.3)
        assert tries == 1


@pytest.mark.parametrize(
    ("call", "reason"), [("create_container", "CreateContainerError"), ("start_container", "RunContainerError")]
)
async def test_a_container_that_does_not_start_waits_with_the_runtimes_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, reason: str
) -> None:
    async def refuse(*_: object) -> None:
        raise translate(AioRpcError(StatusCode.UNKNOWN, Metadata(), Metadata(), "no such program"))

    async with TestNode(tmp_path, "hollow") as node:
        assert node.agent is not None
        monkeypatch.setattr(node.agent.runtime, call, refuse)
        node.run("p", {})
        await node.api.until(lambda: "waiting" in node.container("p").get("state", {}))
        await node.api.until(lambda: node.container("p")["state"]["waiting"].get("reason") == reason)
        assert node.container("p")["state"]["waiting"]["message"] == "no such program"


async def test_a_pod_that_ends_is_asked_whether_it_is_ready_but_not_whether_it_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def closed(*_: object) -> bool:
        return False

    async with TestNode(tmp_path, "hollow") as node:

        def told(words: str) -> bool:
            return any(words in o["message"] for (kind, _, _), o in node.api.objects.items() if kind == "events")

        probe = {"tcpSocket": {"port": 80}, "periodSeconds": 0.05, "failureThreshold": 9}
        hook = {"preStop": {"sleep": {"seconds": 2}}}
        node.run("p", {"livenessProbe": probe, "readinessProbe": probe, "lifecycle": hook})
        await node.until_ready("p")
        node.api.delete("pods", "p")
        await node.api.until(lambda: told("Stopping container"))
        assert node.agent is not None
        monkeypatch.setattr(node.agent.runtime, "probe_tcp", closed)
        await node.api.until(lambda: told("Readiness probe failed"))
        await node.until_gone("p")
        assert not told("Liveness probe failed")
