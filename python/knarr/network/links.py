"""The node's links, by iproute2: asked and changed in the network namespace that this thread is in.

Never by /sys/class/net: that shows the network namespace that mounted it, not the one we are in.
"""

from __future__ import annotations

import json
import subprocess
from typing import Any

LINK = "knarr-dns"
"""The link that cluster DNS answers on. It bears the mark of the node that lives here (`claim.py`)."""


def ip(*arguments: str, tolerate: str = "") -> None:
    """Raises OSError with ip's words, but for those to be tolerated."""
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode and not (tolerate and tolerate in done.stderr):
        raise OSError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


def links(*arguments: str) -> list[dict[str, Any]]:
    """Links as `ip link` shows them; empty where there is none of that name."""
    return ip_json("link", *arguments)


def ip_json(*arguments: str) -> list[dict[str, Any]]:
    """What ip shows; nothing where it fails, as it does for a name that is not there."""
    done = subprocess.run(["ip", "-json", *arguments], capture_output=True, check=False)
    text = done.stdout.decode(errors="replace")
    if done.returncode != 0 or not text.strip():
        return []
    return [each for each in json.loads(text) if each]


def remove_link() -> None:
    """Delete the link. Nothing happens where it is not there."""
    ip("link", "del", LINK, tolerate="Cannot find device")
