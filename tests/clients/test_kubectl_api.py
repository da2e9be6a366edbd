"""Every kubectl transcript in transcripts/ reads as recorded from kubectl 1.33 against kube-apiserver 1.34.

The hollow node is all that they need; the recording had one too, a hollow knarr agent in the Kubernetes cluster.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from targets import Target
from transcripts import read

sys.path.insert(0, str(Path(__file__).parent))

from shell import Shell

FILES = sorted((Path(__file__).parent / "transcripts").glob("*.txt"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_transcript(target: Target, path: Path) -> None:
    namespace = target.namespace(f"kubectl-{path.stem}")
    try:
        read(path).play(Shell(target, namespace).ask)
    finally:
        target.drop(namespace)
