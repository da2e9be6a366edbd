"""Rules of roles and subjects of bindings."""

from knarr.declare import TypeRules, set_to
from knarr.declare.json import Nodes
from knarr.declare.rules import (
    any_of,
    apply,
    at,
    fail,
    first,
    is_set,
    is_unset,
    is_value,
    one_of,
    required,
    text,
    when,
)

GROUP = "rbac.authorization.k8s.io"


def _policy_rule(name: str, *, namespaced: bool) -> TypeRules:
    on_urls = [
        when(
            any_of(is_set("$.apiGroups"), is_set("$.resources"), is_set("$.resourceNames")),
            fail("invalid", "rules cannot apply to both regular resources and non-resource URLs"),
        )
    ]
    if namespaced:
        on_urls.insert(0, fail("invalid", "namespaced rules cannot apply to non-resource URLs"))
    return TypeRules(
        name,
        rules=(
            at("verbs", required("verbs must contain at least one value")),
            when(
                is_set("nonResourceURLs"),
                at("nonResourceURLs", *on_urls),
                otherwise=[
                    at("apiGroups", required("resource rules must supply at least one api group")),
                    at("resources", required("resource rules must supply at least one resource")),
                ],
            ),
        ),
    )


NAMESPACED_RULE = _policy_rule("PolicyRule.namespaced", namespaced=True)
CLUSTER_RULE = _policy_rule("PolicyRule.cluster", namespaced=False)

SUBJECT = TypeRules(
    "Subject",
    type="io.k8s.api.rbac.v1.Subject",
    defaults=(set_to("apiGroup", GROUP, when=is_value("kind", "User", "Group"), zero=True),),
    rules=(
        at("name", required()),
        when(
            is_value("kind", "ServiceAccount"),
            at("name", text("dns1123Subdomain")),
            at("apiGroup", one_of("")),
            otherwise=[
                when(
                    is_value("kind", "User", "Group"),
                    at("apiGroup", one_of(GROUP)),
                    otherwise=[at("kind", one_of("ServiceAccount", "User", "Group"))],
                )
            ],
        ),
    ),
)


def role_binding(*kinds: str, namespaced: bool) -> Nodes:
    """The rules of a binding to a role of one of these kinds."""
    subject = [apply("Subject")]
    if not namespaced:
        missing = {"all": [is_value("kind", "ServiceAccount"), is_unset("namespace")]}
        subject.append(when(missing, at("namespace", fail("required"))))
    return (
        at("roleRef.apiGroup", one_of(GROUP)),
        at("roleRef.kind", one_of(*kinds)),
        at("roleRef.name", first(required(), text("pathSegment"))),
        at("subjects[*]", *subject),
    )
