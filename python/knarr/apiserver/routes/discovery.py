"""`/`, `/api`, `/apis` and the documents below them, for clients that ask what there is.

Documents are made once for a generation of the declared kinds and then answered as bytes. A path of a group or
version that has no kinds is answered NotFound, like any other unknown path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from knarr.apiserver import discovery
from knarr.apiserver.http import Request, Response, Route
from knarr.errors import StatusError

if TYPE_CHECKING:
    from collections.abc import Callable

    from knarr.apiserver.server import ApiServer

    Make = Callable[[], discovery.Json | None]

_cache: dict[tuple[int, object, str, str], tuple[bytes, str]] = {}
# Documents kept: two forms and two versions of the few paths there are; cleared, not grown, when kinds come and go.
DOCUMENTS_MAX = 256


def _answer(server: ApiServer, request: Request, form: str, make: Make) -> Response:
    key = (id(server), server.generation, request.path, form)
    known = _cache.get(key)
    if known is None:
        document = make()
        if document is None:
            raise StatusError("404 page not found", code=404, reason="NotFound")
        body = discovery.encode(document)
        known = body, discovery.etag(body)
        if len(_cache) >= DOCUMENTS_MAX:
            _cache.clear()
        _cache[key] = known
    body, tag = known
    headers = {"vary": "Accept"}
    if form:
        headers |= {"etag": tag, "cache-control": "public"}
        if request.headers.get("if-none-match") == tag:
            # a cache takes over the headers of a 304: without its form the kept document would be read as another
            return Response(304, b"", discovery.AGGREGATED.format(version=form), headers)
        return Response(200, body, discovery.AGGREGATED.format(version=form), headers)
    return Response(200, body, headers=headers | {"cache-control": "no-cache, private"})


def api(server: ApiServer, request: Request) -> Response:
    form = discovery.accepted_form(request.headers.get("accept", ""))
    if form:
        return _answer(server, request, form, lambda: discovery.aggregated(server.kinds, True, form))
    # The address is the one the client used: no other is known to reach this server from where it is.
    return Response(
        200, discovery.encode(discovery.api_versions(request.headers.get("host", ""))), headers={"vary": "Accept"}
    )


def apis(server: ApiServer, request: Request) -> Response:
    form = discovery.accepted_form(request.headers.get("accept", ""))
    if form:
        return _answer(server, request, form, lambda: discovery.aggregated(server.kinds, False, form))
    return _answer(server, request, "", lambda: discovery.api_group_list(server.kinds))


def root(server: ApiServer, request: Request) -> Response:
    return _answer(server, request, "", lambda: discovery.paths(server.kinds))


def core(server: ApiServer, request: Request) -> Response:
    return _answer(server, request, "", lambda: discovery.api_resource_list(server.kinds, "", "v1"))


def group(server: ApiServer, request: Request) -> Response:
    return _answer(server, request, "", lambda: discovery.api_group(server.kinds, request.params["group"]))


def version(server: ApiServer, request: Request) -> Response:
    of = request.params["group"], request.params["version"]
    return _answer(server, request, "", lambda: discovery.api_resource_list(server.kinds, *of))


ROUTES = [
    Route("GET", "/", root),
    Route("GET", "/api", api),
    Route("GET", "/api/v1", core),
    Route("GET", "/apis", apis),
    Route("GET", "/apis/{group}", group),
    Route("GET", "/apis/{group}/{version}", version),
]
