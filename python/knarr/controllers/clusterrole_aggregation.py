"""ClusterRoles with an aggregationRule get the rules of the ClusterRoles it selects.

Source: kubernetes `pkg/controller/clusterroleaggregation/clusterroleaggregation_controller.go`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, NamedTuple

from knarr.controllers.runtime.declare import Controller, To, Views, Watch, Writes
from knarr.controllers.runtime.objects import CLUSTER_ROLES, split
from knarr.controllers.runtime.plan import Plan, Write


class ClusterRole(NamedTuple):
    namespace: str
    name: str
    uid: str
    revision: int
    aggregation: Annotated[dict[str, Any] | None, "aggregationRule"]
    rules: Annotated[list[dict[str, Any]] | None, "rules"]


def reconcile(views: Views, key: str, now: datetime) -> Plan:
    """key: /name of a ClusterRole."""
    plan = Plan()
    role = views[ClusterRole].get(*split(key))
    if role is None or not role.aggregation:
        return plan
    rules: list[dict[str, Any]] = []
    for selector in role.aggregation.get("clusterRoleSelectors") or []:
        for other in sorted(views[ClusterRole].selected(selector), key=lambda row: row.name):
            if other.uid == role.uid:
                continue
            rules.extend(rule for rule in other.rules or [] if rule not in rules)
    if rules != (role.rules or []):
        body = {"rules": rules}
        plan.writes.append(
            Write("patch", CLUSTER_ROLES, "", role.name, body, uid=role.uid, revision=role.revision, missing_ok=True)
        )
    return plan


CONTROLLER = Controller(
    name="clusterrole-aggregation",
    account="clusterrole-aggregation-controller",
    watches=(Watch(CLUSTER_ROLES, ClusterRole, (To("every", by=ClusterRole),), labels=True),),
    writes=(Writes(CLUSTER_ROLES, ("patch", "escalate", "get", "list", "update", "watch"), fields=("rules",)),),
    reconcile=reconcile,
)
