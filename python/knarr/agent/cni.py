"""The pod network's CNI configuration: a bridge with host-local addresses, portmap for hostPort.

What leaves the pod network is masqueraded by a table of the node's, not by the plugin (knarr.network.masquerade)."""

from __future__ import annotations

import json
from pathlib import Path

from knarr.kits.paths import write_atomic

CONFLIST = "10-knarr.conflist"


def conflist(pod_cidrs: tuple[str, ...], bridge: str, ipam_dir: Path) -> dict[str, object]:
    """A network of this node's ranges, called as its bridge is: the plugins mark their rules by that name, and the
    rules of another bridge's pods must be told apart. hairpin: a pod reaches itself through its Service."""
    return {
        "cniVersion": "0.4.0",
        "name": bridge,
        "plugins": [
            {
                "type": "bridge",
                "bridge": bridge,
                "isGateway": True,
                "isDefaultGateway": True,
                "hairpinMode": True,
                "ipam": {
                    "type": "host-local",
                    "dataDir": str(ipam_dir),
                    "ranges": [[{"subnet": cidr}] for cidr in pod_cidrs],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True},
        ],
    }


def write(conf_dir: Path, pod_cidrs: tuple[str, ...], bridge: str, ipam_dir: Path) -> None:
    """Write the file when it differs; the runtime watches the folder."""
    data = json.dumps(conflist(pod_cidrs, bridge, ipam_dir), indent=1).encode()
    path = conf_dir / CONFLIST
    conf_dir.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_bytes() != data:
        write_atomic(path, data)
