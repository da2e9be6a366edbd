"""What is known of one pod on this node, as a value: the input of `step` and of `status`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from .runtime import Container, ContainerState, Sandbox


@dataclass(frozen=True)
class ProbeState:
    """Results for one running container. A probe that is not declared has succeeded, except as noted.

    started: the startup probe succeeded (or there is none). ready: readiness, False before its first success.
    failed: "" or which of "liveness" and "startup" says the container has to go.
    """

    started: bool = True
    ready: bool = True
    failed: str = ""


@dataclass(frozen=True)
class Failure:
    """A container that could not be started: what its Waiting state says, and when to try again (seconds, wall)."""

    reason: str
    message: str
    retry_at: float


@dataclass(frozen=True)
class CrashBackoff:
    """delay in seconds, since when (wall seconds) it holds."""

    delay: float
    updated: float


@dataclass(frozen=True)
class Rejection:
    """Why the pod ends although its containers did not: phase Failed with this reason and message."""

    reason: str
    message: str


@dataclass(frozen=True)
class Observed:
    """sandboxes and containers[name]: the newest first; `containers` with all fields filled.

    probes: by container id. failures: by container name, only while nothing of it runs. sandbox_retry_at: 0 or when
    the next sandbox may be made. volumes_ready: all are mounted; volumes_failed: one was tried in vain. cleaned:
    nothing of the pod is left but records and logs. gone: the object is no longer in the API. restarting: names of
    containers that were killed to be started again, whatever the restart policy says of their exit code. hooks: ids of
    containers whose postStart is under way.
    """

    sandboxes: tuple[Sandbox, ...] = ()
    containers: Mapping[str, tuple[Container, ...]] = field(default_factory=dict)
    probes: Mapping[str, ProbeState] = field(default_factory=dict)
    failures: Mapping[str, Failure] = field(default_factory=dict)
    backoffs: Mapping[str, CrashBackoff] = field(default_factory=dict)
    rejection: Rejection | None = None
    sandbox_retry_at: float = 0.0
    volumes_ready: bool = True
    volumes_failed: bool = False
    cleaned: bool = False
    gone: bool = False
    restarting: frozenset[str] = frozenset()
    hooks: frozenset[str] = frozenset()

    def newest(self, name: str) -> Container | None:
        found = self.containers.get(name)
        return found[0] if found else None

    def running(self, name: str) -> bool:
        newest = self.newest(name)
        return newest is not None and newest.state is ContainerState.RUNNING

    def all_running(self) -> list[tuple[str, Container]]:
        """Each with its name."""
        return [(n, c) for n, found in self.containers.items() for c in found if c.state is ContainerState.RUNNING]

    def any_running(self) -> bool:
        return bool(self.all_running())


def timestamp(nanoseconds: int) -> str | None:
    """RFC 3339 in whole seconds, as metav1.Time; None for 0."""
    if not nanoseconds:
        return None
    return datetime.fromtimestamp(nanoseconds // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds(text: str | None) -> float:
    """A metav1.Time as wall seconds, 0 for none."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() if text else 0.0


def deleting(pod: Mapping[str, Any]) -> bool:
    return bool(pod["metadata"].get("deletionTimestamp"))
