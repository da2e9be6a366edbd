"""Gate 1: what is hot never takes the GIL.

Goal: in a process where a thread holds the GIL for five seconds, the composed server goes on answering GET, LIST,
WATCH and Lease updates. Method: the holder sleeps in libc without leaving the GIL; this process, another one, sends
requests all the while and looks at the slowest. That the GIL really was held is shown by a pod whose hook is Python:
it is answered only afterwards."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

from bench import objects
from bench.http2 import Request
from bench.servers import Composed

HOLD_SECONDS = 5
# the machine runs other tests beside this one; whoever waits for the GIL waits for seconds
LATENCY_SECONDS_MAX = 0.5
PODS = "/api/v1/namespaces/bench/pods"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/bench/leases"


def now() -> str:
    """Each time another text: an update that changes nothing is no event."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def test_reads_watches_and_leases_go_on_while_the_gil_is_held(composed: Composed) -> None:
    with composed.connect() as client, composed.connect() as waiting:
        made = client.many((objects.create_pod(number) for number in range(100)), 16)
        assert not made.failed, made.first_error
        code, lease = client.request("POST", LEASES, json.dumps(objects.lease("l-0", now())).encode())
        assert code == 201, lease
        assert composed.ask("hook") == "hooked"
        seen: list[float] = []
        client.watch(
            f"{LEASES}?watch=1&resourceVersion=0", lambda data: seen.extend([time.monotonic()] * data.count(b"\n"))
        )

        composed.say(f"hold {HOLD_SECONDS}")
        assert composed.hear() == "holding"
        begin = time.monotonic()
        time.sleep(0.2)  # the line was said before the holder began
        needs_gil = waiting.start(objects.create_pod(0, "hooked"))
        slowest: dict[str, float] = {}
        rounds, events_before = 0, len(seen)

        def timed(what: str, request: Request) -> bytes:
            started = time.monotonic()
            code, body = client.request(request.method, request.path, request.body)
            assert code == 200, (what, body)
            slowest[what] = max(slowest.get(what, 0.0), time.monotonic() - started)
            return body

        while time.monotonic() - begin < HOLD_SECONDS - 0.5:
            body = timed("get", Request("GET", f"{PODS}/p-000042"))
            assert json.loads(body)["metadata"]["name"] == "p-000042"
            listed = json.loads(timed("list", Request("GET", PODS)))
            assert len(listed["items"]) == 100
            renewed = objects.lease("l-0", now())
            renewed["metadata"]["resourceVersion"] = json.loads(lease)["metadata"]["resourceVersion"]
            lease = timed("lease", Request("PUT", f"{LEASES}/l-0", json.dumps(renewed).encode()))
            updated, rounds = time.monotonic(), rounds + 1
            while len(seen) - events_before < rounds:
                assert time.monotonic() - updated < LATENCY_SECONDS_MAX, "the watch stands still"
                client.idle(0.01)
            slowest["watch"] = max(slowest.get("watch", 0.0), seen[-1] - updated)
            time.sleep(0.01)
        waiting.idle(0.05)
        assert not needs_gil.ended, "the GIL was not held: a Python hook was answered meanwhile"
        assert composed.hear() == "released"
        assert time.monotonic() - begin >= HOLD_SECONDS
        assert rounds > 50, f"{rounds} rounds in {HOLD_SECONDS} s"
        assert max(slowest.values()) < LATENCY_SECONDS_MAX, slowest
        waiting.idle(1)
        assert needs_gil.status == 201, bytes(needs_gil.body)
