"""Fixtures that every integration test shares."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from clusters import IMAGES, ROOT, Cluster, cluster, logs
from targets import Target, given

from tests.cluster.hosts import HostCluster, hosts


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
def real(tmp_path_factory: pytest.TempPathFactory, images: Path) -> Iterator[HostCluster]:
    """A cluster that runs containers, with the local images loaded. Needs root.

    It lives in a network namespace of its own, which this one reaches: here a developer's cluster may run, or what is
    left of one that was killed."""
    assert os.geteuid() == 0, "tests with real containers need root"
    from knarr.agent.containerd import import_images

    with hosts(1) as [(name, address)]:
        made = HostCluster(tmp_path_factory.mktemp("real") / "data", address, 6443, "cri", namespace=name)
        try:
            done = made.up()
            assert done.code == 0, done.err + logs(made)
            import_images(f"unix://{made.socket}", images)
            yield made
        finally:
            if made.data_dir.exists():
                done = made.down("--purge")
                assert done.code == 0, done.err
