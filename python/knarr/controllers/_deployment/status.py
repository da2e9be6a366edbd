"""Status and conditions of a Deployment, with Kubernetes' reasons and messages.

Source: kubernetes `pkg/controller/deployment/{sync,progress}.go`, `util/deployment_util.go`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from knarr.client.protocol import Object
from knarr.controllers._deployment.rollout import Deployment, ReplicaSet, max_unavailable, seconds_left
from knarr.controllers.runtime.objects import condition, condition_set, format_time

_DONE: Final = "NewReplicaSetAvailable"
_LATE: Final = "ProgressDeadlineExceeded"


def new_condition(kind: str, status: str, reason: str, message: str, now: datetime) -> Object:
    time = format_time(now)
    return {
        "type": kind,
        "status": status,
        "lastUpdateTime": time,
        "lastTransitionTime": time,
        "reason": reason,
        "message": message,
    }


def calculate(
    deployment: Deployment, new: ReplicaSet | None, sets: list[ReplicaSet], conditions: list[Object], now: datetime
) -> Object:
    """The counts and the Available condition."""
    available = sum(row.counted("availableReplicas") for row in sets)
    status: Object = {
        "observedGeneration": deployment.generation or 0,
        "replicas": sum(row.counted("replicas") for row in sets),
        "updatedReplicas": new.counted("replicas") if new else 0,
        "readyReplicas": sum(row.counted("readyReplicas") for row in sets),
        "availableReplicas": available,
        "unavailableReplicas": max(0, sum(row.replicas for row in sets) - available),
    }
    if available >= deployment.replicas - max_unavailable(deployment):
        found = ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    else:
        found = ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    status["conditions"] = condition_set(conditions, new_condition("Available", *found, now))
    return status


def complete(deployment: Deployment, status: Object) -> bool:
    """All pods are the new ones and available, and the spec was seen."""
    wanted = deployment.replicas
    return bool(
        status["updatedReplicas"] == wanted
        and status["replicas"] == wanted
        and status["availableReplicas"] == wanted
        and status["observedGeneration"] >= (deployment.generation or 0)
    )


def _progressing(deployment: Deployment, status: Object) -> bool:
    before = deployment.status or {}

    def was(field: str) -> int:
        return int(before.get(field) or 0)

    old_after = status["replicas"] - status["updatedReplicas"]
    return bool(
        status["updatedReplicas"] > was("updatedReplicas")
        or old_after < was("replicas") - was("updatedReplicas")
        or status["readyReplicas"] > was("readyReplicas")
        or status["availableReplicas"] > was("availableReplicas")
    )


def rollout_conditions(
    deployment: Deployment, new: ReplicaSet | None, sets: list[ReplicaSet], status: Object, now: datetime
) -> float | None:
    """Sets Progressing and ReplicaFailure in `status`. Returns after how many seconds to look again for a missed
    deadline."""
    conditions: list[Object] = status["conditions"]
    deadline = deployment.deadline
    current = condition(conditions, "Progressing")
    if deadline is None:
        conditions = [c for c in conditions if c.get("type") != "Progressing"]
    finished = status["replicas"] == status["updatedReplicas"] and current and current.get("reason") == _DONE
    if deadline is not None and not finished:
        subject = f'ReplicaSet "{new.name}"' if new else f'Deployment "{deployment.name}"'
        if complete(deployment, status):
            done = new_condition("Progressing", "True", _DONE, f"{subject} has successfully progressed.", now)
            conditions = condition_set(conditions, done)
        elif _progressing(deployment, status):
            moving = new_condition("Progressing", "True", "ReplicaSetUpdated", f"{subject} is progressing.", now)
            if current and current.get("status") == "True":
                moving["lastTransitionTime"] = current.get("lastTransitionTime")
            conditions = [c for c in conditions if c.get("type") != "Progressing"] + [moving]
        elif timed_out(deployment, current, now):
            late = new_condition("Progressing", "False", _LATE, f"{subject} has timed out progressing.", now)
            conditions = condition_set(conditions, late)
    failures = [found for row in sets if (found := condition((row.status or {}).get("conditions"), "ReplicaFailure"))]
    if failures:
        failure = failures[0]
        conditions = condition_set(
            conditions,
            new_condition(
                "ReplicaFailure", failure["status"], failure.get("reason", ""), failure.get("message", ""), now
            ),
        )
    else:
        conditions = [c for c in conditions if c.get("type") != "ReplicaFailure"]
    status["conditions"] = conditions
    current = condition(conditions, "Progressing")
    if deadline is None or current is None or current.get("reason") in (_DONE, _LATE) or complete(deployment, status):
        return None
    return seconds_left(current.get("lastUpdateTime"), deadline, now) + 1


def timed_out(deployment: Deployment, current: Object | None, now: datetime) -> bool:
    if current is None or deployment.deadline is None or current.get("reason") == _DONE:
        return False
    return current.get("reason") == _LATE or seconds_left(current.get("lastUpdateTime"), deployment.deadline, now) <= 0


def pause_conditions(deployment: Deployment, conditions: list[Object], now: datetime) -> list[Object]:
    """Progressing is Unknown while paused, so that no deadline is missed meanwhile, and when it is resumed."""
    if deployment.deadline is None:
        return conditions
    current = condition(conditions, "Progressing")
    if current and current.get("reason") == _LATE:
        return conditions
    noted = bool(current and current.get("reason") == "DeploymentPaused")
    paused = bool((deployment.spec or {}).get("paused"))
    if paused and not noted:
        words = ("DeploymentPaused", "Deployment is paused")
    elif not paused and noted:
        words = ("DeploymentResumed", "Deployment is resumed")
    else:
        return conditions
    return condition_set(conditions, new_condition("Progressing", "Unknown", *words, now))
