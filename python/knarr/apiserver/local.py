"""Requests of the server to itself: without TLS, HTTP and text, through everything else."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from knarr.errors import StatusError

Object = dict[str, Any]
Handle = Callable[..., tuple[int, str, bytes]]


class Local:
    """A synchronous client of the core's machinery for one user.

    handle: the core's `handle(user, verb, group, version, plural, namespace, name, subresource, query, body,
    content_type, accept)`. plurals: (group, kind) to plural name. Raises StatusError for what the machinery refuses.
    """

    def __init__(self, handle: Handle, plurals: Mapping[tuple[str, str], str], user: str, groups: list[str]) -> None:
        self.handle = handle
        self.plurals = plurals
        self.user = (user, groups)

    def request(
        self,
        verb: str,
        group: str,
        version: str,
        plural: str,
        namespace: str = "",
        name: str = "",
        subresource: str = "",
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        content_type: str = "application/json",
    ) -> Object:
        data = b"" if body is None else json.dumps(body).encode()
        code, _, answer = self.handle(
            self.user,
            verb,
            group,
            version,
            plural,
            namespace,
            name,
            subresource,
            dict(query or {}),
            data,
            content_type,
            "application/json",
        )
        value: Object = json.loads(answer)
        if code >= 400:
            raise StatusError.from_status(value)
        return value

    def of(self, wanted: Object) -> tuple[str, str, str, str]:
        """Group, version, plural and namespace of an object."""
        group, _, version = wanted["apiVersion"].rpartition("/")
        return group, version, self.plurals[group, wanted["kind"]], wanted["metadata"].get("namespace", "")

    def get(self, wanted: Object) -> Object | None:
        """The stored object of the same kind and name, or None."""
        try:
            return self.request("get", *self.of(wanted), wanted["metadata"]["name"])
        except StatusError as error:
            if error.code == 404:
                return None
            raise

    def list(self, group: str, version: str, plural: str, namespace: str = "") -> list[Object]:
        items: list[Object] = self.request("list", group, version, plural, namespace)["items"]
        return items

    def create(self, wanted: Object) -> Object:
        return self.request("create", *self.of(wanted), body=wanted)

    def update(self, wanted: Object, subresource: str = "") -> Object:
        return self.request("update", *self.of(wanted), wanted["metadata"]["name"], subresource, body=wanted)
