"""The bootstrap roles and bindings, read from `policy.txt`. Source: `kubectl get` of a Kubernetes 1.34
control plane; those named `knarr:` are ours.

role NAME [LABEL=VALUE ...] [<- LABEL=VALUE]     a ClusterRole, or NAMESPACE/NAME a Role
                                                 `<-`: aggregates the roles so labelled
  VERBS GROUPS RESOURCES [NAMES]                 a rule; group `core` is the empty one
  VERBS /PATHS                                   a rule on non-resource URLs
bind NAME KIND:ROLE SUBJECT ...                  SUBJECT: User:NAME, Group:NAME, ServiceAccount:NAMESPACE/NAME
"""

from __future__ import annotations

import copy
import json
from importlib import resources
from typing import Any

Object = dict[str, Any]
GROUP = "rbac.authorization.k8s.io"
AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"


def objects() -> list[Object]:
    """Every role and binding as an object, roles first."""
    text = resources.files(__package__).joinpath("policy.txt").read_text()
    found: list[Object] = []
    for line in text.splitlines():
        words = line.split()
        if not words or line.startswith("#"):
            continue
        if line.startswith("  "):
            found[-1].setdefault("rules", []).append(rule(words))
        elif words[0] == "role":
            found.append(role(words[1:]))
        else:
            found.append(binding(words[1:]))
    return found


def controllers() -> list[Object]:
    """The roles that the controllers' declared writes give, beside Kubernetes' own of the same controllers.

    Kubernetes' stay as they are, so that its controller manager can run here; ours are named apart from them.
    """
    text = resources.files("knarr.controllers").joinpath("roles.json").read_text()
    made: list[Object] = []
    for item in json.loads(text)["items"]:
        ours = copy.deepcopy(item)
        for named in (ours["metadata"], ours.get("roleRef")):
            if named:
                named["name"] = named["name"].replace("system:controller:", "knarr:controller:")
        made.append(ours)
    return made


def role(words: list[str]) -> Object:
    name, *rest = words
    made = head("ClusterRole", "Role", name)
    if "<-" in rest:
        at = rest.index("<-")
        key, value = rest[at + 1].split("=")
        made["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": {key: value}}]}
        rest = rest[:at]
    made["metadata"]["labels"] |= dict(label.split("=") for label in rest)
    return made


def rule(words: list[str]) -> Object:
    verbs, second, *rest = words
    if not rest:
        return {"verbs": verbs.split(","), "nonResourceURLs": second.split(",")}
    groups = ["" if group == "core" else group for group in second.split(",")]
    made: Object = {"verbs": verbs.split(","), "apiGroups": groups, "resources": rest[0].split(",")}
    if len(rest) > 1:
        made["resourceNames"] = rest[1].split(",")
    return made


def binding(words: list[str]) -> Object:
    name, reference, *subjects = words
    kind, _, target = reference.partition(":")
    made = head("ClusterRoleBinding", "RoleBinding", name)
    made["roleRef"] = {"apiGroup": GROUP, "kind": kind, "name": target}
    if subjects:
        made["subjects"] = [subject(each) for each in subjects]
    return made


def subject(word: str) -> Object:
    kind, _, name = word.partition(":")
    if kind == "ServiceAccount":
        namespace, _, name = name.partition("/")
        return {"kind": kind, "name": name, "namespace": namespace}
    return {"apiGroup": GROUP, "kind": kind, "name": name}


def head(cluster_kind: str, namespaced_kind: str, name: str) -> Object:
    namespace, slash, rest = name.partition("/")
    metadata: Object = {
        "name": rest if slash else name,
        "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
        "annotations": {AUTOUPDATE: "true"},
    }
    if slash:
        metadata["namespace"] = namespace
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": namespaced_kind if slash else cluster_kind,
        "metadata": metadata,
    }
