"""The node agent: what a kubelet is to Kubernetes.

Knows one node's pods, its runtime and the client interface. Never knows other nodes, the store or the scheduler.

Where to start reading: `step.py` decides (pure: pod, what is observed, now -> actions), `status.py` tells it to the
API (pure), `worker.py` carries it out for one pod, `agent.py` puts the node together. Everything else is one concern a
file: `volumes/`, `probes.py`, `images.py`, `containerd.py`, `node.py`, `logs.py`, `server.py`.

This module imports nothing heavy: the supervisor imports it for `preflight` and `remove_node`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .config import AgentConfig, instance_id
from .errors import AgentError

if TYPE_CHECKING:
    from .agent import CompanionTask

__all__ = [
    "AgentConfig",
    "AgentError",
    "end_lost_node",
    "node_id",
    "preflight",
    "remove_leftovers",
    "remove_node",
    "run",
]


def run(
    config: AgentConfig,
    on_ready: Callable[[], None] | None = None,
    companions: Sequence[CompanionTask] = (),
) -> None:
    """Run the node until SIGTERM or SIGINT; containers go on. Blocks; makes its own event loop.

    on_ready: called once, when the node is registered and Ready. companions: coroutines of the service proxy and DNS.
    Raises AgentError when the node cannot be brought up.
    """
    import os

    import uvloop

    from .agent import connection_of, serve

    connection = connection_of(config)
    # Volumes are read by users of all kinds; what is private has its mode said.
    os.umask(0o022)
    uvloop.run(serve(config, connection, on_ready, companions))


def preflight(cri: str | None) -> tuple[str, str] | None:
    """(message, hint) of what this machine lacks for real containers, or None. cri: an endpoint, None for our own."""
    import os

    if os.geteuid() != 0:
        return "a node with real containers needs root", "run it as root, or use --runtime hollow"
    try:
        _check_machine(cri)
    except AgentError as error:
        return error.message, error.hint
    return None


def _check_machine(cri: str | None) -> None:
    import shutil

    from .config import AgentConfig

    if cri:
        path = Path(cri.removeprefix("unix://"))
        if not path.is_socket():
            raise AgentError(f"no container runtime listens on {cri}", "start it, or leave --cri out for knarr's own")
    else:
        if shutil.which("containerd") is None:
            raise AgentError("containerd is not installed", "apt-get install containerd runc, or use --cri ENDPOINT")
        if shutil.which("runc") is None:
            raise AgentError("runc is not installed", "apt-get install runc")
        from .paths import cni_bin_dir

        cni_bin_dir(AgentConfig.cni_bin_dirs)
    if shutil.which("ip") is None:
        raise AgentError("ip is not installed", "apt-get install iproute2")


def remove_node(data_dir: str, cri: str | None, node_name: str) -> None:
    """What `knarr down` does after the agent has ended: pods, mounts, cgroups, links, the containerd of our own.

    Blocks; repeating it is harmless. Raises AgentError.
    """
    import asyncio

    from .drain import drain_and_remove
    from .runtime import RuntimeCallError

    config = node_config(data_dir, node_name, cri or "")
    try:
        asyncio.run(drain_and_remove(config))
    except RuntimeCallError as error:
        log = config.data_dir / "agent" / "containerd" / "containerd.log"
        raise AgentError(str(error).partition("\n")[0], "run it again" + ("" if cri else f"; see {log}")) from None


def end_lost_node(data_dir: str, node: str) -> None:
    """End the node with this id, whose data was deleted, in the network namespace that it lived in. Blocks. Raises
    OSError."""
    from . import lost

    lost.end(node_config(data_dir, "", ""), node)


def remove_leftovers() -> None:
    """Remove from this network namespace what the pods of a node that is no more shared there."""
    from . import leftovers

    leftovers.remove(node_config("", "", ""))


def node_id(data_dir: str, node_name: str) -> str:
    """What marks a node's sandboxes, cgroups and network as its own."""
    return instance_id(node_config(data_dir, node_name, ""))


def node_config(data_dir: str, node_name: str, cri: str) -> AgentConfig:
    """What the end of a node needs to know of it."""
    folder = Path(data_dir)
    return AgentConfig(
        kubeconfig=folder / "agent.conf", node_name=node_name, node_ip="", data_dir=folder, cri_endpoint=cri
    )
