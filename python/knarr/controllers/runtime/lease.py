"""Leader election by a Lease, for controllers beside a stock control plane.

A candidate that has watched the Lease unchanged, by its own clock, for its whole duration takes it; the holder renews
every two seconds, and gives up its work when it could not renew for ten: before anyone else can hold it. Source:
client-go `tools/leaderelection`, whose figures these are.
"""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime
from typing import Any, Final

from knarr.client.errors import AlreadyExists, ApiError, Conflict, NotFound
from knarr.client.protocol import Client, Object, Resource

_log = logging.getLogger(__name__)

LEASES: Final = Resource("coordination.k8s.io", "v1", "leases", "Lease")
_NAMESPACE: Final = "kube-system"
_DURATION: Final = 15  # seconds
_RENEW_DEADLINE: Final = 10.0  # seconds
_RETRY: Final = 2.0  # seconds


class LostLease(Exception):
    """Another holds the Lease, or it could not be renewed in time: stop at once."""


class Election:
    def __init__(self, client: Client, name: str, identity: str) -> None:
        self._client = client
        self._name = name
        self._identity = identity
        self._observed: tuple[Any, float] = (None, 0.0)

    async def acquire(self) -> None:
        """Return as the holder."""
        while True:
            if await self._try():
                break
            await asyncio.sleep(_RETRY)
        _log.info("became leader", extra={"lease": self._name, "identity": self._identity})

    async def hold(self) -> None:
        """Renew until it is lost, then raise LostLease."""
        renewed = time.monotonic()
        while True:
            await asyncio.sleep(_RETRY)
            if await self._try():
                renewed = time.monotonic()
            elif time.monotonic() - renewed > _RENEW_DEADLINE:
                raise LostLease(f"{self._name} could not be renewed for {_RENEW_DEADLINE:.0f} s")

    async def release(self) -> None:
        """Let the next one take it at once."""
        try:
            lease = await self._client.get(LEASES, self._name, _NAMESPACE)
            if lease["spec"].get("holderIdentity") == self._identity:
                lease["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1}
                await self._client.update(LEASES, self._name, lease, _NAMESPACE)
        except ApiError as error:
            _log.info("lease not released", extra={"lease": self._name, "error": str(error)})

    async def _try(self) -> bool:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        try:
            async with asyncio.timeout(_RENEW_DEADLINE / 2):
                return await self._take(now)
        except (AlreadyExists, Conflict, TimeoutError):
            return False
        except ApiError as error:
            _log.warning("lease not reached", extra={"lease": self._name, "error": str(error)})
            return False

    async def _take(self, now: str) -> bool:
        ours = {"holderIdentity": self._identity, "leaseDurationSeconds": _DURATION, "renewTime": now}
        try:
            lease = await self._client.get(LEASES, self._name, _NAMESPACE)
        except NotFound:
            body: Object = {
                "apiVersion": LEASES.api_version,
                "kind": LEASES.kind,
                "metadata": {"name": self._name, "namespace": _NAMESPACE},
                "spec": ours | {"acquireTime": now, "leaseTransitions": 0},
            }
            await self._client.create(LEASES, body, _NAMESPACE)
            return True
        spec = lease.setdefault("spec", {})
        holder = spec.get("holderIdentity") or ""
        if holder != self._identity:
            state = (holder, spec.get("renewTime"), spec.get("leaseTransitions"))
            if self._observed[0] != state:
                self._observed = (state, time.monotonic())
            if holder and time.monotonic() - self._observed[1] < (spec.get("leaseDurationSeconds") or _DURATION):
                return False
            ours |= {"acquireTime": now, "leaseTransitions": (spec.get("leaseTransitions") or 0) + 1}
        lease["spec"] = spec | ours
        await self._client.update(LEASES, self._name, lease, _NAMESPACE)
        return True
