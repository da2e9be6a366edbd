"""Generate the CRI messages: `proto/*.proto` -> `python/knarr/agent/runtime/_cri/*_pb2.py(i)`.

Needs `grpcio-tools` (a development dependency). The output is committed; `check=True` compares and writes nothing.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
OUT = ROOT / "python/knarr/agent/runtime/_cri"
SOURCES = ("cri.proto", "containerd_events.proto")
HEADER = "# Made by `python -m tools generate cri` from proto/; do not edit.\n# ruff: noqa\n# fmt: off\n"
BARE_MAPPING = re.compile(r"(?m)\b_Mapping\b(?! as|\[|,| *$)")


def render() -> dict[str, str]:
    """File name -> content of everything that is generated. Raises RuntimeError when protoc refuses a file."""
    from importlib.resources import files

    from grpc_tools import protoc  # type: ignore[import-untyped]

    made: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as scratch:
        builtin = str(files("grpc_tools") / "_proto")
        for source in SOURCES:
            arguments = [
                "protoc",
                f"-I{PROTO}",
                f"-I{builtin}",
                f"--python_out={scratch}",
                f"--pyi_out={scratch}",
                source,
            ]
            if protoc.main(arguments) != 0:
                raise RuntimeError(f"protoc refuses {source}")
        for path in sorted(Path(scratch).iterdir()):
            text = path.read_text()
            if path.suffix == ".pyi":
                # protoc writes generic types bare, which strict checking refuses.
                text = BARE_MAPPING.sub("_Mapping[_Any, _Any]", text)
                text = re.sub(r"(?m)^from typing import ", "from typing import Any as _Any, ", text, count=1)
            made[path.name] = HEADER + text
    return made


def run(check: bool) -> int:
    """Write the files, or with `check` name those that differ. Returns the exit code (1: something differs)."""
    stale = []
    for name, text in render().items():
        path = OUT / name
        if path.exists() and path.read_text() == text:
            continue
        stale.append(name)
        if not check:
            OUT.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    for name in stale:
        print(f"{'differs' if check else 'wrote'}: {OUT.relative_to(ROOT) / name}", file=sys.stderr)
    return 1 if check and stale else 0
