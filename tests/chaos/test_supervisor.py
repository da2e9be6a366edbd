"""Death of the supervisor, and of each role.

Goal: roles are no thralls of the supervisor: after its kill -9 all of them go on, and a new `knarr up` takes them up
as they are, the same processes, and looks after them. A role that is killed is started again, and what it held is
there."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from clusters import Cluster, cluster, eventually

ROLES = ("server", "controllers", "agent")
POD = """
apiVersion: v1
kind: Pod
metadata: {name: %s}
spec: {containers: [{name: c, image: a/b}]}
"""


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster that may be mistreated."""
    with cluster(tmp_path, "127.0.0.28") as made:
        yield made


def test_roles_outlive_the_supervisor_and_the_next_one_adopts_them(own: Cluster) -> None:
    before = {role: own.pid(role) for role in ROLES}
    own.ok("create", "configmap", "kept", "--from-literal=a=b")
    supervisor = own.pid("supervisor")
    os.kill(supervisor, signal.SIGKILL)
    eventually(
        lambda: not Path(f"/proc/{supervisor}/cmdline").exists() or not Path(f"/proc/{supervisor}/cmdline").read_bytes()
    )
    assert all(Path(f"/proc/{pid}").exists() for pid in before.values())
    own.ok("create", "deployment", "web", "--image=a/b", "--replicas=2")
    own.ok("rollout", "status", "deployment/web", "--timeout=30s")

    done = own.up()
    assert done.code == 0, done.err
    assert {role: own.pid(role) for role in ROLES} == before
    assert own.pid("supervisor") != supervisor
    assert own.json("get", "configmap", "kept")["data"] == {"a": "b"}
    # adopted ones are no children of the new supervisor, and still it sees them end
    for role in ("controllers", "server"):
        os.kill(before[role], signal.SIGKILL)
        eventually(lambda role=role: own.status()["roles"][role]["pid"] not in (0, None, before[role]))
    eventually(lambda: own.kubectl("get", "--raw", "/readyz").out == "ok")
    assert own.json("get", "configmap", "kept")["data"] == {"a": "b"}


def test_each_killed_role_comes_back_and_takes_up_its_work(own: Cluster) -> None:
    own.ok("create", "deployment", "web", "--image=a/b", "--replicas=2")
    own.ok("rollout", "status", "deployment/web", "--timeout=30s")
    for turn, role in enumerate(ROLES):
        own.ok("delete", "pod", "-l", "app=web", "--wait=false", "--force")
        os.kill(own.pid(role), signal.SIGKILL)
        eventually(lambda: own.kubectl("get", "--raw", "/readyz").out == "ok")
        eventually(lambda role=role: own.status()["roles"].get(role, {}).get("restarts", 0) >= 1)
        name = f"after-{turn}"
        own.ok("apply", "-f", "-", stdin=POD % name)
        own.ok("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=40s")
        own.ok("rollout", "status", "deployment/web", "--timeout=40s")
        assert own.json("get", "deployment", "web")["status"]["readyReplicas"] == 2
