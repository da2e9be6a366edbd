"""SelfSubjectAccessReview: a question, answered and never stored."""

from knarr.declare import Kind

KIND = Kind(
    group="authorization.k8s.io",
    version="v1",
    kind="SelfSubjectAccessReview",
    plural="selfsubjectaccessreviews",
    type="io.k8s.api.authorization.v1.SelfSubjectAccessReview",
    namespaced=False,
    verbs=("create",),
    description="SelfSubjectAccessReview is answered by the server and never stored.",
    columns=(),
    virtual=True,
)
