"""Pods' statuses on their way to the API: one request a pod at a time, the newest status only, as a small patch."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from knarr.client import ApiError, Conflict, NotFound, Resource
from knarr.client.protocol import Client, Preconditions
from knarr.kits.tasks import Backoff, Latch

from .status import OWNED

log = logging.getLogger(__name__)

PODS = Resource("", "v1", "pods", "Pod")
_KEYED = {"conditions": "type", "podIPs": "ip", "hostIPs": "ip"}


def status_patch(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The strategic merge patch from one PodStatus to another, {} when they are equal.

    Lists with a merge key carry their changed entries (a removed one with $patch: delete), other lists are replaced.
    """
    patch: dict[str, Any] = {}
    for name in old.keys() | new.keys():
        before, after = old.get(name), new.get(name)
        if before == after:
            continue
        if name in _KEYED:
            if name == "conditions":
                # Those of others (readiness gates) are theirs to write.
                before, after = ([c for c in part or () if c["type"] in OWNED] for part in (before, after))
            entries = _keyed(_KEYED[name], before or (), after or ())
            if entries:
                patch[name] = entries
        else:
            patch[name] = after
    return patch


def revision(pod: Mapping[str, Any]) -> int:
    """Of the object, for telling which of two is newer; 0 where it has none."""
    text = (pod.get("metadata") or {}).get("resourceVersion") or ""
    return int(text) if text.isdecimal() else 0


def _keyed(key: str, before: Any, after: Any) -> list[dict[str, Any]]:
    had = {entry[key]: entry for entry in before}
    entries = []
    for entry in after:
        previous = had.pop(entry[key], None)
        if previous is None:
            entries.append(dict(entry))
        elif previous != entry:
            changes = {k: entry.get(k) for k in previous.keys() | entry.keys() if previous.get(k) != entry.get(k)}
            entries.append({key: entry[key], **changes})
    return [*entries, *({key: gone, "$patch": "delete"} for gone in had)]


def essence(status: Mapping[str, Any]) -> dict[str, Any]:
    """What others must not change for good, and the server keeps letter for letter: phase, address, the conditions'
    answers, which container is which and whether it is ready."""
    conditions = {c["type"]: c.get("status") for c in status.get("conditions") or () if c["type"] in OWNED}
    lists = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
    containers = [
        (
            c.get("name"),
            c.get("containerID") or "",
            c.get("ready"),
            c.get("restartCount"),
            *sorted(c.get("state") or {}),
        )
        for name in lists
        for c in status.get(name) or ()
    ]
    return {"phase": status.get("phase"), "ip": status.get("podIP") or "", "is": conditions, "containers": containers}


class Reporter:
    """Of one pod. What is compared is what was sent, never what the server made of it: its form may differ from ours
    for good (a quantity, a null), and each answer would be answered. What others wrote is seen by its `essence`.

    `offer` a status; `seen` tells of the object in the API (a controller marks pods of a node it does not hear from:
    that is taken back); `run` sends; `flushed` waits until the last one offered is there (or moot)."""

    def __init__(self, client: Client, pod: Mapping[str, Any]) -> None:
        metadata = pod["metadata"]
        self._client = client
        self._namespace, self._name, self._uid = metadata["namespace"], metadata["name"], metadata["uid"]
        self._sent: Mapping[str, Any] = pod.get("status") or {}
        self._wanted: Mapping[str, Any] = self._sent
        self._latch = Latch()
        self._idle = asyncio.Event()
        self._idle.set()
        self._moot = False
        self._revision = 0
        self._look_again = False

    def seen(self, pod: Mapping[str, Any]) -> None:
        """The object as it is in the API now, or was a moment ago."""
        if not self._idle.is_set():
            self._look_again = True
        elif revision(pod) > self._revision:
            self._compare(pod)

    def _compare(self, pod: Mapping[str, Any]) -> None:
        there = pod.get("status") or {}
        if there.get("phase") in ("Succeeded", "Failed") or essence(there) == essence(self._sent):
            # A pod that has ended does not come back, whoever said so.
            return
        self._sent = there
        self.offer(self._wanted)

    def offer(self, status: Mapping[str, Any]) -> None:
        self._wanted = status
        if not self._moot and status_patch(self._sent, status):
            self._idle.clear()
            self._latch.set()

    async def flushed(self) -> None:
        await self._idle.wait()

    async def run(self) -> None:
        backoff = Backoff(0.1, 10.0)
        while not self._moot:
            await self._latch.wait()
            wanted = self._wanted
            patch = status_patch(self._sent, wanted)
            if patch:
                answer: Mapping[str, Any] = {}
                try:
                    answer = await self._patch(patch)
                except NotFound:
                    self._moot = True
                except Conflict:
                    # Another pod has the name now.
                    self._moot = True
                except ApiError as error:
                    log.warning("status not taken: pod=%s/%s error=%s", self._namespace, self._name, error)
                    await asyncio.sleep(backoff.next())
                    self._latch.set()
                    continue
                backoff.reset()
                self._sent = wanted
                self._revision = max(self._revision, revision(answer))
                if self._look_again and answer:
                    self._look_again = False
                    self._compare(answer)
            if self._moot or not status_patch(self._sent, self._wanted):
                self._idle.set()
            else:
                self._latch.set()

    async def _patch(self, patch: Mapping[str, Any]) -> Mapping[str, Any]:
        body = {"metadata": {"uid": self._uid}, "status": patch}
        return await self._client.patch(PODS, self._name, body, self._namespace, type="strategic", subresource="status")

    async def delete(self) -> None:
        """The last word: the object goes, if it is still this one. Repeats until the server has answered."""
        backoff = Backoff(0.1, 10.0)
        while True:
            try:
                await self._client.delete(
                    PODS, self._name, self._namespace, grace_period=0, preconditions=Preconditions(uid=self._uid)
                )
                return
            except (NotFound, Conflict):
                return
            except ApiError as error:
                log.warning("pod not deleted: pod=%s/%s error=%s", self._namespace, self._name, error)
                await asyncio.sleep(backoff.next())
