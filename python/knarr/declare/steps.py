"""Steps before validation: what Kubernetes' strategies do to an object that is created or updated."""

from __future__ import annotations

from typing import Any

from knarr.declare.json import Node, node


def set_to(path: str, value: Any, *, when: Node | None = None) -> Node:
    """Overwrite."""
    return {**node("step", "set", path=path, when=when), "value": value}


def clear(path: str, *, when: Node | None = None) -> Node:
    """Remove."""
    return node("step", "clear", path=path, when=when)


def keep(path: str, *, when: Node | None = None) -> Node:
    """Take the old object's value."""
    return node("step", "keep", path=path, when=when)


def native(name: str) -> Node:
    """A step written in Rust (rust/knarr-schema/src/prepare)."""
    return node("step", "native", name=name)
