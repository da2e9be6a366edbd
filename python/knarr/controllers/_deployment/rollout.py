"""Rows of the Deployment controller and the arithmetic of a rollout. Pure; numbers of pods throughout.

Source: kubernetes `pkg/controller/deployment/util/deployment_util.go`, `rolling.go`.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import Annotated, Any, Final, NamedTuple

from knarr.controllers.runtime.objects import parse_time

HASH: Final = "pod-template-hash"
REVISION: Final = "deployment.kubernetes.io/revision"
HISTORY: Final = "deployment.kubernetes.io/revision-history"
DESIRED: Final = "deployment.kubernetes.io/desired-replicas"
MAXIMUM: Final = "deployment.kubernetes.io/max-replicas"
_NOT_COPIED: Final = {
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    HISTORY,
    DESIRED,
    MAXIMUM,
    "deprecated.deployment.rollback.to",
}
_HISTORY_MAX: Final = 2000  # characters of the revision history annotation


class Deployment(NamedTuple):
    namespace: str
    name: str
    uid: str
    revision: int
    deleted: Annotated[str | None, "metadata.deletionTimestamp"]
    generation: Annotated[int | None, "metadata.generation"]
    annotations: Annotated[dict[str, str] | None, "metadata.annotations"]
    spec: Annotated[dict[str, Any] | None, "spec"]
    selector: Annotated[dict[str, Any] | None, "spec.selector"]
    status: Annotated[dict[str, Any] | None, "status"]

    @property
    def replicas(self) -> int:
        value = (self.spec or {}).get("replicas")
        return 1 if value is None else int(value)

    @property
    def rolling(self) -> bool:
        return bool(((self.spec or {}).get("strategy") or {}).get("type", "RollingUpdate") == "RollingUpdate")

    @property
    def deadline(self) -> int | None:
        """progressDeadlineSeconds; None for never (the largest integer says so too)."""
        value = (self.spec or {}).get("progressDeadlineSeconds")
        return None if value is None or value >= 2147483647 else int(value)


class ReplicaSet(NamedTuple):
    namespace: str
    name: str
    uid: str
    revision: int
    deleted: Annotated[str | None, "metadata.deletionTimestamp"]
    created: Annotated[str | None, "metadata.creationTimestamp"]
    generation: Annotated[int | None, "metadata.generation"]
    annotations: Annotated[dict[str, str] | None, "metadata.annotations"]
    owners: Annotated[list[dict[str, Any]] | None, "metadata.ownerReferences"]
    replicas_given: Annotated[int | None, "spec.replicas"]
    min_ready: Annotated[int | None, "spec.minReadySeconds"]
    template: Annotated[dict[str, Any] | None, "spec.template"]
    status: Annotated[dict[str, Any] | None, "status"]

    @property
    def replicas(self) -> int:
        return 1 if self.replicas_given is None else self.replicas_given

    def counted(self, field: str) -> int:
        return int((self.status or {}).get(field) or 0)

    def annotation(self, name: str) -> str:
        return (self.annotations or {}).get(name, "")


class Pod(NamedTuple):
    """Read by Recreate alone: whether old pods still run."""

    namespace: str
    name: str
    uid: str
    revision: int
    phase: Annotated[str | None, "status.phase"]


def bounds(deployment: Deployment) -> tuple[int, int]:
    """(maxSurge, maxUnavailable) as numbers; surge rounds up, unavailable down, and both 0 means 1 unavailable."""
    if not deployment.rolling:
        return 0, 0
    given = ((deployment.spec or {}).get("strategy") or {}).get("rollingUpdate") or {}
    surge = _scaled(given.get("maxSurge", "25%"), deployment.replicas, math.ceil)
    unavailable = _scaled(given.get("maxUnavailable", "25%"), deployment.replicas, math.floor)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return surge, unavailable


def max_unavailable(deployment: Deployment) -> int:
    """Never more than there are replicas."""
    if not deployment.rolling or deployment.replicas == 0:
        return 0
    return min(bounds(deployment)[1], deployment.replicas)


def _scaled(value: Any, total: int, rounded: Any) -> int:
    """An IntOrString of a total; a text that is no percentage counts as 0."""
    if isinstance(value, str):
        number = value.removesuffix("%")
        if not value.endswith("%") or not number.isdigit():
            return 0
        return int(rounded(int(number) * total / 100))
    return int(value or 0)


def template_key(template: dict[str, Any] | None) -> dict[str, Any]:
    """A template without the hash label, for comparison; empty maps are the same as none."""
    template = dict(template or {})
    metadata = dict(template.get("metadata") or {})
    labels = {key: value for key, value in (metadata.get("labels") or {}).items() if key != HASH}
    metadata["labels"] = labels
    metadata = {key: value for key, value in metadata.items() if value}
    return {"metadata": metadata, "spec": template.get("spec") or {}}


def by_age(sets: list[ReplicaSet]) -> list[ReplicaSet]:
    return sorted(sets, key=lambda row: (row.created or "", row.name))


def find_new(deployment: Deployment, sets: list[ReplicaSet]) -> ReplicaSet | None:
    """The oldest set made from the deployment's template."""
    wanted = template_key((deployment.spec or {}).get("template"))
    return next((row for row in by_age(sets) if template_key(row.template) == wanted), None)


def number(text: str) -> int:
    """A revision annotation; 0 when it is none."""
    return int(text) if text.isdigit() else 0


def annotations_for(
    deployment: Deployment, current: dict[str, str], revision: int, *, exists: bool
) -> dict[str, str | None]:
    """What to change in the new set's annotations (None: remove). An existing set keeps its own, like kubectl's
    change-cause it was made with; its revision moves forward only, the one it had goes into the history."""
    change: dict[str, str | None] = {}
    for key, value in (deployment.annotations or {}).items():
        if key not in _NOT_COPIED and current.get(key) != value:
            change[key] = value
    old = current.get(REVISION, "")
    if number(old) < revision:
        change[REVISION] = str(revision)
        if exists and old:
            history = [entry for entry in current.get(HISTORY, "").split(",") if entry]
            history.append(old)
            while len(",".join(history)) > _HISTORY_MAX:
                history.pop(0)
            change[HISTORY] = ",".join(history)
    return change


def sizes(deployment: Deployment) -> dict[str, str]:
    """The annotations that tell a rollout's size from a later one."""
    surge, _ = bounds(deployment)
    return {DESIRED: str(deployment.replicas), MAXIMUM: str(deployment.replicas + surge)}


def new_set_size(deployment: Deployment, current: int, total: int) -> int:
    """Up to which size the new set may grow. current: its size; total: of all sets."""
    if not deployment.rolling:
        return deployment.replicas
    room = deployment.replicas + bounds(deployment)[0] - total
    if room <= 0:
        return current
    return current + min(room, deployment.replicas - current)


def shrink_old(deployment: Deployment, new: ReplicaSet, old: list[ReplicaSet]) -> dict[str, int]:
    """Sizes of the old sets after this step, by uid: first what is broken goes, then what availability allows."""
    sizes_after = {row.uid: row.replicas for row in old}
    total = new.replicas + sum(sizes_after.values())
    least = deployment.replicas - max_unavailable(deployment)
    spare = total - least - (new.replicas - new.counted("availableReplicas"))
    if spare <= 0 or not any(sizes_after.values()):
        return {}
    broken_left = spare
    for row in by_age(old):
        broken = min(broken_left, sizes_after[row.uid] - row.counted("availableReplicas"))
        if sizes_after[row.uid] and broken > 0:
            sizes_after[row.uid] -= broken
            broken_left -= broken
    available = new.counted("availableReplicas") + sum(row.counted("availableReplicas") for row in old)
    left = available - least
    for row in by_age(old):
        if left <= 0:
            break
        taken = min(sizes_after[row.uid], left)
        sizes_after[row.uid] -= taken
        left -= taken
    return {row.uid: sizes_after[row.uid] for row in old if sizes_after[row.uid] != row.replicas}


def share(deployment: Deployment, new: ReplicaSet | None, old: list[ReplicaSet]) -> dict[str, int]:
    """Sizes by uid when the deployment was resized while several sets are active, or is paused."""
    every = [*old, *([new] if new else [])]
    active = [row for row in every if row.replicas > 0]
    if len(active) <= 1:
        only = active[0] if active else new or (by_age(old)[-1] if old else None)
        return {} if only is None or only.replicas == deployment.replicas else {only.uid: deployment.replicas}
    if new is not None and _saturated(deployment, new):
        return {row.uid: 0 for row in old if row.replicas > 0}
    if not deployment.rolling:
        return {}
    surge, _ = bounds(deployment)
    allowed = deployment.replicas + surge if deployment.replicas > 0 else 0
    to_add = allowed - sum(row.replicas for row in active)
    # The largest takes first; among equals the newer grows and the older shrinks first.
    active = by_age(active)
    if to_add > 0:
        active.reverse()
    active.sort(key=lambda row: -row.replicas)
    after: dict[str, int] = {}
    added = 0
    for row in active:
        part = _proportion(deployment, row, to_add, added) if to_add else 0
        after[row.uid] = row.replicas + part
        added += part
    if to_add:
        first = active[0].uid
        after[first] = max(0, after[first] + to_add - added)
    return {row.uid: after[row.uid] for row in active if after[row.uid] != row.replicas}


def _saturated(deployment: Deployment, new: ReplicaSet) -> bool:
    return (
        new.replicas == deployment.replicas
        and number(new.annotation(DESIRED)) == deployment.replicas
        and new.counted("availableReplicas") == deployment.replicas
    )


def _proportion(deployment: Deployment, row: ReplicaSet, to_add: int, added: int) -> int:
    if deployment.replicas == 0:
        fraction = -row.replicas
    else:
        surge, _ = bounds(deployment)
        before = number(row.annotation(MAXIMUM)) or int((deployment.status or {}).get("replicas") or 0)
        if not before:
            return 0
        # Go's math.Round: halves away from zero.
        fraction = math.floor(row.replicas * (deployment.replicas + surge) / before + 0.5) - row.replicas
    allowed = to_add - added
    return min(fraction, allowed) if to_add > 0 else max(fraction, allowed)


def removable(deployment: Deployment, old: list[ReplicaSet]) -> list[ReplicaSet]:
    """Old sets beyond the history limit that are quite empty; lowest revisions first."""
    limit = (deployment.spec or {}).get("revisionHistoryLimit")
    if limit is None or limit >= 2147483647:
        return []
    kept = [row for row in old if row.deleted is None]
    surplus = sorted(kept, key=lambda row: (number(row.annotation(REVISION)), row.created or ""))
    return [
        row
        for row in surplus[: max(0, len(kept) - int(limit))]
        if row.replicas == 0
        and row.counted("replicas") == 0
        and (row.generation or 0) <= row.counted("observedGeneration")
    ]


def seconds_left(time: str | None, deadline: int, now: datetime) -> float:
    """Until a deadline counted from `time`; 0 when it is over or the time unknown."""
    since = parse_time(time)
    return max(0.0, deadline - (now - since).total_seconds()) if since else 0.0
