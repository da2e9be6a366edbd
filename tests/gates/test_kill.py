"""Gate 4: death beside the server.

Goal: controllers, agent and containerd are killed -9, one after another and all at once, under load: reads, watches
and lease renewals go on, work is taken up again, and no container restarts. Method: a thread reads, lists, renews a
lease and sees its own renewals in a watch all the while, and remembers the slowest; the containers of a Deployment are
compared by id and restart count; then the Deployment grows."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from clusters import Cluster, eventually

from bench import objects
from bench.http2 import Connection

LATENCY_SECONDS_MAX = 1.0
LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: steady}
spec:
  replicas: 3
  selector: {matchLabels: {app: steady}}
  template:
    metadata: {labels: {app: steady}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: c, image: "knarr.dev/busybox:1", imagePullPolicy: Never, command: [sleep, "3600"]}]
"""


class Load(threading.Thread):
    """Reads, watches and renews until told to stop. slowest: seconds by what was done."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(daemon=True)
        self.cluster = cluster
        self.done = threading.Event()
        self.slowest: dict[str, float] = {}
        self.rounds = 0
        self.errors: list[str] = []

    def run(self) -> None:
        try:
            with Connection(self.cluster.address, self.cluster.port, self.cluster.data_dir / "pki") as client:
                self.work(client)
        except (AssertionError, OSError) as error:
            self.errors.append(repr(error))

    def work(self, client: Connection) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        code, lease = client.request("POST", LEASES, json.dumps(objects.lease("gate", now, "default")).encode())
        assert code == 201, lease
        events = [0]

        def count(data: bytes) -> None:
            events[0] += data.count(b"\n")

        revision = json.loads(lease)["metadata"]["resourceVersion"]
        client.watch(f"{LEASES}?watch=1&resourceVersion={revision}", count)
        while not self.done.is_set():
            self.timed(client, "get", "GET", "/api/v1/namespaces/default/services/kubernetes")
            self.timed(client, "list", "GET", "/api/v1/pods")
            renewed = objects.lease("gate", datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"), "default")
            renewed["metadata"]["resourceVersion"] = json.loads(lease)["metadata"]["resourceVersion"]
            lease = self.timed(client, "lease", "PUT", f"{LEASES}/gate", json.dumps(renewed).encode())
            self.rounds += 1
            begin = time.monotonic()
            while events[0] < self.rounds:
                client.idle(0.005)
                assert time.monotonic() - begin < 10, "the watch stands still"
            self.slowest["watch"] = max(self.slowest.get("watch", 0.0), time.monotonic() - begin)
            time.sleep(0.005)

    def timed(self, client: Connection, what: str, method: str, path: str, body: bytes = b"") -> bytes:
        begin = time.monotonic()
        code, answer = client.request(method, path, body)
        assert code == 200, (what, answer)
        self.slowest[what] = max(self.slowest.get(what, 0.0), time.monotonic() - begin)
        return answer


@contextmanager
def load(cluster: Cluster) -> Iterator[Load]:
    made = Load(cluster)
    made.start()
    try:
        yield made
    finally:
        made.done.set()
        made.join(20)
        cluster.kubectl("delete", "lease", "gate")


def containers(cluster: Cluster) -> dict[str, tuple[str, str, int]]:
    """Pod name to (uid, container id, restarts) of the Deployment's pods."""
    found: dict[str, tuple[str, str, int]] = {}
    for pod in cluster.json("get", "pods", "-l", "app=steady")["items"]:
        status = pod["status"]["containerStatuses"][0]
        found[pod["metadata"]["name"]] = (pod["metadata"]["uid"], status["containerID"], status["restartCount"])
    return found


def containerd_of(cluster: Cluster) -> int:
    """The pid of the cluster's own containerd: the one that was started with its configuration."""
    wanted = os.fsencode(cluster.data_dir / "agent" / "containerd" / "config.toml")
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if os.path.basename(command[0]) == b"containerd" and wanted in command:
                return int(entry.name)
    raise AssertionError("no containerd of this cluster runs")


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def test_death_of_controllers_agent_and_containerd_stops_nothing(real: Cluster) -> None:
    real.ok("apply", "-f", "-", stdin=DEPLOYMENT)
    try:
        real.ok("rollout", "status", "deployment/steady", "--timeout=60s")
        before = containers(real)
        assert len(before) == 3 and all(restarts == 0 for _, _, restarts in before.values())
        with load(real) as running:
            time.sleep(0.5)
            pids: dict[str, Any] = {"containerd": containerd_of(real)} | {
                r: real.pid(r) for r in ("controllers", "agent")
            }
            kill(pids["controllers"])
            time.sleep(1)
            kill(pids["containerd"])
            time.sleep(1)
            kill(pids["agent"])
            for role in ("controllers", "agent"):
                eventually(lambda role=role: real.status()["roles"][role]["pid"] not in (None, pids[role]), 40)
            # and all of them in one moment
            pids = {"containerd": eventually(lambda: containerd_of(real), 40)}
            pids |= {role: real.pid(role) for role in ("controllers", "agent")}
            for pid in pids.values():
                kill(pid)
            for role in ("controllers", "agent"):
                eventually(lambda role=role: real.status()["roles"][role]["pid"] not in (None, pids[role]), 40)
            # work is taken up: controllers make pods, the agent runs them, by a containerd that answers
            real.ok("scale", "deployment/steady", "--replicas=5")
            eventually(lambda: real.json("get", "deployment", "steady")["status"].get("readyReplicas") == 5, 60)
            assert eventually(lambda: containerd_of(real) not in pids.values(), 40)
            assert running.rounds > 100, (running.rounds, running.errors)
        assert not running.errors, running.errors
        assert max(running.slowest.values()) < LATENCY_SECONDS_MAX, running.slowest
        after = containers(real)
        assert len(after) == 5 and {name: after.get(name) for name in before} == before, (
            "a container was restarted or replaced"
        )
        name = next(iter(before))
        assert real.ok("exec", name, "--", "echo", "alive").strip() == "alive"
    finally:
        real.kubectl("delete", "deployment", "steady", "--wait=false")
        eventually(lambda: not real.json("get", "pods", "-l", "app=steady")["items"], 60)
