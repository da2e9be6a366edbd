"""ReplicaSet and ReplicationController: one decision each, and the promise that they settle and then write nothing.

Every test runs for both, as they are one reconcile: what differs is the resource and the form of the selector.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from knarr.client.protocol import Object, Resource
from knarr.controllers import _replicas, replicaset, replicationcontroller
from knarr.controllers.runtime.declare import Controller
from knarr.controllers.runtime.objects import PODS, REPLICA_SETS, REPLICATION_CONTROLLERS
from knarr.controllers.runtime.plan import slow_start
from support import World, make_ready, settle

LABELS = {"app": "web"}


@dataclass(frozen=True)
class Case:
    resource: Resource
    controller: Controller
    selector: Object

    def __str__(self) -> str:
        return self.controller.name

    def body(self, replicas: int, name: str = "r", **spec: Any) -> Object:
        template = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "c", "image": "a"}]}}
        given = {"replicas": replicas, "selector": self.selector, "template": template} | spec
        return {"metadata": {"name": name, "namespace": "n"}, "spec": given}


CASES = (
    Case(REPLICA_SETS, replicaset.CONTROLLER, {"matchLabels": LABELS}),
    Case(REPLICATION_CONTROLLERS, replicationcontroller.CONTROLLER, LABELS),
)


@pytest.fixture(params=CASES, ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


def test_pods_are_made_from_the_template_and_counted(case: Case) -> None:
    w = World(case.controller)
    w.put(case.resource, case.body(3))
    settle(w)
    pods = w.of(PODS)
    owner = {
        "apiVersion": case.resource.api_version,
        "kind": case.resource.kind,
        "name": "r",
        "uid": w.of(case.resource)[0]["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    assert [pod["metadata"]["ownerReferences"] for pod in pods] == [[owner]] * 3
    assert all(pod["metadata"]["labels"] == LABELS and pod["spec"]["containers"][0]["image"] == "a" for pod in pods)
    status = w.of(case.resource)[0]["status"]
    assert status == {
        "replicas": 3,
        "fullyLabeledReplicas": 3,
        "readyReplicas": 3,
        "availableReplicas": 3,
        "observedGeneration": 1,
        "conditions": [],
    }
    assert [reason for reason, _ in w.events] == ["SuccessfulCreate"] * 3


def test_scaled_down_to_nothing(case: Case) -> None:
    w = World(case.controller)
    w.put(case.resource, case.body(2))
    settle(w)
    w.put(case.resource, w.of(case.resource)[0] | {"spec": case.body(0)["spec"]})
    settle(w)
    assert w.of(PODS) == [] and w.of(case.resource)[0]["status"]["replicas"] == 0


def test_no_selector_adopts_nobody(case: Case) -> None:
    """A map without labels, which no server stores, selects nothing rather than everything."""
    w = World(case.controller)
    w.put(PODS, {"metadata": {"name": "p", "namespace": "n", "labels": LABELS}, "spec": {"nodeName": "x"}})
    w.put(case.resource, case.body(0, selector=None if case.resource is REPLICA_SETS else {}))
    assert w.plan(case.controller.name, "n/r").writes[:-1] == [], "the status alone"


def test_one_that_is_deleted_makes_and_deletes_nothing(case: Case) -> None:
    w = World(case.controller)
    item = case.body(2)
    w.put(case.resource, item | {"metadata": item["metadata"] | {"deletionTimestamp": "2026-01-01T00:00:00Z"}})
    assert [write.subresource for write in w.plan(case.controller.name, "n/r").writes] == ["status"]


def test_the_other_kind_is_not_looked_at() -> None:
    """Owners of one name, one of each kind: each makes pods of its own, and neither deletes the other's."""
    w = World(*(case.controller for case in CASES))
    for case in CASES:
        w.put(case.resource, case.body(2))
    settle(w)
    kinds = Counter(pod["metadata"]["ownerReferences"][0]["kind"] for pod in w.of(PODS))
    assert kinds == {"ReplicaSet": 2, "ReplicationController": 2}


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 9), min_size=1, max_size=4),
    case=st.sampled_from(CASES),
    seed=st.integers(0, 2**32),
)
def test_it_settles_whatever_fails_and_then_writes_nothing(sizes: list[int], case: Case, seed: int) -> None:
    rng = random.Random(seed)
    w = World(case.controller)
    for replicas in sizes:
        before = w.of(case.resource)
        w.put(case.resource, (before[0] if before else {}) | case.body(replicas) if not before
              else before[0] | {"spec": case.body(replicas)["spec"]})  # fmt: skip
        for controller, key in w.told():
            w.step(controller, key, lambda: rng.random() < 0.3)
            w.look_again(controller, key)
        make_ready(w, 0.5, rng)
    settle(w)
    assert len(w.of(PODS)) == sizes[-1]
    assert w.plan(case.controller.name, "n/r").writes == []
    status = w.of(case.resource)[0].get("status", {})
    assert [status.get(f, 0) for f in ("replicas", "readyReplicas", "availableReplicas")] == [sizes[-1]] * 3


@pytest.mark.parametrize(("count", "groups"), [(0, []), (1, [0]), (4, [0, 1, 1, 2]), (8, [0, 1, 1, 2, 2, 2, 2, 3])])
def test_slow_start_doubles(count: int, groups: list[int]) -> None:
    assert slow_start(count) == groups


def test_a_refused_pod_ends_the_batch_and_is_said_in_the_status(case: Case) -> None:
    w = World(case.controller)
    w.put(case.resource, case.body(5))
    calls = iter([False, True, True])
    w.step(case.controller.name, "n/r", lambda: next(calls, False))
    assert len(w.of(PODS)) == 1, "one, then both of the second batch refused, and no third batch"
    (failure,) = w.of(case.resource)[0]["status"]["conditions"]
    assert (failure["type"], failure["reason"], failure["message"]) == (
        "ReplicaFailure",
        "FailedCreate",
        "quota exceeded",
    )
    settle(w)
    assert len(w.of(PODS)) == 5 and w.of(case.resource)[0]["status"]["conditions"] == []


def pod(name: str, **fields: Any) -> _replicas.Pod:
    given = {"created": "2026-01-01T00:00:00Z", "node": "n1", "phase": "Running", "ready": "True"}
    given |= {"ready_since": "2026-01-01T00:00:10Z"} | fields
    rest = {field: None for field in _replicas.Pod._fields[4:]}
    return _replicas.Pod("n", name, name, 1, **(rest | given))


def test_the_cheapest_to_lose_go_first() -> None:
    """Each pod differs from the last, ordinary one in one respect; the order is getPodsToDelete's."""
    pods = [
        pod("ordinary"),
        pod("unassigned", node=None),
        pod("pending", phase="Pending"),
        pod("unready", ready="False"),
        pod("cheap", cost="-5"),
        pod("doubled", node="n2"),
        pod("lately-ready", ready_since="2026-01-01T00:00:20Z"),
        pod("restarted", restarts=3),
        pod("young", created="2026-01-01T00:00:05Z"),
    ]
    order = [p.name for p in _replicas.rank(pods, Counter({"n1": 1, "n2": 2}))]
    expected = [
        "unassigned",
        "pending",
        "unready",
        "cheap",
        "doubled",
        "lately-ready",
        "restarted",
        "young",
        "ordinary",
    ]
    assert order == expected


def test_pods_are_adopted_and_released_by_the_selector(case: Case) -> None:
    w = World(case.controller)
    w.put(case.resource, case.body(1))
    w.put(PODS, {"metadata": {"name": "p", "namespace": "n", "labels": LABELS}, "spec": {"nodeName": "x"}})
    w.settle()
    (adopted,) = w.of(PODS)
    assert [owner["kind"] for owner in adopted["metadata"]["ownerReferences"]] == [case.resource.kind]
    w.put(PODS, adopted | {"metadata": adopted["metadata"] | {"labels": {"app": "other"}}})
    w.settle()
    owned = {p["metadata"]["name"]: p["metadata"].get("ownerReferences") for p in w.of(PODS)}
    assert owned["p"] == [] and len(owned) == 2
