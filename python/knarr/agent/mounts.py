"""mount(2), umount2(2) and the mount table, without a process each."""

from __future__ import annotations

import ctypes
import os
import re
from pathlib import Path

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_REC, MS_PRIVATE, MS_SHARED = 4096, 16384, 1 << 18, 1 << 20
MNT_DETACH, UMOUNT_NOFOLLOW = 2, 8

OVERMOUNTS_MAX = 8

_libc = ctypes.CDLL(None, use_errno=True)
_OCTAL = re.compile(r"\\([0-7]{3})")


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """Raises OSError."""
    arguments = (os.fsencode(source), os.fsencode(target), kind.encode() or None, flags, data.encode() or None)
    if _libc.mount(arguments[0], arguments[1], arguments[2], ctypes.c_ulong(flags), arguments[4]) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), target)


def unmount(target: str) -> None:
    """Lazily: a busy mount vanishes from the tree now and from memory when the last user leaves. Raises OSError."""
    if _libc.umount2(os.fsencode(target), MNT_DETACH | UMOUNT_NOFOLLOW) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), target)


def mount_points(below: Path) -> list[str]:
    """Mount points at or below a folder, the deepest first."""
    prefix = str(below.resolve())
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = _OCTAL.sub(lambda m: chr(int(m.group(1), 8)), line.split()[4])
        if point == prefix or point.startswith(prefix.rstrip("/") + "/"):
            found.append(point)
    return found[::-1] if found == sorted(found) else sorted(found, key=len, reverse=True)


def unmount_below(folder: Path) -> None:
    """Unmount everything at or below a folder, however often it is mounted over. Raises OSError."""
    for _ in range(OVERMOUNTS_MAX):
        points = mount_points(folder)
        if not points:
            return
        for point in points:
            unmount(point)
    # Whoever removes the tree next must not reach through a mount into what is somebody else's.
    if points := mount_points(folder):
        raise OSError(f"still mounted: {', '.join(points)}")
