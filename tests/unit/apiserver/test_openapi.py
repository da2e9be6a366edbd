"""Goal: OpenAPI documents say of a kind what kube-apiserver's say. Method: copied pieces of its documents for some
types; the gnostic form is read back by a reader of the wire format; every reference must lead somewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest
from knarr.apiserver import gnostic, openapi

ALL = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
CHANGES = ["get", "patch", "update"]


def kind(group: str, name: str, plural: str, type_name: str, verbs: list[str], **more: Any) -> dict[str, Any]:
    return {"group": group, "version": "v1", "kind": name, "plural": plural, "type": type_name, "verbs": verbs, **more}


TYPED = [
    kind(
        "authorization.k8s.io",
        "SelfSubjectAccessReview",
        "selfsubjectaccessreviews",
        "io.k8s.api.authorization.v1.SelfSubjectAccessReview",
        ["create"],
        namespaced=False,
    ),
    kind(
        "",
        "Pod",
        "pods",
        "io.k8s.api.core.v1.Pod",
        ALL,
        namespaced=True,
        subresources=[{"name": "status", "verbs": CHANGES}],
    ),
    kind(
        "apps",
        "Deployment",
        "deployments",
        "io.k8s.api.apps.v1.Deployment",
        ALL,
        namespaced=True,
        subresources=[{"name": "scale", "verbs": CHANGES, "group": "autoscaling", "version": "v1", "kind": "Scale"}],
    ),
]


@pytest.fixture(scope="module")
def documents() -> openapi.Documents:
    return openapi.Documents(TYPED)


def v3(documents: openapi.Documents, path: str) -> Any:
    body = documents.v3(path)
    assert body is not None
    return json.loads(body)


def refs(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, part in value.items():
            if key == "$ref" and isinstance(part, str):
                yield part
            else:
                yield from refs(part)
    elif isinstance(value, list):
        for part in value:
            yield from refs(part)


def test_index_names_each_group_version_by_its_hash(documents: openapi.Documents) -> None:
    paths = json.loads(documents.index)["paths"]
    assert list(paths) == ["api/v1", "apis/apps/v1", "apis/authorization.k8s.io/v1"]
    assert paths["api/v1"]["serverRelativeURL"] == f"/openapi/v3/api/v1?hash={documents.hash('api/v1')}"
    assert documents.hash("api/v1") == openapi.Documents(TYPED).hash("api/v1")
    assert documents.v3("apis/none/v1") is None


def test_a_schema_as_kubernetes_has_it(documents: openapi.Documents) -> None:
    schemas = v3(documents, "api/v1")["components"]["schemas"]
    port = schemas["io.k8s.api.core.v1.ContainerPort"]
    assert port["required"] == ["containerPort"]
    assert port["properties"]["containerPort"].items() >= {"type": "integer", "format": "int32", "default": 0}.items()
    assert (
        port["properties"]["protocol"].items()
        >= {"type": "string", "default": "TCP", "enum": ["SCTP", "TCP", "UDP"]}.items()
    )
    containers = schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
    assert {k: v for k, v in containers.items() if k != "description"} == {
        "type": "array",
        "items": {"default": {}, "allOf": [{"$ref": "#/components/schemas/io.k8s.api.core.v1.Container"}]},
        "x-kubernetes-list-map-keys": ["name"],
        "x-kubernetes-list-type": "map",
        "x-kubernetes-patch-merge-key": "name",
        "x-kubernetes-patch-strategy": "merge",
    }
    assert schemas["io.k8s.api.core.v1.Pod"]["x-kubernetes-group-version-kind"] == [
        {"group": "", "kind": "Pod", "version": "v1"}
    ]
    assert schemas["io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector"]["x-kubernetes-map-type"] == "atomic"


def test_every_reference_leads_somewhere(documents: openapi.Documents) -> None:
    for path in documents.group_versions():
        document = v3(documents, path)
        known = {"#/components/schemas/" + name for name in document["components"]["schemas"]}
        assert set(refs(document)) <= known
    swagger = documents.swagger()
    assert set(refs(swagger)) <= {"#/definitions/" + name for name in swagger["definitions"]}


def test_paths_carry_what_kubectl_looks_for(documents: openapi.Documents) -> None:
    paths = v3(documents, "apis/apps/v1")["paths"]
    item = paths["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]
    assert item["patch"]["x-kubernetes-group-version-kind"] == {"group": "apps", "version": "v1", "kind": "Deployment"}
    assert {p["name"] for p in item["patch"]["parameters"]} == {"dryRun", "fieldManager", "fieldValidation", "force"}
    assert set(item) == {"get", "put", "patch", "delete", "parameters"}
    collection = paths["/apis/apps/v1/namespaces/{namespace}/deployments"]
    assert [collection[m]["x-kubernetes-action"] for m in ("get", "post", "delete")] == [
        "list",
        "post",
        "deletecollection",
    ]
    assert set(paths["/apis/apps/v1/deployments"]) == {"get", "parameters"}
    scale = paths["/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale"]
    assert scale["get"]["x-kubernetes-group-version-kind"] == {"group": "autoscaling", "version": "v1", "kind": "Scale"}
    ids = [op["operationId"] for i in paths.values() for m, op in i.items() if m != "parameters"]
    assert len(ids) == len(set(ids))


def fields(message: bytes) -> list[tuple[int, Any]]:
    """A protobuf message as (number, value): bytes for delimited fields, int for varints."""
    out: list[tuple[int, Any]] = []
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        key = varint()
        if key & 7 == 0:
            out.append((key >> 3, varint()))
        else:
            assert key & 7 == 2
            size = varint()
            out.append((key >> 3, message[at : at + size]))
            at += size
    return out


def one(message: bytes, number: int) -> Any:
    return next(value for n, value in fields(message) if n == number)


def test_gnostic_form(documents: openapi.Documents) -> None:
    document = documents.v2_protobuf
    assert one(document, 1) == b"2.0"
    swagger = json.loads(documents.v2)
    definitions = {one(d, 1).decode(): one(d, 2) for _, d in fields(one(document, 9))}
    assert set(definitions) == set(swagger["definitions"])
    pod = definitions["io.k8s.api.core.v1.Pod"]
    assert one(one(pod, 22), 1) == b"object"
    properties = {one(p, 1).decode(): one(p, 2) for _, p in fields(one(pod, 25))}
    assert one(properties["spec"], 1) == b"#/definitions/io.k8s.api.core.v1.PodSpec"
    extension = one(pod, 31)
    assert one(extension, 1) == b"x-kubernetes-group-version-kind"
    assert json.loads(one(one(extension, 2), 2)) == [{"group": "", "kind": "Pod", "version": "v1"}]
    paths = {one(p, 1).decode(): one(p, 2) for n, p in fields(one(document, 8)) if n == 2}
    assert set(paths) == set(swagger["paths"])
    patch = one(paths["/api/v1/namespaces/{namespace}/pods/{name}"], 8)
    assert one(patch, 5) == b"patchCoreV1NamespacedPod"


def test_gnostic_refuses_what_it_does_not_know() -> None:
    with pytest.raises(ValueError, match="Schema has no field 'oneOf'"):
        gnostic.message("Schema", {"oneOf": []})


@hypothesis.given(
    st.integers(min_value=0, max_value=2**63), st.integers(min_value=1, max_value=1000), st.binary(max_size=300)
)
def test_wire_form(number: int, field: int, payload: bytes) -> None:
    assert fields(gnostic.varint(field << 3) + gnostic.varint(number)) == [(field, number)]
    assert fields(gnostic.delimited(field, payload)) == [(field, payload)]
