"""More connections than a shell lets a process have files.

Goal: a crowd of clients keeps nobody out, and leaves the store the files it needs: the soft limit that a process
inherits (1,024, as a rule) is for programs that use select(2). Method: a server is started under a low one and held by
more connections than it allows; another client is served all the same."""

from __future__ import annotations

import contextlib
import resource
import socket
from pathlib import Path

from server import MAPS, Server

FILES, CROWD = 200, 400


def test_a_crowd_of_connections_keeps_nobody_out(tmp_path: Path) -> None:
    server = Server(tmp_path, "127.0.0.27")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, hard))
    try:
        server.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(2 * CROWD, hard)), hard))
    try:
        with contextlib.ExitStack() as crowd:
            for _ in range(CROWD):
                crowd.enter_context(socket.create_connection((server.address, server.port), timeout=5))
            body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
            code, answer = server.request(server.connect(timeout=5), "POST", MAPS, body)
            assert code == 201, answer
    finally:
        server.stop()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
