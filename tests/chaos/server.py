"""One `knarr server` that is killed and started again, and the load on it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from clusters import free_port
from history import Watched, Written

KNARR = Path(sys.executable).with_name("knarr")
READY_SECONDS_MAX = 30
MAPS = "/api/v1/namespaces/default/configmaps"


class Server:
    """The role `knarr server` alone, on a folder that stays."""

    def __init__(self, folder: Path, address: str) -> None:
        self.data_dir, self.address, self.port = folder / "data", address, free_port(address)
        self.process: subprocess.Popen[bytes] | None = None
        self.log = folder / "server.log"
        self._context: ssl.SSLContext | None = None

    def start(self) -> None:
        """Start it and wait until it says that it serves. Raises AssertionError with its words where it does not."""
        reader, writer = os.pipe()
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [KNARR, "server", "--data-dir", self.data_dir, "--node-ip", self.address, "--port", str(self.port)],
                stdout=log,
                stderr=log,
                pass_fds=(writer,),
                env=os.environ | {"KNARR_NOTIFY_FD": str(writer)},
            )
        os.close(writer)
        with os.fdopen(reader) as pipe:
            said = json.loads(pipe.readline() or "{}")
        assert said.get("ready"), (said, self.log.read_text()[-2000:])

    def refused(self) -> str:
        """Start it where it must not start: what it says instead."""
        done = subprocess.run(
            [KNARR, "server", "--data-dir", self.data_dir, "--node-ip", self.address, "--port", str(self.port)],
            capture_output=True,
            text=True,
            timeout=READY_SECONDS_MAX,
            check=False,
        )
        assert done.returncode != 0, done.stderr
        return done.stderr

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)

    def connect(self, timeout: float = 10.0) -> http.client.HTTPSConnection:
        if self._context is None:
            pki = self.data_dir / "pki"
            self._context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
            self._context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
        return http.client.HTTPSConnection(self.address, self.port, timeout=timeout, context=self._context)

    def request(
        self, connection: http.client.HTTPSConnection, method: str, path: str, body: Any = None
    ) -> tuple[int, Any]:
        data = json.dumps(body) if body is not None else None
        connection.request(method, path, data, {"Content-Type": "application/json"} if data else {})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


class Writer(threading.Thread):
    """Raises the numbers of its own objects until it is told to stop, over as many connections as it takes.

    A connection that breaks with a request on it leaves that request unsettled: the object is read on the next
    connection, and must hold what was acknowledged or what was tried."""

    DELETE_EVERY = 25

    def __init__(self, server: Server, number: int, objects: int = 4) -> None:
        super().__init__(daemon=True)
        self.server = server
        self.objects = [Written(f"w{number}-{index}") for index in range(objects)]
        self.unsettled: set[str] = set()
        self.unknown: set[str] = set()
        self.errors: list[str] = []
        self.done = threading.Event()
        self.writes = 0

    def run(self) -> None:
        try:
            while not self.done.is_set():
                try:
                    self.work(self.server.connect())
                except (OSError, http.client.HTTPException, ValueError):
                    # cut off in the midst of an answer: nothing is known of the request on the wire
                    self.unknown |= {each.name for each in self.objects}
                    time.sleep(0.02)
        except Exception as error:  # noqa: BLE001 - a thread's end is told by the test
            self.errors.append(repr(error))

    def work(self, connection: http.client.HTTPSConnection) -> None:
        for written in self.objects:
            if written.name in self.unknown:
                self.read(connection, written)
        while not self.done.is_set():
            for written in self.objects:
                self.raise_number(connection, written)

    def read(self, connection: http.client.HTTPSConnection, written: Written) -> None:
        """After a crash: what does the object hold?"""
        code, found = self.server.request(connection, "GET", f"{MAPS}/{written.name}")
        assert code in (200, 404), found
        number = int(found["data"]["number"]) if code == 200 else None
        self.errors += written.check_read(number, written.name in self.unsettled)
        if number is not None and number > written.last:
            # it was written, the answer was lost: from now on it counts
            written.acknowledged[number] = int(found["metadata"]["resourceVersion"])
        written.deleted = number is None
        self.unknown.discard(written.name)
        self.unsettled.discard(written.name)

    def raise_number(self, connection: http.client.HTTPSConnection, written: Written) -> None:
        self.unsettled.add(written.name)
        if written.tried % self.DELETE_EVERY == self.DELETE_EVERY - 1 and not written.deleted:
            code, answer = self.server.request(connection, "DELETE", f"{MAPS}/{written.name}")
            assert code == 200, answer
            written.deleted = True
        number = written.tried + 1
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": written.name},
            "data": {"number": str(number)},
        }
        fresh = written.deleted or not written.acknowledged
        written.tried = number
        method, path = ("POST", MAPS) if fresh else ("PUT", f"{MAPS}/{written.name}")
        code, answer = self.server.request(connection, method, path, body)
        assert code in (200, 201), answer
        written.acknowledged[number] = int(answer["metadata"]["resourceVersion"])
        written.deleted = False
        self.unsettled.discard(written.name)
        self.writes += 1


class Watcher(threading.Thread):
    """Watches the writers' objects, resuming after each crash from the last revision it was told."""

    def __init__(self, server: Server, revision: int) -> None:
        super().__init__(daemon=True)
        self.server = server
        self.watched = Watched(revision)
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.is_set():
            try:
                connection = self.server.connect(timeout=5)
                connection.request(
                    "GET", f"{MAPS}?watch=1&allowWatchBookmarks=true&resourceVersion={self.watched.revision}"
                )
                answer = connection.getresponse()
                assert answer.status == 200, answer.read()
                while line := answer.readline():
                    if line.endswith(b"\n"):  # what was cut off comes again
                        self.take(json.loads(line))
                    if self.done.is_set():
                        return
            except (OSError, http.client.HTTPException):
                time.sleep(0.02)
            except AssertionError as error:
                self.watched.errors.append(str(error))
                return
            self.watched.reconnects += 1

    def take(self, event: dict[str, Any]) -> None:
        if event["object"]["metadata"].get("name", "w").startswith("w"):
            self.watched.take(event)
