"""`knarr controllers`: the controllers, against this machine's server or any other."""

from __future__ import annotations

from knarr.cluster import notify
from knarr.cluster.config import Config
from knarr.cluster.refusal import Refusal
from knarr.controllers.runtime import RunConfig, run


def for_cluster(config: Config) -> None:
    """Run beside this machine's server until SIGTERM."""
    paths = config.paths
    run(
        RunConfig(
            kubeconfig=str(paths.kubeconfig("controllers")),
            root_ca=str(paths.pki / "ca.crt"),
            leader_elect=False,
            on_ready=notify.ready,
        )
    )


def for_kubeconfig(kubeconfig: str, root_ca: str | None) -> None:
    """Run against a cluster that a kubeconfig names; one of several by Lease."""
    from knarr.client.kubeconfig import ConfigError  # loads HTTP and TLS
    from knarr.controllers.runtime.lease import LostLease

    try:
        run(RunConfig(kubeconfig=kubeconfig, root_ca=root_ca, leader_elect=True, on_ready=notify.ready))
    except ConfigError as error:
        raise Refusal(str(error), "name another file with --kubeconfig") from None
    except LostLease as error:
        raise Refusal(f"the Lease {error}", "start again, to be the next in line") from None
