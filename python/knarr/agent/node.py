"""The Node object: registration, status, Lease. `describe` and `conditions` are pure; `NodeStatus` keeps them told.

Source: Kubernetes 1.34, pkg/kubelet/kubelet_node_status.go, pkg/kubelet/nodestatus/setters.go.
"""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from knarr.client import AlreadyExists, ApiError, Conflict, NotFound, Resource
from knarr.client.protocol import Client

from .config import LEVEL, AgentConfig
from .observed import timestamp
from .reporter import revision
from .runtime import Image, Runtime, RuntimeCallError, RuntimeInfo

log = logging.getLogger(__name__)

NODES = Resource("", "v1", "nodes", "Node", namespaced=False)
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")
LEASE_NAMESPACE = "kube-node-lease"
LEASE_SECONDS, LEASE_PERIOD_SECONDS = 40, 10.0
STATUS_PERIOD_SECONDS = 10.0
REPORT_PERIOD_SECONDS = 300.0
"""A status that did not change is told again after five minutes: its heartbeat is the Lease."""
NOT_READY_POLL_SECONDS = 0.2
IMAGES_MAX = 50
MEMORY_PRESSURE_BYTES = 100 << 20
DISK_PRESSURE_SHARE = 0.05
PID_PRESSURE_SHARE = 0.05
NOT_READY_TAINT = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Machine:
    """What is measured of the machine: bytes, counts."""

    cpus: int
    memory: int
    memory_available: int
    disk: int
    disk_available: int
    pids: int
    pids_max: int


def measure(folder: Path) -> Machine:
    """folder: on the disk that holds the pods."""
    meminfo = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    disk = os.statvfs(folder)
    return Machine(
        cpus=os.cpu_count() or 1,
        memory=int(meminfo["MemTotal"].split()[0]) << 10,
        memory_available=int(meminfo["MemAvailable"].split()[0]) << 10,
        disk=disk.f_blocks * disk.f_frsize,
        disk_available=disk.f_bavail * disk.f_frsize,
        pids=int(Path("/proc/loadavg").read_text().split()[3].split("/")[1]),
        pids_max=int(Path("/proc/sys/kernel/pid_max").read_text()),
    )


def capacity(machine: Machine, max_pods: int) -> dict[str, str]:
    return {
        "cpu": str(machine.cpus),
        "memory": f"{machine.memory >> 10}Ki",
        "ephemeral-storage": f"{machine.disk >> 10}Ki",
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
        "pods": str(max_pods),
    }


def allocatable(machine: Machine, max_pods: int, reserved_memory: int) -> dict[str, str]:
    return capacity(machine, max_pods) | {
        "memory": f"{max(machine.memory - reserved_memory, 0) >> 10}Ki",
        "ephemeral-storage": str(machine.disk * 9 // 10),
    }


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def node_info(runtime: RuntimeInfo) -> dict[str, str]:
    release = dict(line.split("=", 1) for line in _read("/etc/os-release").splitlines() if "=" in line)
    machine_id = _read("/etc/machine-id")
    return {
        "machineID": machine_id,
        "systemUUID": _read("/sys/class/dmi/id/product_uuid") or machine_id,
        "bootID": _read("/proc/sys/kernel/random/boot_id"),
        "kernelVersion": platform.release(),
        "osImage": release.get("PRETTY_NAME", "Linux").strip('"'),
        "containerRuntimeVersion": f"{runtime.name}://{runtime.version}",
        "kubeletVersion": LEVEL,
        "kubeProxyVersion": "",
        "operatingSystem": "linux",
        "architecture": architecture(),
    }


def architecture() -> str:
    return _ARCHITECTURES.get(platform.machine(), platform.machine())


def labels(config: AgentConfig) -> dict[str, str]:
    base = {
        "kubernetes.io/hostname": config.node_name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": architecture(),
        "beta.kubernetes.io/os": "linux",
        "beta.kubernetes.io/arch": architecture(),
    }
    return base | dict(config.labels)


def conditions(machine: Machine, not_ready: str) -> list[dict[str, str]]:
    """The four, without times. not_ready: why pods cannot run here, or ""."""
    pressure = machine.memory_available < MEMORY_PRESSURE_BYTES
    disk = machine.disk_available < machine.disk * DISK_PRESSURE_SHARE
    pids = machine.pids_max - machine.pids < machine.pids_max * PID_PRESSURE_SHARE

    def one(kind: str, status: bool, reason: str, message: str) -> dict[str, str]:
        return {"type": kind, "status": str(status), "reason": reason, "message": message}

    return [
        one("MemoryPressure", pressure, "KubeletHasInsufficientMemory", "kubelet has insufficient memory available")
        if pressure
        else one("MemoryPressure", False, "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        one("DiskPressure", disk, "KubeletHasDiskPressure", "kubelet has disk pressure")
        if disk
        else one("DiskPressure", False, "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        one("PIDPressure", pids, "KubeletHasInsufficientPID", "kubelet has insufficient PID available")
        if pids
        else one("PIDPressure", False, "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        one("Ready", False, "KubeletNotReady", not_ready)
        if not_ready
        else one("Ready", True, "KubeletReady", "kubelet is posting ready status"),
    ]


def timed(fresh: list[dict[str, str]], old: list[dict[str, Any]], now: str, heartbeat: bool) -> list[dict[str, Any]]:
    """Conditions with their times: a transition only where the status changed, a heartbeat only where it is due."""
    before = {c["type"]: c for c in old}
    made = []
    for condition in fresh:
        last = before.get(condition["type"], {})
        same = last.get("status") == condition["status"]
        unchanged = same and last.get("reason") == condition["reason"] and last.get("message") == condition["message"]
        made.append(
            {
                **condition,
                "lastTransitionTime": last["lastTransitionTime"] if same else now,
                "lastHeartbeatTime": last["lastHeartbeatTime"] if unchanged and not heartbeat else now,
            }
        )
    return made


class NodeStatus:
    """network_missing(): why the pod network is not there, or "" (asked at each look)."""

    def __init__(
        self, client: Client, runtime: Runtime, config: AgentConfig, network_missing: Callable[[], str]
    ) -> None:
        self._client, self._runtime, self._config = client, runtime, config
        self._network_missing = network_missing
        self._reported = 0.0
        self._lease: dict[str, Any] | None = None
        self.node: dict[str, Any] = {}
        self.ready = asyncio.Event()
        self.registered = asyncio.Event()
        self.machine = measure(config.data_dir)

    def allocatable(self) -> Mapping[str, str]:
        config = self._config
        return allocatable(self.machine, config.max_pods, config.system_reserved_memory)

    def seen(self, node: dict[str, Any]) -> None:
        """The object as it is in the API now, or was a moment ago."""
        if revision(node) >= revision(self.node):
            self.node = node

    async def read(self) -> None:
        """Ask for the object; what is known stays where the server does not answer."""
        try:
            self.seen(await self._client.get(NODES, self._config.node_name))
        except ApiError as error:
            log.warning("node not read: error=%s", error)

    async def _status(self, heartbeat: bool) -> dict[str, Any]:
        config = self._config
        self.machine = measure(config.data_dir)
        not_ready = self._network_missing()
        images: list[Image] = []
        try:
            info = await self._runtime.info()
            images = sorted(await self._runtime.images(), key=lambda i: -i.size)[:IMAGES_MAX]
            if not info.ready:
                not_ready = f"container runtime is not ready: {info.message}"
            elif not info.network_ready:
                not_ready = f"container runtime network not ready: {info.message}"
        except RuntimeCallError as error:
            info = RuntimeInfo("unknown", "unknown", ready=False)
            not_ready = f"container runtime is down: {error}"
        now = timestamp(time.time_ns()) or ""
        old = (self.node.get("status") or {}).get("conditions") or []
        down = info.name == "unknown" and bool(self.node)
        described = self.node["status"]["nodeInfo"] if down else node_info(info)
        status: dict[str, Any] = {
            "capacity": capacity(self.machine, config.max_pods),
            "allocatable": dict(self.allocatable()),
            "addresses": [
                {"type": "InternalIP", "address": config.node_ip},
                {"type": "Hostname", "address": config.node_name},
            ],
            "nodeInfo": described,
            "conditions": timed(conditions(self.machine, not_ready), old, now, heartbeat),
            "images": [{"names": [*i.digests, *i.tags], "sizeBytes": i.size} for i in images if i.tags or i.digests],
        }
        if config.port:
            status["daemonEndpoints"] = {"kubeletEndpoint": {"Port": config.port}}
        return status

    async def register(self) -> None:
        """Make the Node, or take the one of an earlier run as ours. Waits for the server as long as it takes."""
        while True:
            try:
                await self._register()
                self.registered.set()
                return
            except ApiError as error:
                log.warning("node not registered: error=%s", error)
                await asyncio.sleep(1.0)

    async def _register(self) -> None:
        config = self._config
        try:
            self.node = await self._client.get(NODES, config.node_name)
        except NotFound:
            status = await self._status(heartbeat=True)
            body: dict[str, Any] = {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {
                    "name": config.node_name,
                    "labels": labels(config),
                    "annotations": {"volumes.kubernetes.io/controller-managed-attach-detach": "true"},
                },
                "status": status,
            }
            if not _is_ready(status):
                body["spec"] = {"taints": [NOT_READY_TAINT]}
            try:
                self.node = await self._client.create(NODES, body)
                self._seen(status)
                return
            except AlreadyExists:
                self.node = await self._client.get(NODES, config.node_name)
        wanted = labels(config)
        have = self.node["metadata"].get("labels") or {}
        if any(have.get(k) != v for k, v in wanted.items()):
            self.node = await self._client.patch(NODES, config.node_name, {"metadata": {"labels": wanted}})
        await self._report(heartbeat=True)

    def _seen(self, status: dict[str, Any]) -> None:
        self._reported = time.monotonic()
        if _is_ready(status):
            self.ready.set()
        else:
            self.ready.clear()

    async def _report(self, heartbeat: bool) -> None:
        due = heartbeat or time.monotonic() - self._reported > REPORT_PERIOD_SECONDS
        status = await self._status(due)
        old = self.node.get("status") or {}
        patch = {k: v for k, v in status.items() if old.get(k) != v}
        if not due and _told(old.get("conditions") or [], status["conditions"]):
            patch.pop("conditions", None)
        # The server prints quantities in its own form; what only differs in form is not told again and again.
        if not due and set(patch) <= {"capacity", "allocatable"} and self._same_amounts(old, patch):
            return
        if patch:
            name = self._config.node_name
            self.node = await self._client.patch(NODES, name, {"status": patch}, type="strategic", subresource="status")
        self._seen(status)

    @staticmethod
    def _same_amounts(old: Mapping[str, Any], patch: Mapping[str, Any]) -> bool:
        from .quantity import quantity

        return all(
            name in (old.get(part) or {}) and quantity(old[part][name]) == quantity(value)
            for part, values in patch.items()
            for name, value in values.items()
        )

    async def run_status(self) -> None:
        """Look at the machine now and then; soon again while the node is not ready."""
        while True:
            await asyncio.sleep(STATUS_PERIOD_SECONDS if self.ready.is_set() else NOT_READY_POLL_SECONDS)
            try:
                await self._report(heartbeat=False)
            except NotFound:
                await self.register()
            except ApiError as error:
                log.warning("node status not taken: error=%s", error)
                await asyncio.sleep(STATUS_PERIOD_SECONDS)

    async def run_lease(self) -> None:
        await self.registered.wait()
        while True:
            try:
                await self._renew()
            except (NotFound, Conflict, AlreadyExists):
                # Somebody else wrote it: read it anew and renew at once.
                self._lease = None
                await asyncio.sleep(0.2)
                continue
            except ApiError as error:
                log.warning("lease not renewed: error=%s", error)
                await asyncio.sleep(LEASE_PERIOD_SECONDS / 5)
                continue
            await asyncio.sleep(LEASE_PERIOD_SECONDS)

    async def _renew(self) -> None:
        name = self._config.node_name
        now = time.time_ns() // 1000
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now // 1_000_000)) + f".{now % 1_000_000:06d}Z"
        spec = {"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": stamp}
        if self._lease is None:
            try:
                self._lease = await self._client.get(LEASES, name, LEASE_NAMESPACE)
            except NotFound:
                owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": self.node["metadata"]["uid"]}
                metadata = {"name": name, "namespace": LEASE_NAMESPACE, "ownerReferences": [owner]}
                body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
                self._lease = await self._client.create(LEASES, body, LEASE_NAMESPACE)
                return
        body = {**self._lease, "spec": {**(self._lease.get("spec") or {}), **spec}}
        self._lease = await self._client.update(LEASES, name, body, LEASE_NAMESPACE)


def _told(there: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> bool:
    """Whether all that is wanted is there; conditions of others stand beside it."""
    by_type = {c["type"]: c for c in there}
    return all(by_type.get(c["type"]) == c for c in wanted)


def _is_ready(status: Mapping[str, Any]) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in status["conditions"])


def default_node_name() -> str:
    """The machine's name as a Node's: lower case."""
    return socket.gethostname().lower()
