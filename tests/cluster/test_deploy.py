"""The scripts of deploy/: what they say when something is missing, and that they leave alone what they did not make.

A full build is the business of `.ci/run`; here the scripts run in a copy of the folder with a PATH
of our own."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from clusters import ROOT, Done, run

TOOLS = (
    "sh",
    "cut",
    "sort",
    "head",
    "tail",
    "find",
    "touch",
    "mkdir",
    "mv",
    "dirname",
    "id",
    "rm",
    "printf",
    "env",
    "sed",
    "cat",
    "mktemp",
)


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A checkout with nothing built, and `bin`: a PATH with a shell's tools and nothing else."""
    checkout = tmp_path / "knarr"
    shutil.copytree(ROOT / "deploy", checkout / "deploy", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("rust", "python/knarr"):
        (checkout / name).mkdir(parents=True)
    for name in ("Cargo.toml", "Cargo.lock", "pyproject.toml", "python/knarr/__init__.py"):
        (checkout / name).touch()
    (checkout / "bin").mkdir()
    for name in TOOLS:
        found = shutil.which(name)
        assert found, name
        (checkout / "bin" / name).symlink_to(found)
    return checkout


def program(checkout: Path, name: str, script: str) -> None:
    path = checkout / "bin" / name
    path.unlink(missing_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def script(checkout: Path, name: str, *arguments: str, **environment: str) -> Done:
    done = subprocess.run(
        [shutil.which("sh") or "sh", f"deploy/{name}", *arguments],
        cwd=checkout,
        env={"PATH": str(checkout / "bin"), "HOME": str(checkout), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def two_lines(done: Done, error: str, hint: str) -> None:
    assert done.code == 1 and done.out == "", done
    lines = done.err.splitlines()
    assert lines[-2:] == [f"error: {error}", f"hint: {hint}"], done.err


@pytest.mark.parametrize("name", ["up.sh", "down.sh"])
def test_arguments_are_not_passed_over(bare: Path, name: str) -> None:
    """Asked for help, up.sh started a cluster and down.sh deleted one."""
    called = bare / "called"
    knarr = bare / ".venv" / "bin" / "knarr"
    knarr.parent.mkdir(parents=True)
    knarr.write_text(f"#!/bin/sh\n: > {called}\n")
    knarr.chmod(0o755)
    (bare / ".venv" / "built").touch()
    done = script(bare, name, "--help")
    assert done.code == 0 and f"usage: sh deploy/{name}" in done.out and done.err == "", done
    done = script(bare, name, "--data-dir=/x")
    assert done.code == 2 and done.out == "", done
    lines = [f"error: deploy/{name} takes no arguments: --data-dir=/x", f"hint: see sh deploy/{name} --help"]
    assert done.err.splitlines() == lines
    assert not called.exists()


def test_without_rust_it_says_how_to_get_it(bare: Path) -> None:
    two_lines(
        script(bare, "up.sh"),
        "Rust 1.95 or later is needed",
        "install rustup (https://rustup.rs), then: rustup toolchain install stable",
    )
    assert not (bare / ".venv").exists()


def test_rust_from_the_users_own_folder_is_found(bare: Path) -> None:
    """rustup installs to ~/.cargo/bin, which is not in every root's PATH."""
    (bare / ".cargo" / "bin").mkdir(parents=True)
    for name in ("cargo", "rustc"):
        program(bare, name, "echo rustc 1.70.0")
        (bare / "bin" / name).rename(bare / ".cargo" / "bin" / name)
    two_lines(script(bare, "up.sh"), "Rust 1.95 or later is needed, this is 1.70.0", "rustup update stable")


@pytest.mark.parametrize(
    ("version", "enough"), [("1.94.9", False), ("1.9.0", False), ("1.95.0", True), ("1.100.0", True), ("2.0.0", True)]
)
def test_the_version_of_rust_is_compared_as_numbers(bare: Path, version: str, enough: bool) -> None:
    program(bare, "cargo", "exit 0")
    program(bare, "rustc", f"echo 'rustc {version} (0000000 2026-01-01)'")
    done = run("sh", "-ec", f"cd {bare}; . deploy/lib.sh; need_rust", PATH=str(bare / "bin"), HOME=str(bare))
    if enough:
        assert (done.code, done.err) == (0, "")
    else:
        two_lines(done, f"Rust 1.95 or later is needed, this is {version}", "rustup update stable")


def test_missing_packages_are_named_to_who_cannot_install_them(bare: Path) -> None:
    program(bare, "cargo", "exit 0")
    program(bare, "rustc", "echo rustc 1.95.0")
    program(bare, "id", "echo 1000")
    done = script(bare, "up.sh")
    assert done.code == 1 and "error: these packages are missing: " in done.err and " gcc" in done.err
    assert done.err.splitlines()[-1].startswith("hint: run as root, or: apt-get install ")


def test_a_failing_apt_is_shown(bare: Path) -> None:
    program(bare, "apt-get", "echo 'E: no network'; exit 100")
    done = run(
        "sh", "-ec", f"cd {bare}; . deploy/lib.sh; install_packages no-such-program=no-such-package",
        PATH=str(bare / "bin"), HOME=str(bare),
    )  # fmt: skip
    assert done.code == 1 and "E: no network" in done.err
    assert "error: apt-get could not install: no-such-package" in done.err


def test_a_build_that_is_done_is_not_done_again(bare: Path) -> None:
    """The second run of up.sh takes seconds; a changed source is built."""
    (bare / ".venv" / "bin").mkdir(parents=True)
    shutil.copy(bare / "bin" / "sh", bare / ".venv" / "bin" / "knarr")
    (bare / ".venv" / "built").touch()
    ask = ("sh", "-ec", f"cd {bare}; . deploy/lib.sh; build")
    environment = {"PATH": str(bare / "bin"), "HOME": str(bare)}
    assert run(*ask, **environment) == Done(0, "", "")
    later = os.stat(bare / ".venv" / "built").st_mtime + 10
    source = bare / "rust" / "lib.rs"
    source.touch()
    os.utime(source, (later, later))
    done = run(*ask, **environment)
    assert done.code == 1 and "Rust 1.95 or later is needed" in done.err, "a changed source asks for the compiler"


def test_the_build_goes_into_this_checkout_whatever_the_caller_has_activated(bare: Path) -> None:
    (bare / ".venv" / "bin").mkdir(parents=True)
    for name in ("cargo", "python3"):
        program(bare, name, "exit 0")
    program(bare, "rustc", "echo rustc 1.95.0")
    programs = {"python": "exit 0", "pip": "exit 0", "maturin": "echo $VIRTUAL_ENV ${CONDA_PREFIX-none}"}
    for name, text in programs.items():
        program(bare, name, text)
        (bare / "bin" / name).rename(bare / ".venv" / "bin" / name)
    done = run(
        "sh", "-ec", f"cd {bare}; . deploy/lib.sh; build; cat .venv/build.log",
        PATH=str(bare / "bin"), HOME=str(bare), VIRTUAL_ENV="/elsewhere", CONDA_PREFIX="/elsewhere",
    )  # fmt: skip
    assert (done.code, done.out.split()) == (0, [str(bare / ".venv"), "none"]), done


def test_build_only_stops_after_the_build(bare: Path) -> None:
    (bare / ".venv" / "bin").mkdir(parents=True)
    program(bare, "knarr", "echo started >&2; exit 9")
    (bare / "bin" / "knarr").rename(bare / ".venv" / "bin" / "knarr")
    (bare / ".venv" / "built").touch()
    for name in ("cargo", "cc", "make", "git"):
        program(bare, name, "exit 0")
    program(bare, "rustc", "echo rustc 1.95.0")
    if not Path("/usr/include/stdlib.h").exists() or not Path("/usr/share/doc/python3-venv").exists():
        program(bare, "apt-get", "exit 0")
    done = script(bare, "up.sh", BUILD_ONLY="1")
    assert done.code == 0 and done.err.splitlines()[-1].endswith("built: .venv/bin/knarr"), done
    assert "started" not in done.err


def test_who_is_not_root_is_told_what_works_without(bare: Path) -> None:
    """After somebody's build neither a compiler nor packages are asked for."""
    (bare / ".venv" / "bin").mkdir(parents=True)
    program(bare, "knarr", "exit 9")
    (bare / "bin" / "knarr").rename(bare / ".venv" / "bin" / "knarr")
    (bare / ".venv" / "built").touch()
    program(bare, "id", "echo 1000")
    two_lines(script(bare, "up.sh"), "containers need root", "run as root, or try: .venv/bin/knarr up --runtime hollow")
    done = script(bare, "up.sh", BUILD_ONLY="1")
    assert done.code == 0 and done.err.splitlines()[-1].endswith("built: .venv/bin/knarr"), done


def test_down_where_nothing_was_built_or_runs(bare: Path, tmp_path: Path) -> None:
    two_lines(script(bare, "down.sh"), "nothing was built here", "sh deploy/up.sh builds and starts")
    (bare / ".venv" / "bin").mkdir(parents=True)
    program(bare, "knarr", 'echo "error: $4 holds no cluster" >&2; exit 1')
    (bare / "bin" / "knarr").rename(bare / ".venv" / "bin" / "knarr")
    done = script(bare, "down.sh", DATA_DIR=str(tmp_path / "none"))
    assert done.code == 0 and f"no cluster in {tmp_path / 'none'}" in done.err
    program(bare, "knarr", 'echo "error: $4 cannot be read by this user" >&2; exit 1')
    (bare / "bin" / "knarr").rename(bare / ".venv" / "bin" / "knarr")
    done = script(bare, "down.sh", DATA_DIR=str(tmp_path / "none"))
    assert done.code == 1 and done.err == f"error: {tmp_path / 'none'} cannot be read by this user\n"
