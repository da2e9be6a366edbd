"""SelfSubjectReview: a question, answered and never stored."""

from knarr.declare import Kind

KIND = Kind(
    group="authentication.k8s.io",
    version="v1",
    kind="SelfSubjectReview",
    plural="selfsubjectreviews",
    type="io.k8s.api.authentication.v1.SelfSubjectReview",
    namespaced=False,
    verbs=("create",),
    description="SelfSubjectReview is answered by the server and never stored.",
    columns=(),
    virtual=True,
)
