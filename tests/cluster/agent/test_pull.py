"""Goal: an image that the node lacks is pulled from its registry, as on every machine that reaches one.

Method: a registry on loopback that serves the local image by OCI's distribution specification, and pods that name it
there, one of them an image that it has not.
"""

from __future__ import annotations

import http.server
import json
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .node import TestNode, images

pytestmark = pytest.mark.cluster


@contextmanager
def registry() -> Iterator[tuple[str, list[str]]]:
    """(its address, what it was asked for). It has one image, busybox:1."""
    with tarfile.open(images()) as archive:
        contents = {each.name: archive.extractfile(each).read() for each in archive if each.isfile()}  # type: ignore[union-attr]
    entries = json.loads(contents["index.json"])["manifests"]
    (image,) = (e for e in entries if e["annotations"]["io.containerd.image.name"] == "knarr.dev/busybox:1")
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            kind, _, name = self.path.removeprefix("/v2/busybox/").partition("/")
            digest = image["digest"] if name == "1" else name
            body = contents.get("blobs/" + digest.replace(":", "/"))
            if body is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Type", image["mediaType"] if kind == "manifests" else "application/octet-stream")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Docker-Content-Digest", digest)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            """Nothing is printed."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}", asked
        finally:
            server.shutdown()


async def test_an_image_is_pulled_from_its_registry(tmp_path: Path) -> None:
    sleep = {"command": ["sleep", "1000"], "imagePullPolicy": "IfNotPresent"}
    with registry() as (address, asked):
        async with TestNode(tmp_path) as node:
            node.run("p", {"image": f"{address}/busybox:1", **sleep})
            await node.until_ready("p", 30)
            assert any("/manifests/" in path for path in asked), asked
            assert node.container("p")["imageID"].startswith(f"{address}/busybox@sha256:")
            node.run("q", {"image": f"{address}/absent:1", **sleep})
            await node.api.until(lambda: "waiting" in node.container("q").get("state", {}))

            def refused() -> bool:
                reason = node.container("q")["state"].get("waiting", {}).get("reason")
                return reason in ("ErrImagePull", "ImagePullBackOff")

            await node.api.until(refused)
