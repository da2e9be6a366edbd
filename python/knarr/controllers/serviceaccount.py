"""ServiceAccount `default` in every namespace. Source: kubernetes
`pkg/controller/serviceaccount/serviceaccounts_controller.go`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, NamedTuple

from knarr.controllers.runtime.declare import Controller, To, Views, Watch, Writes
from knarr.controllers.runtime.objects import NAMESPACES, SERVICE_ACCOUNTS, split
from knarr.controllers.runtime.plan import Plan, Write


class Namespace(NamedTuple):
    namespace: str
    name: str
    uid: str
    revision: int
    phase: Annotated[str | None, "status.phase"]


class ServiceAccount(NamedTuple):
    namespace: str
    name: str
    uid: str
    revision: int


def reconcile(views: Views, key: str, now: datetime) -> Plan:
    """key: /name of a Namespace."""
    plan = Plan()
    namespace = views[Namespace].get("", split(key)[1])
    if namespace is None or namespace.phase == "Terminating":
        return plan
    if views[ServiceAccount].get(namespace.name, "default") is None:
        body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
        plan.writes.append(Write("create", SERVICE_ACCOUNTS, namespace.name, body=body, exists_ok=True))
    return plan


CONTROLLER = Controller(
    name="serviceaccount",
    account="service-account-controller",
    watches=(
        Watch(NAMESPACES, Namespace, (To("own"),)),
        Watch(SERVICE_ACCOUNTS, ServiceAccount, (To("namespace"),)),
    ),
    writes=(Writes(SERVICE_ACCOUNTS, ("create",)),),
    reconcile=reconcile,
)
