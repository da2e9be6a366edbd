"""Goal: crates import downwards only, and a pure crate that reads a clock does not pass the lint.

Method: the crate graph as cargo sees it, against the levels of docs/architecture.md's table; for purity, a scratch
crate with a pure crate's clippy.toml and one line that reads the clock, linted for real.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]

# level by crate; pure crates know no tokio, clock, thread, file or global random source
LEVELS = {
    "knarr-base": 0,
    "knarr-value": 1,
    "knarr-raft": 1,
    "knarr-stream": 1,
    "knarr-dns": 1,
    "knarr-store": 2,
    "knarr-schema": 3,
    "knarr-authz": 3,
    "knarr-scheduler": 3,
    "knarr-watch": 4,
    "knarr-view": 4,
    "knarr-machinery": 5,
    "knarr-gateway": 6,
    "knarr-io": 6,
    "knarr-sim": 6,
    "knarr-py": 7,
}
IMPURE = {"knarr-gateway", "knarr-io", "knarr-sim", "knarr-py"}
FORBIDDEN_IN_PURE = {"tokio", "tokio-rustls", "hyper", "hyper-util", "rustls", "mio", "rand", "getrandom", "pyo3"}


def packages() -> dict[str, list[tuple[str, str | None]]]:
    """Crate to its dependencies: (name, kind); kind is None for an ordinary one, else dev or build."""
    command = ["cargo", "metadata", "--format-version", "1", "--no-deps", "--locked", "--offline"]
    found = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)
    return {p["name"]: [(d["name"], d["kind"]) for d in p["dependencies"]] for p in found["packages"]}


def test_every_crate_has_a_level_and_imports_downwards() -> None:
    graph = packages()
    assert set(graph) == set(LEVELS)
    for crate, dependencies in graph.items():
        for name, kind in dependencies:
            if name in LEVELS and kind != "dev":
                assert LEVELS[name] < LEVELS[crate], f"{crate} imports {name}, which is not below it"


def test_pure_crates_depend_on_nothing_that_does_input_or_output() -> None:
    for crate, dependencies in packages().items():
        if crate in IMPURE:
            continue
        found = {name for name, kind in dependencies if kind != "dev"} & FORBIDDEN_IN_PURE
        assert not found, f"{crate} is pure and depends on {found}"


def test_pure_crates_share_one_lint_configuration() -> None:
    texts = {crate: (ROOT / "rust" / crate / "clippy.toml").read_text() for crate in LEVELS if crate not in IMPURE}
    assert len(set(texts.values())) == 1, "the pure crates' clippy.toml differ"


def test_a_pure_crate_that_reads_a_clock_fails_the_lint(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "clippy.toml").write_text((ROOT / "rust" / "knarr-store" / "clippy.toml").read_text())
    (tmp_path / "Cargo.toml").write_text(
        '[package]\nname = "scratch"\nversion = "0.0.0"\nedition = "2024"\n[workspace]\n'
    )
    source = tmp_path / "src" / "lib.rs"
    lint = ["cargo", "clippy", "--offline", "-q", "--target-dir", str(tmp_path / "target"), "--", "-D", "warnings"]

    source.write_text("pub fn at(now: u64) -> u64 {\n    now\n}\n")
    assert subprocess.run(lint, cwd=tmp_path, capture_output=True).returncode == 0
    source.write_text("pub fn at() -> std::time::Instant {\n    std::time::Instant::now()\n}\n")
    failed = subprocess.run(lint, cwd=tmp_path, capture_output=True, text=True)
    assert failed.returncode != 0
    assert "the time is handed in" in failed.stderr


def test_the_table_of_docs_names_every_crate() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    missing = [crate for crate in LEVELS if not re.search(rf"`{crate}`", text)]
    assert not missing
