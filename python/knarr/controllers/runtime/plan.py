"""What a reconcile decided: a `Plan`, every write named in full.

Pure values. A write carries what it was decided on (uid, revision); when that no longer holds the server refuses it
with 409 and the key is taken up again with a newer view.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from knarr.client.protocol import Object, PatchType, Resource

Verb = Literal["create", "update", "patch", "delete", "deletecollection", "absent"]


@dataclass(frozen=True, slots=True)
class Event:
    """regarding: an ObjectReference. message may hold `{name}` or `{error}`, filled by the outcome of the write it
    hangs on."""

    regarding: Object
    reason: str
    message: str
    type: Literal["Normal", "Warning"] = "Normal"


@dataclass(frozen=True, slots=True)
class Write:
    """One request.

    group: writes of one group are sent together; a failure ends the plan after its group (slow start is groups of 1,
    2, 4, ...). uid, revision: preconditions ("" and 0: none). missing_ok: 404 counts as done (deletes). exists_ok:
    AlreadyExists counts as done (creates). `absent` writes nothing: it asks the server whether the object of this uid
    is really gone, and fails as a conflict when it is not; for decisions on what no view has seen yet. on_success,
    on_failure: events.
    """

    verb: Verb
    resource: Resource
    namespace: str = ""
    name: str = ""
    body: Any = None
    subresource: str = ""
    patch_type: PatchType = "merge"
    uid: str = ""
    revision: int = 0
    propagation: str = ""
    grace_period: int | None = None
    group: int = 0
    missing_ok: bool = False
    exists_ok: bool = False
    on_success: Event | None = None
    on_failure: Event | None = None


@dataclass(slots=True)
class Plan:
    """requeue_after: seconds until the key is looked at again although nothing changed; None: when something does.
    failed: given the error of a failed write, what to write then (a status condition). report: what was considered and
    is waited for."""

    writes: list[Write] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    requeue_after: float | None = None
    report: list[str] = field(default_factory=list)
    failed: Callable[[str], list[Write]] | None = None


def slow_start(count: int) -> list[int]:
    """The group of each of `count` writes: 1, 2, 4, ... together, so that a quota that is exhausted refuses few."""
    groups: list[int] = []
    size, group = 1, 0
    while len(groups) < count:
        groups.extend([group] * min(size, count - len(groups)))
        size, group = size * 2, group + 1
    return groups


def reference(resource: Resource, namespace: str, name: str, uid: str) -> Object:
    """An ObjectReference for events."""
    ref = {"apiVersion": resource.api_version, "kind": resource.kind, "name": name, "uid": uid}
    return ref | {"namespace": namespace} if namespace else ref
