"""Cold routes, one file each: what is asked rarely enough to be answered in Python. `ALL` is every Route of every
file."""

from __future__ import annotations

import importlib
import pkgutil

from knarr.apiserver.http import Route


def all_routes() -> list[Route]:
    """The routes of every module of this package, in the modules' order by name."""
    found: list[Route] = []
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda each: each.name):
        found += importlib.import_module(f"{__name__}.{module.name}").ROUTES
    return found
