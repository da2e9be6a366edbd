"""Tokens of service accounts. Goal: each is renewed at 80 % of its life or after a day, reaches its file in one step,
and is kept while it is valid and no new one is to be had. Method: a clock of the test's own and a client that counts;
then the whole agent against a small API that hands out short lives. Source: pkg/kubelet/token/token_manager.go."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from knarr.agent.env import Sources
from knarr.agent.objects import Tokens
from knarr.agent.volumes import Context, PodVolumes, Token, VolumeError
from knarr.client import ApiError

from tests.cluster.agent.node import TestNode

POD = {
    "metadata": {"name": "p", "namespace": "ns", "uid": "u"},
    "spec": {
        "serviceAccountName": "sa",
        "containers": [{"name": "c"}],
        "volumes": [{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}],
    },
}
START = 1_800_000_000
HOUR, DAY = 3600, 24 * 3600


class Issuer:
    """A clock, and a client whose tokens are numbered and live as long as was asked for."""

    def __init__(self, chance: float = 0.0) -> None:
        self.now, self.issued, self.error = float(START), 0, None
        self.tokens = Tokens(self, clock=lambda: self.now, chance=lambda: chance)  # type: ignore[arg-type]
        self.error: ApiError | None

    async def create(self, _resource: Any, body: Any, *_: Any, **__: Any) -> dict[str, Any]:
        if self.error is not None:
            raise self.error
        self.issued += 1
        until = time.gmtime(self.now + body["spec"]["expirationSeconds"])
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", until)
        return {"status": {"token": f"token-{self.issued}", "expirationTimestamp": stamp}}

    def at(self, seconds: float, life: int = HOUR) -> Token:
        """The token that is given so long after the start."""
        self.now = START + seconds
        return asyncio.run(self.tokens.get(POD, "", life))


@pytest.mark.parametrize(
    ("life", "due"), [(600, 480), (HOUR, 2880), (DAY, 69_120), (30 * HOUR, DAY), (7 * DAY, DAY), (365 * DAY, DAY)]
)
def test_it_is_renewed_at_four_fifths_of_its_life_or_after_a_day(life: int, due: int) -> None:
    issuer = Issuer()
    assert issuer.at(0, life) == ("token-1", START + due)
    assert issuer.at(due - 1, life).value == "token-1" and issuer.issued == 1
    assert issuer.at(due, life) == ("token-2", START + due + due)
    assert issuer.at(due + 1, life).value == "token-2" and issuer.issued == 2


@pytest.mark.parametrize(("life", "spread"), [(100, 5), (600, 10), (HOUR, 10), (365 * DAY, 10)])
def test_pods_made_together_do_not_renew_together(life: int, spread: int) -> None:
    times = [Issuer(chance).at(0, life).renew_at for chance in (0.0, 0.5, 1.0)]
    assert [times[0] - each for each in times] == [0, spread / 2, spread]


@pytest.mark.parametrize("error", [ApiError(500, "InternalError", "down"), ApiError(404, "NotFound", "gone")])
def test_the_old_one_is_kept_while_it_is_valid(error: ApiError) -> None:
    issuer = Issuer()
    issuer.at(0)
    issuer.error = error
    assert issuer.at(2880) == ("token-1", START + 2880 + 30)
    assert issuer.at(3590) == ("token-1", START + HOUR), "and looked at again when it expires"
    with pytest.raises(VolumeError, match="token expired and refresh failed"):
        issuer.at(HOUR)
    issuer.error = None
    assert issuer.at(HOUR + 1).value == "token-2"


def test_audiences_and_pods_have_tokens_of_their_own() -> None:
    issuer = Issuer()
    first = asyncio.run(issuer.tokens.get(POD, "a", HOUR))
    assert asyncio.run(issuer.tokens.get(POD, "b", HOUR)) != first
    assert asyncio.run(issuer.tokens.get(POD, "a", HOUR)) == first
    issuer.tokens.forget("u")
    assert asyncio.run(issuer.tokens.get(POD, "a", HOUR)).value == "token-3"


def test_a_renewed_one_reaches_its_file_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    issuer = Issuer()

    async def token(audience: str, seconds: int) -> Token:
        return await issuer.tokens.get(POD, audience, seconds)

    volumes = PodVolumes(Context(POD, tmp_path, lambda: Sources(), token, mounts=False))
    assert asyncio.run(volumes.setup()) == {}
    folder = tmp_path / "volumes" / "kubernetes.io~projected" / "v"
    path, version = folder / "token", os.readlink(folder / "..data")
    seen: list[tuple[str, str]] = []
    replace = Path.replace

    def watched(self: Path, target: Path) -> Path:
        before = path.read_text()
        done = replace(self, target)
        seen.append((before, path.read_text()))
        return done

    monkeypatch.setattr(Path, "replace", watched)
    issuer.now = volumes.renew_at() - 1
    assert asyncio.run(volumes.setup()) == {} and path.read_text() == "token-1" and seen == []
    issuer.now += 1
    assert asyncio.run(volumes.setup()) == {} and path.read_text() == "token-2"
    assert seen == [("token-1", "token-2")], "one rename, the old text before it and the new one after"
    assert os.readlink(folder / "..data") != version and not (folder / version).exists()
    assert volumes.renew_at() == issuer.now + 2880


async def until(check: Callable[[], bool]) -> None:
    for _ in range(750):
        if check():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("not within 15 s")


async def test_the_agent_renews_by_itself_and_does_not_insist(tmp_path: Path) -> None:
    async with TestNode(tmp_path, "hollow") as node:
        node.api.token_seconds = 3.0
        node.run("p", {}, volumes=POD["spec"]["volumes"])  # type: ignore[index]
        await node.until_ready("p")
        uid = node.api.get("pods", "p")["metadata"]["uid"]  # type: ignore[index]
        path = node.config.pods_dir / uid / "volumes" / "kubernetes.io~projected" / "v" / "token"
        assert path.read_text() == "token-1"
        await until(lambda: path.read_text() == "token-2")
        node.api.refuse_tokens = True
        await until(lambda: node.api.tokens_refused > 0)
        # until it expires, and from then on, one try is followed by a pause
        await asyncio.sleep(3.0)
        assert node.api.tokens_refused <= 3
        assert path.read_text() == "token-2" and node.ready("p")
