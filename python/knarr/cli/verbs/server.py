"""knarr server: one role in the foreground."""

from __future__ import annotations

from typing import Any

import click

from knarr.cli import options
from knarr.cli.role import as_role
from knarr.cluster.config import settle


@click.command()
@options.data_dir
@options.cluster
def command(data_dir: str | None, **given: Any) -> None:
    """Run the API server in the foreground.

    Its store and its scheduler are in the same process.
    """
    config = settle(data_dir, given)

    def start() -> None:
        from knarr.cluster.roles import server

        server.run(config)

    as_role("server", start)
