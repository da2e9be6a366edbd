"""The API server, composed in Python from the core's parts.

Knows: which parts there are and in which order they are put together, the cold routes, what a new cluster holds. Never
knows: how a hot request is served (the core's), what a node or a controller does. Start reading at `server.py`; a cold
route is one file in `routes/`, discovery and OpenAPI are pure functions of the declared kinds.
"""

from __future__ import annotations

from knarr.apiserver.server import ApiServer, Options

__all__ = ["ApiServer", "Options"]
