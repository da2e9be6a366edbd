"""Goal: containerd starts with what containers need of it. Method: a stand-in for the program that writes down how it
was started; the sandbox's image taken apart."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest
from knarr._core import PAUSE
from knarr.agent import AgentConfig
from knarr.agent.containerd import Containerd, pause_archive


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_a_container_s_root_is_open_whatever_mask_the_agent_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`knarr up --detach` sets 077; containerd makes each container's / under the mask it inherits."""
    told = tmp_path / "told"
    fake = script(tmp_path / "containerd", f"umask > {told}.new && mv {told}.new {told}; exec sleep 60")
    script(tmp_path / "runc", "")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    config = AgentConfig(
        kubeconfig=tmp_path / "none", node_name="n", node_ip="127.0.0.1", data_dir=tmp_path / "d", bind="127.0.0.1"
    )
    before = os.umask(0o077)
    try:
        containerd = Containerd(config, str(fake))
        containerd._spawn()
    finally:
        os.umask(before)
    assert containerd._process is not None
    try:
        until = time.monotonic() + 10
        while not told.exists():
            assert time.monotonic() < until, "the program did not start"
            time.sleep(0.01)
    finally:
        os.kill(containerd._process.pid, signal.SIGKILL)
    assert told.read_text().strip() == "0022"


def test_a_containerd_is_found_whose_starter_was_killed_before_it_noted_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = script(tmp_path / "containerd", "sleep 60; exit")
    script(tmp_path / "runc", "")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    config = AgentConfig(
        kubeconfig=tmp_path / "none", node_name="n", node_ip="127.0.0.1", data_dir=tmp_path / "d", bind="127.0.0.1"
    )
    monkeypatch.setattr("knarr.agent.containerd.write_atomic", lambda *_: None)
    containerd = Containerd(config, str(fake))
    assert containerd.running() is None
    containerd._spawn()
    assert containerd._process is not None
    try:
        assert Containerd(config).running() == containerd._process
    finally:
        os.killpg(containerd._process.pid, signal.SIGKILL)
        containerd._process.reap()


def test_the_sandbox_s_image_is_the_pause_program_alone(tmp_path: Path) -> None:
    out = tmp_path / "pause.tar"
    pause_archive("knarr.dev/pause:1").write(out)
    with tarfile.open(out) as tar:
        blobs = {m.name: (tar.extractfile(m) or io.BytesIO()).read() for m in tar.getmembers()}
    (entry,) = json.loads(blobs["index.json"])["manifests"]
    assert entry["annotations"]["io.containerd.image.name"] == "knarr.dev/pause:1"

    def blob(descriptor: dict[str, str]) -> bytes:
        return blobs["blobs/sha256/" + descriptor["digest"].removeprefix("sha256:")]

    manifest = json.loads(blob(entry))
    assert json.loads(blob(manifest["config"]))["config"]["Entrypoint"] == ["/pause"]
    (layer,) = manifest["layers"]
    with tarfile.open(fileobj=io.BytesIO(blob(layer))) as tar:
        (member,) = tar.getmembers()
        assert (member.name, member.mode & 0o111) == ("pause", 0o111)
        program = tar.extractfile(member)
        assert program is not None and program.read() == PAUSE
    assert PAUSE.startswith(b"\x7fELF")


def test_shims_that_containerd_forgot_are_ended_with_their_sockets_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def config(name: str) -> AgentConfig:
        return AgentConfig(kubeconfig=tmp_path, node_name="n", node_ip="127.0.0.1", data_dir=tmp_path / name)

    def shim(of: Containerd) -> subprocess.Popen[bytes]:
        program = ["containerd-shim-runc-v2", "-c", "import time; time.sleep(60)"]
        command = [*program, "-namespace", "k8s.io", "-id", "0123", "-address", str(of.socket)]
        return subprocess.Popen(command, executable=sys.executable)

    def socket_of(of: Containerd) -> Path:
        return tmp_path / hashlib.sha256(f"{of.socket}/k8s.io/0123".encode()).hexdigest()

    monkeypatch.setattr("knarr.agent.containerd.SHIM_SOCKETS", tmp_path)
    ours, theirs = Containerd(config("a")), Containerd(config("b"))
    for each in (ours, theirs):
        socket_of(each).touch()
    forgotten, other = shim(ours), shim(theirs)
    try:
        ours.end_shims()
        assert forgotten.wait(10) == -9
        assert other.poll() is None
        assert not socket_of(ours).exists() and socket_of(theirs).exists()
    finally:
        for process in (forgotten, other):
            process.kill()
            process.wait()
