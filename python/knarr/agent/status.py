"""The PodStatus a kubelet would report. Pure: `pod_status(pod, observed, host, now)`.

Source: Kubernetes 1.34, pkg/kubelet/kubelet_pods.go (getPhase, convertToAPIContainerStatuses, generateAPIPodStatus) and
pkg/kubelet/status/generate.go (conditions).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .observed import Observed, deleting, timestamp
from .podspec import RESTART_COUNT
from .resources import is_sidecar, qos_class
from .runtime import Container, ContainerState

CREATING, INITIALIZING = "ContainerCreating", "PodInitializing"
STATUS_UNKNOWN = "ContainerStatusUnknown"
EPOCH = "1970-01-01T00:00:00Z"


@dataclass(frozen=True)
class Host:
    """The node as pods' statuses name it. runtime: the prefix of container ids."""

    ips: tuple[str, ...]
    runtime: str = "containerd"


def should_restart(pod: Mapping[str, Any], container: Mapping[str, Any], newest: Container | None) -> bool:
    """Whether a container that does not run is to be started (again)."""
    if deleting(pod):
        return False
    if newest is None or newest.state in (ContainerState.CREATED, ContainerState.UNKNOWN):
        return True
    if newest.state is ContainerState.RUNNING:
        return False
    if is_sidecar(container):
        return True
    policy = pod["spec"].get("restartPolicy", "Always")
    return policy == "Always" or (policy == "OnFailure" and newest.exit_code != 0)


def restart_count(container: Container) -> int:
    text = container.annotations.get(RESTART_COUNT, "")
    return int(text) if text.isdecimal() else container.attempt


def _state(container: Container, prefix: str) -> dict[str, Any]:
    if container.state is ContainerState.RUNNING:
        return {"running": {"startedAt": timestamp(container.started_at)}}
    if container.state is ContainerState.EXITED:
        ended: dict[str, Any] = {
            "exitCode": container.exit_code,
            "reason": container.reason or ("Completed" if container.exit_code == 0 else "Error"),
            # One that never ran began at the beginning of time, as kubelet says.
            "startedAt": timestamp(container.started_at) or EPOCH,
            "finishedAt": timestamp(container.finished_at) or EPOCH,
            "containerID": f"{prefix}://{container.id}",
        }
        if container.message:
            ended["message"] = container.message
        return {"terminated": ended}
    return {"waiting": {}}


def container_status(
    pod: Mapping[str, Any],
    container: Mapping[str, Any],
    observed: Observed,
    old: Mapping[str, Any] | None,
    host: Host,
    init: bool,
) -> dict[str, Any]:
    """One entry of containerStatuses. old: the entry last reported, for what the runtime has forgotten."""
    name, spec = container["name"], pod["spec"]
    found = observed.containers.get(name, ())
    if found and found[0].id in observed.hooks and found[0].state is ContainerState.RUNNING:
        # It counts as running when its postStart has ended; until then there is what was before.
        found = found[1:]
    newest = found[0] if found else None
    status: dict[str, Any] = {
        "name": name,
        "image": container.get("image", ""),
        "imageID": "",
        "state": {"waiting": {"reason": INITIALIZING if spec.get("initContainers") else CREATING}},
        "lastState": {},
        "ready": False,
        "restartCount": 0,
        "started": False,
    }
    if newest is None and old is not None:
        if (old.get("state") or {}).get("terminated"):
            status |= {k: old[k] for k in ("state", "lastState", "restartCount", "imageID", "containerID") if k in old}
        else:
            status |= {"restartCount": old.get("restartCount", 0), "lastState": old.get("lastState") or {}}
            if (old.get("state") or {}).get("running") and not status["lastState"].get("terminated"):
                lost = "The container could not be located when the pod was deleted.  The container used to be Running"
                status["lastState"] = {"terminated": {"exitCode": 137, "reason": STATUS_UNKNOWN, "message": lost}}
                status["restartCount"] += 0 if deleting(pod) else 1
    if newest is not None:
        status["image"] = newest.image or status["image"]
        status["imageID"] = newest.image_ref
        status["containerID"] = f"{host.runtime}://{newest.id}"
        status["restartCount"] = restart_count(newest)
        status["state"] = _state(newest, host.runtime)
        before = ((old or {}).get("state") or {}).get("terminated") or {}
        if newest.state is ContainerState.EXITED and before.get("containerID") == status["containerID"]:
            # Told once: its message's file may be gone by now.
            status["state"] = {"terminated": dict(before)}
        if len(found) > 1:
            status["lastState"] = _state(found[1], host.runtime)
        elif old is not None and old.get("restartCount", 0) >= status["restartCount"]:
            status["lastState"] = old.get("lastState") or {}
        if newest.user is not None:
            uid, gid, groups = newest.user
            status["user"] = {"linux": {"uid": uid, "gid": gid, "supplementalGroups": list(groups)}}
    failure = observed.failures.get(name)
    if failure is not None and should_restart(pod, container, newest):
        if "terminated" in status["state"]:
            status["lastState"] = status["state"]
        status["state"] = {"waiting": {"reason": failure.reason, "message": failure.message}}
    _readiness(container, status, newest, observed, init)
    if mounts := container.get("volumeMounts"):
        status["volumeMounts"] = [_mount_status(m) for m in mounts]
    if resources := container.get("resources"):
        status["resources"] = resources
        if resources.get("requests"):
            status["allocatedResources"] = resources["requests"]
    return status


def _mount_status(mount: Mapping[str, Any]) -> dict[str, Any]:
    status: dict[str, Any] = {"name": mount["name"], "mountPath": mount["mountPath"]}
    if mount.get("readOnly"):
        status |= {"readOnly": True, "recursiveReadOnly": "Disabled"}
    return status


def _readiness(
    container: Mapping[str, Any], status: dict[str, Any], newest: Container | None, observed: Observed, init: bool
) -> None:
    running = newest is not None and "running" in status["state"]
    if running and newest is not None:
        probe = observed.probes.get(newest.id)
        has_startup, has_readiness = "startupProbe" in container, "readinessProbe" in container
        if init and not is_sidecar(container):
            status["started"] = True
            return
        started = probe.started if probe is not None else not has_startup
        ready = probe.ready if probe is not None else not has_readiness
        status["started"], status["ready"] = started, started and ready
    elif init and not is_sidecar(container):
        status["ready"] = (status["state"].get("terminated") or {}).get("exitCode") == 0


def _is_done(status: Mapping[str, Any]) -> bool:
    return (status["state"].get("terminated") or {}).get("exitCode") == 0


def phase(
    pod: Mapping[str, Any], init: Sequence[Mapping[str, Any]], main: Sequence[Mapping[str, Any]], terminal: bool
) -> str:
    """terminal: nothing runs any more and nothing will."""
    spec = pod["spec"]
    policy = spec.get("restartPolicy", "Always")
    pending_init = failed_init = 0
    for container, status in zip(spec.get("initContainers", ()), init, strict=True):
        state = status["state"]
        if is_sidecar(container):
            if "running" in state:
                pending_init += 0 if status["started"] else 1
            elif "waiting" in state and not status["lastState"].get("terminated"):
                pending_init += 1
        elif "running" in state:
            pending_init += 1
        elif "terminated" in state:
            if state["terminated"]["exitCode"] != 0:
                failed_init += 1
        elif terminated := status["lastState"].get("terminated"):
            failed_init += 1 if terminated["exitCode"] != 0 else 0
            pending_init += 1 if terminated["exitCode"] == 0 else 0
        else:
            pending_init += 1
    running = waiting = stopped = succeeded = 0
    for status in main:
        state = status["state"]
        if "running" in state:
            running += 1
        elif "terminated" in state:
            stopped += 1
            succeeded += state["terminated"]["exitCode"] == 0
        elif status["lastState"].get("terminated"):
            stopped += 1
        else:
            waiting += 1
    if failed_init and policy == "Never":
        return "Failed"
    if pending_init and not any("running" in s["state"] or "terminated" in s["state"] for s in main):
        return "Failed" if terminal and failed_init else "Pending"
    if waiting:
        return "Pending"
    if running:
        return "Running"
    if stopped:
        if terminal:
            return "Succeeded" if stopped == succeeded else "Failed"
        if policy == "Always":
            return "Running"
        if stopped == succeeded:
            return "Succeeded"
        return "Failed" if policy == "Never" else "Running"
    return "Pending"


def _condition(kind: str, ok: bool, reason: str = "", message: str = "") -> dict[str, Any]:
    made: dict[str, Any] = {"type": kind, "status": "True" if ok else "False"}
    if reason:
        made["reason"] = reason
    if message:
        made["message"] = message
    return made


def _names(names: Sequence[str]) -> str:
    return "[" + " ".join(names) + "]"


def conditions(
    pod: Mapping[str, Any],
    which: str,
    init: Sequence[Mapping[str, Any]],
    main: Sequence[Mapping[str, Any]],
    sandbox_ready: bool,
) -> list[dict[str, Any]]:
    """Those a kubelet owns, without times. which: the phase."""
    spec = pod["spec"]
    made = [_condition("PodReadyToStartContainers", sandbox_ready)]
    # Initialized: regular init containers ended well, sidecars have started, or the containers themselves run.
    not_done = [
        s["name"]
        for c, s in zip(spec.get("initContainers", ()), init, strict=True)
        if not (s["started"] if is_sidecar(c) else _is_done(s))
    ]
    main_began = any("waiting" not in s["state"] for s in main)
    if which == "Succeeded":
        made.append(_condition("Initialized", True, "PodCompleted"))
    elif not_done and not (main_began and all(is_sidecar(c) for c in spec["initContainers"] if c["name"] in not_done)):
        text = f"containers with incomplete status: {_names(not_done)}"
        made.append(_condition("Initialized", False, "ContainersNotInitialized", text))
    else:
        made.append(_condition("Initialized", True))
    sidecars = [s for c, s in zip(spec.get("initContainers", ()), init, strict=True) if is_sidecar(c)]
    unready = [s["name"] for s in (*sidecars, *main) if not s["ready"]]
    if which == "Succeeded":
        reason, message = "PodCompleted", ""
    elif which == "Failed":
        reason, message = "PodFailed", ""
    elif unready:
        reason, message = "ContainersNotReady", f"containers with unready status: {_names(unready)}"
    else:
        reason, message = "", ""
    containers_ready = _condition("ContainersReady", not reason, reason, message)
    ready = dict(containers_ready, type="Ready")
    if gates := spec.get("readinessGates"):
        existing = {c["type"]: c.get("status") for c in (pod.get("status") or {}).get("conditions") or ()}
        bad = []
        for gate in gates:
            kind = gate["conditionType"]
            if kind not in existing:
                bad.append(f'corresponding condition of pod readiness gate "{kind}" does not exist.')
            elif existing[kind] != "True":
                bad.append(f'the status of pod readiness gate "{kind}" is not "True", but {existing[kind]}')
        if bad and not reason:
            ready = _condition("Ready", False, "ReadinessGatesNotReady", ", ".join(bad))
    return [*made, ready, containers_ready, _condition("PodScheduled", True)]


OWNED = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")


def merge_conditions(
    old: Sequence[Mapping[str, Any]], new: Sequence[dict[str, Any]], now: str, generation: int | None
) -> list[dict[str, Any]]:
    """Transition times move only with the status; conditions of others stay as they are."""
    before = {c["type"]: c for c in old}
    merged = []
    for condition in new:
        previous = before.get(condition["type"], {})
        same = previous.get("status") == condition["status"]
        if condition["type"] == "PodScheduled" and same:
            # The scheduler's, or the binding's: its words stay.
            merged.append(dict(previous))
            continue
        entry = {
            **condition,
            "lastProbeTime": None,
            "lastTransitionTime": previous["lastTransitionTime"] if same else now,
        }
        if generation is not None:
            entry["observedGeneration"] = generation
        merged.append(entry)
    ours = {c["type"] for c in new}
    return merged + [dict(c) for c in old if c["type"] not in ours]


def pod_status(pod: Mapping[str, Any], observed: Observed, host: Host, now: float) -> dict[str, Any]:
    """The whole status. pod["status"] is what was last reported (or read), and is not changed."""
    spec, old = pod["spec"], pod.get("status") or {}
    stamp = timestamp(int(now) * 1_000_000_000) or ""

    def entries(containers: Sequence[Mapping[str, Any]], field: str, init: bool) -> list[dict[str, Any]]:
        known = {s["name"]: s for s in old.get(field) or ()}
        return [container_status(pod, c, observed, known.get(c["name"]), host, init) for c in containers]

    init = entries(spec.get("initContainers") or (), "initContainerStatuses", True)
    main = entries(spec["containers"], "containerStatuses", False)
    ephemeral = entries(spec.get("ephemeralContainers") or (), "ephemeralContainerStatuses", False)
    ended = ("Succeeded", "Failed")
    # Who says that a pod has to end comes too late for one that succeeded.
    rejection = observed.rejection if old.get("phase") != "Succeeded" else None
    terminal = (deleting(pod) or rejection is not None) and not observed.any_running()
    which = phase(pod, init, main, terminal)
    if old.get("phase") in ended:
        # A pod that has ended stays so, whatever becomes of its records.
        which = old["phase"]
    if terminal and which in ("Pending", "Running") and (rejection is not None or observed.containers):
        which = "Failed"
    if rejection is not None:
        which = "Failed"
    if which in ended and old.get("phase") not in ended and observed.any_running():
        # Not before the last container has ended: whoever reads it may give away what the pod holds.
        which, rejection = old.get("phase") or "Pending", None
    status: dict[str, Any] = {
        k: v for k, v in old.items() if k in ("nominatedNodeName", "resize", "resourceClaimStatuses")
    }
    status["phase"] = which
    for key in ("reason", "message"):
        value = getattr(rejection, key, None) or (old.get(key) if which in ended else None)
        if value:
            status[key] = value
    generation = pod["metadata"].get("generation")
    if generation is not None:
        status["observedGeneration"] = generation
    sandbox = observed.sandboxes[0] if observed.sandboxes else None
    sandbox_ready = sandbox is not None and sandbox.ready and bool(sandbox.ips or spec.get("hostNetwork"))
    if which in ended and not observed.any_running():
        sandbox_ready = False
    fresh = conditions(pod, which, init, main, sandbox_ready)
    status["conditions"] = merge_conditions(old.get("conditions") or (), fresh, stamp, generation)
    status["hostIP"] = host.ips[0]
    status["hostIPs"] = [{"ip": ip} for ip in host.ips]
    ips = host.ips if spec.get("hostNetwork") else sandbox.ips if sandbox is not None else ()
    if ips:
        status["podIP"], status["podIPs"] = ips[0], [{"ip": ip} for ip in ips]
    elif old.get("podIP"):
        status["podIP"], status["podIPs"] = old["podIP"], old.get("podIPs") or [{"ip": old["podIP"]}]
    status["startTime"] = old.get("startTime") or stamp
    if (
        rejection is not None
        and not observed.containers
        and not observed.sandboxes
        and not old.get("containerStatuses")
    ):
        status["qosClass"] = qos_class(pod)
        return {k: status[k] for k in status if k not in ("podIP", "podIPs")}
    if init:
        status["initContainerStatuses"] = init
    # By name, as kubelet sorts them; those of init containers are in the order of the spec.
    status["containerStatuses"] = sorted(main, key=lambda entry: str(entry["name"]))
    if ephemeral:
        status["ephemeralContainerStatuses"] = ephemeral
    status["qosClass"] = qos_class(pod)
    return status
