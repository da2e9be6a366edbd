"""secret: each key a file, in memory only (tmpfs). Source: pkg/volume/secret/secret.go, MakePayload."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..env import Sources, decode
from .base import File, VolumeError
from .config_map import choose


def payload(source: Mapping[str, Any], sources: Sources, default_mode: int) -> dict[str, File]:
    """source: secretName (or name, in projected volumes), items, optional. Raises VolumeError."""
    name = source.get("secretName") or source.get("name", "")
    found = sources.secrets.get(name)
    optional = bool(source.get("optional"))
    if found is None:
        if optional:
            return {}
        raise VolumeError(f'secret "{name}" not found')
    files = {key: decode(data) for key, data in (found.get("data") or {}).items()}
    return choose(files, source.get("items"), optional, default_mode, "references non-existent secret key")
