"""The committed tables of Kubernetes' API types, made from its Go sources.

Why the Go sources: `types.go` alone has everything in one place: the order of a struct's fields (which is canonical
JSON's), json, protobuf and patch tags, pointers and omitempty, inlining, list and map types, required and optional, and
the comments that are OpenAPI's descriptions. kubernetes-validate's definitions are a cross-check
(`tests/unit/tools`), the golden protobuf of k8s.io/api another (rust/knarr-value, `protobuf::tests`).

Two files, both zlib over JSON with sorted types:

- `types.json.zz`, loaded by the core (form: rust/knarr-value/src/types/load.rs), with `resources` (what discovery
  answers).
- `descriptions.json.zz`, for OpenAPI and explain:
  `{name: {"d": text, "f": {field: {"d": text, "enum": [..], "default": json}}}}`.

Comparison is by content: zlib's bytes may differ from version to version.
"""

from __future__ import annotations

import json
import sys
import zlib
from pathlib import Path
from typing import Any

from tools.gen_schema import build, sources

FOLDER = Path(__file__).parents[2] / "python" / "knarr" / "api" / "_tables"

NOTICE = f"""\
types.json.zz and descriptions.json.zz are derived from the Go sources of Kubernetes {sources.KUBERNETES} (k8s.io/api,
k8s.io/apimachinery, k8s.io/apiextensions-apiserver, k8s.io/kube-aggregator, k8s.io/metrics, k8s.io/kubernetes),
Copyright The Kubernetes Authors, licensed under the Apache License, Version 2.0
(http://www.apache.org/licenses/LICENSE-2.0). They are made by `python -m tools generate schema`;
field names, types, tags, markers and comments are taken over, their arrangement is changed.
"""


def load(name: str) -> Any:
    """A committed table as plain data. name: `types` or `descriptions`."""
    return json.loads(zlib.decompress((FOLDER / f"{name}.json.zz").read_bytes()))


def run(check: bool) -> int:
    """Make the tables, or compare them with what is committed. Returns the exit code."""
    try:
        made = build.tables(sources.fetch())
    except sources.SourceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    different = []
    for name, table in made.items():
        path = FOLDER / f"{name}.json.zz"
        if check:
            if not path.exists() or load(name) != table:
                different.append(path.name)
            continue
        FOLDER.mkdir(parents=True, exist_ok=True)
        text = json.dumps(table, separators=(",", ":"), ensure_ascii=False).encode()
        path.write_bytes(zlib.compress(text, 9))
        print(f"{path.name}: {len(text)} bytes, {path.stat().st_size} compressed")
    notice = FOLDER / "NOTICE"
    if not check:
        notice.write_text(NOTICE)
    elif not notice.exists() or notice.read_text() != NOTICE:
        different.append("NOTICE")
    if different:
        print(f"error: {', '.join(different)} differ from what the sources give", file=sys.stderr)
        print("hint: python -m tools generate schema", file=sys.stderr)
    return 1 if different else 0
