"""knarr controllers: one role in the foreground."""

from __future__ import annotations

import click

from knarr.cli import options
from knarr.cli.role import as_role
from knarr.cluster.config import load


@click.command()
@options.data_dir
@click.option("--kubeconfig", metavar="FILE", help="Run against this cluster, without a data directory.")
@click.option("--root-ca", metavar="FILE", help="The CA that pods are told of in kube-root-ca.crt.")
def command(data_dir: str | None, kubeconfig: str | None, root_ca: str | None) -> None:
    """Run the controllers in the foreground."""

    def start() -> None:
        from knarr.cluster.roles import controllers

        if kubeconfig is not None:
            controllers.for_kubeconfig(kubeconfig, root_ca)
        else:
            controllers.for_cluster(load(data_dir))

    as_role("controllers", start)
