"""What the role verbs share: logging, and a refusal that reaches the supervisor as well as standard error."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable

from knarr.cluster import notify
from knarr.cluster.refusal import HINTS, Refusal, refused_by_machine

STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class Fields(logging.Formatter):
    """A constant message with its fields behind it: `watch expired resource=pods`."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        fields = {key: value for key, value in vars(record).items() if key not in STANDARD}
        if not fields:
            return text
        first, newline, rest = text.partition("\n")
        shown = " ".join(f"{key}={quoted(value)}" for key, value in fields.items())
        return f"{first} {shown}{newline}{rest}"


def quoted(value: object) -> str:
    """A field's value, in quotes where it would not read as one word."""
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if not text or any(c.isspace() or c in '"=' for c in text) else text


def as_role(name: str, start: Callable[[], None]) -> None:
    """Run `start` as a long-lived process: log lines to standard error, refusals told and raised again."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Fields("%(asctime)s.%(msecs)03d %(levelname)s %(name)s %(message)s", "%Y-%m-%dT%H:%M:%S"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger(f"knarr.{name}").info("starting")
    try:
        start()
    except Refusal as refusal:
        notify.refused(refusal)
        raise
    except OSError as cause:
        if cause.errno in HINTS:  # others, such as a refused connection, may be gone the next time
            notify.refused(refused_by_machine(cause))
        raise
