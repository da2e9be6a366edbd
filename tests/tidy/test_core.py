"""Goal: the core is imported by few, and its stub says what it is. Method: the imports of every module; mypy's
stubtest, which compares the stub with the built extension; and what the bindings register."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "python" / "knarr"
# who may know that there is a core; everybody else goes through these
IMPORTERS = {
    "agent/containerd.py": "the program of a sandbox, which the core carries",
    "agent/serve.py": "the node's HTTPS server",
    "apiserver/server.py": "the composition of the server",
    "codec.py": "the codecs, for everybody",
    "controllers/runtime": "views",
    "network/dns.py": "the name server",
}


def importers() -> set[str]:
    """Files that import knarr._core, also where it is for the type checker only."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                names = {f"{node.module}.{alias.name}" for alias in node.names} | {node.module or ""}
            elif isinstance(node, ast.Import):
                names = {alias.name for alias in node.names}
            else:
                continue
            if any(name == "knarr._core" or name.startswith("knarr._core.") for name in names):
                found.add(path.relative_to(PACKAGE).as_posix())
    return found


def test_few_import_the_core() -> None:
    found = importers()
    assert found, "nobody imports the core: this test looks in the wrong place"
    strangers = [name for name in found if name not in IMPORTERS and not name.startswith("controllers/runtime/")]
    assert not strangers, f"{strangers} import knarr._core; see IMPORTERS"


def test_the_stub_is_what_the_core_is() -> None:
    allowed = ROOT / "tests" / "tidy" / "stubtest.txt"
    command = [sys.executable, "-m", "mypy.stubtest", "knarr._core", "--concise", "--allowlist", str(allowed)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_stub_names_every_class_that_the_bindings_have() -> None:
    """Against the sources, so that a class is missed even where an older core is built."""
    stub = (PACKAGE / "_core.pyi").read_text()
    for path in (ROOT / "rust" / "knarr-py" / "src").glob("*.rs"):
        text = path.read_text()
        for attributes, name in re.findall(r"#\[pyclass\(([^)]*)\)\]\s+(?:pub(?:\(crate\))? )?struct (\w+)", text):
            renamed = re.search(r'name = "(\w+)"', attributes)
            shown = renamed[1] if renamed else name
            assert f"\nclass {shown}" in stub, f"{path.name} has the class {shown}, _core.pyi has not"
