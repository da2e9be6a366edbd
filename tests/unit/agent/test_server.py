"""Goal: logs are those of the container that Kubernetes would show, or its refusal. Method: a pod as a value, its
logs as real files."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from knarr.agent.podspec import NodeFacts
from knarr.agent.runtime import Container, ContainerState
from knarr.agent.server import Chunks, Handlers, Whole

RUNNING = {"running": {}}
EXITED = ContainerState.EXITED


def ended(attempt: int) -> dict[str, Any]:
    return {"terminated": {"containerID": f"containerd://c{attempt}"}}


def waiting(reason: str) -> dict[str, Any]:
    return {"waiting": {"reason": reason}}


@pytest.mark.parametrize(
    ("states", "state", "last", "now", "before"),
    [
        ((ContainerState.RUNNING,), RUNNING, {}, "0", "previous terminated"),
        ((EXITED, ContainerState.RUNNING), RUNNING, ended(0), "1", "0"),
        # What has ended and waits for its next start is the last one, whichever way it is asked for.
        ((EXITED, EXITED), waiting("CrashLoopBackOff"), ended(1), "1", "1"),
        ((EXITED,), ended(0), {}, "0", "previous terminated"),
        ((), waiting("ErrImagePull"), {}, "is waiting to start: image can't be pulled", "previous terminated"),
        ((), waiting("ImagePullBackOff"), {}, "is waiting to start: trying and failing to pull image", "previous"),
        ((), waiting("PodInitializing"), {}, "is waiting to start: PodInitializing", "previous terminated"),
    ],
)
async def test_which_container_s_log(
    tmp_path: Path,
    states: tuple[ContainerState, ...],
    state: dict[str, Any],
    last: dict[str, Any],
    now: str,
    before: str,
) -> None:
    pod = {
        "metadata": {"name": "p", "namespace": "ns", "uid": "u"},
        "spec": {"containers": [{"name": "c"}]},
        "status": {"containerStatuses": [{"name": "c", "state": state, "lastState": last}]},
    }
    containers = {f"c{n}": Container(f"c{n}", "s", "c", n, each, n) for n, each in enumerate(states)}
    folder = tmp_path / "ns_p_u" / "c"
    folder.mkdir(parents=True)
    for number in range(len(states)):
        (folder / f"{number}.log").write_text(f"2026-01-01T00:00:00.000000000Z stdout F {number}\n")
    facts = NodeFacts("i", "n", ("10.9.9.9",), 1 << 30, tmp_path, tmp_path)
    view = SimpleNamespace(pod=pod, sandboxes={}, containers=containers)
    nothing = cast(Any, None)
    handlers = Handlers(nothing, lambda: facts, lambda: [cast(Any, view)], nothing, nothing)
    for previous, expected in (("false", now), ("true", before)):
        answer = await handlers.handle("GET", "/containerLogs/ns/p/c", {"previous": [previous]})
        if isinstance(answer, Chunks):
            assert b"".join([piece async for piece in answer.chunks]) == expected.encode() + b"\n"
        else:
            assert isinstance(answer, Whole) and answer.code == 400
            assert expected in answer.body.decode()
