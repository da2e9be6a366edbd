"""Gate 3: what a stored pod and an idle watch cost.

Goal: 50,000 stored pods cost at most 8 KB each, resident in all processes together; 10,000 idle watches at most 4 KB
each. Method: the resident memory (proportional share, so that nothing counts twice) of supervisor, server, controllers
and agent before and after, once it has settled; every watch is shown to be alive by an event at the end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.memory import bytes_per_pod, bytes_per_watch
from bench.sides import Knarr

PODS, POD_BYTES_MAX = 50_000, 8 << 10
WATCHES, WATCH_BYTES_MAX = 10_000, 4 << 10


@pytest.fixture(scope="module")
def knarr(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Knarr]:
    """A cluster of its own: its memory is looked at."""
    side = Knarr(tmp_path_factory.mktemp("memory") / "data")
    side.address = "127.0.0.25"
    side.start(node=False)
    yield side
    side.stop()


def test_10000_idle_watches_cost_at_most_4_kb_each(knarr: Knarr, capsys: pytest.CaptureFixture[str]) -> None:
    each = bytes_per_watch(knarr, knarr.control() + knarr.node(), WATCHES)
    with capsys.disabled():
        print(f"\ngate 3: {each:.0f} bytes a watch")
    assert each <= WATCH_BYTES_MAX


def test_50000_stored_pods_cost_at_most_8_kb_each(knarr: Knarr, capsys: pytest.CaptureFixture[str]) -> None:
    each = bytes_per_pod(knarr, knarr.control() + knarr.node(), PODS)
    with capsys.disabled():
        print(f"\ngate 3: {each:.0f} bytes a pod")
    assert each <= POD_BYTES_MAX
