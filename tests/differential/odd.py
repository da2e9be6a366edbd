"""Objects that are allowed and most likely not meant: a server takes them and warns. The table of `cases` goes on here."""

# ruff: noqa: E501 (a table: one case a line)

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

Object = dict[str, Any]
Change = Callable[..., Object]

IN = {"operator": "In", "values": ["x"]}
REQUIRED, PREFERRED = (
    "requiredDuringSchedulingIgnoredDuringExecution",
    "preferredDuringSchedulingIgnoredDuringExecution",
)
ITEMS = [{"key": "a", "path": "d"}, {"key": "b", "path": "d/e/"}, {"key": "c", "path": "f"}, {"key": "d", "path": "f"}]
PORTS = [
    {"containerPort": 80, "name": "a"},
    {"containerPort": 80},
    {"containerPort": 80, "hostPort": 8080},
    {"containerPort": 80, "hostPort": 8080, "hostIP": "10.1.1.1"},
    {"containerPort": 81, "hostIP": "10.1.1.1", "name": "b", "protocol": "UDP"},
]
ENV = [
    {"name": "A", "value": "1"},
    {"name": "A", "value": "2"},
    {"name": "B", "value": "1"},
    {"name": "B", "value": "$(B)2"},
    {"name": "C", "value": "1"},
    {"name": "C", "value": "$(C)"},
    {"name": "C", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
]


def pods(change: Change, pod: Object) -> Iterator[tuple[str, Object]]:
    """pod: a good one; its template's parts are changed the same way for other kinds."""
    term = {"matchExpressions": [{"key": "beta.kubernetes.io/arch", **IN}]}
    yield "name", change(pod, metadata__name="my.pod")
    yield "long name", change(pod, metadata__name="n" * 64)
    yield (
        "node selector",
        change(pod, spec__nodeSelector={"beta.kubernetes.io/os": "linux", "node-role.kubernetes.io/master": ""}),
    )
    yield "node affinity", change(pod, spec__affinity={"nodeAffinity": {
        REQUIRED: {"nodeSelectorTerms": [term]},
        PREFERRED: [{"weight": 1, "preference": {"matchExpressions": [{"key": "k", "operator": "In", "values": ["ok", "no/t"]}]}}],
    }})  # fmt: skip
    spread = {"maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway"}
    yield (
        "spread",
        change(
            pod, spec__topologySpreadConstraints=[{**spread, "topologyKey": "failure-domain.beta.kubernetes.io/zone"}]
        ),
    )
    yield "annotations", change(pod, metadata__annotations={
        "scheduler.alpha.kubernetes.io/critical-pod": "", "security.alpha.kubernetes.io/sysctls": "",
        "seccomp.security.alpha.kubernetes.io/pod": "runtime/default",
        "container.seccomp.security.alpha.kubernetes.io/c": "runtime/default",
    })  # fmt: skip
    yield (
        "profile beside its annotation",
        change(
            pod,
            metadata__annotations={"seccomp.security.alpha.kubernetes.io/pod": "runtime/default"},
            spec__securityContext={"seccompProfile": {"type": "RuntimeDefault"}},
        ),
    )
    yield "removed volumes", change(pod, spec__volumes=[
        {"name": "a", "gitRepo": {"repository": "r"}}, {"name": "b", "glusterfs": {"endpoints": "e", "path": "p"}},
        {"name": "c", "cephfs": {"monitors": ["m"]}}, {"name": "d", "rbd": {"monitors": ["m"], "image": "i"}},
        {"name": "e", "storageos": {"volumeName": "v"}}, {"name": "f", "photonPersistentDisk": {"pdID": "p"}},
    ])  # fmt: skip
    yield "filled volumes", change(pod, spec__volumes=[
        {"name": "a", "iscsi": {"targetPortal": "10.1.1.1:1", "iqn": "iqn.2026-01.example:s", "lun": 0}},
        {"name": "b", "azureDisk": {"diskName": "d", "diskURI": "https://a.example/d"}},
        {"name": "c", "scaleIO": {"gateway": "g", "system": "s", "volumeName": "v", "secretRef": {"name": "s"}}},
    ])  # fmt: skip
    yield "overlaps", change(pod, spec__volumes=[
        {"name": "a", "configMap": {"name": "m", "items": ITEMS}}, {"name": "b", "secret": {"secretName": "s", "items": ITEMS[:2]}},
        {"name": "c", "downwardAPI": {"items": [{"path": p, "fieldRef": {"fieldPath": "metadata.name"}} for p in ("x", "x/y")]}},
        {"name": "d", "projected": {"sources": [
            {"configMap": {"name": "m", "items": ITEMS[:1]}}, {"secret": {"name": "s", "items": ITEMS[1:2]}}, {},
            {"serviceAccountToken": {"path": "d/e/f"}}, {"downwardAPI": {"items": [{"path": "de", "fieldRef": {"fieldPath": "metadata.name"}}]}},
        ]}},
    ])  # fmt: skip
    yield (
        "repeated",
        change(
            pod,
            spec__hostAliases=[{"ip": "10.1.1.1", "hostnames": ["a"]}, {"ip": "10.1.1.1", "hostnames": ["b"]}],
            spec__imagePullSecrets=[{"name": "a"}, {"name": "a"}, {}],
        ),
    )
    amounts = {"memory": "1500m", "ephemeral-storage": "0.5"}
    yield (
        "fractions",
        change(pod, spec__containers__0__resources={"requests": amounts, "limits": {**amounts, "memory": "2"}}),
    )
    yield "hidden variables", change(pod, spec__containers__0__env=ENV)
    yield (
        "ports",
        change(
            pod,
            spec__containers__0__ports=PORTS,
            spec__containers__1={"name": "d", "image": "i", "ports": [{"containerPort": 90, "name": "a"}]},
        ),
    )
    yield "negative period", change(pod, spec__terminationGracePeriodSeconds=-1)
    no_selector = {"topologyKey": "kubernetes.io/hostname"}
    yield "no selector", change(pod, spec__affinity={
        "podAffinity": {REQUIRED: [no_selector]}, "podAntiAffinity": {PREFERRED: [{"weight": 1, "podAffinityTerm": no_selector}]},
    })  # fmt: skip


def odd(change: Change, pod: Object, deployment: Object, service: Object) -> Iterator[tuple[str, Object]]:
    """The objects given are good."""
    for name, obj in pods(change, pod):
        yield f"odd pod: {name}", obj
        template = {"metadata": {**deployment["spec"]["template"]["metadata"]}, "spec": obj["spec"]}
        if "annotations" in obj["metadata"]:
            template["metadata"]["annotations"] = obj["metadata"]["annotations"]
        made = change(deployment, spec__template=template)
        yield (
            f"odd deployment: {name}",
            change(made, metadata__name=obj["metadata"]["name"]) if "name" in name else made,
        )
    yield (
        "odd service: headless",
        change(service, spec__clusterIP="None", spec__sessionAffinity="ClientIP", spec__externalIPs=["192.0.2.1"]),
    )
    yield "odd service: name", change(service, spec__externalName="a.example")
    yield (
        "odd service: external",
        change(service, spec__type="ExternalName", spec__externalName="a.example", spec__externalIPs=["192.0.2.1"]),
    )
    yield (
        "odd service: hints",
        change(service, metadata__annotations={"service.kubernetes.io/topology-aware-hints": "auto"}),
    )


def odd_updates(
    change: Change, pod: Object, deployment: Object, service: Object
) -> Iterator[tuple[str, Object, Object]]:
    """What is said again of an object that was odd before; the table of `updates` goes on here."""
    label = {"metadata__labels": {"a": "b"}}
    hiding = change(deployment, spec__template__spec__containers__0__env=ENV[:2])
    yield "odd deployment, other label", hiding, label
    yield "odd deployment, other scale", hiding, {"spec__replicas": 3}
    yield "odd service, other label", change(service, spec__externalName="a.example"), label
    yield "odd pod, other label", change(pod, metadata__name="my.pod"), label
