"""The protocol `Client`: verbs on resources, as every part that stands beside the server sees the API.

Objects are plain dicts as in JSON. Nothing here does I/O. Methods raise `knarr.client.errors.ApiError` and its classes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol
from urllib.parse import quote

Object = dict[str, Any]
"""An API object or list, as JSON has it."""

PatchBody = dict[str, Any] | list[Any]
PatchType = Literal["json", "merge", "strategic"]
Params = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Resource:
    """What a path names. group: "" for the core group. kind: as in the objects ("Pod")."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def group_resource(self) -> str:
        """`deployments.apps`, `pods`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL path. namespace "" means all namespaces (or a cluster-scoped kind)."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        if namespace and self.namespaced:
            root += f"/namespaces/{quote(namespace, safe='')}"
        root += f"/{self.plural}"
        if name:
            root += f"/{quote(name, safe='')}"
        return f"{root}/{subresource}" if subresource else root


class WatchEvent(NamedTuple):
    """type: ADDED, MODIFIED, DELETED or BOOKMARK (ERROR is raised instead, as the Status it carries)."""

    type: str
    object: Object


class Preconditions(NamedTuple):
    """What must still hold for a delete. Empty: not checked."""

    uid: str = ""
    resource_version: str = ""


class Client(Protocol):
    """Verbs of the API. namespace is "" for cluster-scoped kinds and for lists and watches over all namespaces."""

    async def get(self, resource: Resource, name: str, namespace: str = "", *, subresource: str = "") -> Object: ...

    async def list(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        params: Params | None = None,
    ) -> Object:
        """The whole list object: `items`, and `metadata.resourceVersion` to watch from. One request; `params` gives
        limit etc."""
        ...

    def watch(
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
        """Events until the server ends the watch (timeout_seconds: what it is asked for). Raises Expired when the
        revision is too old."""
        ...

    async def create(
        self, resource: Resource, body: Object, namespace: str = "", *, name: str = "", subresource: str = ""
    ) -> Object:
        """POST. With name and subresource: `pods/NAME/binding`, `serviceaccounts/NAME/token`."""
        ...

    async def update(
        self, resource: Resource, name: str, body: Object, namespace: str = "", *, subresource: str = ""
    ) -> Object:
        """PUT. A resourceVersion in the body is a precondition; so is its uid."""
        ...

    async def patch(
        self,
        resource: Resource,
        name: str,
        patch: PatchBody,
        namespace: str = "",
        *,
        type: PatchType = "merge",
        subresource: str = "",
    ) -> Object: ...

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
        """Server-side apply."""
        ...

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
        """The object as it is now being deleted, or a Status."""
        ...

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
        """Any path, bytes in and out."""
        ...

    def stream(
        self, path: str, *, params: Params | None = None, accept: str = "application/json"
    ) -> AsyncIterator[bytes]:
        """GET whose body is read as it comes (watches, logs): chunks of any size."""
        ...

    async def close(self) -> None: ...
