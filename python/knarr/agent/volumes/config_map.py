"""configMap: each key a file. Source: pkg/volume/configmap/configmap.go, MakePayload."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..env import Sources, decode
from .base import File, VolumeError, mode_of


def payload(source: Mapping[str, Any], sources: Sources, default_mode: int) -> dict[str, File]:
    """source: name, items, optional. Raises VolumeError for an object or key that is missing and not optional."""
    name = source.get("name", "")
    found = sources.config_maps.get(name)
    optional = bool(source.get("optional"))
    if found is None:
        if optional:
            return {}
        raise VolumeError(f'configmap "{name}" not found')
    files = {key: text.encode(errors="surrogateescape") for key, text in (found.get("data") or {}).items()}
    files |= {key: decode(data) for key, data in (found.get("binaryData") or {}).items()}
    return choose(files, source.get("items"), optional, default_mode, "configmap references non-existent config key")


def choose(files: Mapping[str, bytes], items: Any, optional: bool, default_mode: int, missing: str) -> dict[str, File]:
    """All keys, or the listed ones at their paths."""
    if not items:
        return {key: File(data, default_mode) for key, data in files.items()}
    chosen = {}
    for item in items:
        data = files.get(item["key"])
        if data is None:
            if optional:
                continue
            raise VolumeError(f"{missing}: {item['key']}")
        chosen[item["path"]] = File(data, mode_of(item, default_mode))
    return chosen
