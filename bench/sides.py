"""The two that are measured: knarr, and the peer where it is at hand. Both answer the same questions."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.servers import free_port

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / ".cache" / "images.tar"
READY_SECONDS_MAX = 60.0


class Unavailable(Exception):
    """This side cannot be measured here; the text says why."""


class Side(ABC):
    """A cluster: its address, who to ask as, and which processes it consists of."""

    name = ""
    address = "127.0.0.1"
    port = 0

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started_at = 0.0
        # seconds from the start until /readyz answers, and until a controller has done its first work
        self.ready_s = self.working_s = 0.0

    @property
    @abstractmethod
    def pki(self) -> Path:
        """ca.crt, admin.crt, admin.key."""

    @property
    @abstractmethod
    def kubeconfig(self) -> Path:
        """The administrator's."""

    @abstractmethod
    def start(self, node: bool) -> None:
        """Start from an empty folder, with a node that runs containers or without. Raises Unavailable."""

    @abstractmethod
    def stop(self) -> None:
        """End all that was started and remove what it left."""

    @abstractmethod
    def serving(self) -> list[int]:
        """Server and store."""

    @abstractmethod
    def control(self) -> list[int]:
        """All that runs without a node."""

    @abstractmethod
    def node(self) -> list[int]:
        """What a node adds; the container runtime is neither side's."""

    @abstractmethod
    def admission(self) -> str:
        """Which admission plugins were on."""

    def get(self, path: str, accept: str = "application/json") -> bytes | None:
        """The answer to a GET as the administrator; None where there is none."""
        try:
            context = ssl.create_default_context(cafile=str(self.pki / "ca.crt"))
            context.load_cert_chain(self.pki / "admin.crt", self.pki / "admin.key")
        except OSError:
            return None  # not made yet
        request = urllib.request.Request(f"https://{self.address}:{self.port}{path}", headers={"Accept": accept})
        opener = urllib.request.build_opener(
            urllib.request.HTTPSHandler(context=context), urllib.request.ProxyHandler({})
        )
        try:
            with opener.open(request, timeout=5) as answer:
                return bytes(answer.read())
        except (urllib.error.URLError, OSError):
            return None

    def seconds_until(self, path: str) -> float:
        """From the start until a GET of `path` succeeds, asked every 5 ms. Raises Unavailable where it never does."""
        while time.monotonic() - self.started_at < READY_SECONDS_MAX:
            if self.listening() and self.get(path) is not None:
                return time.monotonic() - self.started_at
            time.sleep(0.005)
        raise Unavailable(f"{self.name}: {path} is not answered within {READY_SECONDS_MAX:.0f} s, see {self.folder}")

    def listening(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((self.address, self.port)) == 0

    def kinds(self) -> tuple[int, int]:
        """(kinds, resources with their subresources) that discovery names."""
        wanted = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
        kinds, resources = set(), 0
        for path in ("/api", "/apis"):
            found = json.loads(self.get(path, wanted) or b'{"items": []}')
            for group in found["items"]:
                for version in group["versions"]:
                    for each in version.get("resources", []):
                        kinds.add((group.get("metadata", {}).get("name", ""), each["responseKind"]["kind"]))
                        resources += 1 + len(each.get("subresources", []))
        return len(kinds), resources


class Knarr(Side):
    """`knarr up` in a folder of its own."""

    name = "knarr"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.command = Path(sys.executable).with_name("knarr")

    @property
    def pki(self) -> Path:
        return self.folder / "pki"

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "admin.conf"

    def start(self, node: bool) -> None:
        if node:
            from knarr.agent import preflight
            from knarr.cluster.config import default_node_ip

            problem = preflight(cri=None) if os.geteuid() == 0 else ("containers need root", "")
            if problem:
                raise Unavailable(problem[0])
            self.address = default_node_ip()
        self.port = free_port(self.address)
        self.started_at = time.monotonic()
        started = subprocess.Popen(
            [self.command, "up", "--detach", "--data-dir", self.folder, "--node-ip", self.address, "--port",
             str(self.port), "--runtime", "cri" if node else "hollow", "--node-name", "bench"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        try:
            self.ready_s = self.seconds_until("/readyz")
            self.working_s = self.seconds_until("/api/v1/namespaces/default/serviceaccounts/default")
        finally:
            said = started.communicate(timeout=120)[0]
        if started.returncode:
            raise Unavailable(f"knarr: {said}")
        if node:
            load_images(self.folder, self.kubeconfig, "bench", self.address)

    def stop(self) -> None:
        subprocess.run([self.command, "down", "--data-dir", self.folder, "--purge"], capture_output=True, check=False)

    def roles(self) -> Mapping[str, int]:
        state = json.loads((self.folder / "run" / "state.json").read_bytes())
        found = {name: int(role["pid"]) for name, role in state["roles"].items()}
        return found | {"supervisor": int(state["supervisor"]["pid"])}

    def serving(self) -> list[int]:
        return [self.roles()["server"]]

    def control(self) -> list[int]:
        roles = self.roles()
        return [roles[name] for name in ("supervisor", "server", "controllers")]

    def node(self) -> list[int]:
        return [self.roles()["agent"]]

    def admission(self) -> str:
        from knarr.admission import all_plugins

        return ", ".join(sorted(plugin.name for plugin in all_plugins()))


class Peer(Side):
    """The peer's control plane and node, started by its own script. Environment: KNARR_PEERS, PEERS."""

    name = "Kubernetes"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        scripts, binaries = os.environ.get("KNARR_PEERS"), os.environ.get("PEERS")
        if not scripts or not binaries:
            raise Unavailable("no peer: KNARR_PEERS (its scripts) and PEERS (its binaries) are not set")
        self.script, self.bin = Path(scripts) / "kube-up.sh", Path(binaries) / "bin"
        for needed in (self.script, self.bin / "kube-apiserver", self.bin / "etcd"):
            if not needed.exists():
                raise Unavailable(f"no peer: {needed.name} is missing")
        self.port = free_port(self.address)

    @property
    def pki(self) -> Path:
        return self.folder / "pki"

    @property
    def kubeconfig(self) -> Path:
        return self.pki / "admin.conf"

    def run(self, what: str, **environment: str) -> None:
        given = {
            "BIN": self.bin, "ETCD_BIN": self.bin, "ST": self.folder, "IP": self.address, "PORT": self.port,
            "EP": self.port + 1000 if self.port < 60000 else self.port - 1000, "NODE": "bench",
        }  # fmt: skip
        done = subprocess.run(
            ["bash", self.script, what],
            env=os.environ | {key: str(value) for key, value in given.items()} | environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode:
            raise Unavailable(f"{self.script.name} {what}: {done.stderr[-500:]}")

    def start(self, node: bool) -> None:
        if node:
            from knarr.cluster.config import default_node_ip

            self.address = default_node_ip()
        self.folder.mkdir(parents=True, exist_ok=True)
        # its certificates are made beforehand, by openssl; knarr's are made within the time that is measured
        self.run("pki")
        self.started_at = time.monotonic()
        self.run("control")
        self.ready_s = time.monotonic() - self.started_at
        self.working_s = self.seconds_until("/api/v1/namespaces/default/serviceaccounts/default")
        if node:
            self.run("node", CRI=self.runtime(), NODE_IP=self.address)
            while b'"reason":"KubeletReady"' not in (self.get("/api/v1/nodes/bench") or b""):
                if time.monotonic() - self.started_at > READY_SECONDS_MAX:
                    raise Unavailable(f"the peer's node is not Ready, see {self.folder}/log")
                time.sleep(0.2)

    def runtime(self) -> str:
        """A containerd as knarr's own, for the peer's kubelet: the same runtime, so that it is not what differs. Its
        socket."""
        from knarr.agent import AgentConfig, cni
        from knarr.agent.containerd import Containerd

        data_dir = self.folder / "node"
        config = AgentConfig(kubeconfig=self.kubeconfig, node_name="bench", node_ip=self.address, data_dir=data_dir)
        runtime = Containerd(config)
        asyncio.run(runtime.start())
        cni.write(runtime.cni_conf_dir, ("10.245.0.0/24",), "br-bench", data_dir / "ipam")
        load_images(data_dir, self.kubeconfig, "bench", self.address)
        return runtime.endpoint.removeprefix("unix://")

    def stop(self) -> None:
        # also where the start broke off half-way
        if (self.folder / "node").exists():
            subprocess.run(
                [kubectl(), "delete", "pods", "--all", "--grace-period=0", "--force", "-n", "default"],
                env=os.environ | {"KUBECONFIG": str(self.kubeconfig)},
                capture_output=True,
                timeout=60,
                check=False,
            )
            time.sleep(2)
        self.run("stop")
        if (self.folder / "node").exists():
            from knarr.agent import remove_node

            remove_node(str(self.folder / "node"), None, "bench")
        # a kubelet mounts its own folder onto itself
        subprocess.run(["umount", self.folder / "kubelet"], capture_output=True, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def pids(self, names: Sequence[str]) -> list[int]:
        return [int((self.folder / f"{name}.pid").read_text()) for name in names]

    def serving(self) -> list[int]:
        return self.pids(("etcd", "apiserver"))

    def control(self) -> list[int]:
        return self.pids(("etcd", "apiserver", "kcm", "sched"))

    def node(self) -> list[int]:
        return self.pids(("kubelet", "proxy"))

    def admission(self) -> str:
        return "its defaults and NodeRestriction"


def kubectl() -> str:
    return os.environ.get("KUBECTL", "kubectl")


def load_images(data_dir: Path, kubeconfig: Path, node: str, address: str) -> None:
    """Import the local images into the containerd of a data directory; they are built where they are missing."""
    from knarr.agent import AgentConfig
    from knarr.agent.containerd import Containerd, import_images

    if not IMAGES.exists():
        IMAGES.parent.mkdir(exist_ok=True)
        subprocess.run([sys.executable, ROOT / "deploy" / "images" / "build.py", IMAGES], check=True)
    config = AgentConfig(kubeconfig=kubeconfig, node_name=node, node_ip=address, data_dir=data_dir)
    import_images(Containerd(config).endpoint, IMAGES)
