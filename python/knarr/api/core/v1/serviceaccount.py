"""ServiceAccount: who a pod is to the API."""

from knarr.declare import AGE, NAME, Column, Kind, Subresource
from knarr.declare.rules import meta_create, meta_update

KIND = Kind(
    group="",
    version="v1",
    kind="ServiceAccount",
    plural="serviceaccounts",
    type="io.k8s.api.core.v1.ServiceAccount",
    short=("sa",),
    description="ServiceAccount binds together a name, a principal that can be authenticated and a set of secrets.",
    create=(meta_create(),),
    update=(meta_update(),),
    subresources=(Subresource("token", ("create",), body=("authentication.k8s.io", "v1", "TokenRequest"), cold=True),),
    columns=(
        NAME,
        Column(
            "Secrets",
            (
                "Secrets is a list of the secrets in the same namespace that pods running using this "
                "ServiceAccount are allowed to use. Pods are only limited to this list if this service "
                'account has a "kubernetes.io/enforce-mountable-secrets" annotation set to "true". The '
                '"kubernetes.io/enforce-mountable-secrets" annotation is deprecated since v1.32. Prefer '
                "separate namespaces to isolate access to mounted secrets. This field should not be used "
                "to find auto-generated service account token secrets for use outside of pods. Instead, "
                "tokens can be requested directly using the TokenRequest API, or service account token "
                "secrets can be manually created. More info: "
                "https://kubernetes.io/docs/concepts/configuration/secret"
            ),
            path="secrets",
            cell="count",
        ),
        AGE,
    ),
)
