"""Pod cgroups on v1 and v2: where a pod's containers live, its own limits, and their removal.

    /knarr-ID/kubepods/podUID                      Guaranteed
    /knarr-ID/kubepods/burstable/podUID            Burstable
    /knarr-ID/kubepods/besteffort/podUID           BestEffort

kubelet's layout below a root of knarr's own: a kubelet on the same machine removes every pod it does not know below
/kubepods. The path is the CRI's cgroup_parent; the runtime makes the containers' groups inside.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .runtime import Limits

log = logging.getLogger(__name__)

ROOT = Path("/sys/fs/cgroup")
V1_CONTROLLERS = ("cpu", "memory", "pids", "cpuset")
V2_CONTROLLERS = "+cpu +memory +pids +cpuset"


def parent_path(instance: str, qos: str, uid: str) -> str:
    """The CRI's cgroup_parent for a pod. qos: Guaranteed, Burstable or BestEffort."""
    middle = "" if qos == "Guaranteed" else f"{qos.lower()}/"
    return f"/knarr-{instance}/kubepods/{middle}pod{uid}"


@dataclass(frozen=True)
class Cgroups:
    """The hierarchy below `root`; `unified`: version 2."""

    root: Path
    unified: bool

    @staticmethod
    def detect(root: Path = ROOT) -> Cgroups:
        return Cgroups(root, (root / "cgroup.controllers").exists())

    def _folders(self, path: str) -> Iterator[tuple[str, Path]]:
        """(controller, folder): one of them on v2; each hierarchy that is mounted on v1."""
        relative = path.lstrip("/")
        if self.unified:
            yield "", self.root / relative
            return
        for hierarchy in sorted(self.root.iterdir()) if self.root.is_dir() else ():
            # In the hybrid layout "unified" has no controllers, but the runtime makes groups there too.
            if hierarchy.is_dir() and not hierarchy.is_symlink():
                yield hierarchy.name, hierarchy / relative

    def create(self, path: str, limits: Limits) -> None:
        """Make the pod's group and set its limits. A controller the machine lacks is left out, as kubelet does."""
        for controller, folder in self._folders(path):
            if self.unified:
                self._enable(folder)
            elif not set(controller.split(",")) & set(V1_CONTROLLERS):
                continue
            folder.mkdir(parents=True, exist_ok=True)
            if controller == "cpuset":
                self._inherit_cpuset(folder)
            for name, value in self._settings(controller, limits):
                _write(folder / name, value)

    def _settings(self, controller: str, limits: Limits) -> Iterator[tuple[str, str]]:
        period = limits.cpu_period or 100_000
        if self.unified:
            shares = limits.cpu_shares or 2
            yield "cpu.weight", str(1 + (shares - 2) * 9999 // 262142)
            yield "cpu.max", f"{limits.cpu_quota if limits.cpu_quota > 0 else 'max'} {period}"
            yield "memory.max", str(limits.memory) if limits.memory else "max"
            return
        if controller in ("cpu", "cpu,cpuacct"):
            yield "cpu.shares", str(limits.cpu_shares or 2)
            yield "cpu.cfs_period_us", str(period)
            yield "cpu.cfs_quota_us", str(limits.cpu_quota if limits.cpu_quota > 0 else -1)
        if controller == "memory" and limits.memory:
            yield "memory.limit_in_bytes", str(limits.memory)

    def _enable(self, folder: Path) -> None:
        for parent in [p for p in reversed(folder.parents) if p.is_relative_to(self.root)]:
            parent.mkdir(exist_ok=True)
            for controller in V2_CONTROLLERS.split():
                _write(parent / "cgroup.subtree_control", controller)

    def _inherit_cpuset(self, folder: Path) -> None:
        chain = [p for p in (folder, *folder.parents) if p.is_relative_to(self.root / "cpuset")]
        for group in reversed(chain[:-1]):
            for name in ("cpuset.cpus", "cpuset.mems"):
                if (group / name).exists() and not (group / name).read_text().strip():
                    _write(group / name, (group.parent / name).read_text().strip())

    def remove(self, path: str, kill: bool = False) -> None:
        """Remove the group and those inside. kill: end what still runs in it (a process that left its container)."""
        for _, folder in self._folders(path):
            if not folder.is_dir():
                continue
            groups = [Path(base) for base, _, _ in os.walk(folder, topdown=False)]
            for group in groups:
                _remove(group, kill)

    def prune(self, path: str) -> None:
        """Remove a group and the empty ones inside; those with processes stay."""
        self.remove(path)


def _write(path: Path, value: str) -> None:
    try:
        path.write_text(value)
    except OSError as error:
        log.debug("cgroup setting not taken: path=%s value=%s error=%s", path, value, error)


def _kill(group: Path) -> None:
    try:
        pids = [int(line) for line in (group / "cgroup.procs").read_text().split()]
    except OSError:
        return
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _remove(group: Path, kill: bool) -> None:
    # A group stays busy for some milliseconds after its last process ended (62 ms in all), and a killed one ends when
    # the machine comes to it (2 s in all).
    for attempt in range(10 if kill else 5):
        if kill:
            _kill(group)
        try:
            group.rmdir()
            return
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.002 * (1 << attempt))
    log.debug("cgroup is still in use: path=%s", group)
