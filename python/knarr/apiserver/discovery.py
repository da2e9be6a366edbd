"""Discovery: what a client learns of groups, versions and resources, as pure functions of the declared kinds.

Two forms, both as kube-apiserver 1.34 answers them: the legacy documents (APIVersions, APIGroupList, APIGroup,
APIResourceList) and aggregated discovery (apidiscovery.k8s.io v2 and v2beta1), which the same paths `/api` and
`/apis` give to who accepts it. A kind is its declaration's document (docs/kinds.md): group, version, kind, plural,
singular, short, categories, namespaced, verbs, subresources.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Json = dict[str, Any]
Kind = Mapping[str, Any]

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"

# The order in which kube-apiserver lists groups, by their priority; others follow by name.
GROUP_ORDER = (
    "apiregistration.k8s.io",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
    "resource.k8s.io",
    "flowcontrol.apiserver.k8s.io",
)

# What is there whatever the kinds are.
FIXED_PATHS = (
    "/.well-known/openid-configuration",
    "/api",
    "/api/v1",
    "/apis",
    "/ca.crt",
    "/healthz",
    "/livez",
    "/metrics",
    "/openapi/v2",
    "/openapi/v3",
    "/openid/v1/jwks",
    "/readyz",
    "/version",
)


def group_version(group: str, version: str) -> str:
    return f"{group}/{version}" if group else version


def groups(kinds: Iterable[Kind]) -> dict[str, list[str]]:
    """Named groups in kube-apiserver's order, each with its versions, the preferred first. The core group is not
    among them.
    """
    found: dict[str, set[str]] = {}
    for kind in kinds:
        if kind["group"]:
            found.setdefault(kind["group"], set()).add(kind["version"])
    rank = {group: i for i, group in enumerate(GROUP_ORDER)}
    ordered = sorted(found, key=lambda group: (rank.get(group, len(rank)), group))
    return {group: sorted(found[group], key=version_rank) for group in ordered}


def version_rank(version: str) -> tuple[int, int, int, str]:
    """Kubernetes' order of versions: v2, v1, v1beta2, v1beta1, v1alpha1, then anything else by name."""
    digits = version.removeprefix("v")
    major = digits[: len(digits) - len(digits.lstrip("0123456789"))]
    rest = digits[len(major) :]
    if not version.startswith("v") or not major:
        return (3, 0, 0, version)
    if not rest:
        return (0, -int(major), 0, version)
    for stage, word in ((1, "beta"), (2, "alpha")):
        number = rest.removeprefix(word)
        if rest.startswith(word) and number.isdigit():
            return (stage, -int(major), -int(number), version)
    return (3, 0, 0, version)


def storage_version_hash(group: str, version: str, kind: str) -> str:
    """What tells a client that the stored form changed: the first 8 bytes of the kind's name, hashed."""
    return base64.b64encode(hashlib.sha256(f"{group}/{version}/{kind}".encode()).digest()[:8]).decode()


def etag(document: bytes) -> str:
    return f'"{hashlib.sha512(document).hexdigest().upper()}"'


def api_versions(server_address: str) -> Json:
    """`/api`."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}],
    }


def _group(group: str, versions: Sequence[str]) -> Json:
    listed = [{"groupVersion": group_version(group, v), "version": v} for v in versions]
    return {"name": group, "versions": listed, "preferredVersion": listed[0]}


def paths(kinds: Iterable[Kind]) -> Json:
    """`/`: where one can look on."""
    versions = [f"/apis/{'/'.join(p for p in (g, v) if p)}" for g, vs in groups(kinds).items() for v in ("", *vs)]
    return {"paths": sorted([*FIXED_PATHS, *versions])}


def api_group_list(kinds: Iterable[Kind]) -> Json:
    """`/apis`."""
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(g, v) for g, v in groups(kinds).items()]}


def api_group(kinds: Iterable[Kind], group: str) -> Json | None:
    """`/apis/GROUP`; None for a group that has no kinds."""
    versions = groups(kinds).get(group)
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(group, versions)} if versions else None


def _of(kinds: Iterable[Kind], group: str, version: str) -> list[Kind]:
    return sorted((k for k in kinds if (k["group"], k["version"]) == (group, version)), key=lambda k: str(k["plural"]))


def _subresources(kind: Kind) -> list[Json]:
    return sorted(kind.get("subresources") or (), key=lambda s: str(s["name"]))


def _body_of(kind: Kind, sub: Json) -> tuple[str, str, str]:
    """Group and version (empty where they are the parent's) and kind of a subresource's body."""
    group, version = sub.get("group"), sub.get("version")
    if group is None or version is None or (group, version) == (kind["group"], kind["version"]):
        group = version = ""
    return group, version, sub.get("kind") or kind["kind"]


def api_resource_list(kinds: Iterable[Kind], group: str, version: str) -> Json | None:
    """`/api/v1` and `/apis/GROUP/VERSION`; None where there are no kinds."""
    resources: list[Json] = []
    for kind in _of(kinds, group, version):
        out: Json = {
            "name": kind["plural"],
            "singularName": kind["singular"],
            "namespaced": kind["namespaced"],
            "kind": kind["kind"],
            "verbs": sorted(kind["verbs"]),
        }
        if kind.get("short"):
            out["shortNames"] = list(kind["short"])
        if kind.get("categories"):
            out["categories"] = list(kind["categories"])
        if "list" in kind["verbs"]:
            stored = kind.get("storage") or kind
            out["storageVersionHash"] = storage_version_hash(stored["group"], stored["version"], stored["kind"])
        resources.append(out)
        for sub in _subresources(kind):
            of_group, of_version, name = _body_of(kind, sub)
            entry: Json = {
                "name": f"{kind['plural']}/{sub['name']}",
                "singularName": "",
                "namespaced": kind["namespaced"],
            }
            if of_version:
                entry |= {"group": of_group, "version": of_version}
            resources.append(entry | {"kind": name, "verbs": sorted(sub["verbs"])})
    if not resources:
        return None
    head: Json = {"kind": "APIResourceList"}
    if group:
        head["apiVersion"] = "v1"
    return head | {"groupVersion": group_version(group, version), "resources": resources}


def _response_kind(group: str, version: str, kind: str) -> Json:
    return {"group": group, "version": version, "kind": kind}


def _discovered(kind: Kind) -> Json:
    out: Json = {
        "resource": kind["plural"],
        "responseKind": _response_kind("", "", kind["kind"]),
        "scope": "Namespaced" if kind["namespaced"] else "Cluster",
        "singularResource": kind["singular"],
        "verbs": sorted(kind["verbs"]),
    }
    if kind.get("short"):
        out["shortNames"] = list(kind["short"])
    if kind.get("categories"):
        out["categories"] = list(kind["categories"])
    subs = [
        {
            "subresource": sub["name"],
            "responseKind": _response_kind(*_body_of(kind, sub)),
            "verbs": sorted(sub["verbs"]),
        }
        for sub in _subresources(kind)
    ]
    return out | ({"subresources": subs} if subs else {})


def aggregated(kinds: Sequence[Kind], core: bool, version: str = "v2") -> Json:
    """An APIGroupDiscoveryList: of the core group (`/api`) or of all others (`/apis`). version: v2 or v2beta1."""
    listed = {"": ["v1"]} if core else groups(kinds)
    items: list[Json] = []
    for group, versions in listed.items():
        found = [(v, _of(kinds, group, v)) for v in versions]
        items.append(
            {
                "metadata": {"name": group} if group else {},
                "versions": [
                    {"version": v, "resources": [_discovered(k) for k in of], "freshness": "Current"} for v, of in found
                ],
            }
        )
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{version}",
        "metadata": {},
        "items": items,
    }


def accepted_form(accept: str) -> str:
    """Which form `/api` and `/apis` answer: `v2`, `v2beta1`, or `` for the legacy documents. The client's order
    decides.
    """
    for media in accept.split(","):
        name, *parameters = (part.strip() for part in media.split(";"))
        given = dict(p.split("=", 1) for p in parameters if "=" in p)
        if name not in (
            "application/json",
            "*/*",
            "application/*",
            "application/yaml",
            "application/vnd.kubernetes.protobuf",
        ):
            continue
        if given.get("as") == "APIGroupDiscoveryList" and given.get("g") == "apidiscovery.k8s.io":
            if name == "application/json" and given.get("v") in ("v2", "v2beta1"):
                return given["v"]
            continue
        return ""
    return ""


def encode(document: Json) -> bytes:
    """JSON as the server writes it, with a newline at its end."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
