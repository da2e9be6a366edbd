"""NamespaceLifecycle: nothing is created in a namespace that is missing or dying; the system's namespaces are
not deleted.
"""

from knarr.declare import Plugin

PLUGIN = Plugin(
    "NamespaceLifecycle",
    order=10,
    resources=frozenset({"*", "/namespaces"}),
    settings={"immortal": ["default", "kube-system", "kube-public"]},
    reads=("namespaces",),
)
