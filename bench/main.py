"""`python -m tools bench`: the figures of docs/benchmarks.md, peer and knarr side by side from one run.

Environment: KNARR_PEERS (folder of the peer's scripts kube-up.sh and rates.sh), PEERS (its binaries, in bin/),
KUBECTL. Without a peer knarr's own figures are printed, but for those that need the peer's load client. The machine
should do nothing else meanwhile.

As root all of it runs in a network namespace of its own; without root there are no containers to measure.
"""

from __future__ import annotations

import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import processes
from bench.cost import hook_cost
from bench.latency import ready_seconds
from bench.memory import bytes_per_pod, bytes_per_watch
from bench.rates import Rate, rates
from bench.report import Row, at_most, share, table, times
from bench.sides import Knarr, Peer, Side, Unavailable

PARTS = ("cost", "rates", "node", "memory")
# what is measured after a start has calmed down, and for how long
CALM_SECONDS, IDLE_SECONDS = 15, 20
STARTS = 3
# work, its line in rates.sh, the goals for rate and CPU
RATES = (
    ("create", "create", 2.5, 5),
    ("get", "get", 3.5, 10),
    ("list, per item", "list", 3, 12),
    ("status patch", "patch", 4, 8),
    ("lease update", "lease", 3, 8),
    ("watch, 200 watchers, per event", "watch", 1.5, 5),
)
MB = 1e6
# set in the environment of a bench that runs in a namespace of its own
ISOLATED = "KNARR_BENCH_ISOLATED"


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def sides(folder: Path) -> list[Callable[[], Side]]:
    """How to make each side that is at hand, the peer first. Says in one line why there is no peer."""
    made: list[Callable[[], Side]] = []
    try:
        Peer(folder / "probe")
        made.append(lambda: Peer(Path(tempfile.mkdtemp(prefix="peer-", dir=folder))))
    except Unavailable as reason:
        say(str(reason))
    made.append(lambda: Knarr(Path(tempfile.mkdtemp(prefix="knarr-", dir=folder)) / "data"))
    return made


@contextmanager
def running(make: Callable[[], Side], node: bool) -> Iterator[Side]:
    side = make()
    try:
        side.start(node)
        yield side
    finally:
        side.stop()


class Figures:
    """What was measured: a figure by name, for each side."""

    def __init__(self) -> None:
        self.values: dict[str, dict[str, float]] = {}
        self.notes: list[str] = []

    def put(self, name: str, side: Side, value: float) -> None:
        self.values.setdefault(name, {})[side.name] = value
        say(f"  {side.name}: {name} {value:,.2f}")

    def row(
        self, work: str, unit: str, name: str, goal: str = "", met: Callable[[float, float], bool] | None = None
    ) -> Row:
        found = self.values.get(name, {})
        return Row(work, unit, found.get(Peer.name), found.get(Knarr.name), goal, met)


def measure_rates(makers: list[Callable[[], Side]], figures: Figures) -> None:
    """Start from empty (several times), memory, and the table of rates, without a node that runs containers."""
    for make in makers:
        started: list[tuple[float, float]] = []
        for _ in range(STARTS - 1):
            with running(make, node=False) as side:
                started.append((side.ready_s, side.working_s))
        with running(make, node=False) as side:
            started.append((side.ready_s, side.working_s))
            figures.put("ready", side, processes.median([ready for ready, _ in started]))
            figures.put("working", side, processes.median([working for _, working in started]))
            kinds, resources = side.kinds()
            figures.notes.append(f"{side.name}: {kinds} kinds, {resources} resources; admission: {side.admission()}")
            time.sleep(CALM_SECONDS)
            figures.put("servers idle cpu", side, processes.idle_share(side.control(), IDLE_SECONDS) * 100)
            found: dict[str, Rate] = {}
            try:
                found = rates(side)
            except Unavailable as reason:
                say(str(reason))
            for name, rate in found.items():
                figures.put(f"{name} rate", side, rate.per_s)
                figures.put(f"{name} cpu", side, rate.server_us)
                if rate.errors or rate.reopened:
                    figures.notes.append(f"{side.name}: {name}: {rate.errors} errors, {rate.reopened} watches dropped")
            if found:
                figures.put("memory after", side, processes.settled_bytes(side.serving()) / MB)


def measure_node(makers: list[Callable[[], Side]], figures: Figures) -> None:
    """What needs real containers: the pod's way to Ready, and what is idle with a node."""
    for make in makers:
        try:
            with running(make, node=True) as side:
                time.sleep(CALM_SECONDS)
                for name, pids in (("servers", side.control()), ("node", side.node())):
                    for field in ("Rss", "Pss"):
                        figures.put(f"{name} {field}", side, processes.resident_bytes(pids, field) / MB)
                figures.put(
                    "node idle cpu", side, processes.idle_share(side.control() + side.node(), IDLE_SECONDS) * 100
                )
                figures.put("pod ready", side, ready_seconds(side))
        except Unavailable as reason:
            say(str(reason))


def measure_memory(makers: list[Callable[[], Side]], figures: Figures) -> None:
    """Stored pods and idle watches, of knarr: all processes together."""
    with running(makers[-1], node=False) as side:
        pids = side.control() + side.node()
        figures.put("watch bytes", side, bytes_per_watch(side, pids, 10_000))
        figures.put("pod bytes", side, bytes_per_pod(side, pids, 50_000))


def rows(figures: Figures) -> list[Row]:
    """The table of the issue, in its order."""
    f = figures
    found = [
        f.row("control plane ready from empty: /readyz", "s", "ready", "<= 1.0", at_most(1.0)),
        f.row("... until namespace default has its ServiceAccount", "s", "working"),
        f.row("pod: kubectl apply to Ready, median of 20", "s", "pod ready", "<= 0.4", at_most(0.4)),
        f.row("resident, idle: supervisor, server, controllers", "MB Pss", "servers Pss", "<= 120", at_most(120)),
        f.row("... each process's pages counted whole", "MB Rss", "servers Rss", "<= 120", at_most(120)),
        f.row("resident, idle: agent with proxy and DNS", "MB Pss", "node Pss", "<= 80", at_most(80)),
        f.row("... each process's pages counted whole", "MB Rss", "node Rss", "<= 80", at_most(80)),
        f.row("idle CPU: servers", "% of a core", "servers idle cpu", "<= 1", at_most(1)),
        f.row("idle CPU: with a node", "% of a core", "node idle cpu", "<= 2", at_most(2)),
    ]
    for work, name, rate, cpu in RATES:
        found.append(f.row(work, "/s", f"{name} rate", f"x{rate}", times(rate)))
        found.append(f.row(f"{work}: server CPU", "us", f"{name} cpu", f"1/{cpu}", share(cpu)))
    found += [
        f.row("watch, 1,000 watchers, per event", "/s", "watch1000 rate"),
        f.row("watch, 1,000 watchers: server CPU", "us", "watch1000 cpu"),
        f.row("server and store: memory after that work", "MB Pss", "memory after", "1/4", share(4)),
        f.row("a stored pod, all processes (50,000 pods)", "bytes", "pod bytes", "<= 8192", at_most(8192)),
        f.row("an idle watch, all processes (10,000)", "bytes", "watch bytes", "<= 4096", at_most(4096)),
        f.row("the floor: a fixed Pod, server CPU", "us", "floor us"),
        f.row("Pod create with one Python hook, server CPU", "us", "hooked us", "<= 150", at_most(150)),
        f.row("... in floors", "times", "hook times", "<= 15", at_most(15)),
    ]
    return [row for row in found if row.knarr is not None or row.peer is not None]


def machine() -> str:
    with open("/proc/cpuinfo") as file:
        model = next(
            (line.partition(":")[2].strip() for line in file if line.startswith("model name")), platform.machine()
        )
    with open("/proc/meminfo") as file:
        gib = int(file.readline().split()[1]) / (1 << 20)
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} cores ({model}), {gib:.0f} GiB, Linux {platform.release()}, load {load:.1f} at the start"


def isolate(parts: list[str]) -> None:
    """Run again in a network namespace of its own, so that no other cluster on this machine is met (a kubelet's port,
    the rules of Services). Does not return. Raises OSError where it cannot be made."""
    script = (
        "ip link set lo up && ip link add bench0 type bridge && ip addr add 192.0.2.77/24 dev bench0 && "
        'ip link set bench0 up && ip route add default via 192.0.2.1 && exec "$@"'
    )
    command = ["unshare", "--net", "sh", "-c", script, "sh", sys.executable, "-m", "tools", "bench", *parts]
    os.execvpe(command[0], command, os.environ | {ISOLATED: "1"})


def main(parts: list[str]) -> int:
    """Run the parts named, all where none is; print the table. Returns the exit code."""
    if os.geteuid() == 0 and ISOLATED not in os.environ:
        isolate(parts)
    # what was started is stopped, however this ends
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    say(machine())
    head, figures = machine(), Figures()
    with tempfile.TemporaryDirectory(prefix="knarr-bench-", ignore_cleanup_errors=True) as folder:
        makers = sides(Path(folder))
        for part in parts or PARTS:
            say(f"measuring: {part}")
            if part == "cost":
                cost, knarr = hook_cost(Path(folder)), Knarr(Path(folder) / "none")
                figures.put("floor us", knarr, cost.floor_us)
                figures.put("hooked us", knarr, cost.hooked_us)
                figures.put("hook times", knarr, cost.times)
            elif part == "rates":
                measure_rates(makers, figures)
            elif part == "node":
                measure_node(makers, figures)
            else:
                measure_memory(makers, figures)
    print(f"{time.strftime('%Y-%m-%d')}, {head}\n\n{table(rows(figures))}\n")
    for note in figures.notes:
        print(note)
    return 0
