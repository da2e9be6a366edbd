"""The shell of the controllers: sources, queues, execution of plans, events, credentials, leader election.

Knows the client and views. Never knows what a particular controller decides. Start reading at main.py; declare.py and
plan.py are what a controller is written in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from knarr.controllers.runtime.main import RunConfig, run

__all__ = ["RunConfig", "run"]


def __getattr__(name: str) -> object:
    if name in __all__:
        from knarr.controllers.runtime import main

        return getattr(main, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
