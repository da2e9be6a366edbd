"""The gates of the frame measure with the parts of bench/, which lies in the project's root."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from bench import objects
from bench.servers import Composed


@pytest.fixture
def composed(tmp_path: Path) -> Iterator[Composed]:
    """A server composed in a process of its own, with the namespace that load goes to. It has no controllers."""
    with Composed(tmp_path / "composed", "127.0.0.22") as server:
        with server.connect() as client:
            for each in (objects.create_namespace(), objects.service_account()):
                code, body = client.request(each.method, each.path, each.body)
                assert code == 201, body
        yield server
