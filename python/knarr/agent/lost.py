"""The end of a node whose data directory was deleted: no runtime knows its sandboxes any more.

What is left is found where it runs: shims by the socket in their command lines, the pods' processes by their cgroup,
the pods' network namespaces by the bridge that they hang on.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import time

from knarr.kits.process import running
from knarr.network.links import ip, ip_json, links

from . import leftovers
from .cgroups import Cgroups
from .config import AgentConfig
from .containerd import Containerd
from .drain import remove_folders

log = logging.getLogger(__name__)

UNPLUG_SECONDS_MAX = 5.0
"""The kernel takes a namespace apart in the background, and its links with it."""


def end(config: AgentConfig, node: str) -> None:
    """End what the node has on this machine, in the network namespace that it lived in. Blocks. Raises OSError.

    node: what marked it; its name, and with it the way to this id, is lost with the data.
    """
    own = Containerd(config)
    for process in running(b"--config", os.fsencode(own.config_file)):
        process.signal(signal.SIGKILL)
    own.end_shims()
    Cgroups.detect().remove(f"/knarr-{node}", kill=True)
    for name in pods_namespaces(config.bridge):
        ip("netns", "delete", name, tolerate="No such file")
    end_at = time.monotonic() + UNPLUG_SECONDS_MAX
    while links("show", "master", config.bridge) and time.monotonic() < end_at:
        time.sleep(0.05)
    leftovers.remove(config)
    remove_folders(config)
    shutil.rmtree(config.data_dir / "agent", ignore_errors=True)


def pods_namespaces(bridge: str) -> set[str]:
    """Names of the network namespaces that hang on the bridge. Here they have numbers, and those have names."""
    numbers = {link.get("link_netnsid") for link in links("show", "master", bridge)}
    return {known["name"] for known in ip_json("netns", "list-id") if known["nsid"] in numbers and "name" in known}
