"""The codecs as Python sees them. Goal: plain objects in and out, errors that are ValueErrors with the core's words.

Method: examples at the border (what JSON has no form for, big and small), and laws over generated objects."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from knarr import codec

_LEAVES = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(st.characters(codec="utf-8"))
OBJECTS = st.recursive(
    _LEAVES,
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=20)
    ),
    max_leaves=30,
)


@given(OBJECTS)
def test_json_comes_back_and_agrees_with_the_standard_library(value: Any) -> None:
    text = codec.json_dumps(value)
    assert codec.json_loads(text) == value
    assert json.loads(text) == value
    assert codec.json_loads(codec.json_dumps(value, indent=2)) == value


@given(OBJECTS)
def test_yaml_comes_back(value: Any) -> None:
    assert codec.yaml_load_all(codec.yaml_dump({"v": value})) == [{"v": value}]


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (2**63, codec.CodecError),
        (math.nan, codec.CodecError),
        ("\ud800", codec.CodecError),
        ({1: 2}, TypeError),
        (object(), TypeError),
    ],
)
def test_what_json_has_no_form_for_is_refused(value: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        codec.json_dumps({"v": [value]})


def test_a_cycle_is_refused() -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    with pytest.raises(codec.CodecError, match="exceeded max depth"):
        codec.json_dumps(cycle)


def test_errors_are_value_errors_in_the_cores_words() -> None:
    with pytest.raises(ValueError, match="invalid character 'x' looking for beginning of value") as json_error:
        codec.json_loads(b"x")
    assert isinstance(json_error.value, codec.JsonError)
    with pytest.raises(codec.YamlError, match="line 2"):
        codec.yaml_load_all("a: 1\nb: [")
    with pytest.raises(codec.ProtobufError, match="k8s"):
        codec.protobuf_decode(b"{}")
    with pytest.raises(codec.ProtobufError, match=r'no kind "Nope" is known in version "v1"'):
        codec.protobuf_encode({"apiVersion": "v1", "kind": "Nope"})
    with pytest.raises(codec.QuantityError, match="unable to parse quantity's suffix"):
        codec.Quantity("1K")


def test_duplicates_are_reported_by_path() -> None:
    assert codec.json_parse('{"a":{"b":1,"b":2}}') == ({"a": {"b": 2}}, ["a.b"])
    assert codec.yaml_parse_all("a: {b: 1, b: 2}") == [({"a": {"b": 2}}, ["a.b"])]


def test_protobuf_goes_both_ways() -> None:
    lease = {
        "kind": "Lease",
        "apiVersion": "coordination.k8s.io/v1",
        "metadata": {"name": "a", "namespace": "b"},
        "spec": {"holderIdentity": "me", "renewTime": "2024-01-02T03:04:05.000006Z"},
    }
    data = codec.protobuf_encode(lease)
    assert data.startswith(b"k8s\0")
    assert codec.protobuf_decode(data) == lease


def test_quantities_are_exact() -> None:
    quantity = codec.Quantity
    assert quantity("0.1") + "0.2" == quantity("300m")
    assert str(quantity("1Gi") - quantity("512Mi")) == "512Mi"
    assert quantity("1500m").milli == 1500
    assert quantity("1500m").value == 2
    assert quantity(2) * 3 == "6"
    assert max(quantity("1Ki"), quantity("1k")) == quantity(1024)
    assert len({quantity("1"), quantity("1000m")}) == 1
    assert not quantity("0")
    assert quantity("1") != object()
    assert codec.json_dumps({"cpu": quantity("0.5")}) == b'{"cpu":"500m"}'


@given(st.integers(-(10**12), 10**12), st.integers(-(10**12), 10**12))
def test_quantities_order_as_numbers_do(a: int, b: int) -> None:
    assert (codec.Quantity.from_milli(a) < codec.Quantity.from_milli(b)) == (a < b)
    assert (codec.Quantity.from_milli(a) + codec.Quantity.from_milli(b)).milli == a + b
