"""Goal: an HTTP hook fails where nobody answers, and there only. Method: a server of one answer on loopback."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from knarr.agent.hooks import HookError, run_hook
from knarr.agent.runtime import Runtime


async def run(port: int, scheme: str) -> None:
    hook = {"httpGet": {"port": port, "path": "/x", "scheme": scheme}}
    await run_hook(cast(Runtime, None), hook, {"name": "c"}, "id", "127.0.0.1")


@pytest.mark.parametrize("scheme", ["HTTP", "HTTPS"])
@pytest.mark.parametrize("status", ["200 OK", "404 Not Found", "500 Internal Server Error"])
async def test_any_answer_will_do(status: str, scheme: str) -> None:
    """Also that of a server that knows no TLS, to whom the request is sent once more without."""
    heard = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readline()
        heard.append(line)
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    server: Any = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        await run(server.sockets[0].getsockname()[1], scheme)
    assert heard[-1].startswith(b"GET /x HTTP/1.1")


async def test_nobody_there_is_a_failure() -> None:
    server: Any = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    with pytest.raises(HookError, match="connection refused"):
        await run(port, "HTTP")
