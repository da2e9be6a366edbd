"""LocalSubjectAccessReview: a question, answered and never stored."""

from knarr.declare import Kind

KIND = Kind(
    group="authorization.k8s.io",
    version="v1",
    kind="LocalSubjectAccessReview",
    plural="localsubjectaccessreviews",
    type="io.k8s.api.authorization.v1.LocalSubjectAccessReview",
    namespaced=True,
    verbs=("create",),
    description="LocalSubjectAccessReview is answered by the server and never stored.",
    columns=(),
    virtual=True,
)
