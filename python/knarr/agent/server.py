"""The node's HTTPS API as plain functions: what a kubelet answers on port 10250. Knows no sockets and no TLS.

| path | answer |
| --- | --- |
| /healthz, /pods, /metrics, /metrics/resource, /stats/summary | Whole |
| /containerLogs/NAMESPACE/POD/CONTAINER | Chunks, following the file while asked to |
| /exec, /attach /NAMESPACE/POD[/UID]/CONTAINER; /portForward/NAMESPACE/POD[/UID] | Upgrade: the CRI's streaming URL |

Source: Kubernetes 1.34, pkg/kubelet/server/server.go.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from .containers import log_path
from .logs import LogOptions, read
from .node import Machine
from .observed import timestamp
from .podspec import NodeFacts, every_container
from .runtime import Container, ContainerState, ContainerStats, Runtime, RuntimeCallError, Sandbox

Query = Mapping[str, Sequence[str]]
WAITING = {"ErrImagePull": "image can't be pulled", "ImagePullBackOff": "trying and failing to pull image"}
"""What is said in place of a waiting container's reason. Source: kubelet_pods.go, validateContainerLogStatus."""


@dataclass(frozen=True)
class Whole:
    code: int
    content_type: str
    body: bytes


@dataclass(frozen=True)
class Chunks:
    """The body comes in pieces; the first is there before the head is sent, so that errors still can be."""

    content_type: str
    chunks: AsyncIterator[bytes]


@dataclass(frozen=True)
class Upgrade:
    """Pass the client's request on to this URL, bytes both ways."""

    url: str


class PodView(Protocol):
    """The part of a pod's worker that is shown here."""

    pod: dict[str, Any]
    sandboxes: dict[str, Sandbox]
    containers: dict[str, Container]


class Handlers:
    """pods(): the workers. machine(): the last measurement."""

    def __init__(
        self,
        runtime: Runtime,
        facts: Callable[[], NodeFacts],
        pods: Callable[[], Sequence[PodView]],
        machine: Callable[[], Machine],
        counters: Callable[[], Mapping[str, float]],
    ) -> None:
        self._runtime, self._facts, self._pods = runtime, facts, pods
        self._machine, self._counters = machine, counters

    async def handle(self, method: str, path: str, query: Query) -> Whole | Chunks | Upgrade:
        """Never raises for what a client sent."""
        parts = [part for part in path.split("/") if part]
        try:
            return await self._route(method, parts, query)
        except LookupError as error:
            return _text(404, str(error.args[0] if error.args else error))
        except ValueError as error:
            return _text(400, str(error))
        except RuntimeCallError as error:
            return _text(404 if error.not_found else 500, str(error))

    async def _route(self, method: str, parts: list[str], query: Query) -> Whole | Chunks | Upgrade:
        match parts:
            case ["healthz"] | ["healthz", "ping"]:
                return _text(200, "ok")
            case ["pods"]:
                items = [{k: v for k, v in p.pod.items() if k not in ("kind", "apiVersion")} for p in self._pods()]
                return _json({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items})
            case ["metrics"]:
                return _metrics([f"{name} {value:g}" for name, value in sorted(self._counters().items())])
            case ["metrics", "resource"]:
                return await self._resource_metrics()
            case ["stats", "summary"]:
                return await self._summary()
            case ["containerLogs", namespace, pod, container]:
                return self._logs(self._pod(namespace, pod), container, query)
            case ["exec" | "attach" as verb, namespace, pod, *rest] if 1 <= len(rest) <= 2:
                view = self._pod(namespace, pod, rest[0] if len(rest) == 2 else "")
                return await self._stream(verb, view, rest[-1], query)
            case ["portForward", namespace, pod, *rest] if len(rest) <= 1:
                return await self._forward(self._pod(namespace, pod, rest[0] if rest else ""), query)
        return _text(404, "404 page not found\n")

    def _pod(self, namespace: str, name: str, uid: str = "") -> PodView:
        for view in self._pods():
            metadata = view.pod["metadata"]
            if (metadata["namespace"], metadata["name"]) == (namespace, name) and uid in ("", metadata["uid"]):
                return view
        raise LookupError("pod does not exist")

    def _container(self, view: PodView, name: str, previous: bool = False) -> Container:
        if all(c["name"] != name for c in every_container(view.pod)):
            metadata = view.pod["metadata"]
            raise LookupError(f'container "{name}" not found in pod "{metadata["name"]}"')
        where = f'container "{name}" in pod "{view.pod["metadata"]["name"]}"'
        if previous:
            # What the status tells last of: while the next start is waited for, the one that ended just now.
            last = ((_status(view.pod, name).get("lastState") or {}).get("terminated") or {}).get("containerID") or ""
            found = [c for c in view.containers.values() if last.endswith(f"://{c.id}")]
            if not found:
                raise ValueError(f"previous terminated {where} not found")
            return found[0]
        found = [c for c in view.containers.values() if c.name == name and c.state is not ContainerState.CREATED]
        if not found:
            reason = ((_status(view.pod, name).get("state") or {}).get("waiting") or {}).get("reason")
            reason = str(reason or "ContainerCreating")
            raise ValueError(f"{where} is waiting to start: {WAITING.get(reason, reason)}")
        return max(found, key=lambda c: (c.attempt, c.created_at))

    def _logs(self, view: PodView, name: str, query: Query) -> Chunks:
        flat = {k: v[-1] for k, v in query.items() if v}
        options = LogOptions.parse(flat, time.time())
        container = self._container(view, name, flat.get("previous", "") in ("true", "1"))

        async def running() -> bool:
            known = view.containers.get(container.id)
            return known is not None and known.state is ContainerState.RUNNING

        path = log_path(self._facts(), view.pod, container)
        if not path.exists():
            raise LookupError(f"failed to open log file: {path.name}: no such file or directory")
        return Chunks("text/plain", read(path, options, running))

    async def _stream(self, verb: str, view: PodView, name: str, query: Query) -> Upgrade:
        container = self._container(view, name)
        if container.state is not ContainerState.RUNNING:
            raise LookupError(f'container not found ("{name}")')

        def flag(*names: str) -> bool:
            return any((query.get(n) or [""])[-1] in ("1", "true") for n in names)

        tty = flag("tty")
        stdin, stdout = flag("input", "stdin"), flag("output", "stdout")
        # A terminal has one output; the CRI refuses stderr beside it.
        stderr = flag("error", "stderr") and not tty
        if not (stdin or stdout or stderr):
            raise ValueError("you must specify at least 1 of stdin, stdout, stderr")
        if verb == "attach":
            url = await self._runtime.attach_url(container.id, tty=tty, stdin=stdin, stdout=stdout, stderr=stderr)
            return Upgrade(url)
        command = list(query.get("command") or ())
        if not command:
            raise ValueError("you must specify at least one command for the container")
        url = await self._runtime.exec_url(container.id, command, tty=tty, stdin=stdin, stdout=stdout, stderr=stderr)
        return Upgrade(url)

    async def _forward(self, view: PodView, query: Query) -> Upgrade:
        ready = [s for s in view.sandboxes.values() if s.ready]
        if not ready:
            raise LookupError("pod is not running")
        ports = []
        for text in (p for value in (*query.get("port", ()), *query.get("ports", ())) for p in value.split(",")):
            if not text.isdecimal() or not 0 < int(text) < 65536:
                raise ValueError(f"invalid port {text!r}")
            ports.append(int(text))
        return Upgrade(await self._runtime.port_forward_url(max(ready, key=lambda s: s.attempt).id, ports))

    async def _usage(self) -> list[tuple[PodView, list[tuple[Container, ContainerStats]]]]:
        by_id = {s.id: s for s in await self._runtime.stats()}
        return [(view, [(c, by_id[i]) for i, c in view.containers.items() if i in by_id]) for view in self._pods()]

    async def _resource_metrics(self) -> Whole:
        lines, total_cpu, total_memory = [], 0, 0
        for view, found in await self._usage():
            metadata = view.pod["metadata"]
            where = f'namespace="{metadata["namespace"]}",pod="{metadata["name"]}"'
            for container, stats in found:
                one = f'container="{container.name}",{where}'
                lines.append(f"container_cpu_usage_seconds_total{{{one}}} {stats.cpu_ns / 1e9}")
                lines.append(f"container_memory_working_set_bytes{{{one}}} {stats.working_set}")
                lines.append(f"container_start_time_seconds{{{one}}} {container.started_at / 1e9}")
            cpu, memory = sum(s.cpu_ns for _, s in found), sum(s.working_set for _, s in found)
            lines.append(f"pod_cpu_usage_seconds_total{{{where}}} {cpu / 1e9}")
            lines.append(f"pod_memory_working_set_bytes{{{where}}} {memory}")
            total_cpu, total_memory = total_cpu + cpu, total_memory + memory
        machine = self._machine()
        lines.append(f"node_cpu_usage_seconds_total {node_cpu_seconds()}")
        lines.append(f"node_memory_working_set_bytes {machine.memory - machine.memory_available}")
        return _metrics(lines)

    async def _summary(self) -> Whole:
        pods = []
        for view, found in await self._usage():
            metadata = view.pod["metadata"]
            pods.append(
                {
                    "podRef": {k: metadata[k] for k in ("name", "namespace", "uid")},
                    "startTime": (view.pod.get("status") or {}).get("startTime"),
                    "containers": [_container_stats(c, s) for c, s in found],
                }
            )
        machine, now = self._machine(), timestamp(time.time_ns())
        node = {
            "nodeName": self._facts().name,
            "startTime": now,
            "cpu": {"time": now, "usageCoreNanoSeconds": int(node_cpu_seconds() * 1e9)},
            "memory": {
                "time": now,
                "availableBytes": machine.memory_available,
                "usageBytes": machine.memory - machine.memory_available,
                "workingSetBytes": machine.memory - machine.memory_available,
            },
            "fs": {
                "time": now,
                "availableBytes": machine.disk_available,
                "capacityBytes": machine.disk,
                "usedBytes": machine.disk - machine.disk_available,
            },
            "rlimit": {"time": now, "maxpid": machine.pids_max, "curproc": machine.pids},
        }
        return _json({"node": node, "pods": pods})


def _status(pod: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The container's entry of the pod's status, or {}."""
    status = pod.get("status") or {}
    lists = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
    return next((entry for field in lists for entry in status.get(field) or () if entry["name"] == name), {})


def _container_stats(container: Container, stats: ContainerStats) -> dict[str, Any]:
    at = timestamp(stats.at)
    return {
        "name": container.name,
        "startTime": timestamp(container.started_at),
        "cpu": {"time": at, "usageCoreNanoSeconds": stats.cpu_ns},
        "memory": {"time": at, "workingSetBytes": stats.working_set, "rssBytes": stats.rss},
        "rootfs": {"time": at, "usedBytes": stats.writable},
    }


def node_cpu_seconds() -> float:
    """CPU time the machine has used since it started: user, nice, system, irq, softirq, steal."""
    import os

    with open("/proc/stat") as file:
        fields = [int(word) for word in file.readline().split()[1:9]]
    used = sum(fields) - fields[3] - fields[4]
    return used / os.sysconf("SC_CLK_TCK")


def _text(code: int, text: str) -> Whole:
    return Whole(code, "text/plain; charset=utf-8", text.encode())


def _json(value: Any) -> Whole:
    return Whole(200, "application/json", json.dumps(value, separators=(",", ":")).encode())


def _metrics(lines: Sequence[str]) -> Whole:
    return Whole(200, "text/plain; version=0.0.4; charset=utf-8", ("\n".join(lines) + "\n").encode())
