"""Admission plugins, one a file, each declaring what it runs for, its settings and what it reads; the core runs them.

A plugin is a module with a `PLUGIN`. Adding a file adds it.
"""

from __future__ import annotations

import importlib
import pkgutil

from knarr.declare import Plugin

__all__ = ["all_plugins"]


def all_plugins() -> tuple[Plugin, ...]:
    """Every plugin of this package, in the order they run."""
    found = []
    for info in pkgutil.iter_modules(__path__, __name__ + "."):
        if not info.name.rpartition(".")[2].startswith("_"):
            plugin = importlib.import_module(info.name).PLUGIN
            if not isinstance(plugin, Plugin):
                raise TypeError(f"{info.name}.PLUGIN is no Plugin")
            found.append(plugin)
    return tuple(sorted(found, key=lambda plugin: plugin.order))
