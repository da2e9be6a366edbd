"""Goal: a pod's image is pulled with the pod's own logins. Method: a registry in a few lines, in place of a runtime."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any, cast

import pytest
from knarr.agent.images import ImageError, Images
from knarr.agent.runtime import Image, Runtime, RuntimeCallError

IMAGE = "reg.example/private:1"


class Registry:
    """Gives the image to who has a login, after a moment."""

    def __init__(self) -> None:
        self.pulls = 0

    async def image(self, _reference: str) -> Image | None:
        return None

    async def pull_image(self, reference: str, login: dict[str, str] | None, _sandbox: Any) -> str:
        self.pulls += 1
        await asyncio.sleep(0.01)
        if login is None:
            raise RuntimeCallError("401 Unauthorized")
        return f"sha256:{reference}"


def secret(user: str) -> dict[str, Any]:
    text = json.dumps({"auths": {"reg.example": {"username": user, "password": "p"}}})
    return {"data": {".dockerconfigjson": base64.b64encode(text.encode()).decode()}}


async def test_pods_share_a_pull_only_with_the_same_logins() -> None:
    registry = Registry()
    images = Images(cast(Runtime, registry))

    async def pull(uid: str, *secrets: dict[str, Any]) -> str:
        found, _ = await images.ensure(uid, {"image": IMAGE}, cast(Any, None), secrets, lambda *_: None)
        return found

    stranger, *others = await asyncio.gather(
        pull("a"), pull("b", secret("u")), pull("c", secret("u")), pull("d", secret("v")), return_exceptions=True
    )
    assert isinstance(stranger, ImageError) and stranger.reason == "ErrImagePull"
    assert others == [f"sha256:{IMAGE}"] * 3
    assert registry.pulls == 3
    with pytest.raises(ImageError, match="Back-off pulling image"):
        await pull("a")
