"""A controller's work queue: each key once, one worker a key at a time, failures retried with back-off.

    add(key) --> ready --> worker takes it --> done(key): again if it was added meanwhile
       ^                       |
       +--- timer <--- retry (5 ms doubling to 1,000 s) or requeue_after

Source for the figures: client-go `util/workqueue/default_rate_limiters.go`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

_RETRY_FIRST: Final = 0.005  # seconds
_RETRY_MAX: Final = 1000.0  # seconds


class WorkQueue:
    def __init__(self) -> None:
        self._ready: deque[str] = deque()
        self._dirty: set[str] = set()
        self._active: set[str] = set()
        self._failures: dict[str, int] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._waiters: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        return len(self._ready)

    def idle(self) -> bool:
        """Nothing to do and nothing being done; timers do not count."""
        return not self._dirty and not self._active

    def add(self, key: str) -> None:
        if key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._active:
            self._ready.append(key)
            self._wake()

    def add_after(self, key: str, seconds: float) -> None:
        """Add later; the earliest of several wins."""
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= loop.time() + seconds:
                return
            timer.cancel()
        self._timers[key] = loop.call_later(seconds, self._due, key)

    async def take(self) -> str:
        while not self._ready:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter
        key = self._ready.popleft()
        self._dirty.discard(key)
        self._active.add(key)
        return key

    def done(self, key: str) -> None:
        self._active.discard(key)
        if key in self._dirty:
            self._ready.append(key)
            self._wake()

    def retry(self, key: str) -> float:
        """Add again after the key's back-off, which is returned."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        seconds: float = min(_RETRY_FIRST * 2 ** min(failures, 30), _RETRY_MAX)
        self.add_after(key, seconds)
        return seconds

    def forget(self, key: str) -> None:
        self._failures.pop(key, None)

    def close(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _due(self, key: str) -> None:
        self._timers.pop(key, None)
        self.add(key)

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
