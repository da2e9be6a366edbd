"""kubectl against pods that really run: logs, exec, cp, port-forward, attach, run, and a rollout of real containers."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from clusters import KUBECTL, Cluster, eventually

IMAGE = "knarr.dev/busybox:1"
NAMESPACE = "kubectl-pods"

PODS = f"""
apiVersion: v1
kind: Pod
metadata: {{name: talk, labels: {{app: talk}}}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: one
    image: {IMAGE}
    command:
    - sh
    - -c
    - for i in 1 2 3 4 5; do echo line $i; done; echo problem >&2; while sleep 0.2; do echo tick; done
  - name: two
    image: {IMAGE}
    command: [sh, -c, 'echo second; exec sleep 1000000']
---
apiVersion: v1
kind: Pod
metadata: {{name: serve, labels: {{app: serve}}}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: web
    image: {IMAGE}
    command:
    - sh
    - -c
    - |
      mkdir /www; echo page > /www/index.html; head -c 3000000 /dev/urandom > /www/big
      httpd -p 8080 -h /www; exec nc -ll -p 9090 -e cat
    ports: [{{name: http, containerPort: 8080}}, {{name: echo, containerPort: 9090}}]
    readinessProbe: {{tcpSocket: {{port: 9090}}, periodSeconds: 1}}
---
apiVersion: v1
kind: Service
metadata: {{name: serve}}
spec: {{selector: {{app: serve}}, ports: [{{name: http, port: 80, targetPort: http}}]}}
---
apiVersion: v1
kind: Pod
metadata: {{name: once}}
spec:
  restartPolicy: Never
  containers: [{{name: c, image: "{IMAGE}", command: [sh, -c, 'echo done; exit 3']}}]
---
apiVersion: v1
kind: Pod
metadata: {{name: crash}}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{{name: c, image: "{IMAGE}", command: [sh, -c, 'echo started; exit 1']}}]
---
apiVersion: v1
kind: Pod
metadata: {{name: noimage}}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{{name: c, image: "knarr.dev/absent:1", imagePullPolicy: Never}}]
"""


class Pods:
    """kubectl in the namespace of these tests."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        home = str(cluster.data_dir / "home")
        self.environment = os.environ | {"KUBECONFIG": str(cluster.kubeconfig), "HOME": home}

    def ok(self, *arguments: str, stdin: str | None = None) -> str:
        return self.cluster.ok("-n", NAMESPACE, *arguments, stdin=stdin)

    def fails(self, *arguments: str) -> str:
        return self.cluster.fails("-n", NAMESPACE, *arguments)

    def code(self, *arguments: str) -> int:
        return self.cluster.kubectl("-n", NAMESPACE, *arguments).code

    def bytes(self, *arguments: str, stdin: bytes | None = None, timeout: float = 60) -> bytes:
        command = [KUBECTL, "-n", NAMESPACE, *arguments]
        done = subprocess.run(
            command, input=stdin, env=self.environment, capture_output=True, timeout=timeout, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextmanager
    def running(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """A kubectl that goes on until it is ended."""
        process = subprocess.Popen(
            [KUBECTL, "-n", NAMESPACE, *arguments],
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()

    @contextmanager
    def forwarded(self, target: str, port: str) -> Iterator[int]:
        """The local port of a port-forward."""
        with self.running("port-forward", target, f":{port}") as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.match(r"Forwarding from 127\.0\.0\.1:(\d+) -> ", line)
            assert found, line + process.stdout.read()
            # what it goes on to say is read away: a full pipe would stop it
            threading.Thread(target=process.stdout.read, daemon=True).start()
            yield int(found[1])


@pytest.fixture(scope="module")
def pods(real: Cluster) -> Iterator[Pods]:
    real.ok("create", "namespace", NAMESPACE)
    eventually(lambda: real.kubectl("-n", NAMESPACE, "get", "sa", "default").code == 0)
    made = Pods(real)
    made.ok("apply", "-f", "-", stdin=PODS)
    made.ok("wait", "--for=condition=Ready", "pod/talk", "pod/serve", "--timeout=60s")
    yield made
    real.ok("delete", "namespace", NAMESPACE, "--timeout=60s")


def test_logs_of_a_container_its_tail_and_its_streams(pods: Pods) -> None:
    lines = pods.ok("logs", "talk", "-c", "one").splitlines()
    assert [line for line in lines if line.startswith("line")] == [f"line {i}" for i in range(1, 6)]
    assert "problem" in lines
    assert pods.ok("logs", "talk", "-c", "two") == "second\n"
    assert pods.ok("logs", "talk", "-c", "one", "--tail=1") == "tick\n"
    assert pods.ok("logs", "talk", "-c", "one", "--tail=0") == ""
    assert len(pods.ok("logs", "talk", "-c", "one", "--limit-bytes=10")) == 10
    # without -c the first container is meant, and kubectl says so
    done = pods.cluster.kubectl("-n", NAMESPACE, "logs", "talk", "--tail=1")
    assert (done.code, done.out) == (0, "tick\n") and "Defaulted container" in done.err


def test_logs_with_times_since_a_time_and_of_all_containers(pods: Pods) -> None:
    stamped = pods.ok("logs", "talk", "-c", "two", "--timestamps")
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z second\n", stamped), stamped
    assert pods.ok("logs", "talk", "-c", "two", "--since=1s") in ("", "second\n")
    assert pods.ok("logs", "talk", "-c", "two", "--since-time=2999-01-01T00:00:00Z") == ""
    both = pods.ok("logs", "talk", "--all-containers", "--prefix", "--tail=3").splitlines()
    assert "[pod/talk/two] second" in both and "[pod/talk/one] tick" in both
    assert "second" in pods.ok("logs", "-l", "app=talk", "--all-containers")


def test_logs_that_are_not_there(pods: Pods) -> None:
    assert 'pods "absent" not found' in pods.fails("logs", "absent")
    assert "container absent is not valid for pod talk" in pods.fails("logs", "talk", "-c", "absent")
    assert "trying and failing to pull image" in pods.fails("logs", "noimage") or "is waiting to start" in pods.fails(
        "logs", "noimage"
    )
    assert "previous terminated container" in pods.fails("logs", "talk", "-c", "two", "-p")


def test_followed_logs_come_as_they_are_written_and_end_with_the_container(pods: Pods) -> None:
    with pods.running("logs", "-f", "talk", "-c", "one", "--tail=1") as process:
        assert process.stdout is not None
        begin = time.monotonic()
        for _ in range(5):
            assert process.stdout.readline() == "tick\n"
        assert time.monotonic() - begin < 10
    # the container has ended: what it wrote, and then the end
    assert pods.ok("logs", "-f", "once") == "done\n"


def test_logs_of_the_container_before_a_restart(pods: Pods) -> None:
    path = "jsonpath={.status.containerStatuses[0].restartCount}"
    eventually(lambda: int(pods.ok("get", "pod", "crash", "-o", path) or 0) >= 1, 60)
    assert pods.ok("logs", "crash", "-p") == "started\n"
    eventually(lambda: "CrashLoopBackOff" in pods.ok("get", "pod", "crash"), 60)
    assert "BackOff" in pods.ok("events", "--for", "pod/crash")


def test_a_pod_that_ran_once_shows_how_it_ended(pods: Pods) -> None:
    pods.ok("wait", "--for=jsonpath={.status.phase}=Failed", "pod/once", "--timeout=30s")
    ended = pods.cluster.json("-n", NAMESPACE, "get", "pod", "once")["status"]["containerStatuses"][0]["state"][
        "terminated"
    ]
    assert (ended["exitCode"], ended["reason"]) == (3, "Error")


def test_an_image_that_is_not_there_is_said(pods: Pods) -> None:
    eventually(lambda: "ErrImageNeverPull" in pods.ok("get", "pod", "noimage"))
    assert "ErrImageNeverPull" in pods.ok("events", "--for", "pod/noimage")


def test_exec_runs_gives_the_exit_code_and_keeps_the_streams_apart(pods: Pods) -> None:
    done = pods.cluster.kubectl(
        "-n", NAMESPACE, "exec", "talk", "-c", "two", "--", "sh", "-c", "echo out; echo err >&2; exit 42"
    )
    assert (done.code, done.out) == (42, "out\n")
    assert done.err == "err\ncommand terminated with exit code 42\n"
    assert pods.ok("exec", "serve", "--", "cat", "/www/index.html") == "page\n"
    assert pods.code("exec", "serve", "--", "true") == 0
    missing = pods.fails("exec", "serve", "--", "/no/such/program")
    assert "no such file or directory" in missing, missing
    assert "container absent is not valid for pod talk" in pods.fails("exec", "talk", "-c", "absent", "--", "true")
    assert 'pods "absent" not found' in pods.fails("exec", "absent", "--", "true")


@pytest.mark.parametrize("size", [0, 1, 40_000, 5_000_000])
def test_exec_carries_any_bytes_both_ways(pods: Pods, size: int) -> None:
    data = os.urandom(size)
    assert pods.bytes("exec", "-i", "serve", "--", "cat", stdin=data) == data
    told = pods.bytes("exec", "-i", "serve", "--", "md5sum", stdin=data).split()[0].decode()
    assert told == hashlib.md5(data).hexdigest()


def test_several_execs_at_once(pods: Pods) -> None:
    def one(number: int, out: dict[int, bytes]) -> None:
        out[number] = pods.bytes("exec", "serve", "--", "sh", "-c", f"sleep 0.3; seq {number} 2000")

    found: dict[int, bytes] = {}
    threads = [threading.Thread(target=one, args=(number, found)) for number in range(1, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(1, 6):
        assert found[number] == b"".join(b"%d\n" % i for i in range(number, 2001))


def test_cp_carries_files_both_ways(pods: Pods, tmp_path: Path) -> None:
    data = os.urandom(1_000_000)
    (tmp_path / "there").write_bytes(data)
    pods.ok("cp", str(tmp_path / "there"), "serve:/tmp/copied")
    assert pods.ok("exec", "serve", "--", "md5sum", "/tmp/copied").split()[0] == hashlib.md5(data).hexdigest()
    pods.ok("cp", "serve:/tmp/copied", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == data


def test_attach_follows_the_output_of_the_first_process(pods: Pods) -> None:
    with pods.running("attach", "talk", "-c", "one") as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(8)]
    assert "tick\n" in lines, lines


def test_run_with_rm_gives_input_to_a_pod_and_takes_it_away(pods: Pods) -> None:
    out = pods.bytes(
        "run",
        "brief",
        "--rm",
        "-i",
        "--quiet",
        "--restart=Never",
        f"--image={IMAGE}",
        "--",
        "sh",
        "-c",
        "cat; echo end",
        stdin=b"given\n",
    )
    assert b"given" in out and b"end" in out, out
    assert "not found" in pods.fails("get", "pod", "brief")


def fetch(port: int, path: str) -> bytes:
    """A page by plain HTTP/1.0."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        content = b""
        while part := connection.recv(65536):
            content += part
    head, _, body = content.partition(b"\r\n\r\n")
    assert b"200 OK" in head, content[:200]
    return body


@pytest.mark.parametrize("target,port", [("pod/serve", "8080"), ("service/serve", "80"), ("pod/serve", "http")])
def test_port_forward_to_a_pod_and_through_a_service(pods: Pods, target: str, port: str) -> None:
    with pods.forwarded(target, port) as local:
        assert fetch(local, "/") == b"page\n"
        big = fetch(local, "/big")
        # one connection after the other, and on one tunnel
        assert fetch(local, "/index.html") == b"page\n"
    told = pods.ok("exec", "serve", "--", "md5sum", "/www/big").split()[0]
    assert hashlib.md5(big).hexdigest() == told


def test_port_forward_carries_bytes_both_ways_on_several_connections(pods: Pods) -> None:
    def echo(local: int, data: bytes, out: dict[int, bytes], number: int) -> None:
        with socket.create_connection(("127.0.0.1", local), timeout=30) as connection:
            sender = threading.Thread(target=connection.sendall, args=(data,))
            sender.start()
            got = b""
            while len(got) < len(data):
                part = connection.recv(65536)
                if not part:
                    break
                got += part
            sender.join()
            out[number] = got

    sent = {number: os.urandom(300_000) for number in range(4)}
    found: dict[int, bytes] = {}
    with pods.forwarded("pod/serve", "9090") as local:
        threads = [threading.Thread(target=echo, args=(local, data, found, number)) for number, data in sent.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == sent


def test_port_forward_to_a_port_where_nobody_listens_ends_that_connection_only(pods: Pods) -> None:
    with (
        pods.forwarded("pod/serve", "7") as local,
        socket.create_connection(("127.0.0.1", local), timeout=20) as connection,
    ):
        connection.settimeout(20)
        # a reset is the other way to say that there is nobody
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(10) == b""


def test_a_deployment_of_real_containers_rolls_and_its_service_follows(pods: Pods) -> None:
    manifest = f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: roll}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: roll}}}}
  template:
    metadata: {{labels: {{app: roll}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        image: {IMAGE}
        command: [sh, -c, 'mkdir /www; echo $TEXT > /www/index.html; exec httpd -f -p 8080 -h /www']
        env: [{{name: TEXT, value: first}}]
        readinessProbe: {{httpGet: {{path: /, port: 8080}}, periodSeconds: 1}}
---
apiVersion: v1
kind: Service
metadata: {{name: roll}}
spec: {{selector: {{app: roll}}, ports: [{{port: 80, targetPort: 8080}}]}}
"""
    pods.ok("apply", "-f", "-", stdin=manifest)
    pods.ok("rollout", "status", "deploy/roll", "--timeout=60s")

    def page() -> str:
        return pods.ok("exec", "talk", "-c", "two", "--", "wget", "-q", "-O-", "http://roll/").strip()

    eventually(lambda: page() == "first", 20)
    pods.ok("set", "env", "deploy/roll", "TEXT=second")
    pods.ok("rollout", "status", "deploy/roll", "--timeout=60s")
    eventually(lambda: {page() for _ in range(4)} == {"second"}, 20)
    pods.ok("rollout", "undo", "deploy/roll")
    pods.ok("rollout", "status", "deploy/roll", "--timeout=60s")
    eventually(lambda: {page() for _ in range(4)} == {"first"}, 20)
    pods.ok("delete", "deploy/roll", "service/roll")
    eventually(lambda: pods.ok("get", "pods", "-l", "app=roll", "-o", "name") == "", 30)


def test_drain_evicts_what_may_go_and_uncordon_brings_it_back(pods: Pods) -> None:
    node = pods.cluster.node
    pods.ok("create", "deployment", "move", f"--image={IMAGE}", "--", "sleep", "1000000")
    pods.ok("rollout", "status", "deploy/move", "--timeout=60s")
    try:
        done = pods.cluster.kubectl(
            "drain", node, "--pod-selector=app=move", "--ignore-daemonsets", "--grace-period=0", "--timeout=60s"
        )
        assert done.code == 0, done.err
        assert "evicted" in done.out
        assert "Pending" in eventually(lambda: pods.ok("get", "pods", "-l", "app=move", "--no-headers"))
    finally:
        pods.cluster.ok("uncordon", node)
    pods.ok("rollout", "status", "deploy/move", "--timeout=60s")
    pods.ok("delete", "deployment", "move", "--cascade=orphan")
    # the program heeds no SIGTERM: nobody waits half a minute for it
    pods.ok("delete", "replicasets,pods", "-l", "app=move", "--now")
