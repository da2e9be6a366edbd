"""Volumes of one pod: set up, kept up to date, unmounted.

Knows the pod's spec and the objects it reads, as values. Never knows the API or the runtime. One kind of volume is one
file; `PodVolumes` is all that the pod's worker sees.
"""

from __future__ import annotations

import asyncio
import math
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import mounts
from ..env import ConfigError, Sources
from ..podspec import subpath as wanted_subpath
from ..runtime import Mount
from . import subpath
from .base import Context, File, Token, TokenSource, Volume, VolumeError
from .empty_dir import EmptyDir
from .files import PLUGINS, FilesVolume
from .host_path import HostPath

__all__ = ["Context", "File", "PodVolumes", "Token", "TokenSource", "VolumeError"]


def make(volume: Mapping[str, Any], context: Context) -> Volume:
    """Raises VolumeError for a kind of volume this agent does not have."""
    name = volume["name"]
    for kind in PLUGINS:
        if kind in volume:
            return FilesVolume(kind, name, volume[kind] or {}, context)
    if "hostPath" in volume:
        return HostPath(volume["hostPath"])
    if "emptyDir" in volume or len(volume) == 1:
        return EmptyDir(name, volume.get("emptyDir") or {}, context)
    raise VolumeError(f"no volume plugin matched: {', '.join(k for k in volume if k != 'name')}")


class PodVolumes:
    """All volumes of a pod. The context's pod may be replaced (its labels change) by `update`."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._volumes: dict[str, Volume] = {}

    def update(self, context: Context) -> None:
        """Another revision of the same pod: volumes are looked at anew by the next setup."""
        self._context = context
        self._volumes = {}

    async def setup(self) -> dict[str, str]:
        """Make or refresh every volume at once. Returns error messages by volume name; empty: all are ready."""
        spec = self._context.pod["spec"].get("volumes") or ()

        async def one(volume: Mapping[str, Any]) -> str | None:
            name = volume["name"]
            try:
                if name not in self._volumes:
                    self._volumes[name] = make(volume, self._context)
                await self._volumes[name].setup()
            except (VolumeError, OSError) as error:
                return str(error)
            return None

        results = await asyncio.gather(*(one(volume) for volume in spec))
        return {v["name"]: error for v, error in zip(spec, results, strict=True) if error is not None}

    def renew_at(self) -> float:
        return min((v.renew_at() for v in self._volumes.values()), default=math.inf)

    def over_limit(self) -> tuple[str, str] | None:
        """(volume, its limit) of an emptyDir that outgrew its sizeLimit. Walks the folders: not for every moment."""
        for volume in self._context.pod["spec"].get("volumes") or ():
            made = self._volumes.get(volume["name"])
            limit = made.usage_limit() if made is not None else None
            if made is not None and limit is not None and disk_usage(made.path) > limit:
                return volume["name"], volume["emptyDir"]["sizeLimit"]
        return None

    def limited(self) -> bool:
        return any(v.usage_limit() is not None for v in self._volumes.values())

    def container_mounts(self, container: Mapping[str, Any], sources: Sources) -> tuple[Mount, ...]:
        """The volumes' mounts of a container. Raises ConfigError."""
        made = []
        for index, mount in enumerate(container.get("volumeMounts") or ()):
            volume = self._volumes.get(mount["name"])
            if volume is None:
                raise ConfigError(f'cannot find volume "{mount["name"]}" to mount into container "{container["name"]}"')
            host = volume.path
            part = wanted_subpath(self._context.pod, container, mount, sources)
            if part:
                place = self._context.pod_dir / "volume-subpaths" / mount["name"] / container["name"] / str(index)
                try:
                    host = subpath.bind(volume.path, part, place) if self._context.mounts else volume.path / part
                except (VolumeError, OSError) as error:
                    where = f'volumeMount "{mount["name"]}" of container "{container["name"]}"'
                    raise ConfigError(f"failed to prepare subPath for {where}: {error}") from None
            path = mount["mountPath"]
            made.append(
                Mount(
                    container_path=path if path.startswith("/") else "/" + path,
                    host_path=str(host),
                    readonly=bool(mount.get("readOnly")),
                    propagation=mount.get("mountPropagation") or "None",
                )
            )
        return tuple(made)


def teardown(pod_dir: Path, may_mount: bool = True) -> None:
    """Unmount and remove everything of a pod's folder. Raises OSError when something stays mounted."""
    if not pod_dir.exists():
        return
    if may_mount:
        mounts.unmount_below(pod_dir)
    shutil.rmtree(pod_dir)


def disk_usage(folder: Path) -> int:
    """Bytes on disk of a tree, as du. What vanishes while it is counted does not count."""
    total, pending = 0, [str(folder)]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
        except FileNotFoundError:
            continue
    return total
