"""Startup, readiness and liveness probes of one running container.

`advance` is the pure part: thresholds. `ContainerProbes` runs them: a task a probe, first at once (after
initialDelaySeconds), then each period; liveness and readiness wait for the startup probe. The results are a ProbeState.
Source: Kubernetes 1.34, pkg/kubelet/prober/worker.go, pkg/probe.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from knarr.kits.tasks import TaskSet

from .actions import Outcome, grpc_health, http_get, resolve_port, tcp_connect
from .env import ConfigError, expand
from .observed import ProbeState
from .runtime import Runtime, RuntimeCallError

log = logging.getLogger(__name__)

RETRIES_ON_ERROR = 3
KINDS = ("startup", "readiness", "liveness")


@dataclass(frozen=True)
class Run:
    """Consecutive equal results of a probe."""

    last: bool | None = None
    count: int = 0


def advance(run: Run, success: bool, spec: Mapping[str, Any]) -> tuple[Run, bool | None]:
    """(the run with one more result, what is now certain: True, False, or None while below the threshold)."""
    run = Run(success, run.count + 1 if run.last == success else 1)
    threshold = int(spec.get("successThreshold") or 1) if success else int(spec.get("failureThreshold") or 3)
    return run, success if run.count >= threshold else None


@dataclass(frozen=True)
class Target:
    """Where a container is reached. env: its literal variables, for exec commands."""

    container_id: str
    ip: str
    container: Mapping[str, Any]


class ContainerProbes:
    """changed() is called when `state` changed; unhealthy(text) for a failed run, to become an Unhealthy event."""

    def __init__(
        self,
        runtime: Runtime,
        target: Target,
        started_at: float,
        clock: Callable[[], float],
        changed: Callable[[], None],
        unhealthy: Callable[[str, str], None],
        started: bool = False,
        ready: bool = False,
    ) -> None:
        self._runtime, self._target, self._started_at, self._clock = runtime, target, started_at, clock
        self._changed, self._unhealthy = changed, unhealthy
        container = target.container
        # What was reported of this container before the agent was restarted stands until a probe says otherwise.
        self.state = ProbeState(
            started=started or "startupProbe" not in container, ready=ready or "readinessProbe" not in container
        )
        self._started = asyncio.Event()
        if self.state.started:
            self._started.set()
        self._tasks = TaskSet("probes")
        self._running: dict[str, asyncio.Task[None]] = {}
        for kind in KINDS:
            spec = container.get(f"{kind}Probe")
            if spec and not (kind == "startup" and self.state.started):
                self._running[kind] = self._tasks.spawn(self._loop(kind, spec), f"{container['name']}/{kind}")

    def only_readiness(self) -> None:
        """The container is to end: whether it lives is no question any more."""
        for kind in ("startup", "liveness"):
            if kind in self._running:
                self._running[kind].cancel()

    async def close(self) -> None:
        await self._tasks.close()

    async def _loop(self, kind: str, spec: Mapping[str, Any]) -> None:
        run = Run()
        period = float(spec.get("periodSeconds") or 10)
        if kind != "startup":
            await self._started.wait()
        delay = float(spec.get("initialDelaySeconds") or 0) - (self._clock() - self._started_at)
        if delay > 0:
            await asyncio.sleep(delay)
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            outcome = await self._once(kind, spec)
            if outcome is not None:
                run, certain = advance(run, outcome, spec)
                if certain is not None and self._decide(kind, certain):
                    return
            # The schedule stays when a probe is slow.
            due = max(due + period, loop.time())
            await asyncio.sleep(max(0.0, due - loop.time()))

    def _decide(self, kind: str, success: bool) -> bool:
        """Take a certain result in; True when the probe has said its last word for this container."""
        before = self.state
        if kind == "readiness":
            self.state = replace(before, ready=success)
        elif not success:
            self.state = replace(before, failed=kind)
        elif kind == "startup":
            self.state = replace(before, started=True)
            self._started.set()
        if self.state != before:
            self._changed()
        return kind == "startup" or (kind == "liveness" and not success)

    async def _once(self, kind: str, spec: Mapping[str, Any]) -> bool | None:
        """None: the probe itself could not be run, which says nothing about the container."""
        title = kind.capitalize()
        error = ""
        for _ in range(RETRIES_ON_ERROR):
            try:
                outcome = await run_probe(self._runtime, spec, self._target)
            except (RuntimeCallError, ConfigError, ValueError) as failure:
                error = str(failure)
                continue
            if not outcome.ok:
                self._unhealthy("Unhealthy", f"{title} probe failed: {outcome.text}")
            elif outcome.warning:
                self._unhealthy("ProbeWarning", f"{title} probe warning: {outcome.text}")
            return outcome.ok
        self._unhealthy("Unhealthy", f"{title} probe errored and resulted in unknown state: {error}")
        return None


async def run_probe(runtime: Runtime, spec: Mapping[str, Any], target: Target) -> Outcome:
    """One run of a probe's action. Raises RuntimeCallError, ValueError (a port name that is not there)."""
    timeout = float(spec.get("timeoutSeconds") or 1)
    container = target.container
    if action := spec.get("exec"):
        static = {v["name"]: v.get("value") or "" for v in container.get("env") or () if not v.get("valueFrom")}
        command = [expand(word, static) for word in action.get("command") or ()]
        try:
            done = await runtime.exec_sync(target.container_id, command, int(timeout))
        except RuntimeCallError as error:
            if error.timed_out:
                return Outcome(False, f'command timed out: "{" ".join(command)}" timed out after {int(timeout)}s')
            raise
        output = (done.stdout + done.stderr).decode(errors="replace")[: 10 << 10]
        return Outcome(done.code == 0, output)
    if action := spec.get("httpGet"):
        port = resolve_port(action["port"], container)
        reached = await runtime.probe_tcp(action.get("host") or target.ip, port, timeout)
        if reached is not None:
            return Outcome(reached, "")
        return await http_get(action, action.get("host") or target.ip, port, timeout, "kube-probe/1.34")
    if action := spec.get("tcpSocket"):
        port = resolve_port(action["port"], container)
        host = action.get("host") or target.ip
        reached = await runtime.probe_tcp(host, port, timeout)
        return Outcome(reached, "") if reached is not None else await tcp_connect(host, port, timeout)
    if action := spec.get("grpc"):
        reached = await runtime.probe_tcp(target.ip, action["port"], timeout)
        if reached is not None:
            return Outcome(reached, "")
        return await grpc_health(target.ip, action["port"], action.get("service") or "", timeout)
    raise ValueError(f"missing probe handler for {container['name']}")
