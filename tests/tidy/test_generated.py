"""Goal: everything generated is what its sources give, and the generators notice when it is not. Method: their own
`--check`, and the same with something changed under their hands."""

from __future__ import annotations

import pytest

from tools import committed, gen_endpoints
from tools.__main__ import GENERATORS, main


@pytest.mark.parametrize("target", sorted(GENERATORS))
def test_what_is_committed_is_current(target: str) -> None:
    assert main(["generate", target, "--check"]) == 0


def test_a_check_notices_a_difference(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    before = gen_endpoints.FILE.read_text()
    monkeypatch.setattr(gen_endpoints, "HEAD", gen_endpoints.HEAD + "And more.\n")
    assert gen_endpoints.run(check=True) == 1
    assert "hint: python -m tools generate endpoints" in capsys.readouterr().err
    assert gen_endpoints.FILE.read_text() == before, "a check wrote"


def test_without_a_target_the_worst_answer_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {name: 0 for name in GENERATORS} | {"roles": 2, "endpoints": 1}
    for name, (module, _) in GENERATORS.items():
        monkeypatch.setattr(f"{module}.run", lambda check, code=answers[name]: code)
    assert main(["generate", "--check"]) == 2


def test_what_nobody_answers_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from knarr.apiserver import routes

    kept = [route for route in routes.all_routes() if not route.pattern.endswith("/eviction")]
    monkeypatch.setattr(routes, "all_routes", lambda: kept)
    assert gen_endpoints.run(check=True) == 2
    assert "pods/{name}/eviction is declared" in capsys.readouterr().err


def test_a_source_that_says_it_otherwise_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gen_endpoints, "SERVE", committed.ROOT / "Cargo.toml")
    assert gen_endpoints.run(check=True) == 2
