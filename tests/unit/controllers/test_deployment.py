"""Deployment, with ReplicaSet below it: one decision each, and the promise that they settle and then write nothing.

The law: whatever the sizes, templates, readiness and failed writes on the way, once nothing fails any more the number
of pods is what was asked for, all of the newest template, and another look at everything plans no write. Bounds hold at
every step.
"""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from knarr.controllers import deployment, replicaset
from knarr.controllers.runtime.objects import DEPLOYMENTS, PODS, REPLICA_SETS
from support import World, make_ready, settle


def body(replicas: int, image: str = "a", **spec: Any) -> dict[str, Any]:
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": image}]}}
    given = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template} | spec
    given.setdefault("progressDeadlineSeconds", 600)
    given.setdefault("revisionHistoryLimit", 10)
    return {"metadata": {"name": "web", "namespace": "n"}, "spec": given}


def world() -> World:
    return World(deployment.CONTROLLER, replicaset.CONTROLLER)


def images(w: World) -> list[str]:
    return sorted(pod["spec"]["containers"][0]["image"] for pod in w.of(PODS))


def test_a_first_reconcile_creates_the_set_and_notes_revision_one() -> None:
    w = world()
    w.put(DEPLOYMENTS, body(3))
    w.step("deployment", "n/web")
    (made,) = w.of(REPLICA_SETS)
    notes = made["metadata"]["annotations"]
    digest = made["metadata"]["labels"]["pod-template-hash"]
    assert made["metadata"]["name"] == f"web-{digest}"
    assert made["spec"]["selector"]["matchLabels"] == {"app": "web", "pod-template-hash": digest}
    assert notes == {
        "deployment.kubernetes.io/revision": "1",
        "deployment.kubernetes.io/desired-replicas": "3",
        "deployment.kubernetes.io/max-replicas": "4",
    }
    assert w.events == [("ScalingReplicaSet", f"Scaled up replica set web-{digest} from 0 to 3")]
    (found,) = w.of(DEPLOYMENTS)
    reasons = {c["type"]: c["reason"] for c in found["status"]["conditions"]}
    assert reasons == {"Available": "MinimumReplicasUnavailable", "Progressing": "NewReplicaSetCreated"}


def test_it_completes_rolls_and_rolls_back() -> None:
    w = world()
    w.put(DEPLOYMENTS, body(3))
    settle(w)
    assert images(w) == ["a"] * 3
    for revision, image in (("2", "b"), ("3", "a")):
        current = w.of(DEPLOYMENTS)[0]
        w.put(DEPLOYMENTS, current | {"spec": body(3, image)["spec"]})
        settle(w)
        found = w.of(DEPLOYMENTS)[0]
        assert images(w) == [image] * 3
        assert found["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == revision
        done = next(c for c in found["status"]["conditions"] if c["type"] == "Progressing")
        assert (done["reason"], done["message"].split('"')[2]) == (
            "NewReplicaSetAvailable",
            " has successfully progressed.",
        )
    sets = {s["spec"]["template"]["spec"]["containers"][0]["image"]: s for s in w.of(REPLICA_SETS)}
    assert sets["a"]["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"] == "1"
    assert len(sets) == 2


def test_an_orphaned_set_of_the_template_is_adopted_and_no_second_one_made() -> None:
    """By a Deployment of another name, too, and without a collision by one of the same."""
    w = world()
    w.put(DEPLOYMENTS, body(2))
    settle(w)
    before = sorted(pod["metadata"]["uid"] for pod in w.of(PODS))
    for name in ("heir", "web"):
        w.remove(DEPLOYMENTS, "n", w.of(DEPLOYMENTS)[0]["metadata"]["name"])
        (left,) = w.of(REPLICA_SETS)
        left["metadata"].pop("ownerReferences")
        w.put(REPLICA_SETS, left)
        heir = body(2)
        heir["metadata"]["name"] = name
        w.put(DEPLOYMENTS, heir)
        settle(w)
        (one,) = w.of(REPLICA_SETS)
        assert [owner["name"] for owner in one["metadata"]["ownerReferences"]] == [name]
        assert not w.of(DEPLOYMENTS)[0]["status"].get("collisionCount")
    assert sorted(pod["metadata"]["uid"] for pod in w.of(PODS)) == before


def test_a_collision_of_names_is_counted_and_avoided() -> None:
    w = world()
    w.put(DEPLOYMENTS, body(1))
    name = next(x.body["metadata"]["name"] for x in w.plan("deployment", "n/web").writes if x.verb == "create")
    w.put(REPLICA_SETS, {"metadata": {"name": name, "namespace": "n"}, "spec": {"replicas": 0}})
    settle(w)
    assert w.of(DEPLOYMENTS)[0]["status"]["collisionCount"] == 1
    assert images(w) == ["a"]


def test_paused_scales_but_does_not_roll() -> None:
    w = world()
    w.put(DEPLOYMENTS, body(2))
    settle(w)
    w.put(DEPLOYMENTS, w.of(DEPLOYMENTS)[0] | {"spec": body(4, "b", paused=True)["spec"]})
    settle(w)
    assert images(w) == ["a"] * 4
    reasons = [c["reason"] for c in w.of(DEPLOYMENTS)[0]["status"]["conditions"]]
    assert "DeploymentPaused" in reasons
    w.put(DEPLOYMENTS, w.of(DEPLOYMENTS)[0] | {"spec": body(4, "b")["spec"]})
    settle(w)
    assert images(w) == ["b"] * 4


def test_recreate_waits_for_the_old_pods() -> None:
    w = world()
    recreate = {"strategy": {"type": "Recreate"}}
    w.put(DEPLOYMENTS, body(2, **recreate))
    settle(w)
    w.put(DEPLOYMENTS, w.of(DEPLOYMENTS)[0] | {"spec": body(2, "b", **recreate)["spec"]})
    w.settle()
    assert images(w) == ["a", "a"] and len(w.of(REPLICA_SETS)) == 1, "old pods end first"
    assert w.plan("deployment", "n/web").requeue_after == 0.5
    make_ready(w)
    w.step("deployment", "n/web")
    settle(w)
    assert images(w) == ["b", "b"]


def test_a_missed_deadline_is_said() -> None:
    from datetime import timedelta

    w = world()
    w.put(DEPLOYMENTS, body(1, progressDeadlineSeconds=60))
    w.settle()
    plan = w.plan("deployment", "n/web")
    assert plan.requeue_after is not None and 55 < plan.requeue_after <= 61
    w.now += timedelta(seconds=62)
    w.step("deployment", "n/web")
    late = next(c for c in w.of(DEPLOYMENTS)[0]["status"]["conditions"] if c["type"] == "Progressing")
    assert (late["status"], late["reason"]) == ("False", "ProgressDeadlineExceeded")
    assert late["message"].endswith("has timed out progressing.")


def test_history_beyond_the_limit_goes() -> None:
    w = world()
    w.put(DEPLOYMENTS, body(1, "0", revisionHistoryLimit=1))
    for image in "123":
        settle(w)
        w.put(DEPLOYMENTS, w.of(DEPLOYMENTS)[0] | {"spec": body(1, image, revisionHistoryLimit=1)["spec"]})
    settle(w)
    kept = sorted(s["spec"]["template"]["spec"]["containers"][0]["image"] for s in w.of(REPLICA_SETS))
    assert kept == ["2", "3"]


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(0, 7), st.sampled_from("abc")), min_size=1, max_size=4),
    surge=st.sampled_from([0, 1, 3, "25%", "100%"]),
    unavailable=st.sampled_from([0, 1, 2, "25%", "100%"]),
    seed=st.integers(0, 2**32),
)
def test_it_settles_whatever_fails_and_then_writes_nothing(
    sizes: list[tuple[int, str]], surge: Any, unavailable: Any, seed: int
) -> None:
    rng = random.Random(seed)
    w = world()
    rolling = {
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}
    }
    for replicas, image in sizes:
        before = w.of(DEPLOYMENTS)
        w.put(DEPLOYMENTS, (before[0] if before else {}) | body(replicas, image, **rolling) if not before
              else before[0] | {"spec": body(replicas, image, **rolling)["spec"]})  # fmt: skip
        for controller, key in w.told():
            w.step(controller, key, lambda: rng.random() < 0.3)
            w.look_again(controller, key)
        make_ready(w, 0.5, rng)
    settle(w)
    replicas, image = sizes[-1]
    assert images(w) == [image] * replicas
    for key in [f"n/{s['metadata']['name']}" for s in w.of(REPLICA_SETS)]:
        assert w.plan("replicaset", key).writes == []
    assert w.plan("deployment", "n/web").writes == []
    status = w.of(DEPLOYMENTS)[0]["status"]
    assert [status.get(f) for f in ("replicas", "updatedReplicas", "availableReplicas")] == [replicas] * 3
