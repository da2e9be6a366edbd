"""Clusters for tests: started by the command that a user types, driven by kubectl, ended and looked after.

A hollow cluster needs no root and lives on a loopback address of its own, so that several can run side by side; one
with real containers lives in a network namespace of its own (tests/cluster/hosts.py). Everything lies in a temporary
folder.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
KNARR = Path(sys.executable).with_name("knarr")
KUBECTL = os.environ.get("KUBECTL", "kubectl")
IMAGES = ROOT / ".cache" / "images.tar"


@dataclass
class Done:
    """A command's end. out and err: text."""

    code: int
    out: str
    err: str


def run(*command: str | os.PathLike[str], stdin: str | None = None, timeout: float = 120, **environment: str) -> Done:
    """Run a command to its end."""
    done = subprocess.run(
        [os.fspath(each) for each in command],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout,
        env=os.environ | environment,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


@dataclass
class Cluster:
    """One cluster started by `knarr up --detach`."""

    data_dir: Path
    address: str
    port: int
    runtime: str
    flags: tuple[str, ...] = ()
    node: str = "node-1"
    _context: ssl.SSLContext | None = field(default=None, repr=False)

    def up(self, timeout: float = 120) -> Done:
        return run(
            KNARR, "up", "--detach", "--data-dir", self.data_dir, "--node-ip", self.address, "--port", str(self.port),
            "--runtime", self.runtime, "--node-name", self.node, *self.flags, timeout=timeout,
        )  # fmt: skip

    def down(self, *flags: str) -> Done:
        return run(KNARR, "down", "--data-dir", self.data_dir, *flags)

    @property
    def kubeconfig(self) -> Path:
        return self.data_dir / "admin.conf"

    def status(self) -> dict[str, Any]:
        done = run(KNARR, "status", "-o", "json", "--data-dir", self.data_dir)
        assert done.code == 0, done.err
        found: dict[str, Any] = json.loads(done.out)
        return found

    def pid(self, role: str) -> int:
        return int(self.status()["roles"][role]["pid"])

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout: float = 120) -> Done:
        """kubectl as the administrator, with a cache of its own."""
        home = str(self.data_dir / "home")
        return run(KUBECTL, *arguments, stdin=stdin, timeout=timeout, KUBECONFIG=str(self.kubeconfig), HOME=home)

    def ok(self, *arguments: str, stdin: str | None = None, timeout: float = 120) -> str:
        """What kubectl prints; it must succeed."""
        done = self.kubectl(*arguments, stdin=stdin, timeout=timeout)
        assert done.code == 0, f"kubectl {' '.join(arguments)}: {done.err}{done.out}"
        return done.out

    def fails(self, *arguments: str, stdin: str | None = None) -> str:
        """What kubectl says on standard error; it must fail."""
        done = self.kubectl(*arguments, stdin=stdin)
        assert done.code != 0, f"kubectl {' '.join(arguments)} succeeded: {done.out}"
        return done.err

    def json(self, *arguments: str) -> Any:
        return json.loads(self.ok(*arguments, "-o", "json"))

    def http(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        accept: str = "application/json",
        user: str | None = "admin",
        headers: dict[str, str] | None = None,
    ) -> tuple[int, Any]:
        """One request; (code, the answer as JSON or text). user: whose certificate, None for nobody's."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"https://{self.address}:{self.port}{path}", data=data, method=method)
        request.add_header("Accept", accept)
        if data is not None:
            request.add_header("Content-Type", content_type)
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        context = ssl.create_default_context(cafile=str(self.data_dir / "pki" / "ca.crt"))
        if user:
            context.load_cert_chain(self.data_dir / "pki" / f"{user}.crt", self.data_dir / "pki" / f"{user}.key")
        opener = urllib.request.build_opener(
            urllib.request.HTTPSHandler(context=context), urllib.request.ProxyHandler({})
        )
        try:
            with opener.open(request, timeout=30) as answer:
                code, content = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            code, content = error.code, error.read()
        try:
            return code, json.loads(content)
        except ValueError:
            return code, content.decode(errors="replace")


@contextmanager
def cluster(folder: Path, address: str = "127.0.0.1", runtime: str = "hollow", *flags: str) -> Iterator[Cluster]:
    """A running cluster, gone with all that it made when the block ends."""
    made = Cluster(folder / "data", address, free_port(address), runtime, flags)
    try:
        done = made.up()
        assert done.code == 0, done.err + logs(made)
        yield made
    finally:
        if made.data_dir.exists():  # a refused start leaves none, and its own error is what counts
            done = made.down("--purge")
            assert done.code == 0, done.err


def logs(made: Cluster, lines: int = 30) -> str:
    """The ends of a cluster's logs, for a failing test's message."""
    parts = []
    for path in sorted((made.data_dir / "logs").glob("*.log")):
        parts += [f"--- {path.name}", *path.read_text(errors="replace").splitlines()[-lines:]]
    return "\n".join(parts)


def eventually(check: Callable[[], Any], seconds: float = 30, step: float = 0.1) -> Any:
    """The first true answer of `check` within `seconds`; its last answer or exception is shown where there is none."""
    end = time.monotonic() + seconds
    while True:
        try:
            answer: Any = check()
            if answer:
                return answer
        except AssertionError as error:
            answer = error
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {answer!r}")
        time.sleep(step)
