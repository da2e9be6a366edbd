"""SubjectAccessReview: a question, answered and never stored."""

from knarr.declare import Kind

KIND = Kind(
    group="authorization.k8s.io",
    version="v1",
    kind="SubjectAccessReview",
    plural="subjectaccessreviews",
    type="io.k8s.api.authorization.v1.SubjectAccessReview",
    namespaced=False,
    verbs=("create",),
    description="SubjectAccessReview is answered by the server and never stored.",
    columns=(),
    virtual=True,
)
