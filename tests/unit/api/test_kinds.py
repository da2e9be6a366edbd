"""The built-in kinds: found by walking the package, complete, and the same as what the Rust tests judge."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from knarr.admission import all_plugins
from knarr.api import all_kinds, documents

ROOT = Path(__file__).parents[3]
CRATE = ROOT / "rust" / "knarr-schema"

STORED = {
    "": "Binding ConfigMap Endpoints Event Namespace Node Pod ReplicationController Secret Service ServiceAccount",
    "apps": "Deployment ReplicaSet",
    "coordination.k8s.io": "Lease",
    "discovery.k8s.io": "EndpointSlice",
    "events.k8s.io": "Event",
    "rbac.authorization.k8s.io": "ClusterRole ClusterRoleBinding Role RoleBinding",
}


def key(kind: Any) -> str:
    return f"{kind.group}/{kind.version}/{kind.kind}".lstrip("/")


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Every JSON object below."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from nodes(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from nodes(inner)


def test_every_kind_of_the_frame_is_declared() -> None:
    found: dict[str, list[str]] = {}
    for kind in all_kinds():
        if not kind.virtual:
            found.setdefault(kind.group, []).append(kind.kind)
    assert {group: sorted(kinds) for group, kinds in found.items()} == {g: k.split() for g, k in STORED.items()}


def test_reviews_are_created_only() -> None:
    virtual = [kind for kind in all_kinds() if kind.virtual]
    assert "SelfSubjectAccessReview" in {kind.kind for kind in virtual}
    assert all(kind.verbs == ("create",) for kind in virtual)


def test_the_documents_the_rust_tests_judge_are_these() -> None:
    """Goal: testdata/kinds.json never lags behind. Written by `python -m tools generate kinds`."""
    committed = json.loads((CRATE / "testdata" / "kinds.json").read_text())
    assert {key(kind): json.loads(document) for kind, document in documents()} == committed


def test_columns_are_those_the_real_server_answers() -> None:
    recorded = json.loads((CRATE / "testdata" / "columns.json").read_text())
    declared = {kind.kind: kind.document()["columns"] for kind in all_kinds() if kind.kind in recorded}
    for name, columns in recorded.items():
        assert [c["name"] for c in declared[name]] == [c["name"] for c in columns]
        assert [c.get("description", "") for c in declared[name]] == [c.get("description", "") for c in columns]
        assert [c.get("priority", 0) for c in declared[name]] == [c.get("priority", 0) for c in columns]


@pytest.mark.parametrize("kind", all_kinds(), ids=key)
def test_applied_groups_and_native_rules_exist(kind: Any) -> None:
    document = kind.document(all_plugins())
    text = (CRATE / "src" / "rules" / "native" / "mod.rs").read_text()
    native = set(re.findall(r'^    \("(\w+)", ', text, re.M))
    rules = [document[part] for part in ("rules", "create", "update", "warnings", "subresources")]
    for node in nodes(rules):
        if node.get("rule") == "apply":
            assert node["group"] in document["rules"]
        if node.get("rule") == "native":
            assert node["name"] in native


def test_short_names_are_unique_within_a_group() -> None:
    seen: set[tuple[str, str]] = set()
    for kind in all_kinds():
        for short in kind.short:
            assert (kind.group, short) not in seen
            seen.add((kind.group, short))


def test_the_fields_kubernetes_selects_by() -> None:
    pod = next(kind for kind in all_kinds() if kind.kind == "Pod")
    assert {one.field for one in pod.selectable} == {
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    }


def test_admission_runs_in_kubernetes_order() -> None:
    pod = next(kind for kind in all_kinds() if kind.kind == "Pod")
    names = [one["plugin"] for one in pod.document(all_plugins())["admission"]]
    assert names == ["NamespaceLifecycle", "NodeRestriction", "ServiceAccount", "Priority", "DefaultTolerationSeconds"]


def test_every_verdict_of_the_real_server_is_of_a_declared_kind() -> None:
    verdicts = json.loads((CRATE / "testdata" / "verdicts.json").read_text())
    declared = {key(kind) for kind in all_kinds()}
    judged = {f"{case['given']['apiVersion']}/{case['given']['kind']}" for case in verdicts["create"]}
    assert judged <= declared
    # Both sides of each: something is accepted of every judged kind, and most are refused somewhere.
    accepted = {f"{c['given']['apiVersion']}/{c['given']['kind']}" for c in verdicts["create"] if "object" in c}
    assert judged == accepted
