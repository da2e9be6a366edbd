"""TokenReview: a question, answered and never stored."""

from knarr.declare import Kind

KIND = Kind(
    group="authentication.k8s.io",
    version="v1",
    kind="TokenReview",
    plural="tokenreviews",
    type="io.k8s.api.authentication.v1.TokenReview",
    namespaced=False,
    verbs=("create",),
    description="TokenReview is answered by the server and never stored.",
    columns=(),
    virtual=True,
)
