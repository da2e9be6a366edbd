"""The vocabulary a kind is written in: rules, defaults, steps, columns, subresources, and `Kind` itself.

Knows: how a declaration becomes the JSON document that the core compiles (docs/kinds.md). Never knows: any particular
kind, the core, HTTP. Start reading at `kind.py`, then `rules.py`.
"""

from knarr.declare.columns import AGE, NAME, Column
from knarr.declare.defaults import clear, copy, each, native_default, set_to
from knarr.declare.kind import Kind, Scale, Selectable, Storage, Subresource, TypeRules
from knarr.declare.plugins import Plugin

__all__ = [
    "AGE",
    "NAME",
    "Column",
    "Kind",
    "Plugin",
    "Scale",
    "Selectable",
    "Storage",
    "Subresource",
    "TypeRules",
    "clear",
    "copy",
    "each",
    "native_default",
    "set_to",
]
