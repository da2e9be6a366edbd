"""Priority: the number behind a priority class; the two system classes exist without objects."""

from knarr.declare import Plugin

PLUGIN = Plugin(
    "Priority",
    order=40,
    resources=frozenset({"/pods"}),
    settings={
        "builtIn": [
            {"name": "system-cluster-critical", "value": 2_000_000_000},
            {"name": "system-node-critical", "value": 2_000_001_000},
        ]
    },
)
