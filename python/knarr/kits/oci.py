"""OCI image archives put together in memory, without a registry: what `ctr images import` reads.

The same input gives the same bytes: no times, sorted names.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class Archive:
    """Images being put together; `write` makes the tar."""

    def __init__(self, machine: str | None = None) -> None:
        self._blobs: dict[str, bytes] = {}
        self._index: list[dict[str, object]] = []
        machine = machine or platform.machine()
        self._architecture = ARCHITECTURES.get(machine, machine)

    def _blob(self, data: bytes) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        self._blobs[digest] = data
        return {"digest": f"sha256:{digest}", "size": len(data)}

    def layer(self, fill: Callable[[tarfile.TarFile], None]) -> tuple[dict[str, object], str]:
        """(descriptor, diff id) of a layer that `fill` puts files into."""
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w") as tar:
            fill(tar)
        data = raw.getvalue()
        descriptor = {
            "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
            **self._blob(gzip.compress(data, 6, mtime=0)),
        }
        return descriptor, f"sha256:{hashlib.sha256(data).hexdigest()}"

    def image(self, name: str, layers: Sequence[tuple[dict[str, object], str]], **config: object) -> None:
        """config: the OCI image's config fields (Entrypoint, Cmd, Env, User, WorkingDir)."""
        config.setdefault("Env", ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"])
        target = {"architecture": self._architecture, "os": "linux"}
        document = {
            **target,
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [diff for _, diff in layers]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                **self._blob(json.dumps(document, sort_keys=True).encode()),
            },
            "layers": [descriptor for descriptor, _ in layers],
        }
        names = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name}
        self._index.append(
            {
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                **self._blob(json.dumps(manifest, sort_keys=True).encode()),
                "platform": target,
                "annotations": names,
            }
        )

    def write(self, path: Path) -> None:
        index = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": self._index,
        }
        with tarfile.open(path, "w") as tar:
            add_file(tar, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}', 0o644)
            for digest in sorted(self._blobs):
                add_file(tar, f"blobs/sha256/{digest}", self._blobs[digest], 0o644)
            add_file(tar, "index.json", json.dumps(index, sort_keys=True).encode(), 0o644)


def add_file(tar: tarfile.TarFile, name: str, data: bytes, mode: int = 0o755) -> None:
    entry = tarfile.TarInfo(name)
    entry.mode, entry.size = mode, len(data)
    tar.addfile(entry, io.BytesIO(data))


def add_directory(tar: tarfile.TarFile, name: str, mode: int = 0o755) -> None:
    entry = tarfile.TarInfo(name)
    entry.mode, entry.type = mode, tarfile.DIRTYPE
    tar.addfile(entry)


def add_link(tar: tarfile.TarFile, name: str, target: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = tarfile.SYMTYPE, target
    tar.addfile(entry)
