"""`knarr up --cri ENDPOINT`: an existing containerd is used as it is.

Goal: only sandboxes that this node made are touched. Method: a containerd of somebody else with a CNI network of its
own holds a stranger's sandbox and one that an earlier life of this node left behind; the latter goes at the start, at
`down` the node's own go, the stranger's lives on, and so does the containerd."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from clusters import Done, eventually, logs, run
from knarr.cluster.process import Process

from .hosts import HostCluster, hosts
from .test_lifecycle_hosts import PODS

SCRIPT = Path(__file__).with_name("existing_containerd.py")


@dataclass
class Somebody:
    """The containerd of somebody else in a host."""

    namespace: str
    endpoint: str
    pid: int

    def ctr(self, *arguments: str) -> Done:
        return run("ctr", "--address", self.endpoint.removeprefix("unix://"), "--namespace", "k8s.io", *arguments)

    def tasks(self) -> set[str]:
        rows = [line.split() for line in self.ctr("tasks", "list").out.splitlines()[1:]]
        return {row[0] for row in rows if row[2] == "RUNNING"}


@pytest.fixture
def somebody(tmp_path: Path) -> Iterator[tuple[Somebody, str]]:
    """A containerd in a host of its own, and the host's address; gone with its containers afterwards."""
    assert os.geteuid() == 0, "tests with real containers need root"
    with hosts(1) as [(namespace, address)]:
        folder = tmp_path / "c"  # short enough for a socket in it
        made = run("nsenter", f"--net=/run/netns/{namespace}", sys.executable, SCRIPT, "start", folder)
        assert made.code == 0, made.err
        pid = int((folder / "agent" / "containerd" / "containerd.pid").read_text().split()[0])
        found = Somebody(namespace, made.out.strip(), pid)
        try:
            yield found, address
        finally:
            cleared = run("nsenter", f"--net=/run/netns/{namespace}", sys.executable, SCRIPT, "clear", found.endpoint)
            assert cleared.code == 0, cleared.err
            os.kill(pid, signal.SIGTERM)
            eventually(lambda: Process.of(pid) is None, 20)
            run("sh", "-c", f"grep -o ' {tmp_path}[^ ]*' /proc/self/mounts | sort -r | xargs -r umount -l")


def test_only_our_own_sandboxes_are_touched(somebody: tuple[Somebody, str], tmp_path: Path, images: Path) -> None:
    from knarr.agent.containerd import import_images

    there, address = somebody
    made = HostCluster(tmp_path / "data", address, 6443, "cri", ("--cri", there.endpoint), namespace=there.namespace)
    import_images(there.endpoint, images)
    before = run(*made.prefix, sys.executable, SCRIPT, "sandboxes", there.endpoint, made.data_dir, made.node)
    assert before.code == 0, before.err
    stranger, orphan = before.out.split()
    assert there.tasks() == {stranger, orphan}
    try:
        done = made.up()
        assert done.code == 0, done.err + logs(made)
        eventually(lambda: there.tasks() == {stranger}, 20)
        assert "containerd" not in made.status()["roles"]  # type: ignore[operator]
        made.ok("apply", "-f", "-", stdin=PODS)
        made.ok("rollout", "status", "deployment/web", "--timeout=60s")
        made.ok("wait", "--for=condition=Ready", "pod/mapped", "--timeout=60s")
        running = there.tasks()
        assert stranger in running and len(running) == 1 + 6
        # its CNI network as it is
        assert {pod["status"]["podIP"].rpartition(".")[0] for pod in made.json("get", "pods")["items"]} == {"10.99.0"}
        assert not (made.data_dir / "agent" / "containerd").exists()
        # neither a crash nor a stop of all of ours restarts or ends a container
        for role in ("supervisor", "server", "controllers", "agent"):
            os.kill(made.pid(role), signal.SIGKILL)
            if role == "supervisor":
                eventually(lambda: not made.status()["roles"]["supervisor"]["running"])  # type: ignore[index]
        assert made.up().code == 0
        eventually(lambda: made.status()["node"]["ready"])  # type: ignore[index]
        assert there.tasks() == running
        done = made.down()
        assert done.code == 0, done.err
        assert there.tasks() == {stranger}
        assert Process.of(there.pid) is not None
        links = run(*made.prefix, "ip", "-br", "link").out
        assert "somebody0" in links and "knarr" not in links
    finally:
        if made.data_dir.exists():
            done = made.down("--purge")
            assert done.code == 0, done.err
    assert there.tasks() == {stranger}
