"""Gate 6: what one Pod costs.

Goal: the create of a Pod with full validation, admission and one Python hook costs at most 15 times the server CPU of
the floor, which is the same hyper and rustls answering a fixed Pod. Method: the same client sends the same requests,
as many at a time, to both in turn; the CPU is that of the server process, by the scheduler's account. The least of
three rounds counts: noise only adds."""

from __future__ import annotations

import pytest

from bench.cost import ATTEMPTS_MAX, hook_cost

TIMES_MAX = 15


def test_a_pod_with_a_python_hook_costs_at_most_15_times_the_floor(
    tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = []
    for attempt in range(ATTEMPTS_MAX):
        cost = hook_cost(tmp_path_factory.mktemp(f"cost{attempt}"))
        measured.append(cost)
        if cost.times <= TIMES_MAX:
            break
    best = min(measured, key=lambda cost: cost.times)
    with capsys.disabled():
        print(
            f"\ngate 6: floor {best.floor_us:.0f} us, create with hook {best.hooked_us:.0f} us,"
            f" without {best.plain_us:.0f} us"
        )
    assert best.times <= TIMES_MAX, measured
