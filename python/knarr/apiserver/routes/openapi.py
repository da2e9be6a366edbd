"""`/openapi/v2` and `/openapi/v3`: the documents of knarr.apiserver.openapi, made at the first request of a
generation of kinds.

A group version's URL in the v3 index carries the hash of its content, so its answer may be cached for ever; without a
hash it is answered for this time only, with another hash the client is sent to the present one.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from knarr.apiserver import discovery, gnostic, openapi
from knarr.apiserver.http import Request, Response, Route
from knarr.errors import StatusError

if TYPE_CHECKING:
    from knarr.apiserver.server import ApiServer

# One year: what the hash names never changes.
IMMUTABLE_SECONDS = 365 * 24 * 3600

_made: dict[int, tuple[object, openapi.Documents]] = {}


def documents(server: ApiServer) -> openapi.Documents:
    known = _made.get(id(server))
    if known is None or known[0] != server.generation:
        known = server.generation, openapi.Documents(server.kinds)
        _made[id(server)] = known
    return known[1]


def _answer(request: Request, body: bytes, content_type: str, headers: dict[str, str]) -> Response:
    headers = {"etag": discovery.etag(body), "vary": "Accept", **headers}
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(304, b"", content_type, headers)
    return Response(200, body, content_type, headers)


def v2(server: ApiServer, request: Request) -> Response:
    for accepted in request.headers.get("accept", "").split(","):
        media = accepted.split(";")[0].strip()
        if media == gnostic.MEDIA_TYPE:
            body = documents(server).v2_protobuf
            return _answer(request, body, gnostic.CONTENT_TYPE, {"cache-control": "no-cache, private"})
        if media in ("application/json", "application/*", "*/*", ""):
            break
    return _answer(request, documents(server).v2, "application/json", {"cache-control": "no-cache, private"})


def index(server: ApiServer, request: Request) -> Response:
    return _answer(request, documents(server).index, "application/json", {"cache-control": "no-cache, private"})


def _group_version(server: ApiServer, request: Request, path: str) -> Response:
    made = documents(server)
    body = made.v3(path)
    if body is None:
        raise StatusError("404 page not found", code=404, reason="NotFound")
    given, own = request.query.get("hash", ""), made.hash(path)
    if given and given != own:
        headers = {"location": f"/openapi/v3/{path}?hash={own}", "cache-control": "no-cache, private"}
        return Response(301, b"", headers=headers)
    if given:
        until = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + IMMUTABLE_SECONDS))
        return _answer(request, body, "application/json", {"cache-control": "public, immutable", "expires": until})
    return _answer(request, body, "application/json", {"cache-control": "no-cache, private"})


def core(server: ApiServer, request: Request) -> Response:
    return _group_version(server, request, f"api/{request.params['version']}")


def named(server: ApiServer, request: Request) -> Response:
    return _group_version(server, request, f"apis/{request.params['group']}/{request.params['version']}")


ROUTES = [
    Route("GET", "/openapi/v2", v2),
    Route("GET", "/openapi/v3", index),
    Route("GET", "/openapi/v3/api/{version}", core),
    Route("GET", "/openapi/v3/apis/{group}/{version}", named),
]
