"""The volumes whose content comes from objects: configMap, secret, downwardAPI, projected, written atomically."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import mounts
from . import atomic, config_map, downward_api, projected, secret
from .base import Context, File, own

PLUGINS = {"configMap": "configmap", "secret": "secret", "downwardAPI": "downward-api", "projected": "projected"}
MODE = 0o644


class FilesVolume:
    """kind: a key of PLUGINS; spec: that part of the volume."""

    def __init__(self, kind: str, name: str, spec: Mapping[str, Any], context: Context) -> None:
        self._kind, self._spec, self._context = kind, spec, context
        self.path: Path = context.directory(PLUGINS[kind], name)
        self._renew_at = math.inf

    async def setup(self) -> None:
        mode = self._spec.get("defaultMode")
        files, self._renew_at = await self._payload(MODE if mode is None else int(mode))
        atomic.check_paths(files)
        self._make()
        atomic.write(self.path, files, lambda version: own(version, self._context.fs_group, read_only=True))

    def _make(self) -> None:
        # Secrets never reach a disk.
        in_memory = self._kind in ("secret", "projected") and self._context.mounts
        # A folder alone is what a mount that failed left.
        if self.path.is_mount() if in_memory else self.path.is_dir():
            return
        self.path.mkdir(parents=True, exist_ok=True)
        if in_memory:
            mounts.mount("tmpfs", str(self.path), "tmpfs", data="mode=0755")
        self.path.chmod(0o777)
        own(self.path, self._context.fs_group, read_only=True)

    async def _payload(self, mode: int) -> tuple[dict[str, File], float]:
        if self._kind == "projected":
            return await projected.payload(self._spec, self._context, mode)
        sources = self._context.sources()
        if self._kind == "configMap":
            return config_map.payload(self._spec, sources, mode), math.inf
        if self._kind == "secret":
            return secret.payload(self._spec, sources, mode), math.inf
        return downward_api.payload(self._spec, self._context.pod, sources, mode), math.inf

    def renew_at(self) -> float:
        return self._renew_at

    def usage_limit(self) -> int | None:
        return None
