"""What to do next for one pod. Pure: `step(pod, observed, now) -> Decision`.

       no sandbox ----CreateSandbox----> sandbox ready ----StartContainer (init, in order)----> initialized
            ^                                 |                                                      |
            | CreateSandbox(attempt + 1)      | died: StopSandbox                     StartContainer (all at once)
            +---------------------------------+                                                      |
                                                   KillContainer (probe failed, definition changed) <+-> restarts
       deleted, rejected, or all containers done:
            KillContainer (containers, then sidecars from the last to the first) -> StopSandbox -> Cleanup -> Forget

A decision names every action that can be begun now; the executor begins those that are not under way and steps again
when anything changes. Repeating a decision on the same input is harmless. `wake_at` is when time alone changes it.

Source: Kubernetes 1.34, kuberuntime_manager.go (computePodActions, doBackOff), pkg/kubelet/pod_workers.go.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .observed import CrashBackoff, Failure, Observed, Rejection, deleting, seconds
from .podspec import CONTAINER_HASH, container_hash
from .resources import is_sidecar
from .runtime import Container, ContainerState, Sandbox
from .status import restart_count, should_restart

CRASH_BACKOFF_FIRST = 10.0
CRASH_BACKOFF_LAST = 300.0
CRASH_BACKOFF_RESET = 600.0
GRACE_SECONDS_MIN = 2
DEADLINE = Rejection("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")


@dataclass(frozen=True)
class CreateSandbox:
    attempt: int


@dataclass(frozen=True)
class StopSandbox:
    """Stops what still runs in it, too."""

    id: str


@dataclass(frozen=True)
class RemoveSandbox:
    id: str


@dataclass(frozen=True)
class StartContainer:
    """restarts: the restart count it will show. backoff: what to remember when it is started."""

    name: str
    restarts: int
    backoff: CrashBackoff | None = None


@dataclass(frozen=True)
class KillContainer:
    """message: of the Killing event. run_hook: preStop first. grace in seconds, the hook's time included."""

    id: str
    name: str
    grace: int
    message: str
    reason: str = ""


@dataclass(frozen=True)
class RemoveContainer:
    id: str


@dataclass(frozen=True)
class Cleanup:
    """Unmount the volumes, remove cgroups."""


@dataclass(frozen=True)
class Forget:
    """Everything has ended: report it, delete the object with grace 0, drop records and logs."""


@dataclass(frozen=True)
class Reject:
    rejection: Rejection


Action = (
    CreateSandbox
    | StopSandbox
    | RemoveSandbox
    | StartContainer
    | KillContainer
    | RemoveContainer
    | Cleanup
    | Forget
    | Reject
)


@dataclass(frozen=True)
class Decision:
    """actions: to begin now. waiting: states to show for containers whose back-off runs. wake_at: wall seconds."""

    actions: tuple[Action, ...] = ()
    waiting: Mapping[str, Failure] = field(default_factory=dict)
    wake_at: float = math.inf


def grace_seconds(pod: Mapping[str, Any]) -> int:
    """The grace period of the pod's end."""
    metadata = pod["metadata"]
    value = metadata.get("deletionGracePeriodSeconds") if deleting(pod) else None
    if value is None:
        value = pod["spec"].get("terminationGracePeriodSeconds")
    return 30 if value is None else int(value)


def step(pod: Mapping[str, Any], observed: Observed, now: float) -> Decision:
    """now: wall seconds."""
    if deleting(pod) or observed.gone or observed.rejection is not None:
        return _end(pod, observed)
    status = pod.get("status") or {}
    if status.get("phase") in ("Succeeded", "Failed"):
        # What has ended is active no more: its deadline passes it by.
        return _end(pod, observed)
    wake = math.inf
    deadline = pod["spec"].get("activeDeadlineSeconds")
    if deadline is not None and (began := seconds(status.get("startTime"))):
        if now >= began + deadline:
            return Decision((Reject(DEADLINE),))
        wake = began + deadline
    return _run(pod, observed, now, wake)


def _kill(pod: Mapping[str, Any], alive: Sequence[tuple[str, Container]], grace: int) -> tuple[KillContainer, ...]:
    """Those of the running containers that end first; empty when none runs."""
    sidecars = [c["name"] for c in pod["spec"].get("initContainers", ()) if is_sidecar(c)]
    first = [pair for pair in alive if pair[0] not in sidecars]
    if not first:
        # Sidecars end when nothing is left that they serve, in the reverse of the order they started in.
        last = max((sidecars.index(name) for name, _ in alive), default=-1)
        first = [pair for pair in alive if sidecars.index(pair[0]) == last]
    return tuple(KillContainer(c.id, n, grace, f"Stopping container {n}") for n, c in first)


def _end(pod: Mapping[str, Any], observed: Observed) -> Decision:
    grace = 1 if observed.gone and not deleting(pod) else grace_seconds(pod)
    if kills := _kill(pod, observed.all_running(), grace):
        return Decision(kills)
    ready = tuple(StopSandbox(s.id) for s in observed.sandboxes if s.ready)
    if ready:
        return Decision(ready)
    if not observed.cleaned:
        return Decision((Cleanup(),))
    if deleting(pod) or observed.gone:
        return Decision((Forget(),))
    return Decision()


def _run(pod: Mapping[str, Any], observed: Observed, now: float, wake: float) -> Decision:
    spec = pod["spec"]
    newest = observed.sandboxes[0] if observed.sandboxes else None
    usable = newest is not None and newest.ready and (bool(newest.ips) or bool(spec.get("hostNetwork")))
    # A container that outlived its sandbox answers at an address that is no longer the pod's.
    strays = [(n, c) for n, c in observed.all_running() if newest is None or not usable or not _inside(newest, c)]
    if kills := _kill(pod, strays, grace_seconds(pod)):
        return Decision(kills, wake_at=wake)
    stale = [s for s in observed.sandboxes if s.ready and (s is not newest or not usable)]
    if stale:
        return Decision(tuple(StopSandbox(s.id) for s in stale), wake_at=wake)
    if not usable:
        return _new_sandbox(pod, observed, now, wake)
    actions: list[Action] = list(_prune(observed))
    waiting: dict[str, Failure] = {}
    initialized, init_actions, wake_init, waits = _init(pod, observed, now)
    actions += init_actions
    waiting |= waits
    wake = min(wake, wake_init)
    if not initialized:
        if _failed_init(pod, observed):
            return Decision((*_prune(observed), *_end(pod, observed).actions), waiting, wake)
        return Decision(tuple(actions), waiting, wake)
    for container in spec.get("ephemeralContainers") or ():
        if observed.newest(container["name"]) is None:
            more, at, wait = _start(pod, container, observed, now)
            actions += more
            wake = min(wake, at)
            waiting |= wait
    kept = 0
    held = False
    for container in spec["containers"]:
        name = container["name"]
        current = observed.newest(name)
        if current is not None and current.state is ContainerState.RUNNING:
            kill = _why_kill(pod, container, current, observed)
            kept += 1
            held = held or current.id in observed.hooks
            if kill is not None:
                actions.append(kill)
            continue
        if should_restart(pod, container, current) or name in observed.restarting:
            kept += 1
            if held:
                continue
            more, at, wait = _start(pod, container, observed, now)
            actions += more
            wake = min(wake, at)
            waiting |= wait
            # What comes after a container may rely on its postStart having ended.
            held = bool(more) and bool((container.get("lifecycle") or {}).get("postStart"))
    if kept == 0:
        # All done: sidecars and the sandbox have nothing to stay for.
        end = _end(pod, observed)
        return Decision(
            (*(a for a in actions if isinstance(a, RemoveContainer | RemoveSandbox)), *end.actions), {}, wake
        )
    return Decision(tuple(actions), waiting, wake)


def _new_sandbox(pod: Mapping[str, Any], observed: Observed, now: float, wake: float) -> Decision:
    spec = pod["spec"]
    attempt = max((s.attempt for s in observed.sandboxes), default=-1) + 1
    policy = spec.get("restartPolicy", "Always")
    if observed.containers and attempt:
        done = [c for c in spec["containers"] if not should_restart(pod, c, observed.newest(c["name"]))]
        began = any(observed.newest(c["name"]) is not None for c in spec["containers"])
        if policy == "Never" or (began and len(done) == len(spec["containers"])):
            return Decision(_end(pod, observed).actions, wake_at=wake)
    if observed.volumes_failed:
        return Decision(wake_at=wake)
    if now < observed.sandbox_retry_at:
        return Decision(wake_at=min(wake, observed.sandbox_retry_at))
    return Decision((CreateSandbox(attempt),), wake_at=wake)


def _inside(sandbox: Sandbox, container: Container) -> bool:
    return container.sandbox_id in ("", sandbox.id)


def _init(
    pod: Mapping[str, Any], observed: Observed, now: float
) -> tuple[bool, list[Action], float, dict[str, Failure]]:
    """(whether containers may start, actions, wake, waiting) of the init containers, in order."""
    spec = pod["spec"]
    actions: list[Action] = []
    waiting: dict[str, Failure] = {}
    wake = math.inf
    main_began = any(
        (c := observed.newest(m["name"])) is not None and _inside(observed.sandboxes[0], c) for m in spec["containers"]
    )
    for container in spec.get("initContainers") or ():
        name = container["name"]
        current = observed.newest(name)
        fresh = current is not None and _inside(observed.sandboxes[0], current)
        running = fresh and current is not None and current.state is ContainerState.RUNNING
        if is_sidecar(container):
            if running and current is not None:
                kill = _why_kill(pod, container, current, observed)
                if kill is not None:
                    actions.append(kill)
                probe = observed.probes.get(current.id)
                started = probe.started if probe is not None else "startupProbe" not in container
                if (started and current.id not in observed.hooks) or main_began:
                    continue
                return False, actions, wake, waiting
            more, at, wait = _start(pod, container, observed, now)
            actions += more
            wake = min(wake, at)
            waiting |= wait
            if main_began:
                continue
            return False, actions, wake, waiting
        if main_began:
            continue
        if running:
            return False, actions, wake, waiting
        if fresh and current is not None and current.state is ContainerState.EXITED and current.exit_code == 0:
            continue
        if fresh and current is not None and not should_restart_init(pod, current):
            return False, actions, wake, waiting
        more, at, wait = _start(pod, container, observed, now)
        return False, [*actions, *more], min(wake, at), waiting | wait
    return True, actions, wake, waiting


def should_restart_init(pod: Mapping[str, Any], current: Container) -> bool:
    """A failed init container is tried again unless the policy is Never."""
    if current.state in (ContainerState.CREATED, ContainerState.UNKNOWN):
        return True
    return current.exit_code != 0 and pod["spec"].get("restartPolicy", "Always") != "Never"


def _failed_init(pod: Mapping[str, Any], observed: Observed) -> bool:
    for container in pod["spec"].get("initContainers") or ():
        current = observed.newest(container["name"])
        if is_sidecar(container) or current is None or current.state is not ContainerState.EXITED:
            continue
        if current.exit_code != 0 and not should_restart_init(pod, current):
            return True
    return False


def _why_kill(
    pod: Mapping[str, Any], container: Mapping[str, Any], current: Container, observed: Observed
) -> KillContainer | None:
    name = container["name"]
    probe = observed.probes.get(current.id)
    grace, reason = grace_seconds(pod), ""
    restarts = is_sidecar(container) or pod["spec"].get("restartPolicy", "Always") != "Never"
    if current.annotations.get(CONTAINER_HASH, container_hash(container)) != container_hash(container):
        message, restarts = f"Container {name} definition changed", True
    elif probe is not None and probe.failed:
        message, reason = f"Container {name} failed {probe.failed} probe", probe.failed
        own = (container.get(f"{probe.failed}Probe") or {}).get("terminationGracePeriodSeconds")
        grace = grace if own is None else int(own)
    else:
        return None
    return KillContainer(current.id, name, grace, f"{message}, will be restarted" if restarts else message, reason)


def _start(
    pod: Mapping[str, Any], container: Mapping[str, Any], observed: Observed, now: float
) -> tuple[list[Action], float, dict[str, Failure]]:
    """Start it now, or say until when it waits."""
    name, metadata = container["name"], pod["metadata"]
    if not observed.volumes_ready:
        # Sandbox and volumes are made side by side; a container needs both.
        return [], math.inf, {}
    failure = observed.failures.get(name)
    if failure is not None and now < failure.retry_at:
        return [], failure.retry_at, {}
    newest = observed.newest(name)
    if newest is None:
        old = (pod.get("status") or {}).get("containerStatuses") or ()
        known = next((s for s in old if s["name"] == name and "running" in (s.get("state") or {})), None)
        return [StartContainer(name, known.get("restartCount", 0) + 1 if known else 0)], math.inf, {}
    held = observed.backoffs.get(name)
    finished = newest.finished_at / 1e9 if newest.finished_at else now
    if held is None or finished - held.updated > CRASH_BACKOFF_RESET:
        backoff = CrashBackoff(CRASH_BACKOFF_FIRST, now)
    elif now < finished + held.delay:
        where = f"{metadata['name']}_{metadata['namespace']}({metadata['uid']})"
        text = f"back-off {_duration(held.delay)} restarting failed container={name} pod={where}"
        until = finished + held.delay
        return [], until, {name: Failure("CrashLoopBackOff", text, until)}
    else:
        backoff = CrashBackoff(min(held.delay * 2, CRASH_BACKOFF_LAST), now)
    return [StartContainer(name, restart_count(newest) + 1, backoff)], math.inf, {}


def _duration(value: float) -> str:
    """As Go prints it: 10s, 1m20s, 5m0s."""
    minutes, rest = divmod(int(value), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def _prune(observed: Observed) -> list[Action]:
    """Records nobody asks for: of each container all but the newest two; old sandboxes without containers."""
    actions: list[Action] = []
    used: set[str] = set()
    for found in observed.containers.values():
        for index, container in enumerate(found):
            if index >= 2 and container.state is not ContainerState.RUNNING:
                actions.append(RemoveContainer(container.id))
            else:
                used.add(container.sandbox_id)
    for sandbox in observed.sandboxes[1:]:
        if not sandbox.ready and sandbox.id not in used:
            actions.append(RemoveSandbox(sandbox.id))
    return actions
