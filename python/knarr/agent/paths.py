"""Where the machine keeps what the agent needs. Light: the supervisor asks before it starts an agent."""

from __future__ import annotations

from pathlib import Path

from .errors import AgentError

CNI_PLUGINS = ("bridge", "host-local", "loopback", "portmap")


def cni_bin_dir(candidates: tuple[str, ...]) -> str:
    """The first folder that has all the plugins needed. Raises AgentError when none has."""
    for folder in candidates:
        if all((Path(folder) / plugin).exists() for plugin in CNI_PLUGINS):
            return folder
    raise AgentError(
        f"no CNI plugins ({', '.join(CNI_PLUGINS)}) in {' or '.join(candidates)}",
        "apt-get install containernetworking-plugins",
    )
