"""What the API and client tests are run against: a cluster given by a kubeconfig, spoken to by raw HTTP and by kubectl.

knarr's own hollow cluster, or, with TARGET_KUBECONFIG=FILE, any cluster: against kube-apiserver the same tests show
that they expect what Kubernetes does.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from clusters import KUBECTL, Done, run


@dataclass
class Answer:
    """One HTTP answer. headers: lower-case names."""

    code: int
    headers: dict[str, str]
    body: bytes
    warnings: list[str]

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def message(self) -> str:
        return str(self.json().get("message", ""))


class Target:
    """A cluster by its administrator's kubeconfig. folder: for files made here."""

    def __init__(self, kubeconfig: Path, folder: Path, foreign: bool = False) -> None:
        self.kubeconfig = kubeconfig
        self.folder = folder
        self.foreign = foreign
        folder.mkdir(parents=True, exist_ok=True)
        config = json.loads(self.ok("config", "view", "--raw", "-o", "json"))
        cluster = config["clusters"][0]["cluster"]
        user = config["users"][0]["user"]
        self.url: str = cluster["server"]
        self.ca = self._file("ca.crt", cluster, "certificate-authority")
        self.cert = self._file("client.crt", user, "client-certificate")
        self.key = self._file("client.key", user, "client-key")
        parts = urlsplit(self.url)
        self.host, self.port = str(parts.hostname), int(parts.port or 443)
        self._connections: dict[bool, http.client.HTTPSConnection] = {}

    def _file(self, name: str, holder: Mapping[str, str], field: str) -> Path:
        if field in holder:
            return Path(holder[field])
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_bytes(base64.b64decode(holder[f"{field}-data"]))
        return path

    def connect(self, certified: bool = True, timeout: float = 30) -> http.client.HTTPSConnection:
        """A connection of its own. certified: whether the administrator's certificate is shown."""
        context = ssl.create_default_context(cafile=str(self.ca))
        if certified:
            context.load_cert_chain(self.cert, self.key)
        return http.client.HTTPSConnection(self.host, self.port, context=context, timeout=timeout)

    def http(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        certified: bool = True,
        token: str = "",
    ) -> Answer:
        """One request. body: bytes as they are, anything else as JSON. token: instead of the certificate."""
        certified = certified and not token
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        sent = {"Accept": "application/json"} | ({"Content-Type": "application/json"} if data is not None else {})
        sent |= headers or {}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        for attempt in (0, 1):
            connection = self._connections.get(certified) or self.connect(certified)
            self._connections[certified] = connection
            try:
                connection.request(method, path, body=data, headers=sent)
                answer = connection.getresponse()
                content = answer.read()
                break
            except (http.client.HTTPException, OSError):
                # the server may have closed an idle connection, or it closed this one after refusing a large body
                connection.close()
                self._connections.pop(certified)
                if attempt:
                    raise
        return Answer(
            answer.status,
            {name.lower(): value for name, value in answer.getheaders()},
            content,
            answer.headers.get_all("Warning") or [],
        )

    def get(self, path: str) -> Any:
        answer = self.http("GET", path)
        assert answer.code == 200, answer.body
        return answer.json()

    def post(self, path: str, body: Any) -> Any:
        answer = self.http("POST", path, body)
        assert answer.code in (200, 201, 202), answer.body
        return answer.json()

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout: float = 120) -> Done:
        home = str(self.folder / "home")
        return run(KUBECTL, *arguments, stdin=stdin, timeout=timeout, KUBECONFIG=str(self.kubeconfig), HOME=home)

    def ok(self, *arguments: str, stdin: str | None = None, timeout: float = 120) -> str:
        done = self.kubectl(*arguments, stdin=stdin, timeout=timeout)
        assert done.code == 0, f"kubectl {' '.join(arguments)}: {done.err}{done.out}"
        return done.out

    def namespace(self, name: str) -> str:
        """A new, empty namespace with its default ServiceAccount; what an earlier run left of that name goes first."""
        end = time.monotonic() + 60
        path = f"/api/v1/namespaces/{name}"
        if self.http("GET", path).code == 200:
            self.http("DELETE", path)
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        while (answer := self.http("POST", "/api/v1/namespaces", body)).code == 409:
            assert time.monotonic() < end, f"namespace {name} does not go away: {answer.body!r}"
            time.sleep(0.2)
        assert answer.code == 201, answer.body
        while self.http("GET", f"{path}/serviceaccounts/default").code != 200:
            assert time.monotonic() < end, f"no default ServiceAccount in {name}"
            time.sleep(0.05)
        while self.http("GET", f"{path}/configmaps/kube-root-ca.crt").code != 200:
            assert time.monotonic() < end, f"no kube-root-ca.crt in {name}"
            time.sleep(0.05)
        return name

    def drop(self, name: str) -> None:
        """Let a namespace go, without waiting."""
        self.http("DELETE", f"/api/v1/namespaces/{name}")


def given(folder: Path) -> Target | None:
    """The cluster that the environment names."""
    path = os.environ.get("TARGET_KUBECONFIG")
    return Target(Path(path), folder, foreign=True) if path else None
