"""Goal: what the documents say is there. Method: their links, the paths they name, verbs, flags and kinds, compared
with the tree and with the declarations."""

from __future__ import annotations

import importlib
import re
import subprocess
from pathlib import Path

import click
import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(path.relative_to(ROOT).as_posix() for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
# a path in backticks that begins at the root of the repository
TREE_PATH = re.compile(r"`((?:bench|deploy|docs|proto|python|rust|tests|tools)/[\w./-]*[\w/])`")
DECISIONS = ROOT / "docs" / "decisions"


def anchors(text: str) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    here = ROOT / document
    for target in LINK.findall(here.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (here.parent / path).resolve() if path else here
        assert there.exists(), f"{document} links to {target}"
        if anchor:
            assert anchor in anchors(there.read_text()), f"{document} links to {target}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_paths_that_are_named_exist(document: str) -> None:
    named = TREE_PATH.findall((ROOT / document).read_text())
    missing = [path for path in named if not (ROOT / path).exists()]
    assert not missing, f"{document} names {missing}"


def test_decisions_are_numbered_without_gaps_and_say_what_was_decided() -> None:
    files = sorted(DECISIONS.glob("*"))
    numbers = [re.fullmatch(r"(\d{4})-[a-z0-9-]+\.md", file.name) for file in files]
    assert all(numbers), [file.name for file, number in zip(files, numbers, strict=True) if not number]
    assert [int(number[1]) for number in numbers if number] == list(range(1, len(files) + 1))
    for file in files:
        text = file.read_text()
        assert text.startswith(f"# {file.name[:4]}: "), file.name
        for part in ("Context", "Decision", "Not chosen"):
            assert f"\n## {part}\n" in text, f"{file.name} has no part {part}"


def test_the_readme_begins_with_the_two_commands() -> None:
    lines = [line.split("#")[0].strip() for line in (ROOT / "README.md").read_text().splitlines()[1:5]]
    assert [line for line in lines if line] == ["sh deploy/up.sh", "sh tests/run.sh"]


def test_the_readme_names_every_verb_and_flag() -> None:
    from knarr.cli.main import Verbs

    text = (ROOT / "README.md").read_text()
    context = click.Context(click.Group())
    for verb in Verbs().list_commands(context):
        assert f"`knarr {verb}`" in text, f"README.md does not name `knarr {verb}`"
        command = importlib.import_module(f"knarr.cli.verbs.{verb}").command
        for option in command.params:
            flag = option.opts[-1] if option.opts[-1].startswith("--") else option.opts[0]
            assert flag in text or any(opt in text for opt in option.opts), f"README.md does not name {flag} of {verb}"


def test_the_readme_names_every_kind() -> None:
    from knarr.api import all_kinds

    text = (ROOT / "README.md").read_text()
    kinds = text[text.index("**Kinds**") : text.index("\n", text.index("**Kinds**"))]
    missing = sorted({kind.kind for kind in all_kinds() if not re.search(rf"\b{kind.kind}\b", kinds)})
    assert not missing


def test_the_development_document_names_every_generator() -> None:
    from tools.__main__ import GENERATORS

    text = (ROOT / "docs" / "development.md").read_text()
    assert not [name for name in GENERATORS if f"`generate {name}`" not in text]


def test_the_architecture_names_every_package() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    packages = [path.parent.name for path in (ROOT / "python" / "knarr").glob("*/__init__.py")]
    assert not [name for name in packages if f"`{name}/`" not in text]


def test_scripts_parse() -> None:
    """A script with a syntax error would say so only where it is run."""
    for script in [*(ROOT / "deploy").glob("*.sh"), *(ROOT / "tests").glob("*.sh")]:
        assert subprocess.run(["sh", "-n", script], check=False).returncode == 0, script
