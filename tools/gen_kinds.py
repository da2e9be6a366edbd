"""The documents of all built-in kinds, which knarr-schema's tests compile: rust/knarr-schema/testdata/kinds.json."""

from __future__ import annotations

import json

from tools.committed import ROOT, write_or_compare

FILE = ROOT / "rust" / "knarr-schema" / "testdata" / "kinds.json"


def text() -> str:
    """`group/version/Kind` to the document that the core compiles, admission included."""
    from knarr.api import documents

    found = {
        f"{kind.group}/{kind.version}/{kind.kind}".lstrip("/"): json.loads(document) for kind, document in documents()
    }
    return json.dumps(found, indent=1, sort_keys=True) + "\n"


def run(check: bool) -> int:
    """Write the file, or compare it. Returns the exit code."""
    return write_or_compare(FILE, text(), "kinds", check)
