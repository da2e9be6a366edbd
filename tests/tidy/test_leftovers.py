"""Goal: nothing is left lying about. Method: every tracked file, module and dependency is looked at."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINES_MAX = 600
CODE = {".md", ".py", ".pyi", ".rs", ".sh", ".toml"}
# a generated file says so in its head
GENERATED = re.compile(r"Made by `python -m tools generate")
# found by being there: their package imports each module by name
FOUND_BY_NAME = ("admission", "api", "apiserver.routes", "cli.verbs", "controllers")
# distribution to the package that is imported, where that is called otherwise
IMPORTED_AS = {"grpcio": "grpc", "protobuf": "google.protobuf"}


@cache
def tracked() -> tuple[str, ...]:
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return tuple(name for name in names.split("\0") if name and (ROOT / name).is_file())


def texts() -> Iterator[tuple[str, str]]:
    """Tracked files that are text."""
    for name in tracked():
        try:
            yield name, (ROOT / name).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def test_no_path_of_a_development_machine() -> None:
    homes = re.compile(r"(?<![\w.-])/(?:work|root|home/\w+)/[\w.]")
    found = [name for name, text in texts() if homes.search(text) and name != "tests/tidy/test_leftovers.py"]
    assert not found


def test_no_note_about_what_is_yet_to_be_done() -> None:
    words = r"\s*(?:TODO|FIXME|XXX|HACK)\b"
    rust = re.compile(rf"//[/!]?{words}|\btodo!\(|\bunimplemented!\(")
    other = re.compile(rf"#{words}")
    code = [(name, text) for name, text in texts() if Path(name).suffix in CODE - {".md"}]
    assert not [name for name, text in code if (rust if name.endswith(".rs") else other).search(text)]


def test_long_files_are_listed_with_a_reason() -> None:
    document = (ROOT / "docs" / "development.md").read_text()
    listed = dict(re.findall(r"^\| `([^`|]+)` \| (.+) \|$", document[document.index("| file | why |") :], re.M))
    long = {
        name
        for name, text in texts()
        if Path(name).suffix in CODE and text.count("\n") > LINES_MAX and not GENERATED.search(text[:400])
    }
    assert long == set(listed), f"only in the tree: {long - set(listed)}; only listed: {set(listed) - long}"


def modules() -> dict[str, Path]:
    """Module name to file, of the package."""
    top = ROOT / "python"
    found = {}
    for name in tracked():
        path = ROOT / name
        if name.startswith("python/knarr/") and path.suffix == ".py":
            parts = path.relative_to(top).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(name: str, path: Path) -> Iterator[str]:
    """What a module imports, as full names; of `from a import b` both `a` and `a.b`."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.rsplit(".", node.level - 1)[0] if node.level > 1 else package
            base = f"{above}.{node.module}" if node.module else above
            base = base if node.level else node.module or ""
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def test_every_module_is_imported_by_somebody() -> None:
    known = modules()
    importers = known | {name: ROOT / name for name in tracked() if name.startswith("tools/") and name.endswith(".py")}
    used = {imported for name, path in importers.items() for imported in imports(name, path) if imported != name}
    dead = []
    for name, path in known.items():
        if path.name not in ("__init__.py", "__main__.py") and not found_by_name(name) and name not in used:
            dead.append(name)
    assert not dead


def found_by_name(name: str) -> bool:
    """Whether a package imports this module because it is there: kinds at any depth, others directly below."""
    for package in FOUND_BY_NAME:
        rest = name.removeprefix(f"knarr.{package}.")
        if rest != name and not any(part.startswith("_") for part in rest.split(".")):
            return package == "api" or "." not in rest
    return False


def test_python_dependencies_are_used() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    used = {imported for name, path in modules().items() for imported in imports(name, path)}
    for line in project["dependencies"]:
        name = re.split(r"[<>=!~\[ ]", line)[0]
        package = IMPORTED_AS.get(name, name)
        assert any(each == package or each.startswith(f"{package}.") for each in used), f"nobody imports {name}"


def test_rust_dependencies_are_used() -> None:
    workspace = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["dependencies"]
    crates = [tomllib.loads(path.read_text()) for path in (ROOT / "rust").glob("*/Cargo.toml")]
    parts = ("dependencies", "dev-dependencies", "build-dependencies")
    asked = {name for crate in crates for part in parts for name in crate.get(part, {})}
    own = {crate["package"]["name"] for crate in crates}
    assert not set(workspace) - asked - own
    # and what a crate asks for, its sources name
    for path in (ROOT / "rust").glob("*/Cargo.toml"):
        crate = tomllib.loads(path.read_text())
        sources = "\n".join(source.read_text() for source in path.parent.rglob("*.rs"))
        for part in parts:
            unused = [name for name in crate.get(part, {}) if not re.search(rf"\b{name.replace('-', '_')}\b", sources)]
            assert not unused, f"{crate['package']['name']} does not use {unused}"
