"""Options that several verbs share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from knarr.cluster.config import RUNTIMES, default_data_dir

Function = Callable[..., Any]


def data_dir(function: Function) -> Function:
    """--data-dir DIR"""
    return click.option(
        "--data-dir", metavar="DIR", help=f"Where the cluster's files lie.  [default: {default_data_dir()}]"
    )(function)


def cluster(function: Function) -> Function:
    """The settings of a one-machine cluster; unset ones keep what the data directory remembers."""
    options = [
        click.option("--node-name", metavar="NAME", help="This node's name.  [default: the host's name]"),
        click.option(
            "--node-ip", metavar="ADDRESS", help="The address to serve on.  [default: the one with a route out]"
        ),
        click.option("--port", type=int, help="The API server's port.  [default: 6443]"),
        click.option("--cri", metavar="ENDPOINT", help="Use this CRI runtime instead of starting a containerd."),
        click.option("--runtime", type=click.Choice(RUNTIMES), help="What runs pods.  [default: cri]"),
        click.option("--cluster-cidr", metavar="CIDR", help="Addresses of pods.  [default: 10.244.0.0/16]"),
        click.option("--service-cidr", metavar="CIDR", help="Addresses of Services.  [default: 10.96.0.0/16]"),
        click.option("--kubeconfig", metavar="FILE", help="Also write the administrator's kubeconfig here."),
        click.option("--tls-san", metavar="NAME", multiple=True, help="A further name in the serving certificate."),
    ]
    for option in reversed(options):
        function = option(function)
    return function
