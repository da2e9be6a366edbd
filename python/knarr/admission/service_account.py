"""ServiceAccount: a pod has an account, and its projected token mounted where neither pod nor account declines it."""

from knarr.declare import Plugin

PLUGIN = Plugin(
    "ServiceAccount",
    order=30,
    resources=frozenset({"/pods"}),
    settings={"expirationSeconds": 3607},
    reads=("serviceaccounts",),
)
