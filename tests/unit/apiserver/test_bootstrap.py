"""Goal: the bootstrap policy is mended at start, not replaced. Method: given what is stored, what is written."""

from __future__ import annotations

from typing import Any

from knarr.apiserver.bootstrap.objects import mend

GET = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
LIST = {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}
OWN = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}


def role(*rules: dict[str, Any], **more: Any) -> dict[str, Any]:
    named = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole"}
    return {**named, "metadata": {"name": "r"}, "rules": list(rules), **more}


def listed(found: dict[str, Any]) -> dict[str, Any]:
    """As an item of a list: it does not name its own kind."""
    return {key: value for key, value in found.items() if key not in ("apiVersion", "kind")}


def test_what_is_lacking_is_added_to_what_is_there() -> None:
    mended = mend(listed(role(OWN, GET)), role(GET, LIST))
    assert mended == role(OWN, GET, LIST)


def test_nothing_is_written_where_nothing_lacks() -> None:
    assert mend(listed(role(OWN, GET)), role(GET)) is None


def test_an_aggregated_role_is_the_controller_s() -> None:
    assert mend(listed(role()), role(GET, aggregationRule={"clusterRoleSelectors": []})) is None
