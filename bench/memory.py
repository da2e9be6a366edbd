"""What stored pods and idle watches cost in resident memory, by the slope between two sizes: what is there anyway
falls out."""

from __future__ import annotations

from collections.abc import Sequence

from bench import objects, processes
from bench.http2 import Connection, Request
from bench.sides import Side

IN_FLIGHT = 64
# a server allows this many streams on a connection, and a little less is asked of it
WATCHES_PER_CONNECTION = 200


def bytes_per_pod(side: Side, pids: Sequence[int], pods: int, warm: int = 2000) -> float:
    """Resident growth of `pids` for each of `pods` more pods. The first `warm` ones are not counted. Raises
    AssertionError where a create fails."""
    with Connection(side.address, side.port, side.pki) as client:
        prepare(client)
        create(client, 0, warm)
        before = processes.settled_bytes(pids)
        create(client, warm, warm + pods)
        return (processes.settled_bytes(pids) - before) / pods


def bytes_per_watch(side: Side, pids: Sequence[int], watches: int, warm: int = 400) -> float:
    """Resident growth for each of `watches` more idle watches; then each of them is shown to be alive by one event.
    Raises AssertionError where one is not."""
    path = f"/api/v1/namespaces/{objects.NAMESPACE}/configmaps"
    connections: list[Connection] = []
    alive = [0]

    def count(data: bytes) -> None:
        alive[0] += data.count(b"\n")

    def hold(number: int) -> None:
        for index in range(number):
            if index % WATCHES_PER_CONNECTION == 0:
                connections.append(Connection(side.address, side.port, side.pki))
            # as informers do, with a selector: each is a watcher of its own
            connections[-1].start(
                Request("GET", f"{path}?watch=1&labelSelector=run%3Dbench&resourceVersion={revision}"), count
            )
            if index % 50 == 49:
                while any(not stream.status for stream in connections[-1].streams.values()):
                    connections[-1].receive()

    with Connection(side.address, side.port, side.pki) as client:
        prepare(client)
        code, body = client.request("GET", f"{path}?limit=1")
        assert code == 200, body
        revision = body.split(b'"resourceVersion":"', 1)[1].split(b'"', 1)[0].decode()
        try:
            hold(warm)
            before = processes.settled_bytes(pids)
            hold(watches)
            grown = processes.settled_bytes(pids) - before
            made = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"alive","labels":{"run":"bench"}}}'
            code, body = client.request("POST", path, made)
            assert code == 201, body
            for connection in connections:
                connection.idle(0.05)
            for _ in range(40):
                if alive[0] == warm + watches:
                    break
                for connection in connections:
                    connection.idle(0.02)
            assert alive[0] == warm + watches, f"{alive[0]} of {warm + watches} watches got the event"
        finally:
            for connection in connections:
                connection.close()
            client.request("DELETE", f"{path}/alive")
        return grown / watches


def prepare(client: Connection) -> None:
    """The namespace and its ServiceAccount; controllers make the latter where they run."""
    for each in (objects.create_namespace(), objects.service_account()):
        code, body = client.request(each.method, each.path, each.body)
        assert code in (201, 409), body


def create(client: Connection, first: int, last: int) -> None:
    outcome = client.many((objects.create_pod(number) for number in range(first, last)), IN_FLIGHT)
    assert not outcome.failed, outcome.first_error
