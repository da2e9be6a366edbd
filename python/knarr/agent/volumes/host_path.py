"""hostPath: a path of the node, checked or made by its type. Source: pkg/volume/hostpath/host_path.go."""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .base import VolumeError

_CHECKS: dict[str, tuple[Callable[[int], bool], str]] = {
    "Directory": (stat.S_ISDIR, "a directory"),
    "DirectoryOrCreate": (stat.S_ISDIR, "a directory"),
    "File": (stat.S_ISREG, "a file"),
    "FileOrCreate": (stat.S_ISREG, "a file"),
    "Socket": (stat.S_ISSOCK, "a socket file"),
    "CharDevice": (stat.S_ISCHR, "a character device"),
    "BlockDevice": (stat.S_ISBLK, "a block device"),
}


class HostPath:
    def __init__(self, spec: Mapping[str, Any]) -> None:
        self._kind = spec.get("type") or ""
        self.path = Path(spec["path"])

    async def setup(self) -> None:
        if not self._kind:
            return
        if self._kind not in _CHECKS:
            raise VolumeError(f"hostPath type check failed: unknown type {self._kind}")
        if not self.path.exists() and not self.path.is_symlink():
            if self._kind == "DirectoryOrCreate":
                self.path.mkdir(mode=0o755, parents=True)
            elif self._kind == "FileOrCreate":
                os.close(os.open(self.path, os.O_CREAT | os.O_WRONLY, 0o644))
        check, what = _CHECKS[self._kind]
        try:
            good = check(self.path.stat().st_mode)
        except FileNotFoundError:
            good = False
        if not good:
            raise VolumeError(f"hostPath type check failed: {self.path} is not {what}")

    def renew_at(self) -> float:
        return math.inf

    def usage_limit(self) -> int | None:
        return None
