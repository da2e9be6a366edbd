"""Starting one container, from image to running, and the node's files it needs: logs, hosts, termination message."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .env import ConfigError
from .images import ImageError, Images, Tell
from .podspec import (
    TERMINATION_PATH,
    TERMINATION_POLICY,
    NodeFacts,
    container_spec,
    hosts_file,
    log_dir,
    pod_dir,
    sandbox_spec,
    termination_file,
)
from .runtime import Container, Mount, Runtime, RuntimeCallError, Sandbox
from .volumes import PodVolumes

MESSAGE_BYTES_MAX = 4096
FALLBACK_BYTES_MAX, FALLBACK_LINES_MAX = 2048, 80
HOSTS = "/etc/hosts"


class StartFailed(Exception):
    """The container does not run. container_id: it was made, or "". retry_at: wall seconds, or 0 for the default."""

    def __init__(self, reason: str, message: str, retry_at: float = 0.0, container_id: str = "") -> None:
        super().__init__(message)
        self.reason, self.message, self.retry_at, self.container_id = reason, message, retry_at, container_id


class ContainerStarter:
    """Of one pod."""

    def __init__(self, runtime: Runtime, images: Images, volumes: PodVolumes) -> None:
        self._runtime, self._images, self._volumes = runtime, images, volumes

    def prepare_pod(self, pod: Mapping[str, Any], facts: NodeFacts) -> None:
        """Folders that must be there before the sandbox."""
        log_dir(facts, pod).mkdir(parents=True, exist_ok=True)
        pod_dir(facts, pod).mkdir(parents=True, exist_ok=True)

    def remove_logs(self, pod: Mapping[str, Any], facts: NodeFacts) -> None:
        shutil.rmtree(log_dir(facts, pod), ignore_errors=True)

    async def start(
        self,
        pod: Mapping[str, Any],
        container: Mapping[str, Any],
        sandbox: Sandbox,
        attempt: int,
        restarts: int,
        facts: NodeFacts,
        secrets: Sequence[Mapping[str, Any] | None],
        tell: Tell,
    ) -> Container:
        """Pull, create, start. Returns the running container. Raises StartFailed; tells the Events on the way."""
        name = container["name"]
        box = sandbox_spec(pod, facts, sandbox.attempt)
        try:
            reference, image = await self._images.ensure(pod["metadata"]["uid"], container, box, secrets, tell)
        except ImageError as error:
            tell("Warning", "Failed", f"Error: {error.reason}")
            raise StartFailed(error.reason, error.message, error.retry_at) from None
        try:
            (log_dir(facts, pod) / name).mkdir(parents=True, exist_ok=True)
            mounts = await self._mounts(pod, container, sandbox, attempt, facts)
            spec = container_spec(pod, container, attempt, restarts, reference, image, mounts, facts)
        except (ConfigError, OSError) as error:
            tell("Warning", "Failed", f"Error: {error}")
            raise StartFailed("CreateContainerConfigError", str(error)) from None
        try:
            container_id = await self._create(sandbox.id, spec, box)
        except RuntimeCallError as error:
            tell("Warning", "Failed", f"Error: {error.details}")
            raise StartFailed("CreateContainerError", error.details) from None
        tell("Normal", "Created", f"Created container: {name}")
        try:
            await self._runtime.start_container(container_id)
        except RuntimeCallError as error:
            tell("Warning", "Failed", f"Error: {error.details}")
            raise StartFailed("RunContainerError", error.details, container_id=container_id) from None
        tell("Normal", "Started", f"Started container {name}")
        return await self._runtime.container(container_id)

    async def _create(self, sandbox_id: str, spec: Any, box: Any) -> str:
        """A name that a lost answer has taken is given free, once."""
        try:
            return await self._runtime.create_container(sandbox_id, spec, box)
        except RuntimeCallError as error:
            if "is reserved for" not in str(error):
                raise
            stale = str(error).split("is reserved for", 1)[1].strip(' ":')[:64]
            await self._runtime.remove_container(stale)
            return await self._runtime.create_container(sandbox_id, spec, box)

    async def _mounts(
        self, pod: Mapping[str, Any], container: Mapping[str, Any], sandbox: Sandbox, attempt: int, facts: NodeFacts
    ) -> tuple[Mount, ...]:
        made = list(self._volumes.container_mounts(container, facts.sources))
        taken = {m.container_path.rstrip("/") for m in made}
        if HOSTS not in taken:
            path = pod_dir(facts, pod) / "etc-hosts"
            host_file = await asyncio.to_thread(_read, Path(HOSTS)) if pod["spec"].get("hostNetwork") else ""
            text = hosts_file(pod, sandbox.ips, facts.cluster_domain, host_file)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o644)
            made.append(Mount(HOSTS, str(path)))
        message_path = container.get("terminationMessagePath") or "/dev/termination-log"
        file = termination_file(facts, pod, container["name"], attempt)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        # Whatever user the container has: it is one container's own file.
        file.chmod(0o666)
        made.append(Mount(message_path, str(file)))
        return tuple(made)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def read_termination(facts: NodeFacts, pod: Mapping[str, Any], container: Container) -> str:
    """The message of an ended container: the end of its file, or by policy of its log when it failed without one."""
    if TERMINATION_PATH not in container.annotations:
        return ""
    file = termination_file(facts, pod, container.name, container.attempt)
    try:
        with file.open("rb") as opened:
            opened.seek(max(opened.seek(0, os.SEEK_END) - MESSAGE_BYTES_MAX, 0))
            data = opened.read(MESSAGE_BYTES_MAX)
    except OSError:
        data = b""
    if data or container.exit_code == 0 or container.annotations.get(TERMINATION_POLICY) != "FallbackToLogsOnError":
        return data.decode(errors="replace")
    return _tail(log_dir(facts, pod) / container.name / f"{container.attempt}.log")


def _tail(path: Path) -> str:
    from .logs import last_lines

    try:
        text = b"".join(last_lines(path, FALLBACK_LINES_MAX))
    except OSError:
        return ""
    return text[-FALLBACK_BYTES_MAX:].decode(errors="replace")


def log_path(facts: NodeFacts, pod: Mapping[str, Any], container: Container) -> Path:
    return log_dir(facts, pod) / container.name / f"{container.attempt}.log"
