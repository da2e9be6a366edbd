"""Binding: gives a pod its node. Created, answered, never stored: the core changes the pod instead.

As `pods/binding` does.
"""

from knarr.declare import Kind

KIND = Kind(
    group="",
    version="v1",
    kind="Binding",
    plural="bindings",
    type="io.k8s.api.core.v1.Binding",
    verbs=("create",),
    description="Binding ties one object to another; for example, a pod is bound to a node by a scheduler.",
    columns=(),
)
