"""A cluster of plain dicts with the controllers' views over it: what a plan writes is done to the dicts and fed back.

It does what a server does as far as the controllers can tell: uids, revisions, preconditions, generations, finalizers,
merge and strategic patches of the shapes that plans use.
"""

from __future__ import annotations

import contextlib
import copy
import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

from knarr._core import View
from knarr.client.protocol import Object, Resource
from knarr.controllers.runtime.declare import Controller, bind, subscribe, union
from knarr.controllers.runtime.objects import PODS
from knarr.controllers.runtime.plan import Plan, Write

START = datetime(2026, 1, 1, tzinfo=UTC)


class Refused(Exception):
    """A write whose preconditions do not hold, or that a test makes fail."""


class World:
    def __init__(self, *controllers: Controller, settings: dict[str, Any] | None = None) -> None:
        self.controllers = {controller.name: controller for controller in controllers}
        self.objects: dict[tuple[Resource, str, str], Object] = {}
        self.revision = 0
        self.now = START
        self.sources = {
            resource: View(fields, indexes=indexes, label_index=labels)
            for resource, (fields, indexes, labels) in union(controllers).items()
        }
        self.views = {controller.name: bind(controller, self.sources, settings) for controller in controllers}
        self.subscriptions = [(c, *entry) for c in controllers for entry in subscribe(c, self.sources)]
        self.events: list[tuple[str, str]] = []
        self._again: set[tuple[str, str]] = set()

    def put(self, resource: Resource, item: Object) -> Object:
        """Create or replace, as a user would."""
        item = copy.deepcopy(item)
        meta = item.setdefault("metadata", {})
        key = (resource, meta.get("namespace", ""), meta["name"])
        before = self.objects.get(key)
        self.revision += 1
        meta["resourceVersion"] = str(self.revision)
        meta.setdefault("uid", before["metadata"]["uid"] if before else f"uid-{self.revision}")
        meta.setdefault("creationTimestamp", self._time())
        if before is None or before.get("spec") != item.get("spec"):
            meta["generation"] = (before["metadata"].get("generation", 0) if before else 0) + 1
        self.objects[key] = item
        self._tell(resource, "MODIFIED" if before else "ADDED", item)
        return item

    def remove(self, resource: Resource, namespace: str, name: str) -> None:
        item = self.objects.pop((resource, namespace, name))
        self.revision += 1
        item["metadata"]["resourceVersion"] = str(self.revision)
        self._tell(resource, "DELETED", item)

    def of(self, resource: Resource) -> list[Object]:
        return [item for (found, _, _), item in self.objects.items() if found == resource]

    def plan(self, controller: str, key: str) -> Plan:
        return self.controllers[controller].reconcile(self.views[controller], key, self.now)

    def step(self, controller: str, key: str, fails: Any = None) -> Plan:
        """Plan and execute, as the runner does: groups in order, none after a failure."""
        plan = self.plan(controller, key)
        for event in plan.events:
            self.events.append((event.reason, event.message))
        failed = False
        for group in sorted({write.group for write in plan.writes}):
            for write in (write for write in plan.writes if write.group == group):
                try:
                    if fails is not None and fails():
                        raise Refused("quota exceeded")
                    answer = self.write(write)
                except Refused as error:
                    self._again.add((controller, key))
                    if plan.failed is not None and not failed and str(error) != "conflict":
                        with contextlib.suppress(Refused):
                            for then in plan.failed(str(error)):
                                self.write(then)
                    failed = True
                else:
                    if write.on_success is not None:
                        message = write.on_success.message.replace("{name}", answer.get("metadata", {}).get("name", ""))
                        self.events.append((write.on_success.reason, message))
            if failed:
                break
        return plan

    def settle(self, rounds: int = 200) -> int:
        """Work off all keys until nothing is told any more; the number of writes planned. Raises when it does not
        end."""
        writes = 0
        for _ in range(rounds):
            keys = self.told()
            if not keys:
                return writes
            for controller, key in keys:
                plan = self.step(controller, key)
                writes += len(plan.writes)
        raise AssertionError(f"not settled after {rounds} rounds")

    def look_again(self, controller: str, key: str) -> None:
        self._again.add((controller, key))

    def told_any(self) -> bool:
        """Whether there is work; it is kept."""
        self._again = set(self.told())
        return bool(self._again)

    def told(self) -> list[tuple[str, str]]:
        keys, self._again = self._again, set()
        for controller, resource, subscription, to in self.subscriptions:
            for key in self.sources[resource].take(subscription):
                if to.word == "every" and to.by is not None:
                    rows = self.views[controller.name][to.by].all()
                    keys |= {(controller.name, f"{row.namespace}/{row.name}") for row in rows}
                else:
                    keys.add((controller.name, key))
        return sorted(keys)

    def write(self, write: Write) -> Object:
        if write.verb in ("deletecollection", "absent"):
            return {}
        if write.verb == "create":
            body = copy.deepcopy(write.body)
            meta = body.setdefault("metadata", {})
            if write.namespace:
                meta["namespace"] = write.namespace
            meta.setdefault("name", f"{meta.get('generateName', '')}{self.revision:05}")
            if (write.resource, write.namespace, meta["name"]) in self.objects:
                if write.exists_ok:
                    return {}
                raise Refused("already exists")
            return self.put(write.resource, body)
        key = (write.resource, write.namespace, write.name)
        before = self.objects.get(key)
        if before is None:
            if write.missing_ok:
                return {}
            raise Refused("not found")
        meta = before["metadata"]
        if (write.uid and write.uid != meta["uid"]) or (
            write.revision and str(write.revision) != meta["resourceVersion"]
        ):
            raise Refused("conflict")
        if write.verb == "delete":
            if write.resource.plural == "pods" and write.grace_period != 0 and before.get("spec", {}).get("nodeName"):
                after = copy.deepcopy(before)
                after["metadata"]["deletionTimestamp"] = self._time()
                return self.put(write.resource, after)
            self.remove(*key)
            return before
        if write.verb == "update":
            after = copy.deepcopy(write.body)
            after["metadata"] = meta | {k: v for k, v in after["metadata"].items() if k in ("labels", "annotations")}
        else:
            patch = write.body
            if write.subresource == "status":
                # the status, and what the metadata says beside it: the spec and the labels stay as they are
                metadata = {k: v for k, v in patch.get("metadata", {}).items() if k == "annotations"}
                patch = {"metadata": metadata, "status": patch.get("status", {})}
            after = _merged(before, patch)
        if after == before:
            return before
        return self.put(write.resource, after)

    def _time(self) -> str:
        self.now += timedelta(milliseconds=1)
        return self.now.strftime("%Y-%m-%dT%H:%M:%SZ")

    def _tell(self, resource: Resource, kind: str, item: Object) -> None:
        if resource in self.sources:
            self.sources[resource].chunk(json.dumps({"type": kind, "object": item}).encode() + b"\n")


def _merged(before: Any, patch: Any) -> Any:
    """A merge patch, with the strategic rules for owner references and conditions."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    after = dict(before) if isinstance(before, dict) else {}
    for key, value in patch.items():
        if key == "ownerReferences" and value:
            gone = {owner["uid"] for owner in value if owner.get("$patch") == "delete"}
            kept = [o for o in after.get(key, []) if o["uid"] not in gone | {o["uid"] for o in value}]
            after[key] = kept + [owner for owner in value if "$patch" not in owner]
        elif value is None:
            after.pop(key, None)
        else:
            after[key] = _merged(after.get(key), value)
    return after


def make_ready(w: World, chance: float = 1.0, rng: random.Random | None = None) -> bool:
    """The kubelet: pods become ready, those being deleted go. Whether anything was left to do."""
    busy = False
    for pod in w.of(PODS):
        meta, status = pod["metadata"], pod.get("status", {})
        if "deletionTimestamp" in meta:
            w.remove(PODS, meta["namespace"], meta["name"])
        elif status.get("phase") != "Running":
            busy = True
            if rng is None or rng.random() < chance:
                ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
                spec = pod["spec"] | {"nodeName": "n1"}
                w.put(PODS, pod | {"spec": spec, "status": {"phase": "Running", "conditions": [ready]}})
    return busy


def settle(w: World) -> None:
    for _ in range(60):
        w.settle()
        make_ready(w)
        if not w.told_any():
            return
    raise AssertionError("pods and their owners do not come to rest")
