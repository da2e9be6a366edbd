"""subPath: a part of a volume, pinned by a bind mount so that the volume's owner cannot lead it elsewhere afterwards.

The path is opened one component at a time without following links, below the volume only (openat2-like, by hand: the
C library here has no wrapper), and what was opened is bound: a link swapped in later changes nothing.
Source: pkg/volume/util/subpath/subpath_linux.go.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from .. import mounts
from .base import VolumeError


def resolve(volume: Path, path: str) -> Path:
    """Where subPath leads, links inside the volume followed. Raises VolumeError when that is outside."""
    base = volume.resolve()
    target = (base / path).resolve()
    if not target.is_relative_to(base):
        raise VolumeError(f"subpath {path!r} not within volume path {volume}")
    return target


def make(volume: Path, target: Path) -> None:
    """Make missing folders, with the volume's own permission bits. Raises VolumeError, OSError."""
    base = volume.resolve()
    found = base.stat()
    folder = base
    for part in target.relative_to(base).parts:
        folder = folder / part
        if folder.is_symlink():
            raise VolumeError(f"subpath {folder} became a link")
        if not folder.exists():
            folder.mkdir()
            os.chown(folder, -1, found.st_gid)
            folder.chmod(stat.S_IMODE(found.st_mode))


def open_below(base: Path, target: Path) -> int:
    """A descriptor (O_PATH) of target, no link followed on the way from base. Raises OSError."""
    descriptor = os.open(base, os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY)
    try:
        for part in target.relative_to(base).parts:
            inner = os.open(part, os.O_PATH | os.O_NOFOLLOW, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
            if stat.S_ISLNK(os.fstat(descriptor).st_mode):
                raise OSError(f"{target} has a link in it")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def bind(volume: Path, path: str, place: Path) -> Path:
    """Bind VOLUME/path to `place` and return it. Repeating it is harmless. Raises VolumeError, OSError.

    What is bound there since an earlier start of the container stays only while the path leads to it: an object's files
    are new ones when it changes, and the old ones are deleted.
    """
    target = resolve(volume, path)
    if not target.exists():
        make(volume, target)
    if mounts.mount_points(place):
        if place.samefile(target):
            return place
        mounts.unmount_below(place)
    if place.is_dir():
        place.rmdir()
    else:
        place.unlink(missing_ok=True)
    descriptor = open_below(volume.resolve(), target)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            place.mkdir()
        else:
            place.touch()
        mounts.mount(f"/proc/self/fd/{descriptor}", str(place), flags=mounts.MS_BIND | mounts.MS_REC)
    finally:
        os.close(descriptor)
    return place
