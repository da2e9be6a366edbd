"""Goal: pods run as their specs say, in real containers, and survive what happens to agent and containerd. Method: the
whole agent against a small API in the same process; what containers print and what statuses say is compared."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from knarr.agent import mounts
from knarr.agent.config import instance_id
from knarr.agent.containerd import Containerd
from knarr.agent.drain import drain_and_remove
from knarr.agent.runtime import Sandbox
from knarr.agent.server import Upgrade, Whole

from .node import CIDR, TestNode

pytestmark = pytest.mark.cluster
SLEEP = {"command": ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.05; done"]}


def shell(text: str, **more: object) -> dict[str, object]:
    return {"command": ["sh", "-c", text], **more}


def left_groups(name: str) -> list[str]:
    return [str(g) for g in Path("/sys/fs/cgroup").rglob(name)]


def occupied(group: Path) -> list[str]:
    """The groups directly inside that have processes."""
    return [path.parent.name for path in group.glob("*/cgroup.procs") if path.read_text().split()]


def newest_sandbox(node: TestNode, name: str) -> Sandbox:
    pod = node.api.get("pods", name)
    assert node.agent is not None and pod is not None
    return max(node.agent.workers[pod["metadata"]["uid"]].sandboxes.values(), key=lambda s: s.attempt)


def kill_pause(sandbox_id: str) -> None:
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if sandbox_id in (folder / "cgroup").read_text() and (folder / "comm").read_text() == "pause\n":
                os.kill(int(folder.name), signal.SIGKILL)
                return
    raise AssertionError("no pause process")


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[TestNode]:
    async with TestNode(tmp_path) as made:
        yield made


async def test_a_pod_runs_with_everything_its_spec_gives_it(node: TestNode) -> None:
    node.api.put("configmaps", {"metadata": {"name": "m"}, "data": {"key": "from-map"}})
    node.api.put("secrets", {"metadata": {"name": "s"}, "data": {"pw": base64.b64encode(b"hidden").decode()}})
    script = (
        "echo env=$E/$F/$IP; cat /m/key /s/pw /tok/token /d/labels /e/made /sub; echo; stat -L -c %a /s/pw /e;"
        "id -u; id -G; hostname; grep Cap /proc/self/status; cat /etc/hosts /etc/resolv.conf; touch /ro 2>&1;"
        "trap 'exit 0' TERM; while :; do sleep 0.05; done"
    )
    names = ("m", "s", "tok", "d", "e")
    main = shell(
        script,
        env=[
            {"name": "E", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "key"}}},
            {"name": "F", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        ],
        resources={"limits": {"memory": "32Mi", "cpu": "500m"}, "requests": {"memory": "32Mi", "cpu": "100m"}},
        securityContext={
            "runAsUser": 1234,
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
        volumeMounts=[{"name": n, "mountPath": f"/{n}"} for n in names]
        + [{"name": "m", "mountPath": "/sub", "subPath": "key"}],
        readinessProbe={"exec": {"command": ["test", "-e", "/e/made"]}, "periodSeconds": 1},
    )
    node.run(
        "p",
        main,
        hostname="host-a",
        securityContext={"fsGroup": 777},
        dnsPolicy="None",
        dnsConfig={"nameservers": ["192.0.2.1"], "searches": ["x.example"]},
        initContainers=[{"name": "i", **shell("echo made > /e/made", volumeMounts=[{"name": "e", "mountPath": "/e"}])}],
        volumes=[
            {"name": "m", "configMap": {"name": "m"}},
            {"name": "s", "secret": {"secretName": "s", "defaultMode": 0o400}},
            {"name": "tok", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}},
            {"name": "d", "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
            {"name": "e", "emptyDir": {"medium": "Memory"}},
        ],
    )
    await node.until_ready("p")
    status = node.status("p")
    assert status["phase"] == "Running" and status["qosClass"] == "Burstable"
    assert status["podIP"].startswith(CIDR.removesuffix("0/24"))
    assert status["initContainerStatuses"][0]["state"]["terminated"]["reason"] == "Completed"
    text = await node.logs("p")
    lines = text.splitlines()
    assert lines[0] == f"env=from-map/32/{status['podIP']}"
    assert lines[1] == 'from-maphiddentoken-1app="p"made' or lines[1].startswith("from-maphiddentoken-1")
    assert "440\n3777" in text and "\n1234\n" in text and " 777" in text
    assert "CapEff:\t0000000000000000" in text and "Read-only file system" in text
    assert f"{status['podIP']}\thost-a" in text and "nameserver 192.0.2.1" in text and "search x.example" in text
    reasons = [reason for _, reason, _ in node.api.events("p")]
    assert reasons == ["Pulled", "Created", "Started"] * 2
    assert node.agent is not None
    parent = f"/sys/fs/cgroup/memory/knarr-{instance_id(node.config)}/kubepods/burstable"
    unified = f"/sys/fs/cgroup/knarr-{instance_id(node.config)}/kubepods/burstable"
    uid = node.api.get("pods", "p")["metadata"]["uid"]  # type: ignore[index]
    limits = [Path(parent, f"pod{uid}/memory.limit_in_bytes"), Path(unified, f"pod{uid}/memory.max")]
    assert [p.read_text().strip() for p in limits if p.exists()] == [str(32 << 20)]
    # sandbox and container are in it: limits of the pod hold for both
    assert len(occupied(Path(parent, f"pod{uid}")) or occupied(Path(unified, f"pod{uid}"))) == 2

    # Changes reach what is mounted.
    volumes = node.config.pods_dir / uid / "volumes"
    node.api.put("configmaps", {"metadata": {"name": "m"}, "data": {"key": "changed"}})
    for _ in range(60):
        if (volumes / "kubernetes.io~configmap/m/key").read_text() == "changed":
            break
        await asyncio.sleep(0.05)
    assert (volumes / "kubernetes.io~configmap/m/key").read_text() == "changed"

    node.api.delete("pods", "p")
    await node.until_gone("p")
    assert mounts.mount_points(node.config.pods_dir) == []
    assert not (node.config.pods_dir / uid).exists()


async def test_restarts_back_off_and_messages(node: TestNode) -> None:
    node.run("crash", shell("echo -n because > /dev/termination-log; exit 3"))
    node.run(
        "fallback",
        shell("echo last words; exit 4", terminationMessagePolicy="FallbackToLogsOnError"),
        restartPolicy="Never",
    )
    node.run("done", shell("exit 0"), restartPolicy="OnFailure")
    await node.api.until(lambda: "CrashLoopBackOff" in str(node.container("crash").get("state")))
    crash = node.container("crash")
    ended = crash["lastState"]["terminated"]
    assert (ended["exitCode"], ended["reason"], ended["message"]) == (3, "Error", "because")
    assert (
        crash["restartCount"] == 1
        and "back-off 10s restarting failed container=c0" in crash["state"]["waiting"]["message"]
    )
    await node.until_ended("fallback")
    assert node.status("fallback")["phase"] == "Failed"
    assert node.container("fallback")["state"]["terminated"]["message"] == "last words\n"
    await node.until_ended("done")
    assert node.status("done")["phase"] == "Succeeded"
    assert "last words" in await node.logs("fallback")
    assert "exit" not in await node.logs("crash", previous="true")


async def test_what_is_missing_is_said_and_waited_for(node: TestNode) -> None:
    ref = {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "later", "key": "k"}}}
    node.run("env", {**SLEEP, "env": [ref]})
    node.run(
        "vol",
        {**SLEEP, "volumeMounts": [{"name": "v", "mountPath": "/v"}]},
        volumes=[{"name": "v", "secret": {"secretName": "later"}}],
    )
    node.run("image", {"image": "knarr.dev/absent:1", "imagePullPolicy": "Never"})
    node.run("root", {**SLEEP, "securityContext": {"runAsNonRoot": True}})
    waiting = lambda name: (node.container(name).get("state") or {}).get("waiting") or {}  # noqa: E731
    await node.api.until(lambda: waiting("env").get("reason") == "CreateContainerConfigError")
    assert waiting("env")["message"] == 'configmap "later" not found'
    await node.api.until(lambda: waiting("image").get("reason") == "ErrImageNeverPull")
    await node.api.until(lambda: "image will run as root" in waiting("root").get("message", ""))
    text = 'MountVolume.SetUp failed for volume "v" : secret "later" not found'
    await node.api.until(lambda: ("Warning", "FailedMount", text) in node.api.events("vol"))
    node.api.put("configmaps", {"metadata": {"name": "later"}, "data": {"k": "v"}})
    node.api.put("secrets", {"metadata": {"name": "later"}, "data": {}})
    await node.until_ready("env")
    await node.until_ready("vol")


async def test_probes_and_hooks(node: TestNode) -> None:
    web = "echo ok > /www/index.html; exec httpd -f -p 8080 -h /www"
    get = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}
    node.run("web", shell(web, readinessProbe=get, startupProbe={**get, "failureThreshold": 30}))
    closed = {"tcpSocket": {"port": 9}, "periodSeconds": 1, "failureThreshold": 1}
    node.run("sick", {**SLEEP, "livenessProbe": closed})
    hooks = {
        "postStart": {"exec": {"command": ["sh", "-c", "echo started > /tmp/h"]}},
        "preStop": {"exec": {"command": ["sh", "-c", "echo stopping >> /proc/1/fd/1"]}},
    }
    node.run("hooked", {**SLEEP, "lifecycle": hooks})
    await node.until_ready("web")
    assert node.container("web")["started"] is True
    await node.api.until(lambda: node.container("sick").get("restartCount") == 1)
    events = node.api.events("sick")
    ip = node.status("sick")["podIP"]
    assert ("Warning", "Unhealthy", f"Liveness probe failed: dial tcp {ip}:9: connect: connection refused") in events
    assert ("Normal", "Killing", "Container c0 failed liveness probe, will be restarted") in events
    await node.until_ready("hooked")
    node.api.delete("pods", "hooked")
    began = time.monotonic()
    await node.until_gone("hooked")
    assert time.monotonic() - began < 1.9, "TERM was enough"
    assert ("Normal", "Killing", "Stopping container c0") in node.api.events("hooked")


async def test_termination_waits_for_the_grace_period_and_no_longer(node: TestNode) -> None:
    node.run("deaf", shell("trap '' TERM; while :; do sleep 0.05; done"), terminationGracePeriodSeconds=30)
    await node.until_ready("deaf")
    node.api.delete("pods", "deaf", grace=30)
    await asyncio.sleep(0.5)
    assert node.api.get("pods", "deaf") is not None
    node.api.delete("pods", "deaf", grace=2)
    began = time.monotonic()
    await node.until_gone("deaf")
    assert 1.0 < time.monotonic() - began < 5.0


async def test_containers_survive_agent_and_containerd_and_strangers_go(node: TestNode) -> None:
    node.run("stays", SLEEP)
    node.run("goes", SLEEP)
    await node.until_ready("stays")
    await node.until_ready("goes")
    before = node.container("stays")["containerID"]
    assert node.agent is not None
    # The agent dies with its containerd; one pod is deleted meanwhile.
    process = Containerd(node.config).running()
    await node.stop_agent()
    assert process is not None and not process.alive()
    node.api.delete("pods", "goes", grace=0)
    await node.start_agent()
    await asyncio.sleep(0.5)
    assert node.container("stays")["containerID"] == before and node.container("stays")["restartCount"] == 0
    assert [s.name for s in await node.agent.runtime.sandboxes()] in (["stays"], ["stays", "goes"], ["goes", "stays"])
    for _ in range(100):
        if [s.name for s in await node.agent.runtime.sandboxes()] == ["stays"]:
            break
        await asyncio.sleep(0.05)
    assert [s.name for s in await node.agent.runtime.sandboxes()] == ["stays"]
    # containerd alone is killed.
    process = Containerd(node.config).running()
    assert process is not None
    process.signal(signal.SIGKILL)
    await asyncio.sleep(0.1)
    node.run("next", SLEEP)
    await node.until_ready("next", 20)
    assert node.container("stays")["containerID"] == before and node.container("stays")["restartCount"] == 0
    # A sandbox that dies is made anew.
    await node.agent.runtime.stop_sandbox(newest_sandbox(node, "next").id)
    await node.api.until(lambda: node.container("next").get("restartCount") == 1 and node.ready("next"))


async def test_a_pod_whose_sandbox_is_killed_is_made_anew_with_its_containers(node: TestNode) -> None:
    # What ran on in the dead one would answer at an address that is no longer the pod's.
    node.run("p", shell("ip -4 -o addr show eth0; trap 'exit 0' TERM; while :; do sleep 0.05; done"), shell("exit 1"))
    await node.api.until(lambda: "running" in node.container("p").get("state", {}))
    await node.api.until(lambda: "waiting" in node.container("p", 1).get("state", {}))
    kill_pause(newest_sandbox(node, "p").id)
    await node.api.until(
        lambda: node.container("p").get("restartCount") == 1 and "running" in node.container("p")["state"]
    )
    for _ in range(250):
        if " inet " in await node.logs("p"):
            break
        await asyncio.sleep(0.02)
    assert f" {node.status('p')['podIP']}/" in await node.logs("p")
    events = node.api.events("p")
    assert ("Normal", "Killing", "Stopping container c0") in events
    assert ("Normal", "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.") in events


async def test_a_crashed_agent_is_followed_by_one_that_adopts_its_containerd(node: TestNode) -> None:
    node.run("p", SLEEP)
    await node.until_ready("p")
    assert node.agent is not None
    process = Containerd(node.config).running()
    crashed, node.agent = node.agent, None
    crashed._containerd = None
    await crashed.__aexit__(None, None, None)
    await node.start_agent()
    assert Containerd(node.config).running() == process
    await asyncio.sleep(0.3)
    assert node.container("p")["restartCount"] == 0


async def test_the_node_is_told(node: TestNode) -> None:
    found = node.api.get("nodes", "node-1")
    assert found is not None
    status = found["status"]
    assert {c["type"]: c["status"] for c in status["conditions"]} == {
        "MemoryPressure": "False",
        "DiskPressure": "False",
        "PIDPressure": "False",
        "Ready": "True",
    }
    assert status["nodeInfo"]["kubeletVersion"].startswith("v1.34.") and status["capacity"]["cpu"] == str(
        os.cpu_count()
    )
    lease = await node.api.until(lambda: node.api.get("leases", "node-1", "kube-node-lease"))
    assert lease["spec"]["holderIdentity"] == "node-1" and lease["spec"]["leaseDurationSeconds"] == 40
    node.run("big", SLEEP | {"resources": {"requests": {"cpu": "1000"}}})
    await node.until_ended("big")
    assert node.status("big")["reason"] == "OutOfcpu"
    assert node.status("big")["message"].startswith("Pod was rejected: Node didn't have enough resource: cpu")


async def test_the_node_server_answers(node: TestNode) -> None:
    node.run("p", shell("echo a; echo b; trap 'exit 0' TERM; while :; do sleep 0.05; done"))
    await node.until_ready("p")
    assert node.agent is not None
    handle = node.agent.handlers.handle
    for _ in range(100):
        if "b" in await node.logs("p"):
            break
        await asyncio.sleep(0.02)
    assert await node.logs("p", tailLines="1") == "b\n"
    answer = await handle("POST", "/exec/default/p/c0", {"command": ["true"], "output": ["1"]})
    assert isinstance(answer, Upgrade) and answer.url.startswith("http://127.0.0.1:")
    answer = await handle("POST", "/portForward/default/p", {"port": ["80"]})
    assert isinstance(answer, Upgrade)
    for path, code in (("/healthz", 200), ("/pods", 200), ("/metrics", 200), ("/stats/summary", 200), ("/nope", 404)):
        answer = await handle("GET", path, {})
        assert isinstance(answer, Whole) and answer.code == code, path
    answer = await handle("GET", "/metrics/resource", {})
    assert isinstance(answer, Whole) and b'container_memory_working_set_bytes{container="c0"' in answer.body
    for path, code in (("/containerLogs/default/no/c0", 404), ("/containerLogs/default/p/no", 404)):
        answer = await handle("GET", path, {})
        assert isinstance(answer, Whole) and answer.code == code
    answer = await handle("GET", "/containerLogs/default/p/c0", {"tailLines": ["x"]})
    assert isinstance(answer, Whole) and answer.code == 400


async def test_drain_leaves_nothing(tmp_path: Path) -> None:
    async with TestNode(tmp_path) as node:
        volume = {"name": "e", "emptyDir": {"medium": "Memory"}}
        node.run("p", {**SLEEP, "volumeMounts": [{"name": "e", "mountPath": "/e"}]}, volumes=[volume])
        await node.until_ready("p")
        await node.stop_agent()
        await drain_and_remove(node.config)
        await drain_and_remove(node.config)
        assert mounts.mount_points(tmp_path) == []
        assert node.config.bridge not in os.listdir("/sys/class/net")
        assert await asyncio.to_thread(left_groups, f"knarr-{instance_id(node.config)}") == []
        assert Containerd(node.config).running() is None
