"""emptyDir: a folder (or tmpfs) that lives as long as the pod. Source: pkg/volume/emptydir/empty_dir.go."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import mounts
from ..quantity import amount, quantity, whole
from ..resources import pod_total
from .base import Context, own


class EmptyDir:
    def __init__(self, name: str, spec: Mapping[str, Any], context: Context) -> None:
        self._spec, self._context = spec, context
        self.path: Path = context.directory("empty-dir", name)

    @property
    def _memory(self) -> bool:
        return self._spec.get("medium") == "Memory"

    async def setup(self) -> None:
        in_memory = self._memory and self._context.mounts
        # A folder alone is what a mount that failed left.
        if self.path.is_mount() if in_memory else self.path.is_dir():
            return
        self.path.mkdir(parents=True, exist_ok=True)
        mode = 0o777
        if in_memory:
            size = self._size()
            mounts.mount("tmpfs", str(self.path), "tmpfs", data=f"size={size}" if size else "")
            mode = 0o1777  # a tmpfs is sticky from the start, and a kubelet leaves it so
        self.path.chmod(mode)
        own(self.path, self._context.fs_group, read_only=False)

    def _size(self) -> int:
        """Bytes of a tmpfs: the smallest of its own limit, the pod's and the node's memory; 0: the kernel's half."""
        limits = [whole(amount(self._context.sources().allocatable, "memory"))]
        limits.append(whole(pod_total(self._context.pod, "limits", "memory")))
        if self._spec.get("sizeLimit"):
            limits.append(whole(quantity(self._spec["sizeLimit"])))
        return min((limit for limit in limits if limit > 0), default=0)

    def renew_at(self) -> float:
        return math.inf

    def usage_limit(self) -> int | None:
        """A tmpfs is limited by the kernel, a folder by eviction."""
        limit = self._spec.get("sizeLimit")
        return None if limit is None or self._memory else whole(quantity(limit)) or None
