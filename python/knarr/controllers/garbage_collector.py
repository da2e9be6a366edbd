"""The garbage collector: objects whose owners are all gone are deleted; owners that are deleted in the foreground
wait for those that block them; orphans lose the reference.

The graph is not kept apart: the views of all resources' metadata are indexed by owner uid, and an owner reference
names where its owner must be. Three questions on an object, in order:

    it is being deleted,                    take the reference off its dependents, then the finalizer off it
      with finalizer `orphan`
    it is being deleted,                    delete its dependents; when none blocks any more, the finalizer goes
      with finalizer `foregroundDeletion`   (owners in a circle stop blocking each other)
    it has owners                           one lives: keep (and drop references to the dead);
                                            one is itself being deleted in the foreground: delete (in the
                                            foreground if it has dependents); all are gone: delete

Keys are `resource|namespace/name/uid`, and `owner|apiVersion|kind|namespace/name/uid` for an owner that a dependent
left. An object that is gone is a key too: its dependents are looked at then. Source: kubernetes
`pkg/controller/garbagecollector/garbagecollector.go`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, NamedTuple

from knarr.client.protocol import Resource
from knarr.controllers.runtime.declare import META_PATHS, Controller, Lens, Meta, To, Views
from knarr.controllers.runtime.plan import Plan, Write

_FOREGROUND: Final = "foregroundDeletion"
_ORPHAN: Final = "orphan"
_UNKNOWN_PERIOD: Final = 30.0  # seconds until an owner of a kind that is not served is looked for again


class Found(NamedTuple):
    resource: Resource
    row: Meta


def reconcile(views: Views, key: str, now: datetime) -> Plan:
    """See the module for keys."""
    plan = Plan()
    group_resource, _, rest = key.partition("|")
    if group_resource == "owner":
        api_version, kind, rest = rest.split("|", 2)
        here = views.catalog.of_kind(api_version, kind)
        if here is not None and not here[0].namespaced:
            rest = rest[rest.index("/") :]
    else:
        here = _served(views, group_resource)
    namespace, name, uid = rest.split("/", 2)
    if here is None:
        return plan
    resource, lens = here
    row = lens.get(namespace, name)
    if row is None or row.uid != uid:
        if group_resource == "owner":
            return plan
        for dependent in _dependents(views, uid):
            _judge(views, plan, dependent, gone=uid)
        return plan
    found = Found(resource, row)
    if row.deleted is not None:
        finalizers = row.finalizers or []
        if _ORPHAN in finalizers:
            _orphan(views, plan, found)
        elif _FOREGROUND in finalizers:
            _foreground(views, plan, found)
        return plan
    if row.owners:
        _judge(views, plan, found)
    return plan


def _served(views: Views, group_resource: str) -> tuple[Resource, Lens[Meta]] | None:
    for resource, lens in views.catalog.entries.items():
        if resource.group_resource == group_resource:
            return resource, lens
    return None


def _dependents(views: Views, uid: str) -> list[Found]:
    return [Found(resource, row) for resource, lens in views.catalog.entries.items() for row in lens.owned_by(uid)]


def _judge(views: Views, plan: Plan, found: Found, gone: str = "") -> None:
    """An object that is not being deleted and has owners. gone: the uid of one whose deletion was seen. Any other
    that no view knows may be newer than the view: the server is asked before anything is deleted on its account."""
    row = found.row
    if row.deleted is not None:
        return
    solid: list[dict[str, Any]] = []
    dangling: list[dict[str, Any]] = []
    waiting: list[dict[str, Any]] = []
    checks: list[Write] = []
    for owner in row.owners or []:
        where = views.catalog.of_kind(owner.get("apiVersion", ""), owner.get("kind", ""))
        if where is None:
            if not _discovered(views):
                return
            # A kind nobody serves (any more, or yet): nothing is deleted on its account.
            plan.report.append(f"owner kind {owner.get('kind')} is not served")
            plan.requeue_after = _UNKNOWN_PERIOD
            solid.append(owner)
            continue
        live = _owner(where, row, owner)
        if live is None:
            dangling.append(owner)
            if owner.get("uid") != gone and (row.namespace or not where[0].namespaced):
                namespace = row.namespace if where[0].namespaced else ""
                checks.append(
                    Write(
                        "absent", where[0], namespace, owner.get("name", ""), uid=owner.get("uid", ""), missing_ok=True
                    )
                )
        elif live.deleted is not None and _FOREGROUND in (live.finalizers or []):
            waiting.append(owner)
        else:
            solid.append(owner)
    if solid:
        dropped = [owner["uid"] for owner in (*dangling, *waiting)]
        if dropped:
            plan.writes += [*checks, _without(found, dropped)]
        return
    if waiting and _has_blocking(views, row):
        # Its own dependents block it: it goes in the foreground, after them.
        plan.writes.append(_delete(found, "Foreground"))
        return
    if waiting or dangling:
        if _ORPHAN in (row.finalizers or []):
            policy = "Orphan"
        elif _FOREGROUND in (row.finalizers or []):
            policy = "Foreground"
        else:
            policy = "Background"
        plan.writes += [*checks, _delete(found, policy)]


def _discovered(views: Views) -> bool:
    return bool(views.catalog.complete)


def _owner(where: tuple[Resource, Lens[Meta]], row: Meta, owner: dict[str, Any]) -> Meta | None:
    """The owner as it is, if it lives where the reference says: in the dependent's namespace, or in none. An owner in
    another namespace is none at all (a reference cannot name one), whatever uid it has."""
    resource, lens = where
    if resource.namespaced and not row.namespace:
        return None  # cluster-scoped objects cannot be owned by namespaced ones
    live = lens.get(row.namespace if resource.namespaced else "", owner.get("name", ""))
    return live if live is not None and live.uid == owner.get("uid") else None


def _has_blocking(views: Views, row: Meta) -> bool:
    return any(_blocks(dependent.row, row.uid) for dependent in _dependents(views, row.uid))


def _blocks(dependent: Meta, uid: str) -> bool:
    return any(owner.get("uid") == uid and owner.get("blockOwnerDeletion") for owner in dependent.owners or [])


def _foreground(views: Views, plan: Plan, found: Found) -> None:
    """Delete the dependents; without any that blocks, the object may go."""
    dependents = [
        dependent
        for dependent in _dependents(views, found.row.uid)
        if dependent.row.namespace == found.row.namespace or not found.row.namespace
    ]
    blocking = [dependent for dependent in dependents if _blocks(dependent.row, found.row.uid)]
    for dependent in dependents:
        _judge(views, plan, dependent)
    if not blocking:
        plan.writes.append(_finalized(found, _FOREGROUND))
    elif _in_circle(views, found.row.uid):
        # Each waits for the next: this one stops blocking its owners, so that the first of them may go.
        plan.writes.append(_unblocking(found))
    else:
        plan.report.append(f"{len(blocking)} dependents block")


def _in_circle(views: Views, uid: str) -> bool:
    """Whether what blocks this object (all of it being deleted in the foreground) is, at last, blocked by it."""
    seen, pending = {uid}, [uid]
    while pending:
        owner = pending.pop()
        for _, row in _dependents(views, owner):
            if not _blocks(row, owner):
                continue
            if row.uid == uid:
                return True
            if row.uid not in seen and row.deleted is not None and _FOREGROUND in (row.finalizers or []):
                seen.add(row.uid)
                pending.append(row.uid)
    return False


def _orphan(views: Views, plan: Plan, found: Found) -> None:
    for dependent in _dependents(views, found.row.uid):
        plan.writes.append(_without(dependent, [found.row.uid]))
    plan.writes.append(_finalized(found, _ORPHAN))


def _without(found: Found, uids: list[str]) -> Write:
    """Drop owner references. A JSON merge patch works for every kind; the revision keeps what it read from being
    old."""
    resource, row = found
    kept = [owner for owner in row.owners or [] if owner.get("uid") not in uids]
    body = {"metadata": {"ownerReferences": kept or None}}
    return Write(
        "patch", resource, row.namespace, row.name, body, uid=row.uid, revision=row.revision, missing_ok=True, group=1
    )


def _unblocking(found: Found) -> Write:
    """Keep the owner references, but let no owner wait for this object."""
    resource, row = found
    body = {"metadata": {"ownerReferences": [owner | {"blockOwnerDeletion": False} for owner in row.owners or []]}}
    return Write(
        "patch", resource, row.namespace, row.name, body, uid=row.uid, revision=row.revision, missing_ok=True, group=1
    )


def _finalized(found: Found, finalizer: str) -> Write:
    resource, row = found
    kept = [name for name in row.finalizers or [] if name != finalizer]
    body = {"metadata": {"finalizers": kept}}
    return Write(
        "patch", resource, row.namespace, row.name, body, uid=row.uid, revision=row.revision, group=2, missing_ok=True
    )


def _delete(found: Found, policy: str) -> Write:
    """The revision too: who lost or won an owner meanwhile is judged again."""
    resource, row = found
    return Write(
        "delete",
        resource,
        row.namespace,
        row.name,
        uid=row.uid,
        revision=row.revision,
        propagation=policy,
        missing_ok=True,
        group=1,
    )


CONTROLLER = Controller(
    name="garbage-collector",
    account="generic-garbage-collector",
    watches=(),
    writes=(),
    reconcile=reconcile,
    workers=20,
    everything=(To("own-uid", fields=META_PATHS), To("owners-left", fields=("metadata.ownerReferences",))),
    catalog=True,
    extra_rules=(
        {"apiGroups": ["*"], "resources": ["*"], "verbs": ["delete", "get", "list", "patch", "update", "watch"]},
    ),
)
