"""What processes cost: CPU time and resident memory, threads and live children included. Source: proc(5)."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterable, Sequence

TICKS = os.sysconf("SC_CLK_TCK")


def children(pid: int) -> list[int]:
    """Direct children of a process, of all its threads."""
    found = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as file:
                found += [int(each) for each in file.read().split()]
    except OSError:
        return found
    return found


def with_children(pids: Iterable[int]) -> list[int]:
    """The processes and all below them, each once."""
    found: dict[int, None] = {}
    todo = list(pids)
    while todo:
        pid = todo.pop()
        if pid not in found:
            found[pid] = None
            todo += children(pid)
    return list(found)


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time used so far, in steps of a clock tick (10 ms)."""
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            continue
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def cpu_precise(pid: int) -> float:
    """CPU seconds of one process by the scheduler's account, in nanosecond steps; threads that ended are not in it."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/schedstat") as file:
                total += int(file.read().split()[0])
        except OSError:
            continue
    return total / 1e9


def resident_bytes(pids: Iterable[int], field: str = "Pss") -> int:
    """Resident memory (smaps_rollup). Pss: pages shared with other processes count in parts; Rss: whole."""
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup") as file:
                total += next((int(line.split()[1]) for line in file if line.startswith(f"{field}:")), 0)
        except OSError:
            continue
    return total * 1024


def settled_bytes(pids: Sequence[int], seconds: float = 30.0) -> int:
    """Resident memory once it stays: less than 1 % of change within two seconds, or after `seconds`."""
    end = time.monotonic() + seconds
    last = resident_bytes(pids)
    while time.monotonic() < end:
        time.sleep(2)
        now = resident_bytes(pids)
        if abs(now - last) <= last // 100:
            return now
        last = now
    return last


def idle_share(pids: Sequence[int], seconds: float) -> float:
    """CPU of one core that is used over a while, 0.01 being one percent."""
    before, begin = cpu_seconds(pids), time.monotonic()
    time.sleep(seconds)
    return (cpu_seconds(pids) - before) / (time.monotonic() - begin)


def command_of(pid: int) -> list[str]:
    """The command line of a process; empty where it has ended."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return [os.fsdecode(each) for each in file.read().split(b"\0")[:-1]]
    except OSError:
        return []


def median(values: Iterable[float]) -> float:
    return statistics.median(values)
