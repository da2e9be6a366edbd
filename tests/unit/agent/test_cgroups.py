"""A pod's cgroup on both versions: which files say its limits, and that all of it goes. Method: a folder in the place
of the kernel's hierarchy; what the kernel does with them is seen in tests/cluster/agent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from knarr.agent.cgroups import Cgroups, parent_path
from knarr.agent.runtime import Limits

LIMITS = Limits(cpu_shares=102, cpu_quota=20_000, cpu_period=100_000, memory=64 << 20)
POD = parent_path("id", "Burstable", "uid-1")


def emptied(folder: Path) -> None:
    """The kernel's groups hold no files of their own that would keep them from being removed."""
    for base, _, files in os.walk(folder, topdown=False):
        for name in files:
            Path(base, name).unlink()


def test_version_2_has_one_group_with_all_controllers(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory pids")
    cgroups = Cgroups.detect(tmp_path)
    assert cgroups.unified
    cgroups.create(POD, LIMITS)
    pod = tmp_path / "knarr-id" / "kubepods" / "burstable" / "poduid-1"
    said = {name: (pod / name).read_text() for name in ("memory.max", "cpu.max", "cpu.weight")}
    # 100 millicores are 102 shares, and those a weight of 4. Source: runc, ConvertCPUSharesToCgroupV2Value
    assert said == {"memory.max": str(64 << 20), "cpu.max": "20000 100000", "cpu.weight": "4"}
    for parent in (tmp_path, *list(pod.parents)[:3]):
        assert (parent / "cgroup.subtree_control").exists(), f"{parent} hands controllers down"
    cgroups.create(POD, Limits())
    assert [(pod / name).read_text() for name in ("memory.max", "cpu.max")] == ["max", "max 100000"]
    emptied(tmp_path / "knarr-id")
    cgroups.remove("/knarr-id")
    assert not (tmp_path / "knarr-id").exists()


def test_version_1_has_a_group_in_each_hierarchy(tmp_path: Path) -> None:
    for name in ("cpu", "memory", "pids", "cpuset", "freezer"):
        (tmp_path / name).mkdir()
    (tmp_path / "cpuset" / "cpuset.cpus").write_text("0-1")
    cgroups = Cgroups.detect(tmp_path)
    assert not cgroups.unified
    cgroups.create(POD, LIMITS)
    pod = "knarr-id/kubepods/burstable/poduid-1"
    assert (tmp_path / "memory" / pod / "memory.limit_in_bytes").read_text() == str(64 << 20)
    assert (tmp_path / "cpu" / pod / "cpu.shares").read_text() == "102"
    assert (tmp_path / "cpu" / pod / "cpu.cfs_quota_us").read_text() == "20000"
    assert (tmp_path / "pids" / pod).is_dir() and not (tmp_path / "freezer" / pod).exists()
    for name in ("cpu", "memory", "pids", "cpuset"):
        emptied(tmp_path / name / "knarr-id")
    cgroups.remove("/knarr-id")
    assert not list(tmp_path.glob("*/knarr-id"))


def test_a_group_is_removed_when_what_was_killed_in_it_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a second later, on a machine that has much to do."""
    group, waited = tmp_path / "knarr-x", [0.0]
    group.mkdir()
    remove = Path.rmdir

    def rmdir(path: Path) -> None:
        if waited[0] < 0.5:
            raise OSError("Device or resource busy")
        remove(path)

    def sleep(seconds: float) -> None:
        waited[0] += seconds

    monkeypatch.setattr(Path, "rmdir", rmdir)
    monkeypatch.setattr("time.sleep", sleep)
    Cgroups(tmp_path, unified=True).remove("/knarr-x", kill=True)
    assert not group.exists()
