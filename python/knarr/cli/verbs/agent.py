"""knarr agent: one role in the foreground."""

from __future__ import annotations

import click

from knarr.cli import options
from knarr.cli.role import as_role
from knarr.cluster.config import load


@click.command()
@options.data_dir
def command(data_dir: str | None) -> None:
    """Run the node agent in the foreground."""

    def start() -> None:
        from knarr.cluster.roles import agent

        agent.for_cluster(load(data_dir))

    as_role("agent", start)
