"""Built-in kinds, one file each: `<group>/<version>/<kind>.py` with a `KIND`. Adding a file adds the kind.

Dots of a group are underscores here (`rbac_authorization_k8s_io`); the core group is `core`. What several kinds share
(the rules of PodSpec, Container, ...) stands in `_shared`; generated tables in `_tables`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from functools import cache

from knarr.admission import all_plugins
from knarr.declare import Kind

__all__ = ["all_kinds", "documents"]


def _modules(package: str) -> Iterator[str]:
    module = importlib.import_module(package)
    for info in pkgutil.iter_modules(module.__path__, package + "."):
        if info.name.rpartition(".")[2].startswith("_"):
            continue
        if info.ispkg:
            yield from _modules(info.name)
        else:
            yield info.name


@cache
def all_kinds() -> tuple[Kind, ...]:
    """Every built-in kind, by group, version and plural.

    Raises TypeError for a module without a `KIND`, ValueError where two kinds have one name.
    """
    kinds: dict[tuple[str, str, str], Kind] = {}
    for name in _modules(__name__):
        kind = importlib.import_module(name).KIND
        if not isinstance(kind, Kind):
            raise TypeError(f"{name}.KIND is no Kind")
        key = (kind.group, kind.version, kind.plural)
        if key in kinds:
            raise ValueError(f"{name}: {key} is declared twice")
        kinds[key] = kind
    return tuple(kinds[key] for key in sorted(kinds))


def documents() -> Iterator[tuple[Kind, bytes]]:
    """Each kind with the document the core compiles, admission included."""
    plugins = all_plugins()
    for kind in all_kinds():
        yield kind, kind.encode(plugins)
