"""Files that change all at once: readers see the old set or the new one, never a mixture.

    VOLUME/..2026_11_23_20_15_00.123456789/key     the files of one version
    VOLUME/..data -> ..2026_11_23_20_15_00.123456789   replaced by rename(2): the moment of change
    VOLUME/key -> ..data/key                       what containers open

Kubernetes' layout (pkg/volume/util/atomic_writer.go): programs watch `..data`.
"""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from .base import File, VolumeError

DATA = "..data"
NAME_BYTES_MAX = 255


def check_paths(payload: Mapping[str, File]) -> None:
    """Raises VolumeError for a path that leaves the volume or hides the writer's own names."""
    for path in payload:
        parts = path.split("/")
        if path.startswith("/") or ".." in parts or not path or path.startswith(".."):
            raise VolumeError(f"invalid path: {path!r} must be relative and not contain '..'")
        if any(len(os.fsencode(part)) > NAME_BYTES_MAX for part in parts):
            raise VolumeError(f"invalid path: {path!r} has a part longer than {NAME_BYTES_MAX} bytes")


def write(folder: Path, payload: Mapping[str, File], prepare: Callable[[Path], None]) -> bool:
    """Make the folder show exactly these files. prepare: called with the new version before it is shown.

    Returns whether anything changed. Raises VolumeError, OSError.
    """
    check_paths(payload)
    old = _current(folder)
    if old is not None and _same(old, payload):
        return False
    stamp = time.time_ns()
    moment = time.strftime("%Y_%m_%d_%H_%M_%S", time.gmtime(stamp // 1_000_000_000))
    version = folder / f"..{moment}.{stamp % 1_000_000_000:09d}"
    version.mkdir(mode=0o755)
    version.chmod(0o755)
    try:
        for path, file in payload.items():
            target = version / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.data)
            # Written mode bits pass no umask.
            target.chmod(file.mode)
            if file.uid is not None:
                os.chown(target, file.uid, -1)
        prepare(version)
        fresh = folder / "..data_tmp"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(version.name)
        fresh.replace(folder / DATA)
    except BaseException:
        shutil.rmtree(version, ignore_errors=True)
        raise
    wanted = {path.split("/", 1)[0] for path in payload}
    for name in wanted:
        link = folder / name
        if not link.is_symlink():
            link.symlink_to(f"{DATA}/{name}")
    for entry in os.listdir(folder):
        if not entry.startswith("..") and entry not in wanted:
            (folder / entry).unlink()
        elif entry.startswith("..") and entry not in (DATA, version.name):
            shutil.rmtree(folder / entry, ignore_errors=True)
    return True


def _current(folder: Path) -> Path | None:
    try:
        return folder / os.readlink(folder / DATA)
    except FileNotFoundError:
        return None


def _same(version: Path, payload: Mapping[str, File]) -> bool:
    found: set[str] = set()
    for base, _, files in os.walk(version):
        for name in files:
            path = Path(base) / name
            file = payload.get(str(path.relative_to(version)))
            if file is None or path.read_bytes() != file.data:
                return False
            # An fsGroup may have added bits; those that were asked for must all be there.
            if stat.S_IMODE(path.stat().st_mode) & file.mode != file.mode:
                return False
            found.add(str(path.relative_to(version)))
    return found == set(payload)
