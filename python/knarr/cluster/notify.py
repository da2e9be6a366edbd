"""How a role tells the supervisor that it serves, or why it never will.

The supervisor hands each role the write end of a pipe, its number in KNARR_NOTIFY_FD. A role writes one JSON line:
{"ready": true} or {"refused": "what", "hint": "what to do"}. A role that was started by hand has no such pipe and
writes to standard error.
"""

from __future__ import annotations

import json
import os
from typing import Any

from knarr.cluster.refusal import Refusal

VARIABLE = "KNARR_NOTIFY_FD"


def awaited() -> bool:
    """Whether somebody waits for this process's word."""
    return VARIABLE in os.environ


def ready() -> None:
    """This role serves."""
    send({"ready": True})


def refused(refusal: Refusal) -> None:
    """This role cannot start, and starting it again would not help."""
    send({"refused": refusal.message, "hint": refusal.hint})


def send(message: dict[str, Any]) -> None:
    descriptor = os.environ.pop(VARIABLE, None)
    if descriptor is None:
        return
    try:
        os.write(int(descriptor), json.dumps(message).encode() + b"\n")
        os.close(int(descriptor))
    except OSError:
        return  # the supervisor is gone; this role goes on without it
