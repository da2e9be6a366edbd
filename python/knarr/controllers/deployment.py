"""Deployment: replica sets that move from one template to the next.

                       paused or a new size?  ---> scale: every active set keeps its share
    Deployment --+---- Recreate:       old sets to 0, wait for their pods to end, then the new set
                 +---- RollingUpdate:  the new set up within maxSurge, the old ones down within maxUnavailable
                 +---- complete:       old sets beyond revisionHistoryLimit are deleted

One step a reconcile; its effect on the sets' status brings the next. Arithmetic is in `_deployment/rollout.py`,
conditions in `_deployment/status.py`. Source: kubernetes
`pkg/controller/deployment/{deployment_controller,sync,rolling,recreate,progress}.go`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from knarr.client.protocol import Object
from knarr.controllers._deployment import rollout, status
from knarr.controllers._deployment.rollout import DESIRED, HASH, REVISION, Deployment, Pod, ReplicaSet
from knarr.controllers.runtime.declare import Controller, To, Views, Watch, Writes
from knarr.controllers.runtime.objects import (
    DEPLOYMENTS,
    PODS,
    REPLICA_SETS,
    adopt,
    condition,
    condition_set,
    controller_reference,
    release,
    split,
    stable_hash,
)
from knarr.controllers.runtime.plan import Event, Plan, Write, reference

_OLD_PODS_PERIOD: Final = 0.5  # seconds between looks at old pods that end


@dataclass(slots=True)
class _Work:
    """One reconcile under way. conditions: as they will be written; collisions: status.collisionCount."""

    views: Views
    plan: Plan
    deployment: Deployment
    sets: list[ReplicaSet]
    new: ReplicaSet | None
    old: list[ReplicaSet]
    conditions: list[Object]
    collisions: int
    now: datetime
    waiting: bool = False
    amended: dict[str, tuple[ReplicaSet, Object, Event | None]] = field(default_factory=dict)

    def event(self, reason: str, message: str, kind: Any = "Normal") -> Event:
        owner = self.deployment
        return Event(reference(DEPLOYMENTS, owner.namespace, owner.name, owner.uid), reason, message, kind)


def reconcile(views: Views, key: str, now: datetime) -> Plan:
    """key: namespace/name of a Deployment."""
    plan = Plan()
    deployment = views[Deployment].get(*split(key))
    if deployment is None:
        return plan
    spec, before = deployment.spec or {}, deployment.status or {}
    selector = spec.get("selector") or {}
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        message = "This deployment is selecting all pods. A non-empty selector is required."
        regarding = reference(DEPLOYMENTS, deployment.namespace, deployment.name, deployment.uid)
        if (before.get("observedGeneration") or 0) < (deployment.generation or 0):
            plan.events.append(Event(regarding, "SelectingAll", message, "Warning"))
            seen = {"status": {"observedGeneration": deployment.generation}}
            plan.writes.append(_status_patch(deployment, seen))
        return plan
    sets, adopting = _claim(views, plan, deployment, selector)
    if adopting:
        # One of them may be the new set: nothing else is decided before they are seen to be ours.
        return plan
    new = rollout.find_new(deployment, sets)
    old = [row for row in sets if new is None or row.uid != new.uid]
    work = _Work(
        views,
        plan,
        deployment,
        sets,
        new,
        old,
        list(before.get("conditions") or []),
        int(before.get("collisionCount") or 0),
        now,
    )
    if deployment.deleted is not None:
        _write_status(work, rolling=False)
        return plan
    work.conditions = status.pause_conditions(deployment, work.conditions, now)
    if spec.get("paused") or _resized(work):
        _ensure_new(work, create=False)
        for row in sets:
            size = rollout.share(deployment, work.new, work.old).get(row.uid)
            _scale(work, row, row.replicas if size is None else size)
        if spec.get("paused"):
            _clean_up(work)
        _write_status(work, rolling=False)
        plan.writes += _amendments(work)
        return plan
    steady = _roll(work) if deployment.rolling else _recreate(work)
    if steady and work.new is not None and status.complete(deployment, _calculated(work)):
        _clean_up(work)
    _write_status(work, rolling=True)
    plan.writes += _amendments(work)
    return plan


def _claim(views: Views, plan: Plan, deployment: Deployment, selector: dict[str, Any]) -> tuple[list[ReplicaSet], bool]:
    """(the sets that are the deployment's, whether others are being adopted), releasing by the selector too."""
    lens = views[ReplicaSet]
    strays = lens.strays(deployment.uid, selector)
    gone = {row.uid for row in strays}
    sets = [row for row in lens.controlled_by(deployment.uid) if row.uid not in gone]
    adopting = False
    if deployment.deleted is None:
        owner = controller_reference(DEPLOYMENTS, deployment.name, deployment.uid)
        for row in strays:
            plan.writes.append(release(REPLICA_SETS, row.namespace, row.name, row.uid, deployment.uid))
        for row in lens.orphans(selector, deployment.namespace):
            if row.deleted is None:
                plan.writes.append(adopt(REPLICA_SETS, row.namespace, row.name, row.uid, owner))
                adopting = True
    return sets, adopting


def _resized(work: _Work) -> bool:
    """Whether the wanted number changed since the active sets were sized."""
    for row in work.sets:
        desired = row.annotation(DESIRED)
        if row.replicas > 0 and desired.isdigit() and int(desired) != work.deployment.replicas:
            return True
    return False


def _ensure_new(work: _Work, *, create: bool) -> bool:
    """Bring the new set's annotations up to date, or plan its creation. Whether it is there already."""
    deployment, new = work.deployment, work.new
    revision = max((rollout.number(row.annotation(REVISION)) for row in work.old), default=0) + 1
    if new is None:
        if create:
            _create(work, revision)
        return False
    change = rollout.annotations_for(deployment, dict(new.annotations or {}), revision, exists=True)
    body: Object = {}
    if change:
        body["metadata"] = {"annotations": change}
    min_ready = (deployment.spec or {}).get("minReadySeconds") or 0
    if (new.min_ready or 0) != min_ready:
        body["spec"] = {"minReadySeconds": min_ready}
    if body:
        _amend(work, new, body)
    _note_revision(work, change.get(REVISION) or new.annotation(REVISION))
    if deployment.deadline is not None and condition(work.conditions, "Progressing") is None:
        found = f'Found new replica set "{new.name}"'
        work.conditions = condition_set(
            work.conditions, status.new_condition("Progressing", "True", "FoundNewReplicaSet", found, work.now)
        )
    return not body


def _note_revision(work: _Work, revision: str) -> None:
    deployment = work.deployment
    if revision and (deployment.annotations or {}).get(REVISION) != revision:
        body = {"metadata": {"annotations": {REVISION: revision}}}
        # through the status, as kube-controller-manager does: an annotation written to the object itself is a new
        # generation
        work.plan.writes.append(
            Write(
                "patch", DEPLOYMENTS, deployment.namespace, deployment.name, body, "status", uid=deployment.uid, group=1
            )
        )


def _create(work: _Work, revision: int) -> None:
    """A new set, sized; when its name is taken by another the count of collisions goes up, which changes the name."""
    deployment = work.deployment
    spec = deployment.spec or {}
    template = spec.get("template") or {}
    salt = str(work.collisions) if work.collisions else ""
    digest = stable_hash(rollout.template_key(template), salt)
    name = f"{deployment.name}-{digest}"
    if work.views[ReplicaSet].get(deployment.namespace, name) is not None:
        work.collisions += 1
        work.plan.report.append(f"{name} is taken by another template")
        return
    metadata = dict(template.get("metadata") or {})
    labels = {**(metadata.get("labels") or {}), HASH: digest}
    metadata["labels"] = labels
    selector = dict(spec.get("selector") or {})
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), HASH: digest}
    size = rollout.new_set_size(deployment, 0, sum(row.replicas for row in work.old))
    annotations = rollout.annotations_for(deployment, {}, revision, exists=False) | rollout.sizes(deployment)
    body: Object = {
        "apiVersion": REPLICA_SETS.api_version,
        "kind": REPLICA_SETS.kind,
        "metadata": {
            "name": name,
            "namespace": deployment.namespace,
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [controller_reference(DEPLOYMENTS, deployment.name, deployment.uid)],
        },
        "spec": {
            "replicas": size,
            "minReadySeconds": spec.get("minReadySeconds") or 0,
            "selector": selector,
            "template": {"metadata": metadata, "spec": template.get("spec") or {}},
        },
    }
    scaled = work.event("ScalingReplicaSet", f"Scaled up replica set {name} from 0 to {size}") if size else None
    work.plan.writes.append(Write("create", REPLICA_SETS, deployment.namespace, body=body, on_success=scaled))
    _note_revision(work, str(revision))
    if deployment.deadline is not None:
        created = f'Created new replica set "{name}"'
        kept = work.conditions
        progress = status.new_condition("Progressing", "True", "NewReplicaSetCreated", created, work.now)
        work.conditions = condition_set(work.conditions, progress)

        def failed(error: str) -> list[Write]:
            words = f'Failed to create new replica set "{name}": {error}'
            refused = status.new_condition("Progressing", "False", "ReplicaSetCreateError", words, work.now)
            conditions = condition_set(kept, refused)
            if conditions == kept:
                return []
            return [_status_patch(deployment, {"status": {"conditions": conditions}})]

        work.plan.failed = failed


def _roll(work: _Work) -> bool:
    """One step of a rolling update; whether nothing is left to do."""
    deployment = work.deployment
    steady = _ensure_new(work, create=True)
    new = work.new
    if new is None:
        return False
    if new.replicas > deployment.replicas:
        size = deployment.replicas
    else:
        size = rollout.new_set_size(deployment, new.replicas, sum(row.replicas for row in work.sets))
    if _scale(work, new, size):
        return False
    shrunk = rollout.shrink_old(deployment, new, work.old)
    for row in work.old:
        if row.uid in shrunk:
            _scale(work, row, shrunk[row.uid])
    return steady and not shrunk


def _recreate(work: _Work) -> bool:
    """One step: no new pod before the last old one is gone."""
    busy = [row for row in work.old if row.replicas > 0]
    if busy:
        _ensure_new(work, create=False)
        for row in busy:
            _scale(work, row, 0)
        return False
    pods = work.views[Pod]
    running = [
        pod.name for row in work.old for pod in pods.controlled_by(row.uid) if pod.phase not in ("Succeeded", "Failed")
    ]
    if running:
        work.plan.report.append(f"waiting for {len(running)} old pods to end")
        work.waiting = True
        return False
    steady = _ensure_new(work, create=True)
    if work.new is None:
        return False
    return not _scale(work, work.new, work.deployment.replicas) and steady


def _scale(work: _Work, row: ReplicaSet, size: int) -> bool:
    """Plan a set's size and the annotations that note it; whether the size changes."""
    body: Object = {}
    wanted = rollout.sizes(work.deployment)
    change = {key: value for key, value in wanted.items() if row.annotation(key) != value}
    if change and (size or row.replicas):
        body["metadata"] = {"annotations": change}
    event = None
    if size != row.replicas:
        body["spec"] = {"replicas": size}
        word = "up" if size > row.replicas else "down"
        message = f"Scaled {word} replica set {row.name} from {row.replicas} to {size}"
        event = work.event("ScalingReplicaSet", message)
    if body:
        _amend(work, row, body, event)
    return size != row.replicas


def _amend(work: _Work, row: ReplicaSet, body: Object, event: Event | None = None) -> None:
    """Add to the one patch that a set gets in this plan."""
    _, before, earlier = work.amended.get(row.uid, (row, {}, None))
    merged = {part: {**before.get(part, {}), **body.get(part, {})} for part in before | body}
    notes: dict[str, Any] = {}
    for part in (before, body):
        notes |= (part.get("metadata") or {}).get("annotations") or {}
    if notes:
        merged["metadata"] = {"annotations": notes}
    work.amended[row.uid] = (row, merged, event or earlier)


def _amendments(work: _Work) -> list[Write]:
    return [
        Write(
            "patch", REPLICA_SETS, row.namespace, row.name, body, uid=row.uid, revision=row.revision, on_success=event
        )
        for row, body, event in work.amended.values()
    ]


def _clean_up(work: _Work) -> None:
    for row in rollout.removable(work.deployment, work.old):
        work.plan.writes.append(
            Write(
                "delete",
                REPLICA_SETS,
                row.namespace,
                row.name,
                uid=row.uid,
                revision=row.revision,
                propagation="Background",
                missing_ok=True,
                group=1,
            )
        )


def _calculated(work: _Work) -> Object:
    return status.calculate(work.deployment, work.new, work.sets, work.conditions, work.now)


def _write_status(work: _Work, *, rolling: bool) -> None:
    deployment = work.deployment
    after = _calculated(work)
    if rolling:
        work.plan.requeue_after = status.rollout_conditions(deployment, work.new, work.sets, after, work.now)
    if work.waiting:  # no set changes when the last old pod goes
        work.plan.requeue_after = _OLD_PODS_PERIOD
    before = deployment.status or {}
    same = (
        all((before.get(field) or 0) == value for field, value in after.items() if field != "conditions")
        and (before.get("conditions") or []) == after["conditions"]
    )
    if work.collisions != int(before.get("collisionCount") or 0):
        after["collisionCount"] = work.collisions
        same = False
    if not same:
        work.plan.writes.append(_status_patch(deployment, {"status": after}))


def _status_patch(deployment: Deployment, body: Object) -> Write:
    # The uid alone: the plan's own revision annotation may move the revision just before.
    return Write(
        "patch",
        DEPLOYMENTS,
        deployment.namespace,
        deployment.name,
        body,
        "status",
        uid=deployment.uid,
        group=2,
        missing_ok=True,
    )


CONTROLLER = Controller(
    name="deployment",
    account="deployment-controller",
    watches=(
        Watch(DEPLOYMENTS, Deployment, (To("own"),)),
        Watch(
            REPLICA_SETS,
            ReplicaSet,
            (
                To("controller", "Deployment"),
                To("selected-by-selector", "spec.selector", Deployment, fields=("metadata.labels",)),
            ),
            labels=True,
        ),
        Watch(PODS, Pod),
    ),
    writes=(
        Writes(
            DEPLOYMENTS, ("patch",), "status", ("status", "metadata.annotations['deployment.kubernetes.io/revision']")
        ),
        Writes(REPLICA_SETS, ("create", "delete", "patch"), fields=("spec", "metadata.annotations")),
    ),
    reconcile=reconcile,
    extra_rules=({"apiGroups": ["apps"], "resources": ["deployments/finalizers"], "verbs": ["update"]},),
)
