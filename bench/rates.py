"""The peer's own table of rates, run against either side by its script."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.sides import Side, Unavailable


@dataclass(frozen=True)
class Rate:
    """One line of the table. per_s: operations, items or events; the CPU is that of server and store, each in
    microseconds."""

    per_s: float
    p99_ms: float
    server_us: float
    client_us: float
    errors: int
    reopened: int


def rates(side: Side, encoding: str = "json") -> dict[str, Rate]:
    """create, get, list, patch, lease, watch, watch1000. A line that failed is left out. Raises Unavailable."""
    scripts = os.environ.get("KNARR_PEERS")
    if not scripts:
        raise Unavailable("no rates: KNARR_PEERS is not set")
    pids = ",".join(map(str, side.serving()))
    done = subprocess.run(
        ["bash", Path(scripts) / "rates.sh", encoding, pids],
        env=os.environ | {"KUBECONFIG": str(side.kubeconfig)},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    found = {}
    for line in done.stdout.splitlines():
        name, per_s, *rest = line.split("\t")
        if rest and rest[0] != "failed":
            # each further column is NAME NUMBER [UNIT]
            numbers = dict(re.findall(r"([a-z0-9]+) ([0-9.]+)", " ".join(rest)))
            found[name] = Rate(
                float(per_s),
                float(numbers["p99"]),
                float(numbers["server"]),
                float(numbers["client"]),
                int(numbers["errors"]),
                int(numbers.get("reopened", 0)),
            )
    if not found:
        raise Unavailable(f"rates.sh printed nothing: {done.stderr[-300:]}")
    return found
