"""Servers that measurements start: a composed one with a command pipe, and the floor."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from bench.http2 import Connection

ROOT = Path(__file__).parents[1]
START_SECONDS_MAX = 60


def free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


class Composed:
    """A process that composed an `ApiServer` (bench/composed.py). Raises RuntimeError where it does not start."""

    def __init__(self, folder: Path, address: str = "127.0.0.1") -> None:
        self.folder, self.address, self.port = folder, address, free_port(address)
        self.log = open(folder.with_suffix(".log"), "ab")  # noqa: SIM115 - closed by `stop`
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.composed", folder, address, str(self.port)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )
        said = self.hear()
        if said != "serving":
            self.stop()
            raise RuntimeError(f"the server does not start: {said!r}; see {self.log.name}")

    @property
    def pid(self) -> int:
        return self.process.pid

    def say(self, command: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ask(self, command: str) -> str:
        self.say(command)
        return self.hear()

    def connect(self) -> Connection:
        return Connection(self.address, self.port, self.folder / "pki")

    def stop(self) -> None:
        with suppress(OSError, ValueError):
            self.say("quit")
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()

    def __enter__(self) -> Composed:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def floor_program() -> Path:
    """The example `floor` of knarr-gateway, built where it is not yet. Raises CalledProcessError where it cannot be."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    program = target / "release" / "examples" / "floor"
    if not program.exists():
        command = ["cargo", "build", "--release", "--locked", "-q", "-p", "knarr-gateway", "--example", "floor"]
        subprocess.run(command, cwd=ROOT, check=True, env=os.environ | {"CARGO_TARGET_DIR": str(target)})
    return program


class Floor:
    """The floor: a fixed Pod over the gateway's hyper and rustls, and nothing of knarr."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.process = subprocess.Popen([floor_program(), f"{address}:0"], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        listening = self.process.stdout.readline().split()
        self.address, _, port = listening[1].rpartition(":")
        self.port = int(port)

    @property
    def pid(self) -> int:
        return self.process.pid

    def connect(self) -> Connection:
        return Connection(self.address, self.port, None)

    def __enter__(self) -> Floor:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
