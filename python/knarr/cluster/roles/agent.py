"""`knarr agent`: the node agent, with the service proxy and cluster DNS beside it in one process."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from knarr.agent import AgentConfig, AgentError, run
from knarr.cluster import notify, place
from knarr.cluster.config import Config
from knarr.cluster.refusal import Refusal

if TYPE_CHECKING:
    from knarr.agent.agent import Companion


def for_cluster(config: Config) -> None:
    """Run the node of this data directory until SIGTERM."""
    paths = config.paths
    dns = config.service_address(10)
    agent = AgentConfig(
        kubeconfig=paths.kubeconfig("agent"),
        node_name=config.node_name,
        node_ip=config.node_ip,
        data_dir=paths.data_dir,
        runtime=config.runtime,
        cri_endpoint=config.cri or "",
        cluster_dns=(dns,),
        pod_cidr=config.pod_cidr,
        bind=config.node_ip,
        tls_cert=paths.pki / "kubelet.crt",
        tls_key=paths.pki / "kubelet.key",
        client_ca=paths.pki / "ca.crt",
    )
    # hollow pods have no network
    with place.claimed(config) if config.runtime == "cri" else nullcontext():
        start(agent, paths.kubeconfig("proxy"), config.cluster_cidr, dns)


def start(config: AgentConfig, proxy_kubeconfig: Path, cluster_cidr: str, dns: str) -> None:
    """Run an agent with the network beside it, which is a user of its own (system:kube-proxy).

    dns: the Service address that this node answers itself; "" where pods answer it.
    """

    async def network(_companion: Companion) -> None:
        from knarr.client import HttpClient, load_kubeconfig
        from knarr.network.dns import ClusterDns, ensure_link
        from knarr.network.nft import Nft, ServiceTable
        from knarr.network.proxy import Proxy

        names = None
        if dns:
            names = ClusterDns(config.cluster_domain, Path(config.resolv_conf))
            ensure_link(dns)
            names.listen(dns)
        table = ServiceTable(Nft(), cluster_cidr)
        async with HttpClient(load_kubeconfig(proxy_kubeconfig)) as client:
            await Proxy(client, config.node_name, table, names, frozenset({dns} if dns else ())).run()

    try:
        run(config, on_ready=notify.ready, companions=() if config.runtime == "hollow" else (network,))
    except AgentError as error:
        raise Refusal(error.message, error.hint) from None
