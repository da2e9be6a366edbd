"""HttpClient and Informer against a server on loopback that misbehaves as told: what is sent, what is raised, what
is resumed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from knarr.client import AlreadyExists, Conflict, ConnectionFailed, Expired, HttpClient, Informer, NotFound, Resource
from knarr.client.errors import of_answer
from knarr.client.informer import ObjectSink
from knarr.client.kubeconfig import ConfigError, Connection, load_kubeconfig
from knarr.client.protocol import Preconditions

PODS = Resource("", "v1", "pods", "Pod")
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, shutdown_timeout=0.1)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def status(code: int, reason: str, **more: Any) -> web.Response:
    body = {"kind": "Status", "code": code, "reason": reason, "message": "told", **more}
    return web.json_response(body, status=code)


def test_paths() -> None:
    assert PODS.path() == "/api/v1/pods"
    assert PODS.path("n", "a", "log") == "/api/v1/namespaces/n/pods/a/log"
    assert LEASES.path("n", "a/b") == "/apis/coordination.k8s.io/v1/namespaces/n/leases/a%2Fb"
    assert (LEASES.api_version, LEASES.group_resource) == ("coordination.k8s.io/v1", "leases.coordination.k8s.io")


@pytest.mark.parametrize(
    ("code", "reason", "cls"),
    [
        (404, "NotFound", NotFound),
        (409, "Conflict", Conflict),
        (409, "AlreadyExists", AlreadyExists),
        (410, "Gone", Expired),
    ],
)
def test_an_error_is_classed_by_its_reason(code: int, reason: str, cls: type[Exception]) -> None:
    error = of_answer(code, json.dumps({"kind": "Status", "reason": reason, "message": "m", "code": code}).encode())
    assert type(error) is cls and error.message == "m" and error.code == code
    assert type(of_answer(404, b"<html>")) is NotFound


async def test_verbs_say_what_they_mean() -> None:
    seen: list[tuple[str, str, str, Any]] = []

    async def handler(request: web.Request) -> web.Response:
        body = await request.read()
        seen.append((request.method, request.path_qs, request.content_type, json.loads(body) if body else None))
        return web.json_response({"metadata": {"name": "a"}})

    async with serving(handler) as url, HttpClient(Connection((url,), token="t"), field_manager="me") as client:
        await client.create(PODS, {"x": 1}, "n", name="a", subresource="binding")
        await client.patch(PODS, "a", {"x": 2}, "n", type="strategic", subresource="status")
        await client.apply(PODS, "a", {"x": 3}, "n", field_manager="m", force=True)
        await client.delete(PODS, "a", "n", grace_period=0, propagation="Orphan", preconditions=Preconditions("u", "7"))
    assert seen[0] == ("POST", "/api/v1/namespaces/n/pods/a/binding?fieldManager=me", "application/json", {"x": 1})
    assert seen[1][1:3] == (
        "/api/v1/namespaces/n/pods/a/status?fieldManager=me",
        "application/strategic-merge-patch+json",
    )
    assert seen[2][1:3] == ("/api/v1/namespaces/n/pods/a?fieldManager=m&force=true", "application/apply-patch+yaml")
    options = seen[3][3]
    assert options["preconditions"] == {"uid": "u", "resourceVersion": "7"}
    assert (options["gracePeriodSeconds"], options["propagationPolicy"]) == (0, "Orphan")


async def test_the_next_server_is_asked_when_one_is_down_and_a_busy_one_is_asked_again() -> None:
    asked = 0

    async def handler(request: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        if asked == 1:
            return web.Response(status=429, headers={"Retry-After": "0"})
        return web.json_response({"ok": request.headers["Authorization"]})

    async with serving(handler) as url:
        async with HttpClient(Connection(("http://127.0.0.1:1", url), token="t")) as client:
            assert await client.get(PODS, "a", "n") == {"ok": "Bearer t"}
            assert asked == 2
        async with HttpClient(Connection(("http://127.0.0.1:1",))) as client:
            with pytest.raises(ConnectionFailed):
                await client.get(PODS, "a", "n")


def item(name: str, revision: int) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "n", "uid": f"u-{name}", "resourceVersion": str(revision)}}


async def test_an_informer_pages_follows_resumes_and_lists_again_when_expired(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("knarr.client.informer._BACKOFF_FIRST", 0.01)
    requests: list[dict[str, str]] = []
    lists, watches = 0, 0
    third = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal lists, watches
        query = dict(request.query)
        requests.append(query)
        if "watch" not in query:
            if query.get("continue") == "more":
                return web.json_response({"metadata": {"resourceVersion": "10"}, "items": [item("b", 2)]})
            lists += 1
            if lists > 1:
                return web.json_response(
                    {"metadata": {"resourceVersion": "90"}, "items": [item("a", 1), item("z", 80)]}
                )
            return web.json_response(
                {"metadata": {"resourceVersion": "9", "continue": "more"}, "items": [item("a", 1)]}
            )
        watches += 1
        answer = web.StreamResponse()
        await answer.prepare(request)
        if watches == 1:
            text = b"".join(
                json.dumps({"type": kind, "object": found}).encode() + b"\n"
                for kind, found in (("ADDED", item("c", 11)), ("BOOKMARK", {"metadata": {"resourceVersion": "20"}}))
            )
            await answer.write(text[:30])
            await asyncio.sleep(0.01)
            await answer.write(text[30:])
        elif watches == 2:
            gone = {"kind": "Status", "code": 410, "reason": "Expired"}
            await answer.write(json.dumps({"type": "ERROR", "object": gone}).encode() + b"\n")
        else:
            third.set()
            await asyncio.sleep(60)
        return answer

    told: list[tuple[str, str]] = []
    sink = ObjectSink(lambda kind, new, old: told.append((kind, new["metadata"]["name"])))
    async with serving(handler) as url, HttpClient(Connection((url,))) as client:
        informer = Informer(client, PODS, sink, seed=1)
        monkeypatch.setattr(informer, "_backoff", 0.01)
        running = asyncio.create_task(informer.run())
        async with asyncio.timeout(10):
            await third.wait()
        running.cancel()
    assert requests[0]["resourceVersion"] == "0" and requests[1]["continue"] == "more"
    assert [r["resourceVersion"] for r in requests if "watch" in r] == ["10", "20", "90"]
    assert told == [("ADDED", "a"), ("ADDED", "b"), ("ADDED", "c"), ("ADDED", "z"), ("DELETED", "b"), ("DELETED", "c")]
    assert informer.synced.is_set()


def test_a_kubeconfig_is_read_with_its_files(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_bytes(b"CA")
    config = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u", "namespace": "n"}}],
        "clusters": [{"name": "k", "cluster": {"server": "https://x:1/", "certificate-authority": "ca.crt"}}],
        "users": [{"name": "u", "user": {"client-certificate-data": "QQ==", "client-key-data": "Qg=="}}],
    }
    file = tmp_path / "config"
    file.write_text(json.dumps(config))
    found = load_kubeconfig(file)
    assert (found.servers, found.ca, found.certificate, found.key) == (("https://x:1",), b"CA", b"A", b"B")
    assert "B'" not in repr(found) and found.namespace == "n"
    with pytest.raises(ConfigError, match="contexts has no 'other'"):
        load_kubeconfig(file, "other")
    config["users"] = [{"name": "u", "user": {"exec": {}}}]
    file.write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="'exec', which is not supported"):
        load_kubeconfig(file)


def test_importing_the_client_imports_nothing_heavy() -> None:
    import subprocess
    import sys

    code = "import sys, knarr.client; print([m for m in ('aiohttp', 'knarr._core', 'uvloop') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": str(Path(__file__).parents[3] / "python")})  # fmt: skip # noqa: E501
    assert result.stdout.strip() == "[]"
