"""The runtime seam: what the agent asks of whatever runs containers, as values and one protocol.

Knows sandboxes, containers, images and their states. Never knows pods' specs, the API or policy: what to start and
when is decided in `knarr.agent.step`. Implementations: `cri` (any CRI endpoint) and `hollow` (nothing runs, all is
well). `tests/suites/runtime.py` holds for each of them.

Times are integers, nanoseconds since the epoch, 0 for "not yet", as in the CRI.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

__all__ = [
    "Container",
    "ContainerSpec",
    "ContainerState",
    "ContainerStats",
    "ExecResult",
    "Filesystem",
    "Image",
    "ImagePullError",
    "Limits",
    "Mount",
    "Namespaces",
    "PortMapping",
    "Runtime",
    "RuntimeCallError",
    "RuntimeInfo",
    "Sandbox",
    "SandboxSpec",
    "Security",
]


class RuntimeCallError(Exception):
    """The runtime refused or did not answer. `details`: its own words alone. `not_found`: the container, sandbox or
    image does not exist."""

    def __init__(self, message: str, *, details: str = "", not_found: bool = False, timed_out: bool = False) -> None:
        super().__init__(message)
        self.details = details or message
        self.not_found = not_found
        self.timed_out = timed_out


class ImagePullError(RuntimeCallError):
    """The image could not be pulled."""


class ContainerState(Enum):
    CREATED = "created"
    RUNNING = "running"
    EXITED = "exited"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class RuntimeInfo:
    """name and version of the runtime; `network_ready` with the runtime's words when it is not."""

    name: str
    version: str
    ready: bool = True
    network_ready: bool = True
    message: str = ""


@dataclass(frozen=True)
class Namespaces:
    """host_*: share the node's. share_process: one PID namespace for the pod's containers."""

    host_network: bool = False
    host_pid: bool = False
    host_ipc: bool = False
    share_process: bool = False


@dataclass(frozen=True)
class PortMapping:
    protocol: str
    container_port: int
    host_port: int
    host_ip: str = ""


@dataclass(frozen=True)
class Limits:
    """What cgroups enforce. cpu_shares 2..262144; cpu_quota in us per cpu_period, memory in bytes, 0 for none."""

    cpu_shares: int = 0
    cpu_quota: int = 0
    cpu_period: int = 0
    memory: int = 0
    oom_score_adj: int = 0
    unified: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Security:
    """user/group: numeric ids, None leaves the image's. seccomp: "RuntimeDefault", "Unconfined" or "Localhost:PATH"."""

    user: int | None = None
    group: int | None = None
    username: str = ""
    supplemental_groups: tuple[int, ...] = ()
    supplemental_groups_strict: bool = False
    privileged: bool = False
    readonly_rootfs: bool = False
    no_new_privs: bool = False
    add_capabilities: tuple[str, ...] = ()
    drop_capabilities: tuple[str, ...] = ()
    seccomp: str = "Unconfined"
    masked_paths: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = ()


@dataclass(frozen=True)
class Mount:
    """propagation: "None", "HostToContainer" or "Bidirectional"."""

    container_path: str
    host_path: str
    readonly: bool = False
    propagation: str = "None"


@dataclass(frozen=True)
class SandboxSpec:
    name: str
    namespace: str
    uid: str
    attempt: int
    hostname: str = ""
    log_directory: str = ""
    dns_servers: tuple[str, ...] = ()
    dns_searches: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    ports: tuple[PortMapping, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    cgroup_parent: str = ""
    namespaces: Namespaces = Namespaces()
    security: Security = Security()
    sysctls: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = Limits()
    runtime_handler: str = ""


@dataclass(frozen=True)
class ContainerSpec:
    name: str
    attempt: int
    image: str
    image_name: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    working_dir: str = ""
    env: tuple[tuple[str, str], ...] = ()
    mounts: tuple[Mount, ...] = ()
    devices: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    log_path: str = ""
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False
    limits: Limits = Limits()
    security: Security = Security()
    namespaces: Namespaces = Namespaces()


@dataclass(frozen=True)
class Sandbox:
    """ips: the pod's addresses, empty for the host's network and for sandboxes that were only listed."""

    id: str
    name: str
    namespace: str
    uid: str
    attempt: int
    ready: bool
    created_at: int
    ips: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Container:
    """A container as the runtime sees it. Fields after `annotations` are filled by `container()` only."""

    id: str
    sandbox_id: str
    name: str
    attempt: int
    state: ContainerState
    created_at: int
    image: str = ""
    image_ref: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    started_at: int = 0
    finished_at: int = 0
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    log_path: str = ""
    user: tuple[int, int, tuple[int, ...]] | None = None


@dataclass(frozen=True)
class Image:
    """id: the digest of its configuration; user: what its USER says, split into a number or a name."""

    id: str
    tags: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    size: int = 0
    uid: int | None = None
    username: str = ""


@dataclass(frozen=True)
class ExecResult:
    code: int
    stdout: bytes
    stderr: bytes


@dataclass(frozen=True)
class ContainerStats:
    """cpu in ns of CPU time since the start, memory (working set, rss) and the writable layer in bytes."""

    id: str
    at: int
    cpu_ns: int
    working_set: int
    rss: int
    writable: int


@dataclass(frozen=True)
class Filesystem:
    mountpoint: str
    used_bytes: int
    inodes_used: int


class Runtime(Protocol):
    """Every call raises RuntimeCallError. Stop and remove of what does not exist succeed."""

    async def info(self) -> RuntimeInfo: ...
    async def run_sandbox(self, spec: SandboxSpec) -> str: ...
    async def stop_sandbox(self, sandbox_id: str) -> None: ...
    async def remove_sandbox(self, sandbox_id: str) -> None: ...
    async def sandbox(self, sandbox_id: str) -> Sandbox: ...
    async def sandboxes(self, labels: Mapping[str, str] | None = None) -> Sequence[Sandbox]: ...
    async def create_container(self, sandbox_id: str, spec: ContainerSpec, sandbox: SandboxSpec) -> str: ...
    async def start_container(self, container_id: str) -> None: ...
    async def stop_container(self, container_id: str, grace_seconds: int) -> None: ...
    async def remove_container(self, container_id: str) -> None: ...
    async def container(self, container_id: str) -> Container: ...
    async def containers(self, labels: Mapping[str, str] | None = None) -> Sequence[Container]: ...
    async def exec_sync(self, container_id: str, command: Sequence[str], timeout_seconds: int) -> ExecResult: ...
    async def exec_url(
        self, container_id: str, command: Sequence[str], *, tty: bool, stdin: bool, stdout: bool, stderr: bool
    ) -> str: ...
    async def attach_url(self, container_id: str, *, tty: bool, stdin: bool, stdout: bool, stderr: bool) -> str: ...
    async def port_forward_url(self, sandbox_id: str, ports: Sequence[int]) -> str: ...
    async def reopen_log(self, container_id: str) -> None: ...
    async def image(self, reference: str) -> Image | None: ...
    async def images(self) -> Sequence[Image]: ...
    async def pull_image(self, reference: str, auth: Mapping[str, str] | None, sandbox: SandboxSpec) -> str: ...
    async def remove_image(self, reference: str) -> None: ...
    async def image_filesystem(self) -> Filesystem | None: ...
    async def stats(self) -> Sequence[ContainerStats]: ...
    async def probe_tcp(self, host: str, port: int, timeout_seconds: float) -> bool | None:
        """None: connect yourself. A runtime whose pods have no network answers for them."""
        ...

    def events(self) -> AsyncIterator[str]:
        """Ids of containers whose task ended; ends (StopAsyncIteration) where the runtime tells no events."""
        ...

    async def close(self) -> None: ...
