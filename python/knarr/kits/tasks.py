"""asyncio helpers: tasks that are kept and whose failures are told, a latch that coalesces wake-ups, back-off."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

log = logging.getLogger(__name__)


class TaskSet:
    """Background tasks with an owner: a failure is logged, `close` cancels and waits for all of them."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def spawn(self, work: Coroutine[Any, Any, Any], name: str = "") -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work, name=f"{self._name}/{name}")
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("task failed: task=%s error=%r", task.get_name(), error, exc_info=error)

    async def close(self) -> None:
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Latch:
    """Set any number of times, waited for by one task: many causes, one wake-up."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        self._event.set()

    async def wait(self, timeout_seconds: float | None = None) -> bool:
        """True when it was set, False after the timeout. Clears it."""
        try:
            if timeout_seconds is None:
                await self._event.wait()
            elif not self._event.is_set():
                async with asyncio.timeout(max(timeout_seconds, 0.0)):
                    await self._event.wait()
        except TimeoutError:
            return False
        finally:
            self._event.clear()
        return True


@dataclass
class Backoff:
    """Delays that double from `first` to `last` seconds; `reset` starts again."""

    first: float
    last: float
    _next: float = 0.0

    def next(self) -> float:
        delay = self._next or self.first
        self._next = min(delay * 2, self.last)
        return delay

    def reset(self) -> None:
        self._next = 0.0
