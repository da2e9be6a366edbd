"""Goal: what handlers answer reaches the core's call, whole, in pieces or as an upgrade; a client that leaves ends
its log. Method: a call object in Python that records, and is driven from another thread as the core does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

from knarr.agent.serve import Bridge
from knarr.agent.server import Chunks, Upgrade, Whole


class Call:
    def __init__(self, path: str, leave_after: int = 1 << 30) -> None:
        self.request = SimpleNamespace(method="GET", path=path, query=[("a", "1"), ("a", "2")])
        self.log: list[Any] = []
        self.ended = threading.Event()
        self._left = leave_after
        self._slow = True

    @property
    def closed(self) -> bool:
        return self._left <= 0

    def respond(self, code: int, content_type: str, body: bytes) -> None:
        self.log.append((code, body))
        self.ended.set()

    def proxy(self, url: str) -> None:
        self.log.append(url)
        self.ended.set()

    def begin(self, code: int, content_type: str) -> None:
        self.log.append(code)

    def try_write(self, data: bytes) -> bool | None:
        self._slow = not self._slow
        if not self._slow:
            return None
        self.log.append(data)
        self._left -= 1
        return True

    def write(self, data: bytes) -> bool:
        assert threading.current_thread() is not threading.main_thread(), "waiting is not for the loop"
        self.log.append(data)
        self._left -= 1
        return True

    def end(self) -> None:
        self.ended.set()


class FakeHandlers:
    def __init__(self) -> None:
        self.closed = False

    async def handle(self, method: str, path: str, query: dict[str, list[str]]) -> Whole | Chunks | Upgrade:
        if path == "/whole":
            return Whole(201, "text/plain", repr(query).encode())
        if path == "/upgrade":
            return Upgrade("http://x")
        return Chunks("text/plain", self._pieces())

    async def _pieces(self) -> AsyncIterator[bytes]:
        try:
            for n in range(1000):
                yield b"%d" % n
                if n == 2:
                    await asyncio.sleep(0.01)
        finally:
            self.closed = True


async def carried(call: Call) -> FakeHandlers:
    handlers = FakeHandlers()
    bridge = Bridge(handlers)  # type: ignore[arg-type]
    threading.Thread(target=bridge.call, args=(call,)).start()
    assert await asyncio.to_thread(call.ended.wait, 5)
    await bridge.close()
    return handlers


async def test_answers_are_carried_over() -> None:
    call = Call("/whole")
    await carried(call)
    assert call.log == [(201, b"{'a': ['1', '2']}")]
    call = Call("/upgrade")
    await carried(call)
    assert call.log == ["http://x"]


async def test_a_client_that_leaves_ends_its_stream_and_a_slow_one_misses_nothing() -> None:
    call = Call("/logs", leave_after=4)
    await carried(call)
    assert call.log == [200, b"0", b"1", b"2", b"3"]
