"""NodeRestriction: a kubelet writes its own node and lease, the status of its pods, and gets tokens for those only."""

from knarr.declare import Plugin

PLUGIN = Plugin(
    "NodeRestriction",
    order=20,
    resources=frozenset({"/pods", "/nodes", "/serviceaccounts", "coordination.k8s.io/leases"}),
    reads=("nodes", "pods"),
)
