"""Images: policies, pulls one at a time an image, their back-off, credentials of pull secrets.

Source: Kubernetes 1.34, pkg/kubelet/images/image_manager.go; pkg/credentialprovider for dockerconfigjson.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .env import decode
from .observed import CrashBackoff
from .runtime import Image, Runtime, RuntimeCallError, SandboxSpec

BACKOFF_FIRST, BACKOFF_LAST = 10.0, 300.0
SHOW_ERROR_SECONDS = 3.0
"""How long ErrImagePull stands before it becomes ImagePullBackOff."""
_REFERENCE = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::\d+)?/)?"
    r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
    r"(?::[\w][\w.-]{0,127})?(?:@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?"
)

Tell = Callable[[str, str, str], None]
"""(Normal or Warning, reason, message)"""


class ImageError(Exception):
    """The image cannot be used now. retry_at: wall seconds."""

    def __init__(self, reason: str, message: str, retry_at: float) -> None:
        super().__init__(message)
        self.reason, self.message, self.retry_at = reason, message, retry_at


def default_tag(image: str) -> str:
    """`busybox` -> `busybox:latest`. Raises ValueError for what is no reference."""
    if not _REFERENCE.fullmatch(image):
        raise ValueError(f'couldn\'t parse image name "{image}": invalid reference format')
    if "@" in image or ":" in image.rsplit("/", 1)[-1]:
        return image
    return f"{image}:latest"


def default_policy(image: str) -> str:
    try:
        return "Always" if default_tag(image).endswith(":latest") else "IfNotPresent"
    except ValueError:
        return "IfNotPresent"


def registry_of(image: str) -> str:
    first, slash, _ = image.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else "docker.io"


def credentials(image: str, secrets: Sequence[Mapping[str, Any] | None]) -> list[dict[str, str]]:
    """Logins for the image's registry in dockerconfigjson and dockercfg Secrets, the longest match first."""
    registry = registry_of(image)
    found: list[tuple[int, dict[str, str]]] = []
    for secret in secrets:
        data = (secret or {}).get("data") or {}
        try:
            if ".dockerconfigjson" in data:
                auths = json.loads(decode(data[".dockerconfigjson"])).get("auths") or {}
            elif ".dockercfg" in data:
                auths = json.loads(decode(data[".dockercfg"]))
            else:
                continue
        except ValueError:
            continue
        for server, login in auths.items():
            place = re.sub(r"^https?://", "", server).rstrip("/")
            place = "docker.io" if place.startswith("index.docker.io") else place
            if place.split("/", 1)[0] != registry or not (image.startswith(place) or registry == "docker.io"):
                continue
            name, password = login.get("username", ""), login.get("password", "")
            if login.get("auth") and not name:
                name, _, password = decode(login["auth"]).decode(errors="replace").partition(":")
            found.append((len(place), {"username": name, "password": password}))
    return [login for _, login in sorted(found, key=lambda pair: -pair[0])]


PullKey = tuple[str, tuple[tuple[str, str], ...]]
"""(image, (user, password) of each login in the order they are tried)"""


@dataclass
class _Pull:
    backoff: CrashBackoff
    error: str


class Images:
    """For all pods of the node. Pulls of one image with the same logins are shared; back-off is per pod and image."""

    def __init__(self, runtime: Runtime, clock: Callable[[], float] = time.time) -> None:
        self._runtime, self._clock = runtime, clock
        self._pulls: dict[PullKey, asyncio.Task[str]] = {}
        self._failed: dict[tuple[str, str], _Pull] = {}

    def forget(self, uid: str) -> None:
        self._failed = {key: pull for key, pull in self._failed.items() if key[0] != uid}

    async def ensure(
        self,
        uid: str,
        container: Mapping[str, Any],
        sandbox: SandboxSpec,
        secrets: Sequence[Mapping[str, Any] | None],
        tell: Tell,
    ) -> tuple[str, Image | None]:
        """(what to create the container from, the image). Raises ImageError."""
        asked = container.get("image", "")
        try:
            reference = default_tag(asked)
        except ValueError as error:
            message = f'Failed to apply default image tag "{asked}": {error}'
            tell("Warning", "InspectFailed", message)
            raise ImageError("InvalidImageName", message, self._clock() + BACKOFF_FIRST) from None
        try:
            present = await self._runtime.image(reference)
        except RuntimeCallError as error:
            message = f'Failed to inspect image "{asked}": {error}'
            tell("Warning", "InspectFailed", message)
            raise ImageError("ImageInspectError", message, self._clock() + BACKOFF_FIRST) from None
        policy = container.get("imagePullPolicy") or default_policy(asked)
        if policy != "Always" and present is not None:
            tell("Normal", "Pulled", f'Container image "{asked}" already present on machine')
            return present.id, present
        if policy == "Never":
            message = f'Container image "{asked}" is not present with pull policy of Never'
            tell("Warning", "ErrImageNeverPull", message)
            raise ImageError("ErrImageNeverPull", message, self._clock() + BACKOFF_FIRST)
        return await self._pull(uid, asked, reference, sandbox, secrets, tell)

    async def _pull(
        self,
        uid: str,
        asked: str,
        reference: str,
        sandbox: SandboxSpec,
        secrets: Sequence[Mapping[str, Any] | None],
        tell: Tell,
    ) -> tuple[str, Image | None]:
        now = self._clock()
        failed = self._failed.get((uid, reference))
        if failed is not None and now < failed.backoff.updated + failed.backoff.delay:
            message = f'Back-off pulling image "{asked}"'
            tell("Normal", "BackOff", message)
            until = failed.backoff.updated + failed.backoff.delay
            raise ImageError("ImagePullBackOff", f"{message}: ErrImagePull: {failed.error}", until)
        tell("Normal", "Pulling", f'Pulling image "{asked}"')
        try:
            logins = credentials(reference, secrets)
            # What one pod may pull, or fails to, is not what another may.
            key = (reference, tuple((login["username"], login["password"]) for login in logins))
            task = self._pulls.get(key)
            if task is None:
                task = self._pulls[key] = asyncio.create_task(self._try(reference, logins, sandbox))
                task.add_done_callback(lambda done: self._pulled(key, done))
            # Shielded: another pod may wait for the same pull.
            used = await asyncio.shield(task)
        except RuntimeCallError as error:
            tell("Warning", "Failed", f'Failed to pull image "{asked}": {error}')
            delay = min(failed.backoff.delay * 2, BACKOFF_LAST) if failed is not None else BACKOFF_FIRST
            self._failed[uid, reference] = _Pull(CrashBackoff(delay, self._clock()), str(error))
            raise ImageError("ErrImagePull", str(error), self._clock() + SHOW_ERROR_SECONDS) from None
        self._failed.pop((uid, reference), None)
        image = await self._runtime.image(reference)
        took = f"{self._clock() - now:.3f}s"
        size = image.size if image is not None else 0
        text = f'Successfully pulled image "{asked}" in {took} ({took} including waiting). Image size: {size} bytes.'
        tell("Normal", "Pulled", text)
        return image.id if image is not None else used, image

    def _pulled(self, key: PullKey, done: asyncio.Task[str]) -> None:
        self._pulls.pop(key, None)
        if not done.cancelled():
            # Looked at, though the pods that waited for it may be gone: their failure is nobody's news then.
            done.exception()

    async def _try(self, reference: str, logins: Sequence[dict[str, str]], sandbox: SandboxSpec) -> str:
        last: RuntimeCallError | None = None
        for login in logins:
            try:
                return await self._runtime.pull_image(reference, login, sandbox)
            except RuntimeCallError as error:
                last = error
        if last is not None:
            raise last
        return await self._runtime.pull_image(reference, None, sandbox)
