"""`HttpClient`: the protocol `Client` over HTTP/1.1 on aiohttp.

One pool of connections a client. Several servers: the one that answered last is used; when a connection to it cannot
be made the next is tried, and a request that never left is sent again there. A request that may have been received is
repeated only when it is a read: a write's caller decides again on what it then sees. 429 and 503 with Retry-After are
waited for, a few times.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import time
from collections.abc import AsyncIterator
from typing import Final

import aiohttp
from yarl import URL

from knarr.client.errors import ApiError, ConnectionFailed, Unauthorized, of_answer, of_status
from knarr.client.kubeconfig import Connection
from knarr.client.protocol import Object, Params, PatchBody, PatchType, Preconditions, Resource, WatchEvent

_PATCH_TYPES: Final[dict[str, str]] = {
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}
_CONNECTIONS: Final = 64  # a client's pool; beyond it requests wait their turn
_CONNECT_TIMEOUT: Final = 5.0  # seconds for TCP and TLS before the next server is tried
_READ_TIMEOUT: Final = 60.0  # seconds for one answer
_BUSY_RETRIES: Final = 5  # 429/503 with Retry-After
_BUSY_WAIT_MAX: Final = 10.0  # seconds
_TOKEN_AGE_MAX: Final = 60.0  # seconds until a token file is read again (client-go: 1 minute)
_WATCH_SILENCE_MAX: Final = 330.0  # seconds without a byte until a stream counts as dead: bookmarks come every minute
_LINE_BYTES_MAX: Final = 16 << 20  # one watch event


def tls_context(connection: Connection) -> ssl.SSLContext:
    """The TLS settings of a connection. Key material goes through an anonymous file in memory, never to a disk."""
    context = ssl.create_default_context(cadata=connection.ca.decode() if connection.ca else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if connection.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if connection.certificate:
        memory = os.memfd_create("knarr-client-cert", os.MFD_CLOEXEC)
        try:
            with os.fdopen(os.dup(memory), "wb") as out:
                out.write(connection.certificate + b"\n" + connection.key)
            context.load_cert_chain(f"/proc/self/fd/{memory}")
        finally:
            os.close(memory)
    return context


class HttpClient:
    """See `Client`. To be made and used within one running event loop; `user_agent` names the part for the audit
    log."""

    def __init__(self, connection: Connection, *, user_agent: str = "knarr", field_manager: str = "") -> None:
        if not connection.servers:
            raise ValueError("a connection needs at least one server")
        self.connection = connection
        self._bases = [URL(server) for server in connection.servers]
        self._current = 0
        self._headers = {"User-Agent": user_agent}
        self._manager = field_manager
        self._tls = tls_context(connection) if any(base.scheme == "https" for base in self._bases) else None
        self._session: aiohttp.ClientSession | None = None
        self._token = connection.token
        self._token_read = float("-inf")

    async def __aenter__(self) -> HttpClient:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def set_token(self, token: str) -> None:
        """Use another bearer token from the next request on (rotation)."""
        self._token = token

    async def get(self, resource: Resource, name: str, namespace: str = "", *, subresource: str = "") -> Object:
        return await self._object("GET", resource.path(namespace, name, subresource))

    async def list(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        params: Params | None = None,
    ) -> Object:
        query = _query(params, labelSelector=label_selector, fieldSelector=field_selector)
        return await self._object("GET", resource.path(namespace), query)

    async def watch(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        resource_version: str = "",
        label_selector: str = "",
        field_selector: str = "",
        timeout_seconds: float | None = None,
        bookmarks: bool = True,
        params: Params | None = None,
    ) -> AsyncIterator[WatchEvent]:
        query = _query(
            params,
            watch="true",
            resourceVersion=resource_version,
            labelSelector=label_selector,
            fieldSelector=field_selector,
            timeoutSeconds=str(int(timeout_seconds)) if timeout_seconds else "",
            allowWatchBookmarks="true" if bookmarks else "",
        )
        pending = bytearray()
        async for chunk in self.stream(resource.path(namespace), params=query):
            pending += chunk
            if b"\n" not in chunk:
                if len(pending) > _LINE_BYTES_MAX:
                    raise ApiError(0, "", f"a watch event of {resource.group_resource} exceeds {_LINE_BYTES_MAX} bytes")
                continue
            *lines, rest = bytes(pending).split(b"\n")
            pending = bytearray(rest)
            for line in lines:
                if not line:
                    continue
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise of_status(event["object"])
                yield WatchEvent(event["type"], event["object"])

    async def create(
        self, resource: Resource, body: Object, namespace: str = "", *, name: str = "", subresource: str = ""
    ) -> Object:
        return await self._object("POST", resource.path(namespace, name, subresource), self._managed(), body)

    async def update(
        self, resource: Resource, name: str, body: Object, namespace: str = "", *, subresource: str = ""
    ) -> Object:
        return await self._object("PUT", resource.path(namespace, name, subresource), self._managed(), body)

    async def patch(
        self,
        resource: Resource,
        name: str,
        patch: PatchBody,
        namespace: str = "",
        *,
        type: PatchType = "merge",
        subresource: str = "",
    ) -> Object:
        path = resource.path(namespace, name, subresource)
        return await self._object("PATCH", path, self._managed(), patch, _PATCH_TYPES[type])

    async def apply(
        self,
        resource: Resource,
        name: str,
        body: Object,
        namespace: str = "",
        *,
        field_manager: str,
        force: bool = False,
        subresource: str = "",
    ) -> Object:
        query = _query(None, fieldManager=field_manager, force="true" if force else "")
        path = resource.path(namespace, name, subresource)
        return await self._object("PATCH", path, query, body, _PATCH_TYPES["apply"])

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str = "",
        *,
        grace_period: int | None = None,
        propagation: str = "",
        preconditions: Preconditions | None = None,
    ) -> Object:
        options: Object = {"kind": "DeleteOptions", "apiVersion": "v1"}
        if grace_period is not None:
            options["gracePeriodSeconds"] = grace_period
        if propagation:
            options["propagationPolicy"] = propagation
        if preconditions is not None:
            checks = {"uid": preconditions.uid, "resourceVersion": preconditions.resource_version}
            options["preconditions"] = {key: value for key, value in checks.items() if value}
        return await self._object("DELETE", resource.path(namespace, name), None, options)

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        timeout_seconds: float | None = None,
    ) -> bytes:
        limit = aiohttp.ClientTimeout(total=timeout_seconds or _READ_TIMEOUT, sock_connect=_CONNECT_TIMEOUT)
        busy = 0
        while True:
            try:
                async with await self._send(method, path, params, body, content_type, accept, limit) as answer:
                    content = await answer.read()
            except (aiohttp.ClientError, TimeoutError, ssl.SSLError) as error:
                raise ConnectionFailed(f"{method} {path}: {_words(error)}") from error
            if answer.status < 400:
                return content
            failure = of_answer(answer.status, content, _retry_after(answer.headers.get("Retry-After")))
            if isinstance(failure, Unauthorized):
                self._token_read = float("-inf")
            if failure.retry_after is None or answer.status not in (429, 503) or busy >= _BUSY_RETRIES:
                raise failure
            busy += 1
            await asyncio.sleep(min(failure.retry_after, _BUSY_WAIT_MAX))

    async def stream(
        self, path: str, *, params: Params | None = None, accept: str = "application/json"
    ) -> AsyncIterator[bytes]:
        limit = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT, sock_read=_WATCH_SILENCE_MAX)
        try:
            async with await self._send("GET", path, params, None, "", accept, limit) as answer:
                if answer.status >= 400:
                    retry_after = _retry_after(answer.headers.get("Retry-After"))
                    raise of_answer(answer.status, await answer.read(), retry_after)
                async for chunk in answer.content.iter_any():
                    yield chunk
        except (aiohttp.ClientError, TimeoutError, ssl.SSLError) as error:
            raise ConnectionFailed(f"GET {path}: {_words(error)}") from error

    async def _object(
        self,
        method: str,
        path: str,
        params: Params | None = None,
        body: object = None,
        content_type: str = "application/json",
    ) -> Object:
        raw = None if body is None else json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
        content = await self.request(method, path, params=params, body=raw, content_type=content_type)
        answer: Object = json.loads(content)
        return answer

    def _managed(self) -> Params | None:
        return {"fieldManager": self._manager} if self._manager else None

    async def _send(
        self,
        method: str,
        path: str,
        params: Params | None,
        body: bytes | None,
        content_type: str,
        accept: str,
        limit: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        """One answer from the first server that takes the request; its body is the caller's to read and close."""
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=_CONNECTIONS, ssl=self._tls or True, ttl_dns_cache=30)
            self._session = aiohttp.ClientSession(
                connector=connector, headers=self._headers, auto_decompress=True, cookie_jar=aiohttp.DummyCookieJar()
            )
        headers = {"Accept": accept}
        if body is not None:
            headers["Content-Type"] = content_type
        token = self._bearer()
        if token:
            headers["Authorization"] = f"Bearer {token}"
        stale_retries = 2 if method == "GET" else 0  # a kept connection may have been closed by the server meanwhile
        refused = 0
        while True:
            base = self._bases[self._current]
            url = base.joinpath(path.lstrip("/"), encoded=True)
            try:
                return await self._session.request(
                    method,
                    url,
                    params=params,
                    data=body,
                    headers=headers,
                    timeout=limit,
                    server_hostname=self.connection.server_name or None,
                    allow_redirects=False,
                )
            except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
                refused += 1
                self._current = (self._current + 1) % len(self._bases)
                if refused >= len(self._bases):
                    raise
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                if stale_retries == 0:
                    raise
                stale_retries -= 1

    def _bearer(self) -> str:
        if self.connection.token_file and time.monotonic() - self._token_read > _TOKEN_AGE_MAX:
            with open(self.connection.token_file, encoding="ascii") as file:
                self._token = file.read().strip()
            self._token_read = time.monotonic()
        return self._token


def _query(params: Params | None, **given: str) -> dict[str, str]:
    query = dict(params or {})
    query.update((key, value) for key, value in given.items() if value)
    return query


def _retry_after(text: str | None) -> float | None:
    """Seconds; a date (never sent by API servers) counts as absent."""
    return float(text) if text and text.isdigit() else None


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
