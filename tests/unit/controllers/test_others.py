"""The smaller controllers: a given view, the expected plan; and that the plan's own result plans nothing more."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from knarr._core import View
from knarr.client.protocol import Resource
from knarr.controllers import (
    clusterrole_aggregation,
    endpoints,
    endpointslice,
    endpointslice_mirroring,
    garbage_collector,
    namespace,
    node_lifecycle,
    pod_garbage_collector,
    root_ca,
    serviceaccount,
)
from knarr.controllers.runtime.declare import META_PATHS, Catalog, Meta, Views
from knarr.controllers.runtime.objects import (
    CLUSTER_ROLES,
    CONFIG_MAPS,
    ENDPOINT_SLICES,
    ENDPOINTS,
    NAMESPACES,
    NODES,
    PODS,
    REPLICA_SETS,
    SERVICE_ACCOUNTS,
    SERVICES,
)
from knarr.controllers.runtime.plan import Plan
from support import World


def meta(name: str, space: str = "n", **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": space, **more}}


def test_each_namespace_gets_its_account_and_root_ca_again_and_again() -> None:
    w = World(serviceaccount.CONTROLLER, root_ca.CONTROLLER, settings={"root_ca": "PEM"})
    w.put(NAMESPACES, {"metadata": {"name": "n"}, "status": {"phase": "Active"}})
    w.put(NAMESPACES, {"metadata": {"name": "ending"}, "status": {"phase": "Terminating"}})
    assert w.settle() == 2
    assert [sa["metadata"]["namespace"] for sa in w.of(SERVICE_ACCOUNTS)] == ["n"]
    assert w.of(CONFIG_MAPS)[0]["data"] == {"ca.crt": "PEM"}
    w.remove(SERVICE_ACCOUNTS, "n", "default")
    w.put(CONFIG_MAPS, w.of(CONFIG_MAPS)[0] | {"data": {"ca.crt": "forged"}})
    assert w.settle() == 2
    assert w.of(SERVICE_ACCOUNTS) and w.of(CONFIG_MAPS)[0]["data"] == {"ca.crt": "PEM"}


def test_an_aggregated_role_follows_those_it_selects() -> None:
    w = World(clusterrole_aggregation.CONTROLLER)
    rule = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
    selectors = [{"matchLabels": {"to": "view"}}]
    w.put(CLUSTER_ROLES, {"metadata": {"name": "view"}, "aggregationRule": {"clusterRoleSelectors": selectors}})
    w.settle()
    w.put(CLUSTER_ROLES, {"metadata": {"name": "part", "labels": {"to": "view"}}, "rules": [rule]})
    assert w.settle() == 1
    assert w.of(CLUSTER_ROLES)[0]["rules"] == [rule]


def service(**spec: Any) -> dict[str, Any]:
    ports = [{"name": "web", "port": 80, "targetPort": "http"}]
    given = {"selector": {"app": "x"}, "ports": ports, "ipFamilies": ["IPv4"], "clusterIP": "10.96.0.5"}
    return meta("s", labels={"l": "1"}) | {"spec": given | spec}


def pod(name: str, ip: str, ready: str = "True", spec: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    container = {"name": "c", "ports": [{"name": "http", "containerPort": 8080}]}
    status = {
        "phase": "Running",
        "podIPs": [{"ip": i} for i in ip.split()],
        "conditions": [{"type": "Ready", "status": ready}],
    }
    return meta(name, labels={"app": "x"}, **more) | {
        "spec": {"nodeName": "n1", "containers": [container]} | (spec or {}),
        "status": status,
    }


def endpoints_world() -> World:
    w = World(endpoints.CONTROLLER, endpointslice.CONTROLLER)
    w.put(NODES, {"metadata": {"name": "n1", "labels": {"topology.kubernetes.io/zone": "z"}}})
    return w


def test_endpoints_say_who_is_ready_serving_and_terminating() -> None:
    w = endpoints_world()
    w.put(SERVICES, service())
    w.put(PODS, pod("a", "10.0.0.1"))
    w.put(PODS, pod("b", "10.0.0.2", "False"))
    w.put(PODS, pod("c", "10.0.0.3", deletionTimestamp="2026-01-01T00:00:00Z"))
    w.settle()
    (made,) = w.of(ENDPOINT_SLICES)
    assert made["addressType"] == "IPv4"
    assert made["ports"] == [{"name": "web", "protocol": "TCP", "port": 8080}]
    assert made["metadata"]["labels"] == {
        "l": "1",
        "kubernetes.io/service-name": "s",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }
    told = {e["targetRef"]["name"]: tuple(e["conditions"].values()) for e in made["endpoints"]}
    assert told == {"a": (True, True, False), "b": (False, False, False), "c": (False, True, True)}
    assert {e["zone"] for e in made["endpoints"]} == {"z"}
    (old,) = w.of(ENDPOINTS)
    (subset,) = old["subsets"]
    assert [a["ip"] for a in subset["addresses"]] == ["10.0.0.1"]
    assert [a["ip"] for a in subset["notReadyAddresses"]] == ["10.0.0.2"]
    for controller in ("endpoint", "endpointslice"):
        assert w.plan(controller, "n/s").writes == []


def test_endpoints_that_somebody_keeps_are_mirrored_for_a_service_without_selector() -> None:
    """Slices follow them in place; they go with the Endpoints, and when the Service selects pods itself."""
    w = World(endpointslice_mirroring.CONTROLLER)
    ports = [{"name": "web", "port": 80, "protocol": "TCP"}]
    by_hand = meta("s", labels={"l": "1"}, annotations={"kubectl.kubernetes.io/last-applied-configuration": "{}"})
    subset = {"addresses": [{"ip": "192.0.2.1", "hostname": "h"}], "notReadyAddresses": [{"ip": "2001:db8::1"}]}
    w.put(ENDPOINTS, by_hand | {"subsets": [subset | {"ports": ports}]})
    assert w.settle() == 0, "nobody may use them yet"
    w.put(SERVICES, service(selector=None))
    assert w.settle() == 2
    v4, v6 = sorted(w.of(ENDPOINT_SLICES), key=lambda made: str(made["addressType"]))
    assert v4["endpoints"] == [{"addresses": ["192.0.2.1"], "conditions": {"ready": True}, "hostname": "h"}]
    assert v6["endpoints"] == [{"addresses": ["2001:db8::1"], "conditions": {"ready": False}}]
    assert v4["ports"] == ports and "annotations" not in v4["metadata"]
    assert v4["metadata"]["labels"] == {
        "l": "1",
        "kubernetes.io/service-name": "s",
        "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io",
    }
    changed = [{"name": "web", "port": 81, "protocol": "TCP"}]
    w.put(ENDPOINTS, by_hand | {"subsets": [{"addresses": [{"ip": "192.0.2.2"}], "ports": changed}]})
    assert w.settle() == 2, "one follows, the other goes"
    (only,) = w.of(ENDPOINT_SLICES)
    assert (only["metadata"]["name"], only["ports"]) == (v4["metadata"]["name"], changed)
    assert only["endpoints"][0]["addresses"] == ["192.0.2.2"]
    w.put(SERVICES, service())
    w.settle()
    assert w.of(ENDPOINT_SLICES) == []
    w.put(SERVICES, service(selector=None))
    w.settle()
    w.remove(ENDPOINTS, "n", "s")
    w.settle()
    assert w.of(ENDPOINT_SLICES) == []


def test_what_has_slices_already_or_is_no_endpoints_at_heart_is_not_mirrored() -> None:
    w = World(endpointslice_mirroring.CONTROLLER)
    w.put(SERVICES, service(selector=None))
    subsets = {"subsets": [{"addresses": [{"ip": "192.0.2.1"}]}]}
    w.put(ENDPOINTS, meta("s", labels={"endpointslice.kubernetes.io/skip-mirror": "true"}) | subsets)
    w.put(ENDPOINTS, meta("e", annotations={"control-plane.alpha.kubernetes.io/leader": "{}"}) | subsets)
    assert w.settle() == 0
    many = [{"ip": f"192.0.{n // 250}.{n % 250}"} for n in range(1001)]
    w.put(ENDPOINTS, meta("s") | {"subsets": [{"addresses": many}]})
    w.settle()
    assert len(w.of(ENDPOINT_SLICES)[0]["endpoints"]) == 1000
    assert [reason for reason, _ in w.events] == ["TooManyAddressesToMirror"]


def test_headless_services_have_host_names_and_unready_ones_if_asked() -> None:
    w = endpoints_world()
    w.put(SERVICES, service(clusterIP="None", publishNotReadyAddresses=True))
    w.put(PODS, pod("a", "10.0.0.1", "False", {"hostname": "a-0", "subdomain": "s"}))
    w.settle()
    (made,) = w.of(ENDPOINT_SLICES)
    assert made["endpoints"][0]["hostname"] == "a-0" and made["endpoints"][0]["conditions"]["ready"] is True
    assert made["metadata"]["labels"]["service.kubernetes.io/headless"] == ""
    assert w.of(ENDPOINTS)[0]["subsets"][0]["addresses"][0]["hostname"] == "a-0"


def test_families_and_hundreds_get_slices_of_their_own() -> None:
    w = endpoints_world()
    w.put(SERVICES, service(ipFamilies=["IPv4", "IPv6"]))
    for n in range(150):
        w.put(PODS, pod(f"p{n}", f"10.0.1.{n} fd00::{n + 1}"))
    w.settle()
    sizes = sorted((s["addressType"], len(s["endpoints"])) for s in w.of(ENDPOINT_SLICES))
    assert sizes == [("IPv4", 50), ("IPv4", 100), ("IPv6", 50), ("IPv6", 100)]
    before = {s["metadata"]["name"]: s["metadata"]["resourceVersion"] for s in w.of(ENDPOINT_SLICES)}
    w.remove(PODS, "n", "p0")
    assert w.settle() == 3, "one slice of each family, and the Endpoints"
    after = {s["metadata"]["name"]: s["metadata"]["resourceVersion"] for s in w.of(ENDPOINT_SLICES)}
    assert sum(before[name] != after[name] for name in before) == 2


def test_a_service_without_a_selector_is_left_alone() -> None:
    w = endpoints_world()
    w.put(SERVICES, service(selector=None))
    w.put(ENDPOINTS, meta("s") | {"subsets": [{"addresses": [{"ip": "1.2.3.4"}]}]})
    assert w.settle() == 0
    w.remove(SERVICES, "n", "s")
    assert w.settle() == 0, "and what others made for it too"


def test_a_node_that_falls_silent_and_comes_back() -> None:
    w = World(node_lifecycle.CONTROLLER)
    ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": "t0"}
    w.put(NODES, {"metadata": {"name": "n1"}, "spec": {}, "status": {"conditions": [ready]}})
    tolerations = [
        {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
    ]
    w.put(PODS, pod("a", "10.0.0.1", spec={"tolerations": tolerations}))
    w.put(PODS, pod("daemon", "10.0.0.2", spec={"tolerations": [{"operator": "Exists"}]}))
    assert w.step("node-lifecycle", "/n1").writes == []
    w.now += timedelta(seconds=41)
    w.step("node-lifecycle", "/n1")
    (node,) = w.of(NODES)
    assert {c["type"]: c["status"] for c in node["status"]["conditions"]} == dict.fromkeys(
        ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure"), "Unknown"
    )
    taints = [(t["key"], t["effect"]) for t in node["spec"]["taints"]]
    assert taints == [("node.kubernetes.io/unreachable", "NoSchedule"), ("node.kubernetes.io/unreachable", "NoExecute")]
    w.now += timedelta(seconds=290)
    assert not any(write.verb == "delete" for write in w.step("node-lifecycle", "/n1").writes)
    w.now += timedelta(seconds=20)
    deleted = [write.name for write in w.step("node-lifecycle", "/n1").writes if write.verb == "delete"]
    assert deleted == ["a"]
    w.put(NODES, w.of(NODES)[0] | {"status": {"conditions": [ready | {"lastHeartbeatTime": "t1"}]}})
    w.step("node-lifecycle", "/n1")
    assert w.of(NODES)[0]["spec"]["taints"] == []
    assert w.step("node-lifecycle", "/n1").writes == []


@pytest.mark.parametrize(
    ("toleration", "seconds"),
    [
        ({"operator": "Exists"}, None),
        ({"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30}, 20.0),
        ({"key": "k", "value": "v"}, None),
        ({"key": "k", "value": "w"}, 0.0),
        ({"key": "other", "operator": "Exists"}, 0.0),
        ({"key": "k", "operator": "Exists", "effect": "NoSchedule"}, 0.0),
    ],
)
def test_tolerations(toleration: dict[str, Any], seconds: float | None) -> None:
    from support import START

    taint = {"key": "k", "value": "v", "effect": "NoExecute", "timeAdded": "2026-01-01T00:00:00Z"}
    now = START + timedelta(seconds=10)
    assert node_lifecycle.seconds_tolerated([toleration], [taint], now) == seconds


def test_pods_that_nobody_will_end_are_ended() -> None:
    w = World(pod_garbage_collector.CONTROLLER, settings={"terminated_pod_gc_threshold": 1})
    w.put(NODES, {"metadata": {"name": "n1"}})
    w.put(PODS, pod("lost", "10.0.0.1", spec={"nodeName": "gone"}))
    w.put(PODS, pod("unbound", "", spec={"nodeName": None}, deletionTimestamp="t"))
    for n in range(3):
        done = pod(f"done{n}", "")
        w.put(PODS, done | {"status": {"phase": "Succeeded"}})
    w.step("pod-garbage-collector", "/all")
    assert sorted(p["metadata"]["name"] for p in w.of(PODS)) == ["done2", "lost"]
    w.now += timedelta(seconds=41)
    plan = w.step("pod-garbage-collector", "/all")
    assert [p["metadata"]["name"] for p in w.of(PODS)] == ["done2"] and plan.requeue_after == 20.0


def catalog(**kinds: list[dict[str, Any]]) -> Views:
    """Views whose catalog holds these objects, by plural."""
    known = {r.plural: r for r in (PODS, REPLICA_SETS, CONFIG_MAPS, NODES)}
    views = Views({})
    for plural, resource in known.items():
        view = View(list(META_PATHS))
        items = [
            {"metadata": {"resourceVersion": "1", "uid": i["metadata"]["name"], **i["metadata"]}}
            for i in kinds.get(plural, [])
        ]
        view.page(json.dumps({"metadata": {"resourceVersion": "1"}, "items": items}).encode())
        views.catalog.entries[resource] = view.lens(Meta, META_PATHS)
    views.catalog.complete = True
    return views


def owner(name: str, kind: str = "ReplicaSet", api: str = "apps/v1", **more: Any) -> dict[str, Any]:
    return {"apiVersion": api, "kind": kind, "name": name, "uid": name, **more}


def collected(views: Views, key: str) -> list[tuple[str, str, str]]:
    plan: Plan = garbage_collector.reconcile(views, key, None)  # type: ignore[arg-type]
    return [(write.verb, write.name, write.propagation or json.dumps(write.body)) for write in plan.writes]


def test_the_garbage_collector_table() -> None:
    """Each row: what is there, which key, what is written."""
    absent = ("absent", "r", "null")
    block = owner("r", blockOwnerDeletion=True)
    p = lambda *owners, **more: meta("p", ownerReferences=list(owners), **more)  # noqa: E731
    ending = {"deletionTimestamp": "t", "finalizers": ["foregroundDeletion"]}
    orphaning = {"deletionTimestamp": "t", "finalizers": ["orphan", "mine"]}
    kept = json.dumps({"metadata": {"ownerReferences": [owner("q")]}})
    none = json.dumps({"metadata": {"ownerReferences": None}})
    rows: list[tuple[dict[str, Any], str, list[tuple[str, str, str]]]] = [
        ({"pods": [p(owner("r"))], "replicasets": [meta("r")]}, "pods|n/p/p", []),
        ({"pods": [p(owner("r"))]}, "pods|n/p/p", [absent, ("delete", "p", "Background")]),
        ({"pods": [p(owner("r"))]}, "replicasets.apps|n/r/r", [("delete", "p", "Background")]),
        ({"pods": [p(owner("r"), owner("q"))], "replicasets": [meta("q")]}, "replicasets.apps|n/r/r", [("patch", "p", kept)]),  # noqa: E501
        ({"pods": [p(owner("r"))], "replicasets": [meta("r", "other")]}, "pods|n/p/p", [absent, ("delete", "p", "Background")]),  # noqa: E501
        ({"pods": [p(owner("x", "Thing", "a/v1"))]}, "pods|n/p/p", []),
        ({"replicasets": [meta("r", **ending)], "pods": [p(block)]}, "replicasets.apps|n/r/r", [("delete", "p", "Background")]),  # noqa: E501
        (
            {"replicasets": [meta("r", **ending)]},
            "owner|apps/v1|ReplicaSet|n/r/r",
            [("patch", "r", json.dumps({"metadata": {"finalizers": []}}))],
        ),
        (
            {"replicasets": [meta("r", **orphaning)], "pods": [p(owner("r"))]},
            "replicasets.apps|n/r/r",
            [("patch", "p", none), ("patch", "r", json.dumps({"metadata": {"finalizers": ["mine"]}}))],
        ),
    ]  # fmt: skip
    for there, key, expected in rows:
        assert collected(catalog(**there), key) == expected, (there, key)


def test_owners_in_a_circle_do_not_wait_for_each_other() -> None:
    """a is deleted in the foreground; it is owned by c, c by b, b by a. Every order of looking ends with none left."""
    ending = {"deletionTimestamp": "t", "finalizers": ["foregroundDeletion"]}

    def circle(*ended: str) -> dict[str, Any]:
        by = {"a": "c", "b": "a", "c": "b"}
        refs = {name: [owner(on, "Pod", "v1", blockOwnerDeletion=True)] for name, on in by.items()}
        return {"pods": [meta(n, ownerReferences=refs[n], **(ending if n in ended else {})) for n in by]}

    assert collected(catalog(**circle("a")), "pods|n/a/a") == [("delete", "b", "Foreground")]
    assert collected(catalog(**circle("a", "b")), "pods|n/b/b") == [("delete", "c", "Foreground")]
    free = json.dumps({"metadata": {"ownerReferences": [owner("b", "Pod", "v1", blockOwnerDeletion=False)]}})
    assert collected(catalog(**circle("a", "b", "c")), "pods|n/c/c") == [("patch", "c", free)]
    line = {
        "pods": [
            meta("a", **ending),
            meta("b", ownerReferences=[owner("a", "Pod", "v1", blockOwnerDeletion=True)], **ending),
        ]
    }
    assert collected(catalog(**line), "pods|n/a/a") == [], "a line is no circle"


def test_a_namespace_ends_when_all_in_it_has_ended() -> None:
    w = World(namespace.CONTROLLER)
    events = Resource("", "v1", "events", "Event")
    w.put(
        NAMESPACES,
        {
            "metadata": {"name": "n", "deletionTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"finalizers": ["kubernetes"]},
        },
    )
    views = w.views["namespace"]
    views.catalog = catalog(pods=[meta("p", finalizers=["f"])]).catalog
    plan = w.step("namespace", "/n")
    assert [(x.verb, x.resource.plural) for x in plan.writes] == [("patch", "namespaces"), ("deletecollection", "pods")]
    told = {c["type"]: (c["status"], c["message"]) for c in plan.writes[0].body["status"]["conditions"]}
    both = {"pods": [meta("p", deletionTimestamp="t")], "configmaps": [meta("c")]}
    for there, deleted in ((both, []), ({"configmaps": both["configmaps"]}, ["configmaps"])):
        views.catalog = catalog(**there).catalog
        writes = w.plan("namespace", "/n").writes
        assert [x.resource.plural for x in writes if x.verb == "deletecollection"] == deleted, "pods end first"
    assert told["NamespaceContentRemaining"] == ("True", "Some resources are remaining: pods has 1 resource instances")
    assert told["NamespaceFinalizersRemaining"][1].endswith("finalizers remaining: f in 1 resource instances")
    views.catalog = Catalog(catalog().catalog.entries, [events], complete=False, failures=["a/v1: stale"])
    assert not any(x.subresource == "finalize" for x in w.plan("namespace", "/n").writes), "not known to be empty"
    views.catalog = Catalog(catalog().catalog.entries, [events], complete=True)
    last = [(x.verb, x.resource.plural, x.subresource) for x in w.plan("namespace", "/n").writes]
    assert last[1:] == [("deletecollection", "events", ""), ("update", "namespaces", "finalize")]
