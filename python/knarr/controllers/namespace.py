"""Namespace: the end of one. Its pods are deleted; when they have ended, everything else in it; then its finalizer
`kubernetes` goes, and it is gone.

What remains is said in its conditions. What is in it is read from the catalog of all resources; the few kinds without
a view (events) are deleted as collections before the end. Source: kubernetes
`pkg/controller/namespace/deletion/*.go`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, NamedTuple

from knarr.client.protocol import Object
from knarr.controllers.runtime.declare import Controller, Meta, To, Views, Watch, Writes
from knarr.controllers.runtime.objects import NAMESPACES, condition, format_time, split
from knarr.controllers.runtime.plan import Plan, Write

_LOOK: Final = 0.3  # seconds between looks while content ends
_LOOK_SLOW: Final = 5.0  # seconds, once only finalizers or the grace of pods are waited for


class Namespace(NamedTuple):
    namespace: str
    name: str
    uid: str
    revision: int
    deleted: Annotated[str | None, "metadata.deletionTimestamp"]
    finalizers: Annotated[list[str] | None, "spec.finalizers"]
    conditions: Annotated[list[dict[str, Any]] | None, "status.conditions"]
    phase: Annotated[str | None, "status.phase"]


def reconcile(views: Views, key: str, now: datetime) -> Plan:
    """key: /name of a Namespace."""
    plan = Plan()
    found = views[Namespace].get("", split(key)[1])
    if found is None or found.deleted is None or "kubernetes" not in (found.finalizers or []):
        return plan
    remaining: list[tuple[str, list[Meta]]] = []
    content: list[Write] = []
    fresh = 0
    pods_first = any(
        resource.group_resource == "pods" and lens.in_namespace(found.name)
        for resource, lens in views.catalog.entries.items()
    )
    for resource, lens in views.catalog.entries.items():
        rows = lens.in_namespace(found.name) if resource.namespaced else []
        if not rows:
            continue
        remaining.append((resource.group_resource, rows))
        if pods_first and resource.group_resource != "pods":
            # What a pod uses (its Secrets, the policies that hold it) stays until it has ended.
            continue
        waiting = [row for row in rows if row.deleted is None]
        fresh += len(waiting)
        if waiting:
            content.append(Write("deletecollection", resource, found.name))
    conditions = _conditions(views, found, remaining, now)
    if conditions != (found.conditions or []):
        body = {"status": {"conditions": conditions, "phase": "Terminating"}}
        plan.writes.append(Write("patch", NAMESPACES, "", found.name, body, "status", uid=found.uid, missing_ok=True))
    plan.writes += content
    if remaining or not views.catalog.complete:
        plan.report.append(f"{sum(len(rows) for _, rows in remaining)} objects remain")
        plan.requeue_after = _LOOK if fresh or len(remaining) == 1 else min(_LOOK_SLOW, _age(found, now))
        return plan
    for resource in views.catalog.unseen:
        if resource.namespaced:
            plan.writes.append(Write("deletecollection", resource, found.name, group=1))
    left = [name for name in found.finalizers or [] if name != "kubernetes"]
    final: Object = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": found.name, "uid": found.uid},
        "spec": {"finalizers": left},
    }
    plan.writes.append(
        Write("update", NAMESPACES, "", found.name, final, "finalize", uid=found.uid, group=2, missing_ok=True)
    )
    return plan


def _age(found: Namespace, now: datetime) -> float:
    """Look often at first: most namespaces are empty within seconds."""
    since = datetime.fromisoformat(found.deleted) if found.deleted else now
    return max(_LOOK, (now - since).total_seconds() / 4)


def _conditions(views: Views, found: Namespace, remaining: list[tuple[str, list[Meta]]], now: datetime) -> list[Object]:
    """The five conditions of a terminating namespace."""
    names = ", ".join(f"{name} has {len(rows)} resource instances" for name, rows in sorted(remaining))
    finalizers: dict[str, int] = {}
    for _, rows in remaining:
        for row in rows:
            for finalizer in row.finalizers or []:
                finalizers[finalizer] = finalizers.get(finalizer, 0) + 1
    held = ", ".join(f"{name} in {count} resource instances" for name, count in sorted(finalizers.items()))
    failures = "; ".join(sorted(views.catalog.failures))
    wanted = (
        (
            "NamespaceDeletionDiscoveryFailure",
            bool(failures),
            ("DiscoveryFailed", f"Discovery failed for some groups, {len(views.catalog.failures)} failing: {failures}"),
            ("ResourcesDiscovered", "All resources successfully discovered"),
        ),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            False,
            ("GroupVersionParsingFailed", ""),
            ("ParsedGroupVersions", "All legacy kube types successfully parsed"),
        ),
        (
            "NamespaceDeletionContentFailure",
            False,
            ("ContentDeletionFailed", ""),
            ("ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
        ),
        (
            "NamespaceContentRemaining",
            bool(remaining),
            ("SomeResourcesRemain", f"Some resources are remaining: {names}"),
            ("ContentRemoved", "All content successfully removed"),
        ),
        (
            "NamespaceFinalizersRemaining",
            bool(held),
            ("SomeFinalizersRemain", f"Some content in the namespace has finalizers remaining: {held}"),
            ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
        ),
    )
    conditions = list(found.conditions or [])
    for kind, holds, bad, good in wanted:
        reason, message = bad if holds else good
        current = condition(conditions, kind)
        new = {
            "type": kind,
            "status": "True" if holds else "False",
            "lastTransitionTime": format_time(now),
            "reason": reason,
            "message": message,
        }
        if current is None:
            conditions.append(new)
            continue
        if (current.get("status"), current.get("reason"), current.get("message")) == (new["status"], reason, message):
            continue
        if current.get("status") == new["status"]:
            new["lastTransitionTime"] = current.get("lastTransitionTime", new["lastTransitionTime"])
        conditions[conditions.index(current)] = new
    return conditions


CONTROLLER = Controller(
    name="namespace",
    account="namespace-controller",
    watches=(Watch(NAMESPACES, Namespace, (To("own"),)),),
    writes=(
        Writes(NAMESPACES, ("get", "list", "watch", "delete")),
        Writes(NAMESPACES, ("update",), "finalize", ("spec.finalizers",)),
        Writes(NAMESPACES, ("patch",), "status", ("status",)),
    ),
    reconcile=reconcile,
    catalog=True,
    extra_rules=({"apiGroups": ["*"], "resources": ["*"], "verbs": ["delete", "deletecollection", "get", "list"]},),
)
