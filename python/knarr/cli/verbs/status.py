"""knarr status: what runs, and how it is."""

from __future__ import annotations

import json
from typing import Any

import click

from knarr.cli import options
from knarr.cluster import lifecycle
from knarr.cluster.config import load


@click.command()
@options.data_dir
@click.option("-o", "--output", type=click.Choice(["json"]), help="Print JSON.")
def command(data_dir: str | None, output: str | None) -> None:
    """Show roles, processes, memory, addresses and health."""
    found = lifecycle.status(load(data_dir))
    click.echo(json.dumps(found, indent=1) if output == "json" else text(found))


def text(found: dict[str, Any]) -> str:
    """The same for people."""
    node = found["node"]
    lines = [f"{'ROLE':<12} {'PID':>8} {'MEMORY':>9} {'RESTARTS':>8}"]
    for name, role in found["roles"].items():
        memory = f"{role['memoryBytes'] / (1 << 20):.0f} MiB"
        lines.append(f"{name:<12} {role['pid'] or '-':>8} {memory:>9} {role['restarts']:>8}")
    lines += [
        "",
        f"server      {found['server']} ({'ready' if found['ready'] else 'not ready'})",
        f"node        {node['name']} at {node['address']} ({'Ready' if node['ready'] else 'NotReady'})",
        f"kubeconfig  {found['kubeconfig']}",
        f"data        {found['dataDir']}",
    ]
    return "\n".join(lines)
