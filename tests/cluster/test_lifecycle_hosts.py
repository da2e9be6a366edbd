"""The life of clusters with real containers, each in a network namespace as a host of its own.

Goals: two of them do not meet; whatever of one is killed, the others and all containers go on, and what was written is
there; `down` ends the pods and keeps the data; `down --purge` leaves nothing. Containers are told apart by id and pid
as containerd lists them: the same before and after means that none was restarted."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from clusters import KNARR, Cluster, eventually, logs, run
from knarr.cluster.process import Process

from .hosts import HostCluster, Traces, hosts

PODS = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: web
        image: knarr.dev/busybox:1
        command: [sh, -c, "hostname > /memory/index.html; exec httpd -f -p 8080 -h /memory"]
        volumeMounts: [{name: memory, mountPath: /memory}]
        resources: {limits: {memory: 32Mi}, requests: {cpu: 10m}}
        readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
      volumes: [{name: memory, emptyDir: {medium: Memory}}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: NodePort
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
---
apiVersion: v1
kind: Pod
metadata: {name: mapped}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: c
    image: knarr.dev/busybox:1
    command: [sleep, "86400"]
    ports: [{containerPort: 80, hostPort: 8123}]
"""
TASKS = 6  # three pods, each a sandbox and a container
ROLES = ("supervisor", "server", "controllers", "agent", "containerd")


def start(made: HostCluster, images: Path) -> None:
    from knarr.agent.containerd import import_images

    done = made.up()
    assert done.code == 0, done.err + logs(made)
    import_images(f"unix://{made.socket}", images)
    made.ok("apply", "-f", "-", stdin=PODS)
    settled(made)


def settled(made: HostCluster) -> dict[str, int]:
    """What runs, once all pods are Ready."""

    def ready() -> dict[str, int] | None:
        pods = made.json("get", "pods")["items"]
        states = [each for pod in pods for each in pod["status"].get("containerStatuses", [])]
        tasks = made.tasks()
        return tasks if len(states) == 3 and all(each["ready"] for each in states) and len(tasks) == TASKS else None

    found: dict[str, int] = eventually(ready, 60)
    return found


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, images: Path) -> Iterator[tuple[HostCluster, HostCluster, Traces]]:
    """Two clusters side by side; the second in a folder too deep for a socket."""
    assert os.geteuid() == 0, "tests with real containers need root"
    folder = tmp_path_factory.mktemp("hosts")
    deep = folder / ("a-folder-with-a-long-name" * 4) / "below"
    deep.mkdir(parents=True)
    with hosts(2) as places:
        one, other = (
            HostCluster(data / "data", address, 6443, "cri", node="node-1", namespace=name)
            for data, (name, address) in zip((folder, deep), places, strict=True)
        )
        traces = Traces(other)
        try:
            for made in (one, other):
                start(made, images)
            traces.note()
            yield one, other, traces
        finally:
            for made in (one, other):
                if made.data_dir.exists():
                    made.down("--purge")


def page(made: HostCluster) -> str:
    """What the Service answers by NodePort, asked in the host's network namespace."""
    port = made.json("get", "service", "web")["spec"]["ports"][0]["nodePort"]

    def fetched() -> str:
        url = f"http://{made.address}:{port}/"
        return run(*made.prefix, "curl", "-s", "-m", "2", "--noproxy", "*", url).out.strip()

    found: str = eventually(fetched, 20)
    return found


def test_two_hosts_do_not_meet(two: tuple[HostCluster, HostCluster, Traces]) -> None:
    one, other, _ = two
    assert not set(one.tasks()) & set(other.tasks())
    assert len(os.fsencode(other.data_dir / "agent" / "containerd" / "containerd.sock")) > 104
    assert len(os.fsencode(other.socket)) <= 104 and Path(other.socket).is_socket()
    for made in (one, other):
        names = {pod["metadata"]["name"] for pod in made.json("get", "pods")["items"]}
        assert page(made) in names
        assert made.kubectl("exec", "mapped", "--", "hostname").out.strip() == "mapped"
        (node,) = made.json("get", "nodes")["items"]
        assert {"type": "InternalIP", "address": made.address} in node["status"]["addresses"]


def test_the_same_up_again_changes_nothing(two: tuple[HostCluster, HostCluster, Traces]) -> None:
    one, _, _ = two
    before, pids = one.tasks(), {role: one.pid(role) for role in ROLES}
    done = one.up()
    assert done.code == 0 and done.out == "", done.out
    assert one.tasks() == before and {role: one.pid(role) for role in ROLES} == pids


@pytest.mark.parametrize("victims", [*((role,) for role in ROLES), ROLES], ids=[*ROLES, "all"])
def test_a_death_restarts_no_container(two: tuple[HostCluster, HostCluster, Traces], victims: tuple[str, ...]) -> None:
    one, _, _ = two
    before = settled(one)
    name = f"kept-{len(victims)}-{victims[0]}"
    one.ok("create", "configmap", name, "--from-literal=a=b")
    pids = {role: one.pid(role) for role in ROLES}
    for role in victims:
        os.kill(pids[role], signal.SIGKILL)
    if "supervisor" in victims:
        done = one.up()
        assert done.code == 0, done.err + logs(one)

    def all_back() -> bool:
        found = {role: one.status()["roles"][role]["pid"] for role in ROLES}  # type: ignore[index]
        return all(found[role] and (found[role] != pids[role]) == (role in victims) for role in ROLES)

    eventually(all_back, 40)
    eventually(lambda: one.status()["node"]["ready"], 40)  # type: ignore[index]
    assert one.json("get", "configmap", name)["data"] == {"a": "b"}
    assert settled(one) == before
    counts = [
        each["restartCount"] for pod in one.json("get", "pods")["items"] for each in pod["status"]["containerStatuses"]
    ]
    assert counts == [0, 0, 0]
    # the new ones do their work
    one.ok("rollout", "restart", "deployment/web")
    one.ok("rollout", "status", "deployment/web", "--timeout=60s")
    assert page(one)


def test_sigterm_to_the_supervisor_leaves_the_pods(two: tuple[HostCluster, HostCluster, Traces]) -> None:
    one, _, _ = two
    eventually(lambda: len(one.tasks()) == TASKS)
    before, pids = settled(one), {role: one.pid(role) for role in ROLES}
    os.kill(pids["supervisor"], signal.SIGTERM)
    eventually(lambda: not any(role["running"] for role in one.status()["roles"].values()), 40)  # type: ignore[attr-defined]
    assert all(Process.of(pid) for pid in before.values())
    done = one.up()
    assert done.code == 0, done.err
    assert settled(one) == before


def test_down_ends_the_pods_and_up_brings_them_back(two: tuple[HostCluster, HostCluster, Traces]) -> None:
    one, other, _ = two
    one.ok("create", "configmap", "kept", "--from-literal=a=b")
    elsewhere, before = other.tasks(), one.tasks()
    done = one.down()
    assert done.code == 0, done.err
    assert not any(Process.of(pid) for pid in before.values())
    assert other.tasks() == elsewhere
    assert one.down().code == 0, "down is idempotent"
    done = one.up()
    assert done.code == 0, done.err
    assert not set(settled(one)) & set(before)
    assert one.json("get", "configmap", "kept")["data"] == {"a": "b"}
    assert page(one)


def test_memory_of_an_idle_cluster(two: tuple[HostCluster, HostCluster, Traces]) -> None:
    _, other, _ = two
    memory = {name: role["memoryBytes"] for name, role in other.status()["roles"].items()}  # type: ignore[attr-defined]
    assert sum(memory[role] for role in ("supervisor", "server", "controllers")) <= 120 << 20, memory
    assert 0 < memory["agent"] <= 80 << 20, memory


def test_purge_leaves_nothing_and_harms_nobody(two: tuple[HostCluster, HostCluster, Traces]) -> None:
    one, other, traces = two
    traces.note()
    before = settled(one)
    # called here, not in the network namespace that it lives in
    done = Cluster.down(other, "--purge")
    assert done.code == 0, done.err
    assert traces.left() == []
    assert settled(one) == before and page(one)
    # while pods run there is everything to be found: the comparison can fail
    others = Traces(one)
    others.note()
    assert {entry.split()[0] for entry in others.left()} >= {"process", "mount", "netns", "cgroup", "data"}


def test_a_second_up_is_refused_while_one_runs(two: tuple[HostCluster, HostCluster, Traces]) -> None:
    one, _, _ = two
    done = run(*one.prefix, KNARR, "up", "--data-dir", one.data_dir)
    assert (done.code, done.out) == (1, "")
    assert done.err.splitlines()[0] == f"error: a cluster already runs in {one.data_dir}"
