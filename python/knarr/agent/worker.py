"""Carries out one pod: observes, asks `step`, begins the actions, reports the status. One task a pod.

An action is one task; while it is under way the same action is not begun again, and when it ends the pod is stepped
anew. Nothing is decided here.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from knarr.kits.tasks import Backoff, Latch, TaskSet

from . import step as steps
from .admission import demands
from .containers import ContainerStarter, StartFailed, read_termination
from .hooks import HookError, run_hook
from .objects import sources
from .observed import CrashBackoff, Failure, Observed, Rejection, deleting
from .pleg import SETTLE_SECONDS
from .podspec import cgroup, every_container, pod_dir, referenced, sandbox_spec
from .probes import KINDS, ContainerProbes, Target
from .reporter import Reporter
from .resources import pod_limits
from .runtime import Container, ContainerState, RuntimeCallError, Sandbox
from .shared import Shared
from .status import OWNED, pod_status
from .volumes import Context, PodVolumes, Token, teardown

log = logging.getLogger(__name__)

USAGE_PERIOD_SECONDS = 10.0
VOLUME_RETRY_FIRST, VOLUME_RETRY_LAST = 0.5, 30.0


class PodWorker:
    """`update` and the `saw_*` methods bring news; `run` works until the pod is gone."""

    def __init__(
        self,
        shared: Shared,
        pod: dict[str, Any],
        sandboxes: tuple[Sandbox, ...] = (),
        containers: tuple[Container, ...] = (),
    ) -> None:
        self.pod = pod
        self.uid: str = pod["metadata"]["uid"]
        self.finished = False
        self.sandboxes = {s.id: s for s in sandboxes}
        self.containers = {c.id: c for c in containers}
        self._shared = shared
        self._latch = Latch()
        self._tasks = TaskSet(f"pod/{pod['metadata']['name']}")
        self._doing: dict[tuple[str, str], asyncio.Task[Any]] = {}
        self._killing: dict[str, int] = {}
        self._probes: dict[str, ContainerProbes] = {}
        self._failures: dict[str, Failure] = {}
        self._backoffs: dict[str, CrashBackoff] = {}
        self._restarting: set[str] = set()
        self._hooks: set[str] = set()
        self._told_backoff: set[str] = set()
        self._rejection: Rejection | None = None
        self._sandbox_retry = Backoff(0.5, 10.0)
        self._sandbox_retry_at = 0.0
        self._volume_errors: dict[str, str] | None = None
        self._volumes_due = 0.0
        self._volume_retry = Backoff(VOLUME_RETRY_FIRST, VOLUME_RETRY_LAST)
        self._usage_due = 0.0
        self._cleaned = False
        self._gone = False
        self._wanted = referenced(pod)
        self.demands = demands(pod)
        self._status: dict[str, Any] = dict(pod.get("status") or {})
        self._volumes = PodVolumes(self._context())
        self._reporter = Reporter(shared.client, pod)
        self._starter = ContainerStarter(shared.runtime, shared.images, self._volumes)

    # News

    def update(self, pod: dict[str, Any]) -> None:
        """Another revision of the object."""
        before, self.pod = self.pod, pod
        self._reporter.seen(pod)
        others = [c for c in (pod.get("status") or {}).get("conditions") or () if c["type"] not in OWNED]
        ours = [c for c in self._status.get("conditions") or () if c["type"] in OWNED]
        self._status["conditions"] = [*ours, *others]
        changed = any(before["metadata"].get(k) != pod["metadata"].get(k) for k in ("labels", "annotations"))
        if before["spec"] != pod["spec"] or changed:
            self._wanted = referenced(pod)
            self.demands = demands(pod)
            self._volumes.update(self._context())
            self._volumes_due = 0.0
        self._latch.set()

    def deleted(self) -> None:
        """The object is no longer in the API."""
        self._gone = True
        self._latch.set()

    def reject(self, rejection: Rejection) -> None:
        self._rejection = rejection
        self._latch.set()

    def objects_changed(self) -> None:
        """A ConfigMap or Secret the pod uses is there, or different, or gone."""
        self._volumes_due = 0.0
        retry = ("CreateContainerConfigError",)
        self._failures = {n: f for n, f in self._failures.items() if f.reason not in retry}
        self._latch.set()

    def saw(self, sandboxes: Mapping[str, Sandbox], containers: Mapping[str, Container]) -> None:
        """All that the runtime has of this pod, containers with all fields."""
        self.sandboxes = dict(sandboxes)
        for container in containers.values():
            self._take(container)
        for gone in self.containers.keys() - containers.keys():
            del self.containers[gone]
        self._latch.set()

    def saw_container(self, container: Container) -> None:
        self._take(container)
        self._latch.set()

    def _take(self, container: Container) -> None:
        known = self.containers.get(container.id)
        if known is not None:
            container = replace(container, sandbox_id=container.sandbox_id or known.sandbox_id)
        if container.state is ContainerState.EXITED and not container.message:
            if known is not None and known.message:
                container = replace(container, message=known.message)
            else:
                container = replace(container, message=read_termination(self._shared.facts(), self.pod, container))
        self.containers[container.id] = container

    # The loop

    async def run(self) -> None:
        """Until the pod is gone from the API and the node. Cancelled: containers go on, tasks end."""
        shared = self._shared
        shared.objects.use(self.uid, self.pod["metadata"]["namespace"], self._wanted)
        self._tasks.spawn(self._reporter.run(), "status")
        try:
            while not self.finished:
                now = shared.clock()
                wake = self._volumes_step(now)
                decision = steps.step(self.pod, self._observe(), now)
                self._sync_probes()
                self._show(decision, now)
                for action in decision.actions:
                    self._begin(action)
                wake = min(wake, decision.wake_at, self._usage_step(now))
                if not self.finished:
                    await self._latch.wait(None if wake == math.inf else max(wake - shared.clock(), 0.0) + 0.001)
        finally:
            for probes in self._probes.values():
                await probes.close()
            await self._tasks.close()

    def _observe(self) -> Observed:
        by_name: dict[str, list[Container]] = {}
        for container in self.containers.values():
            by_name.setdefault(container.name, []).append(container)
        for found in by_name.values():
            found.sort(key=lambda c: (c.attempt, c.created_at), reverse=True)
        return Observed(
            sandboxes=tuple(sorted(self.sandboxes.values(), key=lambda s: (s.attempt, s.created_at), reverse=True)),
            containers={name: tuple(found) for name, found in by_name.items()},
            probes={cid: probes.state for cid, probes in self._probes.items()},
            failures=self._failures,
            backoffs=self._backoffs,
            rejection=self._rejection,
            sandbox_retry_at=self._sandbox_retry_at,
            volumes_ready=self._volume_errors == {},
            volumes_failed=bool(self._volume_errors),
            cleaned=self._cleaned,
            gone=self._gone,
            restarting=frozenset(self._restarting),
            hooks=frozenset(self._hooks),
        )

    def _show(self, decision: steps.Decision, now: float) -> None:
        """Compute the status and offer it; tell of back-offs that begin."""
        for name in decision.waiting:
            if name not in self._told_backoff:
                self._told_backoff.add(name)
                metadata = self.pod["metadata"]
                where = f"{metadata['name']}_{metadata['namespace']}({metadata['uid']})"
                text = f"Back-off restarting failed container {name} in pod {where}"
                self._tell("Warning", "BackOff", text, name)
        observed = self._observe()
        observed = replace(observed, failures={**self._failures, **decision.waiting})
        pod = {**self.pod, "status": self._status}
        self._status = pod_status(pod, observed, self._shared.host, now)
        self.pod = {**self.pod, "status": self._status}
        if not self._gone:
            self._reporter.offer(self._status)

    def _tell(self, kind: str, reason: str, message: str, container: str = "") -> None:
        self._shared.recorder.pod(self.pod, kind, reason, message, container)

    # Volumes

    def _context(self) -> Context:
        shared = self._shared

        async def token(audience: str, seconds: int) -> Token:
            return await shared.tokens.get(self.pod, audience, seconds)

        return Context(self.pod, pod_dir(shared.facts(), self.pod), self._sources, token, shared.mounts)

    def _sources(self) -> Any:
        shared = self._shared
        ips: tuple[str, ...] = ()
        if self.pod["spec"].get("hostNetwork"):
            ips = shared.host.ips
        else:
            newest = max(self.sandboxes.values(), key=lambda s: s.attempt, default=None)
            ips = newest.ips if newest is not None else ()
        return sources(
            self.pod, shared.objects, self._wanted, shared.services(), shared.allocatable(), ips, shared.host.ips
        )

    def _volumes_step(self, now: float) -> float:
        """Set up or refresh what is due; returns when to look again."""
        ended = self._gone or deleting(self.pod) or self._rejection is not None or self._cleaned
        if ended or self._status.get("phase") in ("Succeeded", "Failed"):
            return math.inf
        if now < self._volumes_due or ("volumes", "") in self._doing:
            return self._volumes_due
        self._volumes_due = math.inf
        self._spawn(("volumes", ""), self._setup_volumes())
        return math.inf

    async def _setup_volumes(self) -> None:
        shared = self._shared
        shared.objects.use(self.uid, self.pod["metadata"]["namespace"], self._wanted)
        await shared.objects.synced(self.uid)
        errors = await self._volumes.setup()
        if not errors:
            # what failed is tried again after a pause, its renewal, that may be overdue, with it
            self._volumes_due = min(self._volumes_due, self._volumes.renew_at())
        for name, message in errors.items():
            if self._volume_errors is None or self._volume_errors.get(name) != message:
                self._tell("Warning", "FailedMount", f'MountVolume.SetUp failed for volume "{name}" : {message}')
        if errors and self._volume_errors == {}:
            # Mounted volumes stay as they are while a source is missing: containers go on with the old content.
            errors = {}
            self._volumes_due = min(self._volumes_due, shared.clock() + VOLUME_RETRY_LAST)
        elif errors:
            self._volumes_due = min(self._volumes_due, shared.clock() + self._volume_retry.next())
        else:
            self._volume_retry.reset()
        self._volume_errors = errors

    def _usage_step(self, now: float) -> float:
        if self._rejection is not None or self._gone or not self._volumes.limited():
            return math.inf
        if now >= self._usage_due:
            self._usage_due = now + USAGE_PERIOD_SECONDS
            self._spawn(("usage", ""), self._check_usage())
        return self._usage_due

    async def _check_usage(self) -> None:
        over = await asyncio.to_thread(self._volumes.over_limit)
        if over is not None:
            text = f'Usage of EmptyDir volume "{over[0]}" exceeds the limit "{over[1]}". '
            self._tell("Warning", "Evicted", text)
            self._rejection = Rejection("Evicted", text)

    # Probes

    def _sync_probes(self) -> None:
        wanted: dict[str, tuple[Container, Mapping[str, Any]]] = {}
        if not self._gone:
            specs = {c["name"]: c for c in every_container(self.pod)}
            for container in self.containers.values():
                spec = specs.get(container.name)
                if spec is None or container.state is not ContainerState.RUNNING or container.id in self._hooks:
                    continue
                if any(f"{kind}Probe" in spec for kind in KINDS):
                    wanted[container.id] = (container, spec)
        for cid in self._probes.keys() - wanted.keys():
            self._tasks.spawn(self._probes.pop(cid).close(), "probes-end")
        for cid in wanted.keys() - self._probes.keys():
            container, spec = wanted[cid]
            self._probes[cid] = self._start_probes(container, spec)
        if deleting(self.pod) or self._rejection is not None:
            for probes in self._probes.values():
                probes.only_readiness()

    def _start_probes(self, container: Container, spec: Mapping[str, Any]) -> ContainerProbes:
        def unhealthy(reason: str, text: str) -> None:
            self._tell("Warning", reason, text, spec["name"])

        entries = (*(self._status.get("containerStatuses") or ()), *(self._status.get("initContainerStatuses") or ()))
        before: Mapping[str, Any] = next(
            (e for e in entries if e.get("containerID", "").endswith(f"://{container.id}")), {}
        )
        ips = self._sources().pod_ips
        return ContainerProbes(
            self._shared.runtime,
            Target(container.id, ips[0] if ips else "127.0.0.1", spec),
            container.started_at / 1e9,
            self._shared.clock,
            self._latch.set,
            unhealthy,
            started=bool(before.get("started")),
            ready=bool(before.get("ready")),
        )

    # Actions

    def _spawn(self, key: tuple[str, str], work: Any) -> None:
        task = self._tasks.spawn(work, "/".join(key))
        self._doing[key] = task

        def done(ended: asyncio.Task[Any]) -> None:
            if self._doing.get(key) is ended:
                del self._doing[key]
            self._latch.set()

        task.add_done_callback(done)

    def _begin(self, action: steps.Action) -> None:
        match action:
            case steps.CreateSandbox(attempt):
                self._once("sandbox", "", lambda: self._create_sandbox(attempt))
            case steps.StopSandbox(sandbox_id):
                self._once("stop", sandbox_id, lambda: self._stop_sandbox(sandbox_id))
            case steps.RemoveSandbox(sandbox_id):
                self._once("remove", sandbox_id, lambda: self._remove_sandbox(sandbox_id))
            case steps.StartContainer(name, restarts, backoff):
                self._once("start", name, lambda: self._start_container(name, restarts, backoff))
            case steps.KillContainer():
                self._kill(action)
            case steps.RemoveContainer(container_id):
                self._once("remove", container_id, lambda: self._remove_container(container_id))
            case steps.Cleanup():
                self._once("cleanup", "", self._cleanup)
            case steps.Forget():
                self._once("forget", "", self._forget)
            case steps.Reject(rejection):
                self._tell("Normal", rejection.reason, rejection.message)
                self._rejection = rejection
                self._latch.set()

    def _once(self, what: str, which: str, work: Callable[[], Any]) -> None:
        if (what, which) not in self._doing:
            self._spawn((what, which), work())

    async def _create_sandbox(self, attempt: int) -> None:
        shared, facts = self._shared, self._shared.facts()
        if attempt and any(c.state is not ContainerState.CREATED for c in self.containers.values()):
            self._tell("Normal", "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")
        spec = sandbox_spec(self.pod, facts, attempt)
        try:
            if shared.cgroups is not None:
                await asyncio.to_thread(shared.cgroups.create, spec.cgroup_parent, pod_limits(self.pod))
            self._starter.prepare_pod(self.pod, facts)
            sandbox_id = await shared.runtime.run_sandbox(spec)
            sandbox = await shared.runtime.sandbox(sandbox_id)
        except (RuntimeCallError, OSError) as error:
            self._tell("Warning", "FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}")
            self._sandbox_retry_at = shared.clock() + self._sandbox_retry.next()
            await self._adopt_reserved(attempt)
            return
        self._sandbox_retry.reset()
        self.sandboxes[sandbox.id] = sandbox

    async def _adopt_reserved(self, attempt: int) -> None:
        """A sandbox that was made although the call failed (a lost answer) holds the name: see it, so that it goes."""
        try:
            found = await self._shared.runtime.sandboxes({"io.kubernetes.pod.uid": self.uid})
        except RuntimeCallError:
            return
        for sandbox in found:
            if sandbox.attempt == attempt and sandbox.id not in self.sandboxes:
                self.sandboxes[sandbox.id] = sandbox

    async def _stop_sandbox(self, sandbox_id: str) -> None:
        for key in [k for k in self._doing if k[0] in ("start", "sandbox")]:
            self._doing[key].cancel()
        try:
            await self._shared.runtime.stop_sandbox(sandbox_id)
        except RuntimeCallError as error:
            self._tell("Warning", "FailedKillPod", f"error killing pod: {error}")
            await asyncio.sleep(2.0)
            return
        if sandbox_id in self.sandboxes:
            self.sandboxes[sandbox_id] = replace(self.sandboxes[sandbox_id], ready=False)
        for container in [c for c in self.containers.values() if c.sandbox_id == sandbox_id]:
            await self._look(container.id)

    async def _look(self, container_id: str, sandbox_id: str = "") -> None:
        try:
            container = await self._shared.runtime.container(container_id)
            self._take(replace(container, sandbox_id=container.sandbox_id or sandbox_id))
        except RuntimeCallError as error:
            if error.not_found:
                self.containers.pop(container_id, None)

    async def _remove_sandbox(self, sandbox_id: str) -> None:
        try:
            await self._shared.runtime.remove_sandbox(sandbox_id)
        except RuntimeCallError as error:
            log.warning("sandbox not removed: id=%s error=%s", sandbox_id, error)
            await asyncio.sleep(2.0)
            return
        self.sandboxes.pop(sandbox_id, None)

    async def _remove_container(self, container_id: str) -> None:
        try:
            await self._shared.runtime.remove_container(container_id)
        except RuntimeCallError as error:
            log.warning("container not removed: id=%s error=%s", container_id, error)
            await asyncio.sleep(2.0)
            return
        self.containers.pop(container_id, None)

    async def _start_container(self, name: str, restarts: int, backoff: CrashBackoff | None) -> None:
        shared, facts = self._shared, self._shared.facts()
        spec = next(c for c in every_container(self.pod) if c["name"] == name)
        sandbox = max((s for s in self.sandboxes.values() if s.ready), key=lambda s: s.attempt, default=None)
        if sandbox is None:
            return
        await shared.objects.synced(self.uid)
        facts = replace(facts, sources=self._sources())
        secrets = [
            shared.objects.get("Secret", self.pod["metadata"]["namespace"], ref.get("name", ""))
            for ref in self.pod["spec"].get("imagePullSecrets") or ()
        ]
        attempt = max((c.attempt for c in self.containers.values() if c.name == name), default=-1) + 1
        attempt = max(attempt, restarts)
        try:
            container = await self._starter.start(
                self.pod,
                spec,
                sandbox,
                attempt,
                restarts,
                facts,
                secrets,
                lambda kind, reason, message: self._tell(kind, reason, message, name),
            )
        except StartFailed as failed:
            # What ended a container that ran may be ending its sandbox; a first start has nothing to wait for.
            if await self._sandbox_died(sandbox, SETTLE_SECONDS if restarts else ()):
                # No fault of the container: it is started in the next sandbox, at once.
                return
            retry_at = failed.retry_at or shared.clock() + steps.CRASH_BACKOFF_FIRST
            self._failures[name] = Failure(failed.reason, failed.message, retry_at)
            if failed.container_id:
                if backoff is not None:
                    self._backoffs[name] = backoff
                await self._look(failed.container_id, sandbox.id)
            return
        self._failures.pop(name, None)
        self._told_backoff.discard(name)
        self._restarting.discard(name)
        if backoff is not None:
            self._backoffs[name] = backoff
        hook = ((spec.get("lifecycle") or {}).get("postStart")) or {}
        if hook:
            self._hooks.add(container.id)
        self._take(replace(container, sandbox_id=sandbox.id))
        if shared.ended_unseen(container.id):
            self._tasks.spawn(shared.look(self, container.id), f"ended/{name}")
        if hook:
            self._latch.set()
            await self._post_start(spec, container, hook)

    async def _sandbox_died(self, sandbox: Sandbox, delays: Sequence[float]) -> bool:
        """Asked now and again after each of the delays, in seconds, while it is said to be ready."""
        for delay in (0.0, *delays):
            await asyncio.sleep(delay)
            try:
                now = await self._shared.runtime.sandbox(sandbox.id)
            except RuntimeCallError as error:
                if error.not_found:
                    self.sandboxes.pop(sandbox.id, None)
                return error.not_found
            if not now.ready:
                self.sandboxes[sandbox.id] = now
                return True
        return False

    async def _post_start(self, spec: Mapping[str, Any], container: Container, hook: Mapping[str, Any]) -> None:
        ips = self._sources().pod_ips
        try:
            await run_hook(self._shared.runtime, hook, spec, container.id, ips[0] if ips else "127.0.0.1")
        except HookError as error:
            log.info("postStart failed: container=%s error=%s", spec["name"], error)
            self._tell("Warning", "FailedPostStartHook", "PostStartHook failed", spec["name"])
            grace = steps.grace_seconds(self.pod)
            self._kill(steps.KillContainer(container.id, spec["name"], grace, "FailedPostStartHook"))
        else:
            # Not otherwise: what is killed, or cut short by the pod's end, does not count as running on its way.
            self._hooks.discard(container.id)

    def _kill(self, action: steps.KillContainer) -> None:
        """Begin, or begin anew with a shorter grace period."""
        under_way = self._killing.get(action.id)
        if under_way is not None and under_way <= action.grace:
            return
        key = ("kill", action.id)
        if key in self._doing:
            self._doing[key].cancel()
        if (start := self._doing.get(("start", action.name))) is not None and (deleting(self.pod) or self._gone):
            start.cancel()
        if action.message.endswith("will be restarted"):
            self._restarting.add(action.name)
        self._killing[action.id] = action.grace
        self._spawn(key, self._kill_container(action, first=under_way is None))

    async def _kill_container(self, action: steps.KillContainer, first: bool) -> None:
        shared = self._shared
        spec = next((c for c in every_container(self.pod) if c["name"] == action.name), None)
        grace = float(action.grace)
        if first:
            self._tell("Normal", "Killing", action.message, action.name)
            hook = ((spec or {}).get("lifecycle") or {}).get("preStop")
            if spec is not None and hook and grace > 0:
                began = shared.clock()
                await self._pre_stop(spec, action.id, hook, grace)
                grace -= shared.clock() - began
        seconds = max(math.ceil(grace), 0 if action.grace == 0 else steps.GRACE_SECONDS_MIN)
        try:
            await shared.runtime.stop_container(action.id, seconds)
        except RuntimeCallError as error:
            self._killing.pop(action.id, None)
            self._tell("Warning", "FailedKillPod", f"error killing pod: {error}")
            await asyncio.sleep(1.0)
            return
        await self._look(action.id)

    async def _pre_stop(
        self, spec: Mapping[str, Any], container_id: str, hook: Mapping[str, Any], grace: float
    ) -> None:
        ips = self._sources().pod_ips
        try:
            async with asyncio.timeout(grace):
                await run_hook(self._shared.runtime, hook, spec, container_id, ips[0] if ips else "127.0.0.1")
        except TimeoutError:
            log.info("preStop outlived the grace period: container=%s", spec["name"])
        except HookError as error:
            log.info("preStop failed: container=%s error=%s", spec["name"], error)
            self._tell("Warning", "FailedPreStopHook", "PreStopHook failed", spec["name"])

    async def _cleanup(self) -> None:
        shared, facts = self._shared, self._shared.facts()
        for key in [k for k in self._doing if k[0] in ("start", "sandbox", "volumes", "usage")]:
            self._doing[key].cancel()
        try:
            await asyncio.to_thread(teardown, pod_dir(facts, self.pod), shared.mounts)
        except OSError as error:
            log.warning("volumes not removed: pod=%s error=%s", self.pod["metadata"]["name"], error)
            await asyncio.sleep(2.0)
            return
        if shared.cgroups is not None:
            await asyncio.to_thread(shared.cgroups.remove, cgroup(self.pod, facts), True)
        self._cleaned = True

    async def _forget(self) -> None:
        if not self._gone:
            await self._reporter.flushed()
            await self._reporter.delete()
        for sandbox_id in list(self.sandboxes):
            await self._remove_sandbox(sandbox_id)
        await asyncio.to_thread(self._starter.remove_logs, self.pod, self._shared.facts())
        self._shared.objects.forget(self.uid)
        self._shared.tokens.forget(self.uid)
        self._shared.images.forget(self.uid)
        self.finished = True
