"""What one Pod's create costs the server in CPU, beside the floor: the same requests, the same client, in turn."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench import objects, processes
from bench.http2 import Connection
from bench.servers import Composed, Floor

ROUNDS = 3
CREATES = 2000
IN_FLIGHT = 32
# a noisy neighbour can spoil all rounds of one attempt
ATTEMPTS_MAX = 3


@dataclass(frozen=True)
class Cost:
    """CPU microseconds of the server process for each request."""

    floor_us: float
    plain_us: float
    hooked_us: float

    @property
    def times(self) -> float:
        return self.hooked_us / self.floor_us


def hook_cost(folder: Path) -> Cost:
    """Measure all three. Raises AssertionError where a request fails or the hook is not asked."""
    least: dict[str, float] = {}
    with (
        Composed(folder / "plain", "127.0.0.23") as plain,
        Composed(folder / "hooked", "127.0.0.24") as hooked,
        Floor() as floor,
    ):
        assert hooked.ask("hook") == "hooked"
        clients = {"floor": floor.connect(), "plain": plain.connect(), "hooked": hooked.connect()}
        for name in ("plain", "hooked"):
            for each in (objects.create_namespace(), objects.service_account()):
                code, body = clients[name].request(each.method, each.path, each.body)
                assert code == 201, body
        pids = {"floor": floor.pid, "plain": plain.pid, "hooked": hooked.pid}
        for turn in range(ROUNDS + 1):
            for name, client in clients.items():
                cost = measure(client, pids[name], f"t{turn}")
                if turn:  # the first warms up
                    least[name] = min(least.get(name, cost), cost)
        made = int(hooked.ask("rows"))
        assert made == CREATES * (ROUNDS + 1), f"the hook was asked {made} times"
        for client in clients.values():
            client.close()
    return Cost(least["floor"], least["plain"], least["hooked"])


def measure(client: Connection, pid: int, prefix: str) -> float:
    before = processes.cpu_precise(pid)
    outcome = client.many((objects.create_pod(number, prefix) for number in range(CREATES)), IN_FLIGHT)
    assert not outcome.failed, outcome.first_error
    return (processes.cpu_precise(pid) - before) / CREATES * 1e6
