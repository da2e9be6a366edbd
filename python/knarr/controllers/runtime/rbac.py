"""The ClusterRole of each controller, computed from its declaration: what it writes, the events it records, and
nothing else.

`python -m tools generate roles` writes the committed table, `../roles.json`, which the server's bootstrap takes in.

Reads go through the process's shared informers, with the process's own rights, so a controller's role has no list or
watch.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from knarr.controllers.runtime.declare import Controller

_EVENTS: dict[str, list[str]] = {
    "apiGroups": ["", "events.k8s.io"],
    "resources": ["events"],
    "verbs": ["create", "patch", "update"],
}


def roles(controllers: Iterable[Controller], prefix: str = "system:controller:") -> list[dict[str, Any]]:
    """ClusterRole and ClusterRoleBinding objects, in order of name. prefix: another one beside a stock control
    plane, which keeps its own roles (they say `update` where these say `patch`)."""
    made: list[dict[str, Any]] = []
    for controller in sorted(controllers, key=lambda c: c.account):
        name = f"{prefix}{controller.account}"
        metadata = {
            "name": name,
            "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
            "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
        }
        subject = {"kind": "ServiceAccount", "name": controller.account, "namespace": "kube-system"}
        group = "rbac.authorization.k8s.io"
        made.append(
            {"apiVersion": f"{group}/v1", "kind": "ClusterRole", "metadata": metadata, "rules": rules(controller)}
        )
        made.append(
            {
                "apiVersion": f"{group}/v1",
                "kind": "ClusterRoleBinding",
                "metadata": metadata,
                "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": name},
                "subjects": [subject],
            }
        )
    return made


def rules(controller: Controller) -> list[dict[str, list[str]]]:
    """PolicyRules, one for each set of verbs on a group."""
    verbs: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for write in controller.writes:
        resource = f"{write.resource.plural}/{write.subresource}" if write.subresource else write.resource.plural
        verbs.setdefault((write.resource.group, tuple(sorted(write.verbs))), []).append(resource)
    made = [
        {"apiGroups": [group], "resources": sorted(resources), "verbs": list(words)}
        for (group, words), resources in sorted(verbs.items())
    ]
    return [*made, *controller.extra_rules, _EVENTS]


def table() -> str:
    """The committed text of all controllers' roles."""
    from knarr.controllers import load

    return json.dumps({"apiVersion": "v1", "kind": "List", "items": roles(load())}, indent=1) + "\n"
