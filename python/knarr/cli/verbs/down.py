"""knarr down: end this machine's cluster."""

from __future__ import annotations

import click

from knarr.cli import options
from knarr.cluster import lifecycle
from knarr.cluster.config import load, remembered, resolved


@click.command()
@options.data_dir
@click.option("--purge", is_flag=True, help="Delete the data too.")
def command(data_dir: str | None, purge: bool) -> None:
    """End the servers and the pods. The data stays, unless --purge is given."""
    directory = resolved(data_dir)
    if not remembered(directory) and lifecycle.down_lost(directory, lifecycle.say_on_stderr):
        return
    lifecycle.down(load(directory), lifecycle.say_on_stderr, purge)
