"""ConfigMap `kube-root-ca.crt` in every namespace, so that pods can trust the API server.

Without the setting `root_ca` it writes nothing. Source: kubernetes
`pkg/controller/certificates/rootcacertpublisher/publisher.go`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, NamedTuple

from knarr.controllers.runtime.declare import Controller, To, Views, Watch, Writes
from knarr.controllers.runtime.objects import CONFIG_MAPS, NAMESPACES, split
from knarr.controllers.runtime.plan import Plan, Write

NAME: Final = "kube-root-ca.crt"
_DESCRIPTION: Final = "kubernetes.io/description"
_TEXT: Final = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes "
    "clusters."
)


class Namespace(NamedTuple):
    namespace: str
    name: str
    uid: str
    revision: int
    phase: Annotated[str | None, "status.phase"]


class ConfigMap(NamedTuple):
    """ca: the one data key that matters; other ConfigMaps have none, and keep nothing here but their name."""

    namespace: str
    name: str
    uid: str
    revision: int
    ca: Annotated[str | None, "data['ca.crt']"]
    description: Annotated[str | None, "metadata.annotations['kubernetes.io/description']"]


def reconcile(views: Views, key: str, now: datetime) -> Plan:
    """key: /name of a Namespace."""
    plan = Plan()
    ca = views.settings.get("root_ca")
    namespace = views[Namespace].get("", split(key)[1])
    if not ca or namespace is None or namespace.phase == "Terminating":
        return plan
    found = views[ConfigMap].get(namespace.name, NAME)
    wanted = {"metadata": {"name": NAME, "annotations": {_DESCRIPTION: _TEXT}}, "data": {"ca.crt": ca}}
    if found is None:
        body = {"apiVersion": "v1", "kind": "ConfigMap", **wanted}
        plan.writes.append(Write("create", CONFIG_MAPS, namespace.name, body=body, exists_ok=True))
    elif found.ca != ca or not found.description:
        plan.writes.append(Write("patch", CONFIG_MAPS, namespace.name, NAME, wanted, uid=found.uid, missing_ok=True))
    return plan


CONTROLLER = Controller(
    name="root-ca-certificate-publisher",
    account="root-ca-cert-publisher",
    watches=(Watch(NAMESPACES, Namespace, (To("own"),)), Watch(CONFIG_MAPS, ConfigMap, (To("namespace"),))),
    writes=(Writes(CONFIG_MAPS, ("create", "patch")),),
    reconcile=reconcile,
)
