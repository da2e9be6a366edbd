"""The node server's calls carried into the agent's loop: requests from the core's threads, answers back to them."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from knarr.kits.tasks import TaskSet

from .config import AgentConfig
from .errors import AgentError
from .server import Chunks, Handlers, Upgrade, Whole

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

CLIENT_CHECK_SECONDS = 1.0
"""How often a silent followed log looks whether its client is still there."""


class Bridge:
    """`call` is what the core invokes, on any thread; everything else happens in the loop it was made in."""

    def __init__(self, handlers: Handlers) -> None:
        self._handlers = handlers
        self._loop = asyncio.get_running_loop()
        self._tasks = TaskSet("node-server")

    def call(self, call: Any) -> None:
        self._loop.call_soon_threadsafe(self._begin, call)

    def _begin(self, call: Any) -> None:
        self._tasks.spawn(self._answer(call), call.request.path)

    async def _answer(self, call: Any) -> None:
        request = call.request
        query: dict[str, list[str]] = {}
        for name, value in request.query:
            query.setdefault(name, []).append(value)
        answer = await self._handlers.handle(request.method, request.path, query)
        match answer:
            case Whole(code, content_type, body):
                call.respond(code, content_type, body)
            case Upgrade(url):
                call.proxy(url)
            case Chunks(content_type, _):
                call.begin(200, content_type)
                try:
                    await self._pump(call, answer)
                finally:
                    call.end()

    async def _pump(self, call: Any, answer: Chunks) -> None:
        """Pieces to the client, at its pace; ends when it leaves."""
        pieces = answer.chunks.__aiter__()
        following: asyncio.Task[bytes] | None = None
        try:
            while True:
                following = following or asyncio.ensure_future(_next(pieces))
                done, _ = await asyncio.wait((following,), timeout=CLIENT_CHECK_SECONDS)
                if call.closed:
                    return
                if not done:
                    continue
                piece = following.result()
                following = None
                if not piece:
                    return
                # Waits for a slow reader on a thread of its own: write blocks until there is room.
                if not (call.try_write(piece) or await asyncio.to_thread(call.write, piece)):
                    return
        except OSError as error:
            log.info("log ended early: error=%s", error)
        finally:
            if following is not None:
                following.cancel()

    async def close(self) -> None:
        await self._tasks.close()


async def _next(pieces: Any) -> bytes:
    """The next piece, b"" at the end."""
    try:
        return bytes(await pieces.__anext__())
    except StopAsyncIteration:
        return b""


class NodeApi:
    """The HTTPS server of the node, where the configuration asks for one."""

    def __init__(self, config: AgentConfig, handlers: Handlers) -> None:
        self._config, self._bridge = config, Bridge(handlers)
        self._stop: Callable[[], None] | None = None

    def start(self) -> None:
        """Raises AgentError when the port is taken or a file cannot be read."""
        config = self._config
        if not config.port or config.tls_cert is None or config.tls_key is None or config.client_ca is None:
            return
        from knarr._core import NodeServer

        files = (str(config.tls_cert), str(config.tls_key), str(config.client_ca))
        try:
            server = NodeServer(config.bind, config.port, *files, self._bridge.call)
            server.start()
        except (OSError, ValueError) as error:
            hint = f"another kubelet or agent on this address? choose another port than {config.port}"
            raise AgentError(f"the node server does not start: {error}", hint) from None
        self._stop = server.stop

    async def close(self) -> None:
        if self._stop is not None:
            await asyncio.to_thread(self._stop)
        await self._bridge.close()
