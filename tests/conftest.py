"""Fixtures that every integration test shares."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from clusters import IMAGES, ROOT, Cluster, cluster
from targets import Target, given


@pytest.fixture(scope="session")
def hollow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster without containers, for everything that is about the API."""
    with cluster(tmp_path_factory.mktemp("hollow"), "127.0.0.21") as made:
        yield made


@pytest.fixture(scope="session")
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Target:
    """What the API and client tests talk to: the hollow cluster, or the cluster of TARGET_KUBECONFIG."""
    folder = tmp_path_factory.mktemp("target")
    found = given(folder)
    if found is None:
        hollow: Cluster = request.getfixturevalue("hollow")
        found = Target(hollow.kubeconfig, folder)
    return found


@pytest.fixture(scope="session")
def images() -> Path:
    """The local images as an archive: pause and busybox."""
    if not IMAGES.exists():
        IMAGES.parent.mkdir(exist_ok=True)
        subprocess.run([sys.executable, ROOT / "deploy" / "images" / "build.py", IMAGES], check=True)
    return IMAGES


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory, images: Path) -> Iterator[Cluster]:
    """A cluster that runs containers, with the local images loaded. Needs root."""
    assert os.geteuid() == 0, "tests with real containers need root"
    from knarr.agent.containerd import import_images
    from knarr.cluster.config import default_node_ip

    with cluster(tmp_path_factory.mktemp("real"), default_node_ip(), "cri") as made:
        import_images(endpoint(made), images)
        yield made


def endpoint(made: Cluster) -> str:
    """The CRI endpoint of a cluster's own containerd."""
    from knarr.agent import AgentConfig
    from knarr.agent.containerd import Containerd

    config = AgentConfig(kubeconfig=made.kubeconfig, node_name=made.node, node_ip=made.address, data_dir=made.data_dir)
    return Containerd(config).endpoint
