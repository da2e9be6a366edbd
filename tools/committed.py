"""A generated file against what is committed: write it, or say that it differs."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def write_or_compare(path: Path, text: str, what: str, check: bool) -> int:
    """Write `text` to `path`, or with `check` compare. what: the target of `generate`, for the hint.

    Returns the exit code: 1 where --check found a difference."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return 0
    name = path.relative_to(ROOT)
    if check:
        print(f"error: {name} differs from what it is made from", file=sys.stderr)
        print(f"hint: python -m tools generate {what}", file=sys.stderr)
        return 1
    path.write_text(text, encoding="utf-8")
    print(f"wrote {name}")
    return 0
