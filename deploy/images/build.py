"""Build the local image of the examples and tests as one OCI archive, without a registry: the machine's busybox.

usage: build.py OUT.tar [--busybox /bin/busybox]
Import: ctr -n k8s.io images import --all-platforms OUT.tar   (or `knarr.agent.containerd.import_images`)
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

from knarr.kits.oci import Archive, add_directory, add_file, add_link

BUSYBOX = "knarr.dev/busybox:1"


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
    options = parser.parse_args(arguments)
    if not options.busybox.exists():
        print(f"{options.busybox} is missing\nhint: apt-get install busybox-static", file=sys.stderr)
        return 1
    archive = Archive()
    archive.image(BUSYBOX, [archive.layer(busybox_files(options.busybox))], Cmd=["sh"])
    archive.write(options.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
