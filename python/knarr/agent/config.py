"""What an agent is told when it starts. Nothing else in this package reads flags or the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from knarr.kits.paths import short_id

LEVEL = "v1.34.2"
"""The Kubernetes level this agent serves; reported as nodeInfo.kubeletVersion."""


@dataclass(frozen=True, kw_only=True)
class AgentConfig:
    """One node.

    kubeconfig: path of a kubeconfig whose user is system:node:NODE_NAME.
    node_ip: the address of the node, IPv4 or IPv6 text. data_dir: the folder everything of this agent lives in.
    runtime: "cri" or "hollow". cri_endpoint: "" starts and supervises a containerd below data_dir; otherwise
    "unix:///path" of a runtime that is used as it is (its CNI configuration too).
    cluster_dns: addresses written into resolv.conf of ClusterFirst pods, () for none.
    pod_cidr: range of this node's pods; "" waits for spec.podCIDR of the Node object.
    port: where the node server listens (registered in the Node's daemonEndpoints), 0: none is started.
    tls_cert, tls_key, client_ca: files of that server.
    """

    kubeconfig: Path
    node_name: str
    node_ip: str
    data_dir: Path
    runtime: str = "cri"
    cri_endpoint: str = ""
    sandbox_image: str = "knarr.dev/pause:1"
    cluster_dns: tuple[str, ...] = ()
    cluster_domain: str = "cluster.local"
    pod_cidr: str = ""
    bridge: str = "knarr0"
    cni_bin_dirs: tuple[str, ...] = ("/opt/cni/bin", "/usr/lib/cni")
    port: int = 10250
    bind: str = "0.0.0.0"
    tls_cert: Path | None = None
    tls_key: Path | None = None
    client_ca: Path | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    max_pods: int = 110
    system_reserved_memory: int = 100 << 20
    resolv_conf: Path = Path("/etc/resolv.conf")
    log_max_bytes: int = 10 << 20
    log_max_files: int = 5
    allowed_unsafe_sysctls: tuple[str, ...] = ()

    @property
    def pods_dir(self) -> Path:
        """Volumes, etc-hosts and termination messages, by pod uid."""
        return self.data_dir / "agent" / "pods"

    @property
    def logs_dir(self) -> Path:
        """CRI logs: NAMESPACE_NAME_UID/CONTAINER/ATTEMPT.log."""
        return self.data_dir / "agent" / "logs"


def instance_id(config: AgentConfig) -> str:
    """What marks sandboxes, cgroups and links as made by this node's agent, over restarts."""
    return short_id(str(config.data_dir.resolve()), config.node_name)
