"""The ConfigMaps and Secrets that this node's pods use, each watched by name while somebody uses it; their tokens.

Node authorization lets a node read only objects its pods name, one at a time: so one small watch an object, shared by
all pods that use it, ended when the last of them is gone.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from knarr.client import ApiError, NotFound, Resource
from knarr.client.informer import Informer, ObjectSink
from knarr.client.protocol import Client
from knarr.kits.tasks import TaskSet

from .env import Sources
from .volumes import Token, VolumeError

log = logging.getLogger(__name__)

KINDS = {
    "ConfigMap": Resource("", "v1", "configmaps", "ConfigMap"),
    "Secret": Resource("", "v1", "secrets", "Secret"),
}
SERVICES = Resource("", "v1", "services", "Service")
SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount")
WATCHES_PER_CLIENT = 32
"""A client's pool has room for 64 requests (HTTP/1.1: a connection each); half of it stays for the lists."""

Key = tuple[str, str, str]
"""(kind, namespace, name)"""


@dataclass
class _Watched:
    client: Client
    sink: ObjectSink
    informer: Informer
    task: asyncio.Task[Any]
    users: set[str] = field(default_factory=set)


class Objects:
    """changed(uid) is called for each pod that uses an object, when it changes."""

    def __init__(self, new_client: Callable[[], Client], changed: Callable[[str], None]) -> None:
        self._new_client, self._changed = new_client, changed
        self._clients: list[Client] = []
        self._watched: dict[Key, _Watched] = {}
        self._tasks = TaskSet("objects")

    def use(self, uid: str, namespace: str, wanted: set[tuple[str, str]]) -> None:
        """From now on the pod uses exactly these (kind, name)."""
        keys = {(kind, namespace, name) for kind, name in wanted}
        for key in [k for k, w in self._watched.items() if uid in w.users and k not in keys]:
            self._release(key, uid)
        for key in keys:
            watched = self._watched.get(key)
            if watched is None:
                watched = self._watched[key] = self._watch(key)
            watched.users.add(uid)

    def forget(self, uid: str) -> None:
        for key in [k for k, w in self._watched.items() if uid in w.users]:
            self._release(key, uid)

    async def synced(self, uid: str) -> None:
        """Return when everything the pod uses has been read once."""
        await asyncio.gather(*(w.informer.synced.wait() for w in self._watched.values() if uid in w.users))

    def get(self, kind: str, namespace: str, name: str) -> Mapping[str, Any] | None:
        watched = self._watched.get((kind, namespace, name))
        return watched.sink.objects.get((namespace, name)) if watched is not None else None

    def of(self, namespace: str, wanted: set[tuple[str, str]], kind: str) -> dict[str, Mapping[str, Any] | None]:
        return {name: self.get(kind, namespace, name) for k, name in wanted if k == kind}

    def _watch(self, key: Key) -> _Watched:
        kind, namespace, name = key

        def handler(_event: str, _object: Mapping[str, Any], _before: Mapping[str, Any] | None) -> None:
            watched = self._watched.get(key)
            for uid in list(watched.users) if watched is not None else ():
                self._changed(uid)

        client = self._client()
        sink = ObjectSink(handler)
        informer = Informer(client, KINDS[kind], sink, namespace=namespace, field_selector=f"metadata.name={name}")
        return _Watched(client, sink, informer, self._tasks.spawn(informer.run(), f"{kind}/{namespace}/{name}"))

    def _client(self) -> Client:
        """One with room for another watch."""
        used = [watched.client for watched in self._watched.values()]
        for client in self._clients:
            if used.count(client) < WATCHES_PER_CLIENT:
                return client
        self._clients.append(self._new_client())
        return self._clients[-1]

    def _release(self, key: Key, uid: str) -> None:
        watched = self._watched[key]
        watched.users.discard(uid)
        if not watched.users:
            watched.task.cancel()
            del self._watched[key]

    async def close(self) -> None:
        await self._tasks.close()
        for client in self._clients:
            await client.close()


class _Held(NamedTuple):
    token: Token
    expires: float


class Tokens:
    """Bound service-account tokens, kept until 80 % of their life (at most a day) has passed.

    clock: wall seconds. chance(): from 0 to 1; pods that were made together do not renew in one moment. Source:
    pkg/kubelet/token/token_manager.go.
    """

    LIFE = 0.8
    AGE_MAX_SECONDS = 24 * 3600
    SPREAD_SECONDS_MAX, SPREAD_OF_LIFE_MAX = 10.0, 0.05
    RETRY_SECONDS = 30.0

    def __init__(
        self, client: Client, clock: Callable[[], float] = time.time, chance: Callable[[], float] = random.random
    ) -> None:
        self._client, self._clock, self._chance = client, clock, chance
        self._held: dict[tuple[str, str, int], _Held] = {}

    def forget(self, uid: str) -> None:
        self._held = {key: token for key, token in self._held.items() if key[0] != uid}

    async def get(self, pod: Mapping[str, Any], audience: str, seconds: int) -> Token:
        """The token that is held, or a new one once that is due; the old one as long as it is valid and no new one is
        to be had. Raises VolumeError."""
        metadata = pod["metadata"]
        key = (metadata["uid"], audience, seconds)
        held = self._held.get(key)
        now = self._clock()
        if held is not None and now < held.token.renew_at:
            return held.token
        account = pod["spec"].get("serviceAccountName") or "default"
        bound = {"kind": "Pod", "apiVersion": "v1", "name": metadata["name"], "uid": metadata["uid"]}
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {
                "audiences": [audience] if audience else None,
                "expirationSeconds": seconds,
                "boundObjectRef": bound,
            },
        }
        try:
            answer = await self._client.create(
                SERVICE_ACCOUNTS, body, metadata["namespace"], name=account, subresource="token"
            )
        except ApiError as error:
            why = f'serviceaccounts "{account}" not found' if isinstance(error, NotFound) else str(error)
            if held is None:
                raise VolumeError(f"failed to fetch token: {why}") from None
            if now >= held.expires:
                raise VolumeError(f"token expired and refresh failed: {why}") from None
            # it is good for a fifth of its life yet
            log.warning("token not renewed: pod=%s error=%s", metadata["name"], why)
            return Token(held.token.value, min(now + self.RETRY_SECONDS, held.expires))
        from .observed import seconds as wall

        expires = wall(answer["status"]["expirationTimestamp"])
        life = max(expires - now, 1.0)
        spread = self._chance() * min(self.SPREAD_SECONDS_MAX, life * self.SPREAD_OF_LIFE_MAX)
        token = Token(answer["status"]["token"], now + min(life * self.LIFE, self.AGE_MAX_SECONDS) - spread)
        self._held[key] = _Held(token, expires)
        return token


def sources(
    pod: Mapping[str, Any],
    objects: Objects,
    wanted: set[tuple[str, str]],
    services: tuple[Mapping[str, Any], ...],
    allocatable: Mapping[str, str],
    pod_ips: tuple[str, ...],
    host_ips: tuple[str, ...],
) -> Sources:
    """The values of one pod's environment and volumes, as they are now."""
    namespace = pod["metadata"]["namespace"]
    return Sources(
        config_maps=objects.of(namespace, wanted, "ConfigMap"),
        secrets=objects.of(namespace, wanted, "Secret"),
        services=services,
        allocatable=allocatable,
        pod_ips=pod_ips,
        host_ips=host_ips,
    )
