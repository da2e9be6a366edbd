"""SelfSubjectRulesReview: a question, answered and never stored."""

from knarr.declare import Kind

KIND = Kind(
    group="authorization.k8s.io",
    version="v1",
    kind="SelfSubjectRulesReview",
    plural="selfsubjectrulesreviews",
    type="io.k8s.api.authorization.v1.SelfSubjectRulesReview",
    namespaced=False,
    verbs=("create",),
    description="SelfSubjectRulesReview is answered by the server and never stored.",
    columns=(),
    virtual=True,
)
