"""knarr up: a cluster on this machine."""

from __future__ import annotations

from typing import Any

import click

from knarr.cli import options
from knarr.cluster import lifecycle
from knarr.cluster.config import settle


@click.command()
@options.data_dir
@options.cluster
@click.option("--detach", is_flag=True, help="Return once the cluster serves; it goes on in the background.")
def command(data_dir: str | None, detach: bool, **given: Any) -> None:
    """Start a cluster on this machine.

    API server with store and scheduler, controllers, and a node; again with no flags, the same cluster again.
    """
    config = settle(data_dir, given)
    if detach:
        lifecycle.up_detached(config, lifecycle.say_on_stderr)
        return
    lifecycle.up(config, lifecycle.say_on_stderr)
