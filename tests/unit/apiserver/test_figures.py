"""The figures that /metrics shows of a store.

Goal: every figure the core gives is shown, in Prometheus' form. Method: a real store's figures, read back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from knarr import _core
from knarr.apiserver.figures import store_metrics


def test_every_figure_of_the_store_is_shown(tmp_path: Path) -> None:
    store = _core.Store.open(tmp_path / "store", fsync=False)
    stats = store.stats()
    store.close()
    lines = store_metrics(stats).splitlines()
    samples = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r'knarr_store_[a-z_]+(\{space="[a-z]+"\})? \d+', line) for line in samples), samples
    spaces = [value for value in stats.values() if isinstance(value, Mapping)]
    assert len(samples) == len(stats) - len(spaces) + sum(map(len, spaces))
    named = {line.split()[2] for line in lines if line.startswith("# TYPE")}
    assert {re.split(r"[{ ]", line)[0] for line in samples} == named
    assert "knarr_store_audit_failures_total 0" in samples
