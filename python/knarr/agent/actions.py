"""Reaching into a container's network: HTTP GET, TCP connect, gRPC health, for probes and lifecycle hooks."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple

BODY_BYTES_MAX = 10 << 10
REDIRECTS_MAX = 10


PLAIN = "http: server gave HTTP response to HTTPS client"


class Outcome(NamedTuple):
    """answered: there was an answer, whatever it said."""

    ok: bool
    text: str = ""
    warning: bool = False
    answered: bool = False


def resolve_port(port: int | str, container: Mapping[str, Any]) -> int:
    """A number, or the name of one of the container's ports. Raises ValueError."""
    if isinstance(port, int):
        return port
    for known in container.get("ports") or ():
        if known.get("name") == port:
            return int(known["containerPort"])
    if port.isdecimal():
        return int(port)
    raise ValueError(f"couldn't find port: {port} in container")


async def http_get(action: Mapping[str, Any], host: str, port: int, seconds: float, agent: str) -> Outcome:
    """200 to 399 is well. Redirects are followed on the same host; one that leads away ends it with a warning."""
    import aiohttp
    from yarl import URL

    scheme = (action.get("scheme") or "HTTP").lower()
    shown = f"[{host}]" if ":" in host else host
    path = action.get("path") or "/"
    text = f"{scheme}://{shown}:{port}{path if path.startswith('/') else '/' + path}"
    url = URL(text, encoded=True)
    headers: dict[str, str] = {"User-Agent": agent, "Accept": "*/*"}
    for header in action.get("httpHeaders") or ():
        if header["name"].lower() in ("accept", "user-agent") and header["value"] == "":
            headers = {k: v for k, v in headers.items() if k.lower() != header["name"].lower()}
            continue
        headers = {k: v for k, v in headers.items() if k.lower() != header["name"].lower()}
        headers[header["name"]] = header["value"]
    try:
        async with (
            asyncio.timeout(seconds),
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(force_close=True, ssl=False),
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
            ) as session,
        ):
            for _ in range(REDIRECTS_MAX):
                async with session.get(url, headers=headers, allow_redirects=False) as response:
                    if response.status in (301, 302, 303, 307, 308) and "Location" in response.headers:
                        target = url.join(URL(response.headers["Location"], encoded=True))
                        if target.host == url.host:
                            url = target
                            continue
                        body = (await response.content.read(BODY_BYTES_MAX)).decode(errors="replace")
                        return Outcome(True, f"Probe terminated redirects, Response body: {body}", True)
                    if 200 <= response.status < 400:
                        return Outcome(True)
                    return Outcome(False, f"HTTP probe failed with statuscode: {response.status}", answered=True)
            return Outcome(False, f'Get "{text}": stopped after {REDIRECTS_MAX} redirects')
    except TimeoutError:
        reason = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
    except aiohttp.ClientConnectorError as error:
        reason = f"dial tcp {shown}:{port}: connect: {(error.strerror or str(error)).lower()}"
        if isinstance(error.os_error, ConnectionRefusedError):
            reason = f"dial tcp {shown}:{port}: connect: connection refused"
        if "WRONG_VERSION_NUMBER" in str(error.os_error):
            reason = PLAIN
    except aiohttp.ServerDisconnectedError:
        reason = "EOF"
    except (aiohttp.ClientError, OSError, ValueError) as error:
        reason = str(error) or type(error).__name__
    return Outcome(False, f'Get "{text}": {reason}')


async def tcp_connect(host: str, port: int, seconds: float) -> Outcome:
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(host, port)
        writer.close()
        return Outcome(True)
    except TimeoutError:
        return Outcome(False, f"dial tcp {shown}: i/o timeout")
    except ConnectionRefusedError:
        return Outcome(False, f"dial tcp {shown}: connect: connection refused")
    except OSError as error:
        return Outcome(False, f"dial tcp {shown}: {error.strerror or error}")


async def grpc_health(host: str, port: int, service: str, seconds: float) -> Outcome:
    """grpc.health.v1.Health/Check: HealthCheckRequest{service = 1}, HealthCheckResponse{status = 1}, SERVING is 1."""
    import grpc
    import grpc.aio

    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    name = service.encode()
    request = b"\x0a" + bytes([len(name)]) + name if name else b""
    async with grpc.aio.insecure_channel(shown, options=[("grpc.enable_http_proxy", 0)]) as channel:
        check: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/grpc.health.v1.Health/Check")
        try:
            answer = await check(request, timeout=seconds)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                return Outcome(
                    False, f"error: this server does not implement the grpc health protocol: {error.details()}"
                )
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                return Outcome(False, f"timeout: health rpc did not complete within {seconds:g}s")
            return Outcome(False, f"error: health rpc probe failed: {error.details()}")
    if answer[:2] == b"\x08\x01":
        return Outcome(True, "service healthy")
    return Outcome(False, 'service unhealthy (responded with "NOT_SERVING")')
