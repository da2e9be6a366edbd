"""Paths with limits: unix sockets, files written at once."""

from __future__ import annotations

import os
from pathlib import Path

SOCKET_PATH_BYTES_MAX = 104
"""sun_path is 108 bytes with its NUL, but containerd refuses paths of more than 104 on every system."""


def short_id(*parts: str) -> str:
    """Ten hexadecimal digits that stand for the parts; equal parts, equal digits."""
    import hashlib  # loads OpenSSL, some 4 MB: not in a process that stays and needs no digest

    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:10]


def socket_dir(preferred: Path, longest_name: str, fallback: Path) -> Path:
    """`preferred` where a socket named `longest_name` fits in it, else a short folder below `fallback`."""
    if len(os.fsencode(preferred / longest_name)) <= SOCKET_PATH_BYTES_MAX:
        return preferred
    return fallback / f"knarr-{short_id(str(preferred))}"


def write_atomic(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Replace the file's content in one step; readers see the old or the new bytes."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(data)
    os.replace(scratch, path)
