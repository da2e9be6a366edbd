"""A containerd of knarr's own: its configuration, its process, its supervision.

Everything it owns lies below `data_dir/agent/containerd` (root, state, opt, sockets), so that the machine's containerd
is untouched. Only what containerd fixes itself lies elsewhere: shims listen below /run/containerd/s under names that
are hashes of this containerd's own address.

The process is no child in spirit: it survives a crash of the agent and is adopted by the next one, which knows it by
its command line. Containers live in shims and survive containerd itself.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from knarr.kits.oci import Archive, add_file
from knarr.kits.paths import socket_dir, write_atomic
from knarr.kits.process import Process, running
from knarr.kits.tasks import Backoff

from .config import AgentConfig
from .errors import AgentError
from .paths import cni_bin_dir
from .runtime import RuntimeCallError
from .runtime.cri import CriRuntime

log = logging.getLogger(__name__)

START_SECONDS = 20.0
"""How long a containerd may take until its CRI answers."""
STOP_SECONDS = 10.0
NAMESPACE = "k8s.io"
SHIM_SOCKETS = Path("/run/containerd/s")
CAP_SYS_RESOURCE = 24
OVERLAYFS_TYPE = "overlay"


class Containerd:
    """Paths and process of the containerd that belongs to a data directory."""

    def __init__(self, config: AgentConfig, binary: str = "containerd") -> None:
        self._config = config
        self._binary = binary
        self.dir = config.data_dir / "agent" / "containerd"
        self.run_dir = socket_dir(self.dir, "containerd.sock.ttrpc", Path("/run"))
        self.socket = self.run_dir / "containerd.sock"
        self.config_file = self.dir / "config.toml"
        self.cni_conf_dir = config.data_dir / "agent" / "cni" / "net.d"
        self._pid_file = self.dir / "containerd.pid"
        self._process: Process | None = None
        self._stopping = False

    @property
    def endpoint(self) -> str:
        return f"unix://{self.socket}"

    async def start(self) -> None:
        """Adopt the running one, or start one and wait until its CRI answers. Raises AgentError."""
        self._process = self.running()
        if self._process is None:
            self._spawn()
        else:
            self._note(self._process)
        try:
            await self._answering()
            await self._sandbox_image()
        except AgentError:
            if self._process is not None:
                await self._process.stop(STOP_SECONDS)
            raise

    async def supervise(self) -> None:
        """Start it again whenever it ends; returns after `stop`."""
        backoff = Backoff(0.2, 10.0)
        while not self._stopping:
            process = self._process
            began = asyncio.get_running_loop().time()
            if process is not None:
                await process.ended()
            if self._stopping:
                return
            if asyncio.get_running_loop().time() - began > 60.0:
                backoff.reset()
            delay = backoff.next()
            log.warning("containerd ended: restart_in_seconds=%s", delay)
            await asyncio.sleep(delay)
            try:
                self._spawn()
            except AgentError as error:
                log.error("containerd does not start: error=%s", error.message)
                self._process = None

    async def stop(self) -> None:
        """End the process; shims and containers go on."""
        self._stopping = True
        process = self._process or self.running()
        if process is not None:
            await process.stop(STOP_SECONDS)
        self._process = None
        for path in (self._pid_file, self.socket, Path(f"{self.socket}.ttrpc")):
            path.unlink(missing_ok=True)

    def end_shims(self) -> None:
        """Kill shims of this containerd that it does not know: it ended while they were being started, or its data was
        deleted. Blocks."""
        address = os.fsencode(self.socket)
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                program, *arguments = (folder / "cmdline").read_bytes().split(b"\0")
                ours = os.path.basename(program).startswith(b"containerd-shim") and address in arguments
                if ours:
                    os.kill(int(folder.name), signal.SIGKILL)
                    self.remove_shim_socket(os.fsdecode(arguments[arguments.index(b"-id") + 1]))
            except (FileNotFoundError, ProcessLookupError):
                # It ended by itself.
                continue

    def remove_shim_socket(self, sandbox: str) -> None:
        """Remove what a shim that was killed listened on. Source: containerd's runtime/v2/shim, SocketAddress."""
        name = hashlib.sha256(f"{self.socket}/{NAMESPACE}/{sandbox}".encode()).hexdigest()
        (SHIM_SOCKETS / name).unlink(missing_ok=True)

    def running(self) -> Process | None:
        """The containerd of this data directory that runs now, whoever started it, known by its command line: who wrote
        the pid file, that others read, may have been killed before."""
        found = running(b"--config", os.fsencode(self.config_file))
        return found[0] if found else None

    def _note(self, process: Process) -> None:
        write_atomic(self._pid_file, f"{process.pid} {process.started}\n".encode())

    def _spawn(self) -> None:
        binary = shutil.which(self._binary)
        if binary is None:
            raise AgentError("containerd is not installed", "apt-get install containerd runc, or use --cri ENDPOINT")
        if shutil.which("runc") is None:
            raise AgentError("runc is not installed", "apt-get install runc")
        for folder in (self.dir, self.cni_conf_dir):
            folder.mkdir(parents=True, exist_ok=True)
        self.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.socket.unlink(missing_ok=True)
        write_atomic(self.config_file, self.render().encode())
        with open(self.dir / "containerd.log", "ab") as output:
            child = subprocess.Popen(
                [binary, "--config", str(self.config_file)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                start_new_session=True,
                # The root folder of a container is made under this mask: with a stricter one only root can enter it.
                umask=0o022,
            )
        # The Popen object is not kept: `Process` reaps it, and it may outlive this program.
        child.returncode = 0
        self._process = Process.of(child.pid)
        if self._process is None:
            raise AgentError(f"containerd ended at once; see {self.dir / 'containerd.log'}")
        self._note(self._process)

    async def _answering(self) -> None:
        runtime = CriRuntime(self.endpoint)
        try:
            deadline = asyncio.get_running_loop().time() + START_SECONDS
            while True:
                try:
                    await runtime.info()
                    return
                except RuntimeCallError as error:
                    ended = self._process is None or not self._process.alive()
                    if ended or asyncio.get_running_loop().time() > deadline:
                        raise AgentError(f"containerd does not answer: {error}", self._last_words()) from None
                await asyncio.sleep(0.02)
        finally:
            await runtime.close()

    async def _sandbox_image(self) -> None:
        """Have the image every sandbox starts from: no registry serves knarr's own. Raises AgentError."""
        runtime = CriRuntime(self.endpoint)
        try:
            found = await runtime.image(self._config.sandbox_image)
        except RuntimeCallError as error:
            raise AgentError(f"containerd does not list its images: {error}", self._last_words()) from None
        finally:
            await runtime.close()
        if found is None:
            with tempfile.TemporaryDirectory(prefix="knarr-pause-") as scratch:
                archive = Path(scratch) / "pause.tar"
                pause_archive(self._config.sandbox_image).write(archive)
                await asyncio.to_thread(import_images, self.endpoint, archive)

    def _last_words(self) -> str:
        try:
            lines = (self.dir / "containerd.log").read_text(errors="replace").splitlines()
        except FileNotFoundError:
            lines = []
        worst = [
            line for line in lines if "level=fatal" in line or "level=error" in line or line.startswith("containerd:")
        ]
        return f"its log is {self.dir / 'containerd.log'}" + (f"; it ends with: {worst[-1]}" if worst else "")

    def render(self) -> str:
        """config.toml, version 2: read by containerd 1.5 to 2.x."""
        q = json.dumps
        root, state = str(self.dir / "root"), str(self.dir / "state")
        cri = 'plugins."io.containerd.grpc.v1.cri"'
        lines = [
            "version = 2",
            f"root = {q(root)}",
            f"state = {q(state)}",
            'disabled_plugins = ["io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp",'
            ' "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",'
            ' "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs"]',
            "[grpc]",
            f"  address = {q(str(self.socket))}",
            "[ttrpc]",
            f"  address = {q(str(self.socket) + '.ttrpc')}",
            '[plugins."io.containerd.internal.v1.opt"]',
            f"  path = {q(str(self.dir / 'opt'))}",
            f"[{cri}]",
            f"  sandbox_image = {q(self._config.sandbox_image)}",
            f"  restrict_oom_score_adj = {q(not has_capability(CAP_SYS_RESOURCE))}",
            '  stream_server_address = "127.0.0.1"',
            '  stream_server_port = "0"',
            f"[{cri}.cni]",
            f"  bin_dir = {q(cni_bin_dir(self._config.cni_bin_dirs))}",
            f"  conf_dir = {q(str(self.cni_conf_dir))}",
            f"[{cri}.registry]",
            f"  config_path = {q(str(self.dir / 'certs.d'))}",
            f"[{cri}.containerd]",
            f"  snapshotter = {q(snapshotter(self.dir))}",
            '  default_runtime_name = "runc"',
            f"[{cri}.containerd.runtimes.runc]",
            '  runtime_type = "io.containerd.runc.v2"',
            f"[{cri}.containerd.runtimes.runc.options]",
            "  SystemdCgroup = false",
            f"  Root = {q(str(self.dir / 'runc'))}",
        ]
        return "\n".join(lines) + "\n"


def has_capability(number: int) -> bool:
    """Whether this process holds the capability (effective set)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> number & 1)
    return False


def snapshotter(folder: Path) -> str:
    """overlayfs, but not upon an overlayfs (a data directory inside a container): there plain copies."""
    best = ("", "")
    target = str(folder.resolve())
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, point, kind, *_ = line.split()
        inside = point == "/" or target == point or target.startswith(point + "/")
        if inside and len(point) >= len(best[0]):
            best = (point, kind)
    return "native" if best[1] == OVERLAYFS_TYPE else "overlayfs"


def pause_archive(name: str) -> Archive:
    """The image of a sandbox: the pause program that the core carries, alone."""
    from knarr._core import PAUSE

    archive = Archive()
    layer = archive.layer(lambda tar: add_file(tar, "pause", PAUSE))
    archive.image(name, [layer], Entrypoint=["/pause"], User="65535:65535")
    return archive


def import_images(endpoint: str, archive: Path) -> None:
    """Load an OCI archive into the runtime's Kubernetes namespace. Raises AgentError with ctr's words."""
    command = ["ctr", "--address", endpoint.removeprefix("unix://"), "--namespace", NAMESPACE, "images", "import"]
    done = subprocess.run([*command, str(archive)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AgentError(f"cannot import {archive}: {done.stderr.strip()}")
