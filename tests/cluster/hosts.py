"""Hosts as network namespaces on one bridge, each with a cluster of real containers entered by `nsenter --net`.

What a cluster leaves behind is found out here too: `Traces` notes what a running cluster has outside of its data
directory, and says afterwards what of it is still there.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from clusters import KNARR, KUBECTL, Cluster, Done, run

CGROUPS = Path("/sys/fs/cgroup")
RUN_DIRS = ("/run", "/var/run", "/tmp", "/var/tmp", "/var/lib", "/var/lib/cni", "/var/lib/cni/results", "/dev/shm")
SHIM_SOCKETS = Path("/run/containerd/s")


@dataclass
class HostCluster(Cluster):
    """A cluster whose commands run in a network namespace."""

    namespace: str = ""

    @property
    def prefix(self) -> tuple[str, ...]:
        return ("nsenter", f"--net=/run/netns/{self.namespace}")

    def up(self, timeout: float = 120) -> Done:
        return run(
            *self.prefix, KNARR, "up", "--detach", "--data-dir", self.data_dir, "--node-ip", self.address,
            "--port", str(self.port), "--runtime", self.runtime, "--node-name", self.node, *self.flags,
            timeout=timeout,
        )  # fmt: skip

    def down(self, *flags: str) -> Done:
        return run(*self.prefix, KNARR, "down", "--data-dir", self.data_dir, *flags)

    def status(self) -> dict[str, object]:
        done = run(*self.prefix, KNARR, "status", "-o", "json", "--data-dir", self.data_dir)
        assert done.code == 0, done.err
        found: dict[str, object] = json.loads(done.out)
        return found

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout: float = 120) -> Done:
        return run(
            *self.prefix, KUBECTL, *arguments, stdin=stdin, timeout=timeout,
            KUBECONFIG=str(self.kubeconfig), HOME=str(self.data_dir / "home"),
        )  # fmt: skip

    @property
    def socket(self) -> str:
        from knarr.agent import AgentConfig
        from knarr.agent.containerd import Containerd

        config = AgentConfig(
            kubeconfig=self.kubeconfig, node_name=self.node, node_ip=self.address, data_dir=self.data_dir
        )
        return Containerd(config).endpoint.removeprefix("unix://")

    def tasks(self) -> dict[str, int]:
        """What runs in this cluster's containerd, sandboxes too: id to pid."""
        done = run("ctr", "--address", self.socket, "--namespace", "k8s.io", "tasks", "list")
        assert done.code == 0, done.err
        rows = [line.split() for line in done.out.splitlines()[1:]]
        return {row[0]: int(row[1]) for row in rows if row[2] == "RUNNING"}


@contextmanager
def hosts(count: int) -> Iterator[list[tuple[str, str]]]:
    """`count` network namespaces as hosts on one bridge: (name, address) each."""
    number = next(n for n in range(os.getpid() % 100, 200) if not Path(f"/run/netns/kn{n}-0").exists())
    bridge, net = f"br-kn{number}", f"10.213.{number}"
    made: list[tuple[str, str]] = []
    ip("link", "add", bridge, "type", "bridge")
    try:
        ip("address", "add", f"{net}.1/24", "dev", bridge)
        ip("link", "set", bridge, "up")
        for i in range(count):
            name, far = f"kn{number}-{i}", f"vkn{number}-{i}"
            ip("netns", "add", name)
            made.append((name, f"{net}.{10 + i}"))
            ip("link", "add", far, "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("link", "set", far, "master", bridge, "up")
            ip("-n", name, "address", "add", f"{net}.{10 + i}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "link", "set", "eth0", "up")
            ip("-n", name, "route", "add", "default", "via", f"{net}.1")
        yield made
    finally:
        for name, _ in made:
            run("ip", "netns", "delete", name)
        run("ip", "link", "delete", bridge)


def ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout


@dataclass
class Traces:
    """What a cluster has on the machine. Made before `up`; `note` while pods run, `left` after `down --purge`."""

    cluster: HostCluster
    network: str = ""
    entries: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    sockets: set[str] = field(default_factory=set)
    namespaces: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.network, self.entries, self.sockets = self.network_now(), entries_now(), sockets_now()

    def network_now(self) -> str:
        """Links, addresses, nftables and iptables of the host's network namespace."""
        prefix = self.cluster.prefix
        links = [link["ifname"] for link in json.loads(run(*prefix, "ip", "-j", "link").out)]
        commands = (("nft", "list", "ruleset"), ("ip", "-4", "route"), ("iptables-save",), ("ip6tables-save",))
        return "\n".join([*sorted(links), *(run(*prefix, *command).out for command in commands)])

    def note(self) -> None:
        """Remember containers, their network namespaces and this node's name for cgroups."""
        from knarr.kits.paths import short_id

        tasks = self.cluster.tasks()
        self.names |= {*tasks, f"knarr-{short_id(str(self.cluster.data_dir.resolve()), self.cluster.node)}"}
        if (folder := Path(self.cluster.socket).parent) == Path("/run", folder.name):
            self.names.add(folder.name)
        inodes = {os.stat(f"/proc/{pid}/ns/net").st_ino for pid in tasks.values()}
        self.namespaces |= {path.name for path in Path("/run/netns").iterdir() if path.stat().st_ino in inodes}
        self.namespaces.discard(self.cluster.namespace)
        assert self.namespaces, "pods without a network namespace of their own"

    def left(self) -> list[str]:
        """Everything that is still there, each with what kind of thing it is."""
        found = [f"process {each}" for each in processes_of(self.cluster.data_dir)]
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        wanted = (str(self.cluster.data_dir), *self.names)
        found += [f"mount {line}" for line in mounts if any(name in line for name in wanted)]
        found += [f"netns {name}" for name in self.namespaces if Path("/run/netns", name).exists()]
        if self.network_now() != self.network:
            found.append(f"network {self.network_now()}")
        for base, folders, _ in os.walk(CGROUPS):
            found += [f"cgroup {base}/{name}" for name in folders if name in self.names]
        new = entries_now() - self.entries
        found += [f"file {name}" for name in sorted(new) if any(each in name for each in self.names)]
        found += [f"socket {name}" for name in sorted(sockets_now() - self.sockets) if not answers(name)]
        if self.cluster.data_dir.exists():
            found.append(f"data {self.cluster.data_dir}")
        return found


def processes_of(data_dir: Path) -> list[str]:
    """Processes that have the data directory in their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
        except OSError:
            continue
        if os.fsencode(data_dir) + b"\0" in command or os.fsencode(data_dir) + b"/" in command:
            found.append(f"{entry.name} {command!r}")
    return found


def entries_now() -> set[str]:
    return {str(path) for folder in RUN_DIRS if Path(folder).is_dir() for path in Path(folder).iterdir()}


def sockets_now() -> set[str]:
    return {str(path) for path in SHIM_SOCKETS.iterdir()} if SHIM_SOCKETS.is_dir() else set()


def answers(path: str) -> bool:
    """Whether somebody listens on a socket's file."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except FileNotFoundError:
            return True  # it went meanwhile
        except OSError:
            return False
        return True
