"""Processes as this machine shows them: told apart by pid and start time, waited for by pidfd, whoever's children they
are.

A pid alone is no name: it is used again. Together with the start time (clock ticks since boot, /proc/PID/stat field 22)
it is, so that nothing is ever signalled that we did not start. Source: proc(5), pidfd_open(2).
"""

from __future__ import annotations

import errno
import os
import select
import signal
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Process:
    """One process of ours. started: clock ticks since boot."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> Process | None:
        """The process that has this pid now, or None."""
        fields = stat_fields(pid)
        return cls(pid, int(fields[19])) if fields and fields[0] != "Z" else None

    @classmethod
    def from_json(cls, value: Any) -> Process | None:
        """The process that a state file names, if it still lives."""
        try:
            named = cls(int(value["pid"]), int(value["started"]))
        except (KeyError, TypeError, ValueError):
            return None
        return named if cls.of(named.pid) == named else None

    def to_json(self) -> dict[str, int]:
        return {"pid": self.pid, "started": self.started}

    def alive(self) -> bool:
        return Process.of(self.pid) == self

    def signal(self, number: int) -> None:
        """Send a signal to exactly this process; nothing happens where it has ended."""
        descriptor = self.open()
        if descriptor is None:
            return
        try:
            signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            return
        finally:
            os.close(descriptor)

    def open(self) -> int | None:
        """A pidfd, readable once the process ends; None where it has ended. The caller closes it."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except OSError as cause:
            if cause.errno in (errno.ESRCH, errno.EINVAL):
                return None
            raise
        if not self.alive():
            os.close(descriptor)
            return None
        return descriptor

    def wait(self, seconds: float) -> bool:
        """Whether the process ended within `seconds`."""
        descriptor = self.open()
        if descriptor is None:
            return True
        try:
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            return bool(poll.poll(seconds * 1000))
        finally:
            os.close(descriptor)

    def end(self, grace_seconds: float) -> None:
        """SIGTERM, and SIGKILL to what is left after `grace_seconds`."""
        self.signal(signal.SIGTERM)
        if not self.wait(grace_seconds):
            self.signal(signal.SIGKILL)
            self.wait(5)

    def resident_bytes(self) -> int:
        """Memory of the process alone: its proportional share of what it has in common with others (smaps_rollup,
        Pss)."""
        try:
            with open(f"/proc/{self.pid}/smaps_rollup") as file:
                for line in file:
                    if line.startswith("Pss:"):
                        return int(line.split()[1]) * 1024
        except OSError:
            return 0
        return 0

    def has_environment(self, name: str) -> bool:
        """Whether it was started with this variable."""
        try:
            with open(f"/proc/{self.pid}/environ", "rb") as file:
                return any(each.startswith(os.fsencode(f"{name}=")) for each in file.read().split(b"\0"))
        except OSError:
            return False

    def cpu_seconds(self) -> float:
        """User and system time used so far."""
        fields = stat_fields(self.pid)
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") if fields else 0.0


def stat_fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third (state) on; empty where there is no such process."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            text = file.read()
    except OSError:
        return []
    return text[text.rindex(")") + 2 :].split()
