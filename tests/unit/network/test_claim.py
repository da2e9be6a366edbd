"""Whose a network namespace is. Goal: another node's is refused with a hint that helps, its own is taken up again,
nobody's is free. Method: every combination of what can be found, given as a value; the mark's text and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from knarr.network.claim import ALIAS_BYTES_MAX, ClaimError, Found, Mark, is_ours

OURS, THEIRS = Mark("aaaaaaaaaa", "/var/lib/ours"), Mark("bbbbbbbbbb", "/srv/theirs")
NOBODYS, REFUSED, GONE = "nobody's", "has the node of the cluster in /srv/theirs", "pods of the cluster that was in"


@pytest.mark.parametrize(
    ("mark", "bound", "data", "used", "expected"),
    [
        (OURS, False, True, False, "ours"),
        (OURS, False, True, True, "ours"),
        (OURS, True, True, True, "ours"),
        (OURS, False, False, False, NOBODYS),
        (OURS, False, False, True, GONE),
        (THEIRS, True, True, True, REFUSED),
        (THEIRS, True, False, False, REFUSED),
        (THEIRS, False, True, False, REFUSED),
        (THEIRS, False, True, True, REFUSED),
        (THEIRS, False, False, True, GONE),
        (THEIRS, False, False, False, NOBODYS),
        (None, True, False, False, "has a node already"),
        (None, False, False, True, "bridge knarr0 of this network namespace is in use"),
        (None, False, False, False, NOBODYS),
    ],
)
def test_whose_it_is(mark: Mark | None, bound: bool, data: bool, used: bool, expected: str) -> None:
    found = Found(mark, bound, data, used)
    if expected in ("ours", NOBODYS):
        assert is_ours(found, OURS.node, "knarr0") is (expected == "ours")
        return
    with pytest.raises(ClaimError) as raised:
        is_ours(found, OURS.node, "knarr0")
    assert expected in raised.value.message
    assert raised.value.hint.endswith("or run this one in another network namespace")
    if mark is not None:
        assert f"`knarr down --data-dir {mark.directory}`" in raised.value.hint


@given(st.text(st.characters(exclude_categories=("Cs",)), min_size=1))
def test_a_mark_is_read_as_it_was_written(directory: str) -> None:
    mark = Mark("0123456789", directory)
    text = mark.text()
    assert len(text.encode()) <= ALIAS_BYTES_MAX
    read = Mark.parse(text)
    assert read is not None and read.node == mark.node and directory.startswith(read.directory)
    assert read == mark or len(directory.encode()) > ALIAS_BYTES_MAX - 11


@pytest.mark.parametrize("text", ["", "uplink", "uplink "])
def test_what_is_no_mark(text: str) -> None:
    assert Mark.parse(text) is None
