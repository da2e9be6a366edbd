"""What a cold route is given and what it answers.

A route is a function `(server, request) -> Response` in a file of `routes/`; it runs on the server's Python thread,
after authentication, authorization and flow control, and raises StatusError for what it refuses.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from knarr import codec
from knarr.errors import StatusError

if TYPE_CHECKING:
    from knarr.apiserver.server import ApiServer

Object = dict[str, Any]
PROTOBUF = "application/vnd.kubernetes.protobuf"
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class User:
    """Who asks, as authentication found out."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Request:
    """One request. params: the parts of the path that the route's pattern names; headers: lower-case names."""

    user: User
    method: str
    path: str
    params: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    def object(self, api_version: str, kind: str, *older: str) -> Object:
        """The body as an object of this kind. older: further apiVersions that say the same. Raises StatusError (400,
        415) for anything else.
        """
        content_type = self.headers.get("content-type", JSON).split(";")[0].strip()
        try:
            if content_type == PROTOBUF:
                value = codec.protobuf_decode(self.body)
            elif content_type == "application/yaml":
                value = codec.yaml_load_all(self.body)[0]
            elif content_type in (JSON, "*/*", ""):
                value = codec.json_loads(self.body)
            else:
                raise StatusError.unsupported_media_type(content_type)
        except (ValueError, IndexError) as cause:
            raise StatusError.bad_request(str(cause)) from None
        if not isinstance(value, dict):
            raise StatusError.bad_request("the body of the request is not an object")
        version, found = value.get("apiVersion") or api_version, value.get("kind") or kind
        if found != kind or version not in (api_version, *older):
            short = str(version).rpartition("/")[2]
            raise StatusError.bad_request(
                f'{found} in version "{short}" cannot be handled as a {kind}: no kind "{found}" is registered for '
                f'version "{version}" in scheme "pkg/runtime/scheme.go:110"'
            )
        return value | {"apiVersion": version, "kind": kind}

    @property
    def dry_run(self) -> bool:
        return self.query.get("dryRun") == "All"


@dataclass(frozen=True, slots=True)
class Response:
    """What is answered: a status code, a content type and bytes."""

    code: int
    body: bytes
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Route:
    """A method and a path pattern with `{parameters}`, and who answers it."""

    method: str
    pattern: str
    handler: Callable[[ApiServer, Request], Response]


def answer(request: Request, value: Object, code: int = 200) -> Response:
    """An object in the encoding that the client prefers of those there are."""
    for accepted in request.headers.get("accept", JSON).split(","):
        kind = accepted.split(";")[0].strip()
        if kind == PROTOBUF:
            return Response(code, codec.protobuf_encode(value), PROTOBUF)
        if kind == "application/yaml":
            return Response(code, codec.yaml_dump(value).encode(), "application/yaml")
        if kind in (JSON, "*/*", "application/*", ""):
            break
    return Response(code, json.dumps(value, separators=(",", ":")).encode() + b"\n")
