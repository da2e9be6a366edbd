"""The vocabulary: what a declaration becomes, and which mistakes it refuses."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from knarr.declare import Column, Kind, Plugin, Scale, Subresource, TypeRules, set_to
from knarr.declare.json import node
from knarr.declare.rules import apply, at, between, fail, is_unset, required, when


def kind(**more: object) -> Kind:
    fields: dict[str, object] = {
        "group": "x.io",
        "version": "v1",
        "kind": "Thing",
        "plural": "things",
        "type": "io.x.v1.Thing",
    }
    return Kind(**{**fields, **more})  # type: ignore[arg-type]


def test_nodes_leave_defaults_out_and_spell_camel_case() -> None:
    assert node("rule", "x", once_set=True, if_=1, none=None, off=False, empty="", list=[]) == {
        "rule": "x",
        "onceSet": True,
        "if": 1,
    }


def test_bounds_of_zero_are_kept() -> None:
    assert between(0, 5) == {"rule": "range", "min": 0, "max": 5}
    assert between(None, 5) == {"rule": "range", "max": 5}


def test_a_default_may_be_false_or_empty() -> None:
    assert set_to("a", False)["value"] is False
    assert set_to("a", {})["value"] == {}


def test_a_failure_may_show_the_empty_string() -> None:
    assert fail("invalid", "x", value="")["value"] == ""
    assert "value" not in fail("invalid", "x")


def test_conditions_and_branches() -> None:
    rule = when(is_unset("a"), required(), otherwise=[required("b")])
    assert rule["if"] == {"not": {"set": True, "at": "a"}}
    assert [len(rule["then"]), len(rule["else"])] == [1, 1]


def test_types_are_collected_through_their_uses_once() -> None:
    leaf = TypeRules("Leaf", rules=(required(),))
    branch = TypeRules("Branch", rules=(apply("Leaf"),), uses=(leaf,))
    document = kind(types=(branch, leaf), create=(at("spec", apply("Branch")),)).document()
    assert list(document["rules"]) == ["Branch", "Leaf"]


def test_two_type_rules_of_one_name_are_refused() -> None:
    one, two = TypeRules("A", rules=(required(),)), TypeRules("A", rules=(required("x"),))
    with pytest.raises(ValueError, match="two TypeRules are called A"):
        kind(types=(one, two)).document()


def test_defaults_of_the_kind_and_its_types_are_by_type() -> None:
    spec = TypeRules("Spec", type="io.x.v1.Spec", defaults=(set_to("a", 1),))
    document = kind(defaults=(set_to("b", 2),), types=(spec,)).document()
    assert {name: len(nodes) for name, nodes in document["defaults"].items()} == {"io.x.v1.Thing": 1, "io.x.v1.Spec": 1}


def test_metadata_is_always_selectable() -> None:
    names = [one["field"] for one in kind().document()["selectable"]]
    assert names == ["metadata.name", "metadata.namespace"]
    assert [one["field"] for one in kind(namespaced=False).document()["selectable"]] == ["metadata.name"]


def test_plugins_are_taken_by_resource_and_order() -> None:
    plugins = [
        Plugin("Late", order=2, resources=frozenset({"x.io/things"})),
        Plugin("Early", order=1, resources=frozenset({"*"})),
        Plugin("Other", order=0, resources=frozenset({"/pods"})),
    ]
    assert [one["plugin"] for one in kind().document(plugins)["admission"]] == ["Early", "Late"]
    assert [one["plugin"] for one in kind(namespaced=False).document(plugins)["admission"]] == ["Late"]
    assert kind(virtual=True).document(plugins)["admission"] == []


def test_subresources_carry_their_body() -> None:
    scale = Subresource("scale", ("get",), body=("autoscaling", "v1", "Scale"), scale=Scale())
    document = scale.document()
    assert (document["group"], document["version"], document["kind"]) == ("autoscaling", "v1", "Scale")
    assert document["scale"]["selector"] == "spec.selector"


def test_a_column_needs_a_source() -> None:
    with pytest.raises(ValueError, match="a path or a cell"):
        Column("A", "").document()


def test_hooks_are_named_and_sorted() -> None:
    document = kind(hooks={"validateUpdate": print, "mutate": print}).document()
    assert document["hooks"] == ["mutate", "validateUpdate"]


@given(st.lists(st.sampled_from(["a", "b", "c"]), unique=True), st.booleans())
def test_encoding_is_deterministic_json(short: list[str], namespaced: bool) -> None:
    one = kind(short=tuple(short), namespaced=namespaced)
    assert one.encode() == one.encode()
    assert json.loads(one.encode()) == json.loads(json.dumps(one.document()))
