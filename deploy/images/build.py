"""Build knarr's local images as one OCI archive, without a registry: the pause program and the machine's busybox.

usage: build.py OUT.tar [--busybox /bin/busybox] [--rustc rustc]
Import: ctr -n k8s.io images import --all-platforms OUT.tar   (or `knarr.agent.containerd.import_images`)

The archive is the same bytes for the same inputs: no times, sorted names.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

PAUSE = "knarr.dev/pause:1"
BUSYBOX = "knarr.dev/busybox:1"
SOURCE = Path(__file__).with_name("pause.rs")
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def compile_pause(rustc: str = "rustc") -> bytes:
    """The static pause program. Raises CalledProcessError with rustc's words when it cannot be built."""
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "pause"
        flags = ["--edition=2021", "-Copt-level=z", "-Cpanic=abort", "-Cstrip=symbols"]
        flags += [
            "-Ctarget-feature=+crt-static",
            "-Crelocation-model=static",
            "-Clink-args=-nostartfiles -nostdlib -static -Wl,--build-id=none",
        ]
        subprocess.run([rustc, *flags, "-o", str(out), str(SOURCE)], check=True)
        return out.read_bytes()


class Archive:
    """Images being put together; `write` makes the tar."""

    def __init__(self, machine: str | None = None) -> None:
        import platform

        self._blobs: dict[str, bytes] = {}
        self._index: list[dict[str, object]] = []
        self._architecture = ARCHITECTURES.get(machine or platform.machine(), machine or platform.machine())

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
        platform = {"architecture": self._architecture, "os": "linux"}
        document = {
            **platform,
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
                "platform": platform,
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


def busybox_files(busybox: Path) -> Callable[[tarfile.TarFile], None]:
    """A root file system of busybox and its applets; `busybox` must be static."""
    applets = subprocess.run([str(busybox), "--list"], check=True, capture_output=True, text=True).stdout.split()

    def fill(tar: tarfile.TarFile) -> None:
        for name in ("bin", "etc", "home", "root", "usr", "usr/bin", "usr/local", "var", "www"):
            add_directory(tar, name)
        add_directory(tar, "tmp", 0o1777)
        add_file(tar, "bin/busybox", busybox.read_bytes())
        for applet in sorted(set(applets) - {"busybox"}):
            add_link(tar, f"bin/{applet}", "busybox")
        passwd = b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n"
        add_file(tar, "etc/passwd", passwd, 0o644)
        add_file(tar, "etc/group", b"root:x:0:\nnogroup:x:65534:\n", 0o644)

    return fill


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--busybox", type=Path, default=Path("/bin/busybox"))
    parser.add_argument("--rustc", default="rustc")
    options = parser.parse_args(arguments)
    if not options.busybox.exists():
        print(f"{options.busybox} is missing\nhint: apt-get install busybox-static", file=sys.stderr)
        return 1
    archive = Archive()
    pause = compile_pause(options.rustc)
    pause_layer = archive.layer(lambda tar: add_file(tar, "pause", pause))
    archive.image(PAUSE, [pause_layer], Entrypoint=["/pause"], User="65535:65535")
    archive.image(BUSYBOX, [archive.layer(busybox_files(options.busybox))], Cmd=["sh"])
    archive.write(options.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
