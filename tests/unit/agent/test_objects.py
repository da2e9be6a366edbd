"""Goal: every object that a pod uses is watched, however many came and went. Method: a client that holds each request
open, as a watch does, and counts them."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from knarr.agent.objects import WATCHES_PER_CLIENT, Objects
from knarr.client.protocol import Client


class Held:
    """A client whose requests never end."""

    def __init__(self) -> None:
        self.open = 0

    async def request(self, *_: Any, **__: Any) -> Any:
        self.open += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.open -= 1


async def test_no_client_has_more_watches_than_it_has_room_for() -> None:
    clients: list[Held] = []

    def new() -> Client:
        clients.append(Held())
        return cast(Client, clients[-1])

    objects = Objects(new, lambda _uid: None)
    for number in range(3 * WATCHES_PER_CLIENT):
        objects.use(f"old-{number}", "ns", {("ConfigMap", f"old-{number}")})
    for number in range(WATCHES_PER_CLIENT + 1, 3 * WATCHES_PER_CLIENT):
        objects.forget(f"old-{number}")
        objects.use(f"new-{number}", "ns", {("ConfigMap", f"new-{number}")})
    for number in range(2 * WATCHES_PER_CLIENT):
        objects.forget(f"old-{number}")
    for number in range(WATCHES_PER_CLIENT):
        objects.use(f"more-{number}", "ns", {("ConfigMap", f"more-{number}")})
    await asyncio.sleep(0.01)
    assert max(client.open for client in clients) <= WATCHES_PER_CLIENT
    for client in clients:
        client.close = lambda: asyncio.sleep(0)  # type: ignore[attr-defined]
    await objects.close()
