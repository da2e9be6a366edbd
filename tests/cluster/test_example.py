"""Goal: the example that `sh deploy/up.sh` shows runs, is shown, and can be gone on with. Method: what the script ends
with, against a real cluster, twice; then kubectl as a new user would call it."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

import pytest
from clusters import ROOT, Done, run

from tests.cluster.hosts import HostCluster

pytestmark = pytest.mark.cluster
FILE = ROOT / "deploy" / "examples" / "hello" / "hello.yaml"
TEXT = "Hello from knarr"


def show(real: HostCluster, images: Path) -> Done:
    script = ROOT / "deploy" / "show.py"
    return run(*real.prefix, sys.executable, script, "--data-dir", real.data_dir, "--images", images, timeout=180)


def test_the_example_is_served_shown_and_can_be_changed(real: HostCluster, images: Path) -> None:
    for _ in range(2):
        began = time.monotonic()
        done = show(real, images)
        seconds = time.monotonic() - began
        assert done.code == 0, done.err
        assert f"<h1>{TEXT}</h1>" in done.out, done.out
        assert re.search(rf"^http://{re.escape(real.address)}:3\d{{4}}/$", done.out, re.MULTILINE), done.out
        assert re.search(r"^hello-\S+ +1/1 +Running", done.out, re.MULTILINE), done.out
        assert f"export KUBECONFIG={real.kubeconfig}" in done.out
    assert seconds < 20, "the second time finds everything in place"
    assert TEXT not in real.ok("get", "deployment,service,pod", "-o", "yaml"), "the text stands in the ConfigMap only"

    unchanged = real.kubectl("apply", "-f", str(FILE))
    assert (unchanged.code, unchanged.err) == (0, ""), "no warning of what was applied otherwise"
    assert [line.split()[-1] for line in unchanged.out.splitlines()] == ["unchanged"] * 3, unchanged.out
    changed = FILE.read_text().replace("replicas: 3", "replicas: 1")
    assert "deployment.apps/hello configured" in real.ok("apply", "-f", "-", stdin=changed)
    real.ok("rollout", "status", "deployment/hello", "--timeout=60s")
    real.ok("delete", "-f", str(FILE), "--wait=true")
