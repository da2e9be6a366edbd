"""projected: several sources in one folder, among them bound tokens that are renewed at 80 % of their life.

Source: pkg/volume/projected/projected.go, collectData.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..podspec import every_container
from . import config_map, downward_api, secret
from .base import Context, File, VolumeError

TOKEN_SECONDS = 3600


async def payload(source: Mapping[str, Any], context: Context, default_mode: int) -> tuple[dict[str, File], float]:
    """(files, when a token among them is to be renewed). Raises VolumeError; every source's error is told."""
    files: dict[str, File] = {}
    errors: list[str] = []
    renew_at = math.inf
    for part in source.get("sources") or ():
        sources = context.sources()
        try:
            if one := part.get("configMap"):
                files |= config_map.payload(one, sources, default_mode)
            elif one := part.get("secret"):
                files |= secret.payload(one, sources, default_mode)
            elif (one := part.get("downwardAPI")) is not None:
                files |= downward_api.payload(one, context.pod, sources, default_mode)
            elif one := part.get("serviceAccountToken"):
                seconds = int(one.get("expirationSeconds") or TOKEN_SECONDS)
                token = await context.token(one.get("audience") or "", seconds)
                renew_at = min(renew_at, token.renew_at)
                user = only_user(context.pod)
                private = user is not None or context.fs_group is not None
                files[one["path"]] = File(token.value.encode(), 0o600 if private else default_mode, user)
            else:
                errors.append(f"unsupported projection source: {', '.join(part) or 'none'}")
        except VolumeError as error:
            errors.append(str(error))
    if errors:
        raise VolumeError(errors[0] if len(errors) == 1 else "[" + ", ".join(errors) + "]")
    return files, renew_at


def only_user(pod: Mapping[str, Any]) -> int | None:
    """The user that all containers run as, if they say one: it may own a token that nobody else reads."""
    shared = (pod["spec"].get("securityContext") or {}).get("runAsUser")
    users = set()
    for container in every_container(pod):
        own = (container.get("securityContext") or {}).get("runAsUser")
        users.add(shared if own is None else own)
    return users.pop() if len(users) == 1 else None
