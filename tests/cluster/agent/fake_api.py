"""A small API server for the agent's tests: objects in a dict, list, watch, patch, tokens. Keeps no rule of Kubernetes
but those the agent relies on: graceful deletion of pods, resourceVersion, uid preconditions."""

from __future__ import annotations

import asyncio
import copy
import json
import time
import uuid
from collections.abc import Callable
from typing import Any

from aiohttp import web

KINDS = {
    "pods": "Pod",
    "nodes": "Node",
    "events": "Event",
    "configmaps": "ConfigMap",
    "secrets": "Secret",
    "services": "Service",
    "leases": "Lease",
    "serviceaccounts": "ServiceAccount",
}
_MERGE_KEYS = {"conditions": "type", "podIPs": "ip", "hostIPs": "ip", "addresses": "type"}


class FakeApi:
    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.revision = 1
        self._changed: set[asyncio.Queue[tuple[str, str, dict[str, Any]]]] = set()
        self._runner: web.AppRunner | None = None
        self.tokens = 0
        self.token_seconds = 3600.0
        self.tokens_refused = 0
        self.refuse_tokens = False

    async def start(self) -> str:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        address = site._server.sockets[0].getsockname()  # type: ignore[union-attr]
        return f"http://127.0.0.1:{address[1]}"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    # What tests call

    def put(self, plural: str, obj: dict[str, Any], namespace: str = "default") -> dict[str, Any]:
        """Create or replace."""
        metadata = obj.setdefault("metadata", {})
        namespace = "" if plural == "nodes" else metadata.get("namespace", namespace)
        if namespace:
            metadata["namespace"] = namespace
        key = (plural, namespace, metadata["name"])
        old = self.objects.get(key)
        metadata.setdefault("uid", old["metadata"]["uid"] if old else str(uuid.uuid4()))
        obj |= {"kind": KINDS[plural], "apiVersion": "v1"}
        self._store("MODIFIED" if old else "ADDED", key, obj)
        return obj

    def get(self, plural: str, name: str, namespace: str = "default") -> dict[str, Any] | None:
        return self.objects.get((plural, namespace if plural != "nodes" else "", name))

    def delete(self, plural: str, name: str, namespace: str = "default", grace: int | None = None) -> None:
        key = (plural, namespace, name)
        obj = copy.deepcopy(self.objects[key])
        if grace is None:
            grace = obj.get("spec", {}).get("terminationGracePeriodSeconds", 30) if plural == "pods" else 0
        if grace and obj["spec"].get("nodeName"):
            obj["metadata"]["deletionTimestamp"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + grace))
            obj["metadata"]["deletionGracePeriodSeconds"] = grace
            self._store("MODIFIED", key, obj)
        else:
            self._store("DELETED", key, obj)

    async def until(self, what: Callable[[], Any], seconds: float = 15.0) -> Any:
        """Wait until `what()` is true; returns it. Fails with what pods look like."""
        queue: asyncio.Queue[tuple[str, str, dict[str, Any]]] = asyncio.Queue()
        self._changed.add(queue)
        try:
            async with asyncio.timeout(seconds):
                while not (value := what()):
                    await queue.get()
                return value
        except TimeoutError:
            pods = {k[2]: o.get("status") for k, o in self.objects.items() if k[0] == "pods"}
            events = [o["message"] for k, o in self.objects.items() if k[0] == "events"]
            raise AssertionError(f"not reached: pods={json.dumps(pods, indent=1)} events={events}") from None
        finally:
            self._changed.discard(queue)

    def events(self, pod: str) -> list[tuple[str, str, str]]:
        found = [o for k, o in self.objects.items() if k[0] == "events" and o["involvedObject"]["name"] == pod]
        return [(o["type"], o["reason"], o["message"]) for o in found]

    # The server

    def _store(self, event: str, key: tuple[str, str, str], obj: dict[str, Any]) -> None:
        self.revision += 1
        obj["metadata"]["resourceVersion"] = str(self.revision)
        if event == "DELETED":
            self.objects.pop(key, None)
        else:
            self.objects[key] = obj
        for queue in list(self._changed):
            queue.put_nowait((key[0], event, copy.deepcopy(obj)))

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        parts = [p for p in request.path.split("/") if p]
        parts = parts[3:] if parts[0] == "apis" else parts[2:]
        namespace = ""
        if parts[0] == "namespaces" and len(parts) > 2:
            namespace, parts = parts[1], parts[2:]
        plural, name = parts[0], parts[1] if len(parts) > 1 else ""
        subresource = parts[2] if len(parts) > 2 else ""
        if subresource == "token":
            if self.refuse_tokens:
                self.tokens_refused += 1
                return web.json_response({"kind": "Status", "reason": "NotFound", "code": 404}, status=404)
            self.tokens += 1
            expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + self.token_seconds))
            return web.json_response(
                {"status": {"token": f"token-{self.tokens}", "expirationTimestamp": expires}}, status=201
            )
        if request.method == "GET" and not name:
            return await self._list(request, plural, namespace)
        if request.method == "POST":
            return web.json_response(self.put(plural, await request.json(), namespace), status=201)
        key = (plural, namespace, name)
        found = self.objects.get(key)
        if found is None:
            return _status(404, "NotFound", f'{plural} "{name}" not found')
        if request.method == "GET":
            return web.json_response(found)
        body = json.loads(await request.read() or b"{}")
        if request.method == "PUT":
            return web.json_response(self.put(plural, body, namespace))
        if request.method == "PATCH":
            wanted = (body.get("metadata") or {}).pop("uid", None)
            if wanted not in (None, found["metadata"]["uid"]):
                return _status(409, "Conflict", "uid mismatch")
            merged = _merge(copy.deepcopy(found), body)
            self._store("MODIFIED", key, merged)
            return web.json_response(merged)
        wanted = (body.get("preconditions") or {}).get("uid")
        if wanted not in (None, found["metadata"]["uid"]):
            return _status(409, "Conflict", "uid mismatch")
        self.delete(plural, name, namespace, body.get("gracePeriodSeconds"))
        return web.json_response({"kind": "Status", "status": "Success"})

    def _selected(self, request: web.Request, plural: str, namespace: str, obj: dict[str, Any]) -> bool:
        if namespace and obj["metadata"].get("namespace") != namespace:
            return False
        selector = request.query.get("fieldSelector", "")
        field, _, value = selector.partition("=")
        if field == "metadata.name":
            return bool(obj["metadata"]["name"] == value)
        return field != "spec.nodeName" or obj["spec"].get("nodeName") == value

    async def _list(self, request: web.Request, plural: str, namespace: str) -> web.StreamResponse:
        if request.query.get("watch") != "true":
            items = [
                o for k, o in self.objects.items() if k[0] == plural and self._selected(request, plural, namespace, o)
            ]
            body = {"kind": f"{KINDS[plural]}List", "apiVersion": "v1", "items": items}
            return web.json_response({**body, "metadata": {"resourceVersion": str(self.revision)}})
        queue: asyncio.Queue[tuple[str, str, dict[str, Any]]] = asyncio.Queue()
        self._changed.add(queue)
        after = int(request.query.get("resourceVersion") or 0)
        for key, obj in list(self.objects.items()):
            if int(obj["metadata"]["resourceVersion"]) > after:
                queue.put_nowait((key[0], "MODIFIED", copy.deepcopy(obj)))
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        try:
            while True:
                kind, event, obj = await queue.get()
                if kind == plural and self._selected(request, plural, namespace, obj):
                    await response.write(json.dumps({"type": event, "object": obj}).encode() + b"\n")
        except ConnectionError:
            return response
        finally:
            self._changed.discard(queue)


def _status(code: int, reason: str, message: str) -> web.Response:
    body = {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}
    return web.json_response(body, status=code)


def _merge(target: Any, patch: Any) -> Any:
    for name, value in patch.items():
        if value is None:
            target.pop(name, None)
        elif isinstance(value, dict) and isinstance(target.get(name), dict):
            _merge(target[name], value)
        elif name in _MERGE_KEYS and isinstance(value, list):
            key = _MERGE_KEYS[name]
            entries = {e[key]: e for e in target.get(name) or []}
            for entry in value:
                if entry.get("$patch") == "delete":
                    entries.pop(entry[key], None)
                else:
                    entries[entry[key]] = _merge(entries.get(entry[key], {}), entry)
            target[name] = list(entries.values())
        else:
            target[name] = value
    return target
