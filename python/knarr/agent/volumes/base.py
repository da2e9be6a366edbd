"""What every volume has in common: the seam, the errors, ownership by fsGroup."""

from __future__ import annotations

import os
import stat
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from ..env import Sources


class VolumeError(Exception):
    """A volume cannot be set up: the message ends a FailedMount event."""


class File(NamedTuple):
    """Content, permission bits, and the user that owns it (None: root)."""

    data: bytes
    mode: int
    uid: int | None = None


class Token(NamedTuple):
    """A bound service-account token; renew_at in wall seconds."""

    value: str
    renew_at: float


TokenSource = Callable[[str, int], Awaitable[Token]]
"""(audience, expiration seconds) -> token of the pod's service account. Raises VolumeError."""


@dataclass(frozen=True)
class Context:
    """What a volume is made from. sources(): the objects as they are now. mounts: whether this process may mount."""

    pod: Mapping[str, Any]
    pod_dir: Path
    sources: Callable[[], Sources]
    token: TokenSource
    mounts: bool = True

    @property
    def fs_group(self) -> int | None:
        value = (self.pod["spec"].get("securityContext") or {}).get("fsGroup")
        return None if value is None else int(value)

    def directory(self, plugin: str, volume: str) -> Path:
        """kubelet's layout: tools look for volumes there."""
        return self.pod_dir / "volumes" / f"kubernetes.io~{plugin}" / volume


class Volume(Protocol):
    """One volume of one pod. `path` is what containers mount."""

    path: Path

    async def setup(self) -> None:
        """Make it, or bring it up to date: repeating it changes nothing. Raises VolumeError or OSError."""
        ...

    def renew_at(self) -> float:
        """Wall seconds at which `setup` has something new to do by itself; infinity: never."""
        ...

    def usage_limit(self) -> int | None:
        """Bytes the volume may hold on disk; None: unlimited, or limited by the kernel."""
        ...


def own(path: Path, gid: int | None, read_only: bool) -> None:
    """Give a tree to the fsGroup: group read (and write), set-group-id and search on folders. As SetVolumeOwnership."""
    if gid is None:
        return
    for base, _, files in os.walk(path):
        _own_one(Path(base), gid, read_only)
        for name in files:
            _own_one(Path(base) / name, gid, read_only)


def _own_one(path: Path, gid: int, read_only: bool) -> None:
    found = path.lstat()
    os.lchown(path, -1, gid)
    if stat.S_ISLNK(found.st_mode):
        return
    mask = 0o440 if read_only else 0o660
    if stat.S_ISDIR(found.st_mode):
        mask |= 0o110 | stat.S_ISGID
    os.chmod(path, stat.S_IMODE(found.st_mode) | mask)


def mode_of(item: Mapping[str, Any], default: int) -> int:
    mode = item.get("mode")
    return default if mode is None else int(mode)
