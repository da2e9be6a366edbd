"""What the role verbs share: logging, and a refusal that reaches the supervisor as well as standard error."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable

from knarr.cluster import notify
from knarr.cluster.refusal import Refusal

LOG_FORMAT = "%(asctime)s.%(msecs)03d %(levelname)s %(name)s %(message)s"


def as_role(name: str, start: Callable[[], None]) -> None:
    """Run `start` as a long-lived process: log lines to standard error, refusals told and raised again."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format=LOG_FORMAT, datefmt="%Y-%m-%dT%H:%M:%S")
    logging.getLogger(f"knarr.{name}").info("starting")
    try:
        start()
    except Refusal as refusal:
        notify.refused(refusal)
        raise
