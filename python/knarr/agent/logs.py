"""Container logs: the CRI's files read as kubectl asks for them, and rotated.

    2026-11-23T20:15:00.123456789Z stdout F the line        F: whole line, P: part of one that is too long

Source: pkg/kubelet/kuberuntime/logs/logs.go, pkg/kubelet/logs/container_log_manager.go.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import os
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

log = logging.getLogger(__name__)

BLOCK_BYTES = 64 << 10
FOLLOW_SECONDS = 0.1
"""How often a followed file is looked at: a stat(2)."""
_FRACTION_DIGITS = 9


@dataclass(frozen=True)
class LogOptions:
    """since: RFC 3339 text that line times are compared with, or "". tail, limit_bytes: None for all."""

    follow: bool = False
    timestamps: bool = False
    tail: int | None = None
    since: str = ""
    limit_bytes: int | None = None

    @staticmethod
    def parse(query: Mapping[str, str], now: float) -> LogOptions:
        """From the query of /containerLogs. Raises ValueError with what is wrong."""

        def number(name: str, least: int) -> int | None:
            if name not in query:
                return None
            value = int(query[name])
            if value < least:
                raise ValueError(f"{name}: must be greater than or equal to {least}")
            return value

        since = ""
        if (seconds := number("sinceSeconds", 1)) is not None:
            since = normal_time(now - seconds)
        elif query.get("sinceTime"):
            since = normal_time(datetime.fromisoformat(query["sinceTime"].replace("Z", "+00:00")).timestamp())
        return LogOptions(
            follow=query.get("follow", "") in ("true", "1"),
            timestamps=query.get("timestamps", "") in ("true", "1"),
            tail=number("tailLines", 0),
            since=since,
            limit_bytes=number("limitBytes", 1),
        )


def normal_time(wall: float) -> str:
    """Wall seconds as the CRI writes them, in UTC: such texts compare as times."""
    whole, fraction = divmod(round(wall * 1e9), 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{fraction:09d}Z"


def _utc(stamp: bytes) -> str:
    """A line's time in that form; lines in another zone are converted."""
    text = stamp.decode(errors="replace")
    if text.endswith("Z"):
        head, dot, fraction = text[:-1].partition(".")
        return f"{head}.{fraction.ljust(_FRACTION_DIGITS, '0') if dot else '0' * _FRACTION_DIGITS}Z"
    try:
        return normal_time(datetime.fromisoformat(text[:26] + text[-6:]).timestamp())
    except ValueError:
        return text


def parse_line(line: bytes) -> tuple[bytes, bytes] | None:
    """(time, content with its newline unless it is a part); None for what is no CRI line."""
    parts = line.rstrip(b"\n").split(b" ", 3)
    if len(parts) < 3 or parts[1] not in (b"stdout", b"stderr"):
        return None
    content = parts[3] if len(parts) == 4 else b""
    partial = parts[2].split(b":", 1)[0] == b"P"
    return parts[0], content if partial else content + b"\n"


def tail_offset(file: BinaryIO, lines: int, end: int | None = None) -> int:
    """Where the last `lines` whole lines begin. Parts of a line count as lines, as in kubelet.

    end: where the log ends for this answer; None: where it ends now.
    """
    if end is None:
        end = file.seek(0, os.SEEK_END)
    if lines == 0:
        return end
    position, found = end, 0
    while position > 0:
        start = max(position - BLOCK_BYTES, 0)
        file.seek(start)
        block = file.read(position - start)
        index = len(block)
        while (index := block.rfind(b"\n", 0, index)) >= 0:
            # The newline that ends the last line begins no other.
            if start + index + 1 != end:
                found += 1
                if found == lines:
                    return start + index + 1
        position = start
    return 0


def last_lines(path: Path, lines: int) -> list[bytes]:
    """Contents of the last lines. Raises OSError."""
    with path.open("rb") as file:
        file.seek(tail_offset(file, lines))
        return [parsed[1] for line in file if (parsed := parse_line(line)) is not None]


class _Cut:
    """Turns lines into what is answered: times, since, limit."""

    def __init__(self, options: LogOptions) -> None:
        self._options = options
        self._left = options.limit_bytes
        self.full = False
        self._line_start = True

    def take(self, lines: Iterator[bytes]) -> bytes:
        out = bytearray()
        for line in lines:
            parsed = parse_line(line)
            if parsed is None:
                continue
            stamp, content = parsed
            if self._options.since and _utc(stamp) < self._options.since:
                continue
            if self._options.timestamps and self._line_start:
                content = stamp + b" " + content
            self._line_start = content.endswith(b"\n")
            out += content
            if self._left is not None and len(out) >= self._left:
                self.full = True
                return bytes(out[: self._left])
        if self._left is not None:
            self._left -= len(out)
        return bytes(out)


async def read(path: Path, options: LogOptions, running: Callable[[], Awaitable[bool]]) -> AsyncIterator[bytes]:
    """Chunks of the answer. running(): whether the container still writes. Raises FileNotFoundError."""
    cut = _Cut(options)
    file: BinaryIO = path.open("rb")
    try:
        # without follow the answer is the log as it was when asked for: what is written meanwhile has no part in it
        whole = os.fstat(file.fileno()).st_size
        file.seek(0 if options.tail is None else tail_offset(file, options.tail, whole))
        rest = b""
        idle = 0
        while True:
            # Asked before the read: what was written before it ended is still read.
            alive = await running() if options.follow and idle % 10 == 0 else options.follow
            block = file.read(BLOCK_BYTES if options.follow else min(BLOCK_BYTES, whole - file.tell()))
            if block:
                idle = 0
                lines = (rest + block).splitlines(keepends=True)
                rest = b"" if lines[-1].endswith(b"\n") else lines.pop()
                if chunk := cut.take(iter(lines)):
                    yield chunk
                if cut.full:
                    return
                continue
            if not alive:
                return
            idle += 1
            replaced = _replaced(path, file)
            if replaced is not None:
                file.close()
                file, rest = replaced, b""
                continue
            await asyncio.sleep(FOLLOW_SECONDS)
    finally:
        file.close()


def _replaced(path: Path, file: BinaryIO) -> BinaryIO | None:
    """The file that has the name now, when it is another one (rotation)."""
    try:
        if os.stat(path).st_ino == os.fstat(file.fileno()).st_ino:
            return None
        return path.open("rb")
    except FileNotFoundError:
        return None


def rotate(path: Path, max_files: int, now: float) -> None:
    """Set the log aside; the runtime is to be asked to open it anew. Older ones are compressed, the oldest removed."""
    for rotated in sorted(path.parent.glob(f"{path.name}.*")):
        if not rotated.name.endswith(".gz"):
            _compress(rotated)
    kept = sorted(path.parent.glob(f"{path.name}.*"))
    # The log itself and the one set aside now count too.
    for old in kept[: max(len(kept) - (max_files - 2), 0)]:
        old.unlink()
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now))
    path.rename(path.with_name(f"{path.name}.{stamp}"))


def _compress(path: Path) -> None:
    scratch = path.with_name(path.name + ".tmp")
    with path.open("rb") as source, gzip.open(scratch, "wb", compresslevel=6) as target:
        shutil.copyfileobj(source, target)
    scratch.rename(path.with_name(path.name + ".gz"))
    path.unlink()
