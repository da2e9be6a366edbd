"""What the declarations of all controllers must hold together: the committed roles, and that no two own one field."""

from __future__ import annotations

from pathlib import Path

import knarr.controllers
import pytest
from knarr.controllers import NAMES, load
from knarr.controllers.runtime.declare import union
from knarr.controllers.runtime.rbac import roles, rules, table


def test_every_module_is_listed_and_every_name_is_a_module() -> None:
    folder = Path(knarr.controllers.__file__).parent
    modules = {file.stem for file in folder.glob("*.py") if not file.stem.startswith("_")}
    assert modules == set(NAMES)
    with pytest.raises(ValueError, match="no such controller: nothing"):
        load(["nothing"])


def test_no_two_controllers_own_one_field() -> None:
    """Fields under a common prefix count as one: `status` and `status.conditions` of one resource would be a
    conflict."""
    owners: list[tuple[str, str, str]] = []
    for controller in load():
        for write in controller.writes:
            for field in write.fields:
                owners.append((write.resource.group_resource, field, controller.name))
    for kind, field, name in owners:
        for other_kind, other_field, other in owners:
            if kind == other_kind and name != other:
                assert not f"{field}.".startswith(f"{other_field}."), f"{name} and {other} both write {field} of {kind}"


def test_only_slices_and_pods_are_made_by_several() -> None:
    """Whose an EndpointSlice is, its managed-by label says, whose a pod is, its owner: each reads its own only."""
    creators: dict[str, set[str]] = {}
    for controller in load():
        for write in controller.writes:
            if "create" in write.verbs:
                creators.setdefault(write.resource.group_resource, set()).add(controller.name)
    several = {kind: names for kind, names in creators.items() if len(names) > 1}
    assert several.pop("endpointslices.discovery.k8s.io") == {"endpointslice", "endpointslice-mirroring"}
    assert several == {"pods": {"replicaset", "replicationcontroller"}}


def test_the_committed_roles_are_those_of_the_declarations() -> None:
    committed = Path(knarr.controllers.__file__).parent / "roles.json"
    assert committed.read_text(encoding="utf-8") == table(), "run: python -m tools generate roles"


def test_a_role_grants_what_is_declared_and_no_reading() -> None:
    replicaset = next(c for c in load() if c.name == "replicaset")
    granted = {(g, r): r_["verbs"] for r_ in rules(replicaset) for g in r_["apiGroups"] for r in r_["resources"]}
    assert granted[("", "pods")] == ["create", "delete", "patch"]
    assert granted[("apps", "replicasets/status")] == ["patch"]
    assert ("apps", "replicasets") not in granted
    names = [made["metadata"]["name"] for made in roles(load()) if made["kind"] == "ClusterRole"]
    assert "system:controller:generic-garbage-collector" in names and len(names) == len(NAMES)


def test_one_view_serves_all_who_read_a_kind() -> None:
    kept = union(load())
    pods = next(kept[resource] for resource in kept if resource.plural == "pods")
    assert "spec.nodeName" in pods[1] and pods[2], "indexed by node and labels"
    assert len(pods[0]) == len(set(pods[0]))
