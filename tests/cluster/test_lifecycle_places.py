"""Nodes and network namespaces: one node in each, found again from anywhere, ended whatever is left of it.

Goals: what nobody has any more is in nobody's way; a second node is refused before anything is made, whether the first
runs, was killed or lost its data, and does what its hint says; a node whose namespace went ends all the same. Method:
clusters with real containers, each in a network namespace as a host, and commands called in this one."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from clusters import KNARR, Cluster, Done, eventually, logs, run
from knarr.cluster.process import Process

from .hosts import HostCluster, Traces, hosts, processes_of
from .test_lifecycle_hosts import ROLES, start
from .test_lifecycle_refusals import refused

HAS, LEFT = "has the node of the cluster in", "pods of the cluster that was in"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[HostCluster]:
    """A cluster's place, without the cluster."""
    assert os.geteuid() == 0, "tests with real containers need root"
    with hosts(1) as [(name, address)]:
        made = HostCluster(tmp_path / "data", address, 6443, "cri", node="node-1", namespace=name)
        try:
            yield made
        finally:
            if made.data_dir.exists():
                Cluster.down(made, "--purge")


def second(made: HostCluster, *flags: str) -> Done:
    """Another cluster's start in the same place; refused, it leaves nothing."""
    directory = made.data_dir.with_name("second")
    place = ("--data-dir", directory, "--node-ip", made.address, "--port", "7443")
    done = run(*made.prefix, KNARR, "up", "--detach", *place, *flags)
    assert done.code == 0 or not directory.exists()
    return done


def kill(made: HostCluster, *roles: str) -> None:
    for role in roles:
        process = Process.of(made.pid(role))
        assert process is not None
        process.signal(signal.SIGKILL)
        assert process.wait(10)


def kill_shims(made: HostCluster) -> None:
    for each in processes_of(Path(made.socket)):
        os.kill(int(each.split()[0]), signal.SIGKILL)
    eventually(lambda: not processes_of(Path(made.socket)))


def test_a_second_node_is_refused_and_what_nobody_has_is_taken_over(host: HostCluster, images: Path) -> None:
    def ip(*arguments: str) -> None:
        done = run(*host.prefix, "ip", *arguments)
        assert done.code == 0, done.err

    # what a cluster leaves whose pods ended with its data: a bridge with another range's address would fail every pod
    ip("link", "add", "knarr0", "type", "bridge")
    ip("address", "add", "10.99.0.1/24", "dev", "knarr0")
    ip("link", "add", "knarr-dns", "type", "bridge")
    ip("link", "set", "knarr-dns", "alias", f"0123456789 {host.data_dir.with_name('gone')}")
    start(host, images)
    text = run(*host.prefix, "ip", "link", "show", "dev", "knarr-dns").out
    assert text.rstrip().endswith(f" {host.data_dir}")
    assert "10.99.0.1" not in run(*host.prefix, "ip", "address", "show", "dev", "knarr0").out

    for flags in ((), ("--cri", f"unix://{host.socket}")):
        refused(second(host, *flags), f"{HAS} {host.data_dir}\n", f"`knarr down --data-dir {host.data_dir}`")
    done = second(host, "--runtime", "hollow", "--node-ip", "127.0.0.1")
    assert done.code == 0, done.err
    assert run(*host.prefix, KNARR, "down", "--purge", "--data-dir", host.data_dir.with_name("second")).code == 0

    kill(host, *ROLES)
    refused(second(host), f"{HAS} {host.data_dir}\n")
    # the same cluster elsewhere would have pods in two places
    elsewhere = run(KNARR, "up", "--detach", "--data-dir", host.data_dir)
    refused(elsewhere, f"is in another network namespace, /run/netns/{host.namespace}", "nsenter --net=/run/netns/")
    done = host.up()
    assert done.code == 0, done.err + logs(host)
    assert Cluster.down(host).code == 0
    done = second(host)
    assert done.code == 0, done.err
    # and the other way round; the first one's end is not the second one's
    refused(host.up(), f"{HAS} {host.data_dir.with_name('second')}\n")
    assert Cluster.down(host, "--purge").code == 0
    assert "knarr-dns" in run(*host.prefix, "ip", "link").out
    assert "table ip knarr" in eventually(lambda: run(*host.prefix, "nft", "list", "tables").out)
    assert run(KNARR, "down", "--purge", "--data-dir", host.data_dir.with_name("second")).code == 0
    assert "knarr" not in run(*host.prefix, "ip", "link").out


@pytest.mark.parametrize("alive", [True, False], ids=["running", "killed"])
def test_a_node_whose_data_was_deleted_can_be_ended(host: HostCluster, images: Path, alive: bool) -> None:
    traces = Traces(host)
    start(host, images)
    traces.note()
    if not alive:
        kill(host, *ROLES)
    shutil.rmtree(host.data_dir, ignore_errors=True)  # mount points stay
    assert not (host.data_dir / "config.json").exists()
    said = refused(second(host), str(host.data_dir), f"`knarr down --data-dir {host.data_dir}`")
    assert (HAS if alive else LEFT) in said
    done = run(*host.prefix, KNARR, "down", "--data-dir", host.data_dir)
    assert done.code == 0, done.err
    assert traces.left() == []
    done = second(host)
    assert done.code == 0, done.err
    assert run(KNARR, "down", "--purge", "--data-dir", host.data_dir.with_name("second")).code == 0


def test_a_node_ends_whose_network_namespace_is_gone(host: HostCluster, images: Path) -> None:
    traces = Traces(host)
    start(host, images)
    traces.note()
    pods = host.tasks().values()
    kill(host, *ROLES)
    kill_shims(host)
    run("ip", "netns", "delete", host.namespace)
    assert all(map(Process.of, pods))
    done = Cluster.down(host, "--purge")
    assert done.code == 0, done.err
    assert "the node's network namespace is gone or out of sight; its pods are ended without it" in done.err
    assert not any(map(Process.of, pods))
    run("ip", "netns", "add", host.namespace)
    assert [each for each in traces.left() if not each.startswith("network ")] == []
