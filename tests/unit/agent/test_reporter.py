"""Goal: a status patch takes the server from one status to another, says nothing twice, and leaves others' conditions
alone. Method: the strategic merge of the small API as the model."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from knarr.agent.reporter import status_patch

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
