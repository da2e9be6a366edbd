"""Every HTTP exchange in exchanges/ gets the recorded answer of kube-apiserver 1.34."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from targets import Target
from transcripts import read

sys.path.insert(0, str(Path(__file__).parent))

from player import Player

FILES = sorted((Path(__file__).parent / "exchanges").glob("*.txt"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_exchanges(target: Target, path: Path) -> None:
    namespace = target.namespace(f"api-{path.stem}")
    try:
        read(path).play(Player(target, namespace).ask)
    finally:
        target.drop(namespace)
