"""Goal: without root, hollow pods become Ready and go. Method: the whole agent against a small API."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.cluster.agent.node import TestNode


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
