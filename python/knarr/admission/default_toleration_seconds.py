"""DefaultTolerationSeconds: five minutes on a node that is not ready or unreachable, unless the pod says otherwise."""

from knarr.declare import Plugin

PLUGIN = Plugin(
    "DefaultTolerationSeconds",
    order=50,
    resources=frozenset({"/pods"}),
    settings={"notReadySeconds": 300, "unreachableSeconds": 300},
)
