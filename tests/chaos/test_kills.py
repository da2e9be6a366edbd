"""The real server, killed again and again.

Goal: no acknowledged write is lost, and no watch event is lost, doubled or out of order across reconnects from a
returned revision (DESIGN.md, invariants 1 and 2). Method: writers raise numbers in objects of their own while the
server is killed -9 a hundred times, at moments drawn from a seed; after each start every writer reads back what it had
been told, and at the end the whole history is compared."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from history import Watched, Written
from server import MAPS, Server, Watcher, Writer

KILLS = 100
WRITERS, WATCHERS = 6, 2
# load between a start and the next kill, seconds
LOAD_MIN, LOAD_MAX = 0.05, 0.9
CATCH_UP_SECONDS = 30


def test_nothing_acknowledged_is_lost_over_a_hundred_kills(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw = random.Random(4)
    server = Server(tmp_path, "127.0.0.26")
    server.start()
    connection = server.connect()
    revision = int(server.request(connection, "GET", MAPS)[1]["metadata"]["resourceVersion"])
    writers = [Writer(server, number) for number in range(WRITERS)]
    watchers = [Watcher(server, revision) for _ in range(WATCHERS)]
    begin, starts = time.monotonic(), []
    try:
        for thread in (*writers, *watchers):
            thread.start()
        for _ in range(KILLS):
            time.sleep(draw.uniform(LOAD_MIN, LOAD_MAX))
            server.kill()
            started = time.monotonic()
            server.start()
            starts.append(time.monotonic() - started)
            broken = [error for writer in writers for error in writer.errors]
            assert not broken, broken[:5]
        time.sleep(1)
        for writer in writers:
            writer.done.set()
        for writer in writers:
            writer.join(20)
            assert not writer.errors, writer.errors[:5]
        settle(server, writers, watchers)
    finally:
        for thread in (*writers, *watchers):
            thread.done.set()
        server.stop()
    written = [each for writer in writers for each in writer.objects]
    acknowledged = sum(writer.writes for writer in writers)
    with capsys.disabled():
        print(
            f"\n{KILLS} kills in {time.monotonic() - begin:.0f} s, {acknowledged} acknowledged writes, "
            f"start {sorted(starts)[len(starts) // 2]:.2f} s (longest {max(starts):.2f})"
        )
    for watcher in watchers:
        assert watcher.watched.check(written) == []
        assert watcher.watched.reconnects >= KILLS // 2
    assert acknowledged > KILLS * 20, "too little load to prove anything"


def settle(server: Server, writers: list[Writer], watchers: list[Watcher]) -> None:
    """Read everything back once more, and let the watchers catch up with the last revision."""
    connection = server.connect()
    code, found = server.request(connection, "GET", MAPS)
    assert code == 200
    held = {item["metadata"]["name"]: item for item in found["items"]}
    for writer in writers:
        for written in writer.objects:
            item = held.get(written.name)
            number = int(item["data"]["number"]) if item else None
            unsettled = written.name in writer.unsettled or written.name in writer.unknown
            assert written.check_read(number, unsettled) == []
            if item and not unsettled:
                assert int(item["metadata"]["resourceVersion"]) == written.acknowledged[written.last]
    last = max(
        int(item["metadata"]["resourceVersion"]) for item in held.values() if item["metadata"]["name"].startswith("w")
    )
    end = time.monotonic() + CATCH_UP_SECONDS
    while any(watcher.watched.revision < last for watcher in watchers):
        assert time.monotonic() < end, [watcher.watched.errors for watcher in watchers]
        time.sleep(0.05)


def event(kind: str, name: str, number: int, revision: int) -> dict[str, object]:
    return {
        "type": kind,
        "object": {"metadata": {"name": name, "resourceVersion": str(revision)}, "data": {"number": str(number)}},
    }


@pytest.mark.parametrize(
    ("events", "error"),
    [
        ([("ADDED", 1, 5), ("MODIFIED", 2, 6), ("MODIFIED", 3, 7)], ""),
        ([("ADDED", 1, 5), ("MODIFIED", 3, 7)], "acknowledged numbers not seen"),
        ([("ADDED", 1, 5), ("MODIFIED", 2, 6), ("MODIFIED", 2, 6), ("MODIFIED", 3, 7)], "revision 6 after 6"),
        ([("ADDED", 1, 5), ("MODIFIED", 3, 7), ("MODIFIED", 2, 6)], "revision 6 after 7"),
        ([("ADDED", 1, 5), ("MODIFIED", 2, 6), ("MODIFIED", 3, 7), ("MODIFIED", 9, 8)], "were never sent"),
    ],
)
def test_the_checker_can_fail(events: list[tuple[str, int, int]], error: str) -> None:
    watched = Watched(4)
    for kind, number, revision in events:
        watched.take(event(kind, "a", number, revision))
    errors = watched.check([Written("a", {1: 5, 2: 6, 3: 7}, tried=4)])
    assert any(error in each for each in errors) if error else not errors


def test_the_read_checker_can_fail() -> None:
    written = Written("a", {1: 5, 2: 6}, tried=3)
    assert written.check_read(2, False) == written.check_read(3, True) == written.check_read(None, True) == []
    assert "though 2 was acknowledged" in written.check_read(1, True)[0]
    assert "gone" in written.check_read(None, False)[0]
    assert "last that was sent" in written.check_read(4, True)[0]
