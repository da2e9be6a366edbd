"""TaintNodesByCondition: a new node takes no pods until it has been seen ready; the node lifecycle ends it."""

from knarr.declare import Plugin

PLUGIN = Plugin(
    "TaintNodesByCondition",
    order=60,
    resources=frozenset({"/nodes"}),
    settings={"notReady": "node.kubernetes.io/not-ready"},
)
