"""Defaults: what is filled in wherever a type occurs, parents before children, in the order written."""

from __future__ import annotations

from typing import Any

from knarr.declare.json import Node, node


def set_to(path: str, value: Any, *, when: Node | None = None, zero: bool = False, make: bool = False) -> Node:
    """A constant where nothing stands. `zero`: a zero that Go writes counts as nothing. `make`: structs on the
    way are made.
    """
    return {**node("default", "set", path=path, when=when, zero=zero, make=make), "value": value}


def copy(path: str, source: str, *, when: Node | None = None, zero: bool = False) -> Node:
    """Another field's value where nothing stands; nothing if that is absent too."""
    return {**node("default", "copy", path=path, when=when, zero=zero), "from": source}


def clear(path: str, *, when: Node | None = None) -> Node:
    """Remove a field."""
    return node("default", "clear", path=path, when=when)


def each(path: str, *defaults: Node) -> Node:
    """Defaults for each item of a list."""
    return node("default", "each", path=path, defaults=list(defaults))


def native_default(name: str) -> Node:
    """A default written in Rust (rust/knarr-schema/src/defaults/native.rs)."""
    return node("default", "native", name=name)
