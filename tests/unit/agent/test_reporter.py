"""Goal: a status patch takes the server from one status to another, says nothing twice, and leaves others' conditions
alone. Method: the strategic merge of the small API as the model."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from knarr.agent.reporter import Reporter, status_patch

from tests.cluster.agent.fake_api import _merge

CONDITIONS = st.lists(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["Ready", "Initialized"]), "status": st.sampled_from(["True", "False"])}
    ),
    unique_by=lambda c: c["type"],
)
STATUSES = st.fixed_dictionaries(
    {"phase": st.sampled_from(["Pending", "Running"])},
    optional={
        "conditions": CONDITIONS,
        "podIPs": st.lists(st.sampled_from([{"ip": "1"}, {"ip": "2"}]), unique_by=lambda p: p["ip"]),
        "containerStatuses": st.lists(st.sampled_from([{"name": "a"}, {"name": "b"}]), max_size=2),
    },
)


def normal(status: dict[str, Any]) -> dict[str, Any]:
    keyed = {"conditions", "podIPs"}
    kept = {name: value for name, value in status.items() if value or name not in keyed}
    return {k: sorted(v, key=lambda each: sorted(each.items())) if k in keyed else v for k, v in kept.items()}


@given(STATUSES, STATUSES)
def test_a_patch_leads_from_one_status_to_the_other(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert normal(_merge(copy.deepcopy(old), status_patch(old, new))) == normal(new)
    assert status_patch(new, new) == {}


def test_conditions_of_others_are_not_written() -> None:
    gate = {"type": "example.com/gate", "status": "True"}
    assert status_patch({"conditions": []}, {"conditions": [gate]}) == {}
    assert status_patch({"conditions": [gate]}, {"conditions": []}) == {}


class OneObject:
    """The API as far as a reporter needs it: one pod, every write another revision."""

    def __init__(self) -> None:
        self.pod: dict[str, Any] = {"metadata": {"name": "p", "namespace": "n", "uid": "u", "resourceVersion": "1"}}
        self.patches: list[dict[str, Any]] = []

    def write(self, status: dict[str, Any]) -> dict[str, Any]:
        merged = _merge(copy.deepcopy(self.pod.get("status") or {}), status)
        version = str(int(self.pod["metadata"]["resourceVersion"]) + 1)
        self.pod = {"metadata": {**self.pod["metadata"], "resourceVersion": version}, "status": merged}
        return copy.deepcopy(self.pod)

    async def patch(self, _resource: Any, _name: str, body: dict[str, Any], *_: Any, **__: Any) -> dict[str, Any]:
        self.patches.append(body["status"])
        return self.write(body["status"])


def running(ready: str, **more: Any) -> dict[str, Any]:
    return {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}], **more}


async def test_what_others_overwrite_is_taken_back_once() -> None:
    """A node that was not heard of has its pods marked not ready; nobody else marks them ready again."""
    api = OneObject()
    reporter = Reporter(api, api.pod)  # type: ignore[arg-type]
    task = asyncio.create_task(reporter.run())
    reporter.offer(running("True"))
    await reporter.flushed()
    old = copy.deepcopy(api.pod)
    reporter.seen(api.write({"conditions": [{"type": "Ready", "status": "False"}]}))
    await reporter.flushed()
    assert normal(api.pod["status"]) == running("True") and len(api.patches) == 2
    for echo in (old, api.pod, api.write({"message": "another's field"})):
        reporter.seen(echo)
        await reporter.flushed()
    assert len(api.patches) == 2, "neither an old revision, nor one's own, nor what does not matter is answered"
    reporter.seen(api.write({"phase": "Failed"}))
    await reporter.flushed()
    assert len(api.patches) == 2, "a pod that has ended stays so"
    task.cancel()
