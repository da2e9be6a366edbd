"""Processes that outlive their starter: identity beyond the pid, and waiting for those that are no children."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """pid and start time (clock ticks since boot): a pid that was given to another process is not it."""

    pid: int
    started: int

    @staticmethod
    def of(pid: int) -> Process | None:
        """The live process of that pid; None when there is none or it is a zombie."""
        try:
            text = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return None
        fields = text[text.rindex(")") + 2 :].split()
        return None if fields[0] in "ZX" else Process(pid, int(fields[19]))

    def alive(self) -> bool:
        return Process.of(self.pid) == self

    def signal(self, number: signal.Signals) -> None:
        """Does nothing when the process has ended."""
        if self.alive():
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return

    async def ended(self) -> None:
        """Return when it has ended; reaps it when it is a child of ours."""
        try:
            fd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            if not self.alive():
                return
            loop = asyncio.get_running_loop()
            done: asyncio.Future[None] = loop.create_future()
            loop.add_reader(fd, _resolve, done)
            try:
                await done
            finally:
                loop.remove_reader(fd)
        finally:
            os.close(fd)
            self.reap()

    def reap(self) -> None:
        try:
            os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            return

    async def stop(self, grace_seconds: float) -> None:
        """SIGTERM, then SIGKILL after the grace period; returns when it has ended."""
        self.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace_seconds):
                await self.ended()
        except TimeoutError:
            self.signal(signal.SIGKILL)
            await self.ended()


def running(*arguments: bytes) -> list[Process]:
    """The processes with these arguments, in this order, in their command lines; the oldest first."""
    wanted = b"\0" + b"\0".join(arguments) + b"\0"
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        process = Process.of(int(folder.name))
        try:
            if process is not None and wanted in (folder / "cmdline").read_bytes():
                found.append(process)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return sorted(found, key=lambda process: process.started)


def _resolve(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)
