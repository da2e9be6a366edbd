"""Record how a real kube-apiserver prints objects: Table answers with the whole objects in them.

    python rust/knarr-schema/testdata/record_tables.py https://127.0.0.1:6443 admin.crt admin.key

Makes objects in namespace `tables` (and some of cluster scope), writes tables.json beside this file and removes them
again. `now` is the time of the answer, from which ages are computed.
"""

import json
import pathlib
import sys
import time
from typing import Any

from record import TYPES, Json, Server

NS = "tables"
LONG_AGO = "2024-01-01T00:00:00Z"


def obj(version: str, kind: str, name: str, **parts: Any) -> Json:
    metadata = {"name": name, **parts.pop("metadata", {})}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **parts}


def state(name: str, ready: bool = False, restarts: int = 0, last: Json | None = None, **states: Any) -> Json:
    out: Json = {"name": name, "ready": ready, "restartCount": restarts, "image": "i", "imageID": "", "state": states}
    if last:
        out["lastState"] = {"terminated": last}
    if "started" in states:
        out["started"] = states.pop("started")
    return out


RUN = {"startedAt": LONG_AGO}
ENDED = {"exitCode": 0, "reason": "Completed", "finishedAt": LONG_AGO, "startedAt": LONG_AGO}
CRASHED = {"exitCode": 1, "reason": "Error", "finishedAt": LONG_AGO, "startedAt": LONG_AGO}
ONE = [{"name": "a", "image": "i"}]
INIT = {"initContainers": [{"name": "i0", "image": "i"}, {"name": "i1", "image": "i"}]}
SIDE = {"initContainers": [{"name": "s", "image": "i", "restartPolicy": "Always"}]}
READY = [{"type": "Ready", "status": "True"}, {"type": "Initialized", "status": "True"}]

PODS: dict[str, tuple[Json, Json]] = {
    "pending": ({}, {"phase": "Pending"}),
    "running": (
        {"nodeName": "n1"},
        {
            "phase": "Running",
            "conditions": READY,
            "podIPs": [{"ip": "10.0.0.1"}],
            "podIP": "10.0.0.1",
            "containerStatuses": [state("a", True, 3, CRASHED, running=RUN)],
        },
    ),
    "crashing": (
        {},
        {
            "phase": "Running",
            "containerStatuses": [state("a", False, 7, CRASHED, waiting={"reason": "CrashLoopBackOff"})],
        },
    ),
    "done": ({}, {"phase": "Succeeded", "containerStatuses": [state("a", terminated=ENDED)]}),
    "killed": ({}, {"phase": "Failed", "containerStatuses": [state("a", terminated={"exitCode": 137, "signal": 9})]}),
    "exited": ({}, {"phase": "Failed", "containerStatuses": [state("a", terminated={"exitCode": 3})]}),
    "evicted": ({}, {"phase": "Failed", "reason": "Evicted"}),
    "init-first": (
        INIT,
        {
            "phase": "Pending",
            "initContainerStatuses": [state("i0", running=RUN), state("i1", waiting={"reason": "PodInitializing"})],
        },
    ),
    "init-second": (
        INIT,
        {
            "phase": "Pending",
            "initContainerStatuses": [state("i0", restarts=2, terminated=ENDED), state("i1", running=RUN)],
        },
    ),
    "init-failed": (
        INIT,
        {
            "phase": "Pending",
            "initContainerStatuses": [state("i0", restarts=1, last=CRASHED, terminated={"exitCode": 4})],
        },
    ),
    "init-waits": (
        INIT,
        {"phase": "Pending", "initContainerStatuses": [state("i0", waiting={"reason": "ImagePullBackOff"})]},
    ),
    "sidecar": (
        SIDE,
        {
            "phase": "Running",
            "conditions": READY,
            "initContainerStatuses": [state("s", True, 2, CRASHED, running=RUN, started=True)],
            "containerStatuses": [state("a", True, 0, running=RUN)],
        },
    ),
    "half": (
        {"containers": [*ONE, {"name": "b", "image": "i"}]},
        {
            "phase": "Running",
            "conditions": READY,
            "containerStatuses": [state("a", terminated=ENDED), state("b", True, running=RUN)],
        },
    ),
    "gated": (
        {"readinessGates": [{"conditionType": "x/a"}, {"conditionType": "x/b"}], "schedulingGates": [{"name": "g/h"}]},
        {
            "phase": "Pending",
            "nominatedNodeName": "n2",
            "conditions": [
                {"type": "x/a", "status": "True"},
                {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"},
            ],
        },
    ),
    "going": ({"nodeName": "n1"}, {"phase": "Running", "containerStatuses": [state("a", True, running=RUN)]}),
}


def service(name: str, **spec: Any) -> Json:
    return obj("v1", "Service", name, spec={"ports": [{"port": 80, "name": "p"}], **spec})


WORK = {
    "selector": {
        "matchLabels": {"b": "2", "a": "1"},
        "matchExpressions": [{"key": "c", "operator": "In", "values": ["y", "x"]}, {"key": "d", "operator": "Exists"}],
    },
    "template": {
        "metadata": {"labels": {"a": "1", "b": "2", "c": "x", "d": ""}},
        "spec": {"containers": [{"name": "a", "image": "i:1"}, {"name": "b", "image": "j"}]},
    },
}
ROLE = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
SUBJECTS = [
    {"kind": "User", "name": "u", "apiGroup": "rbac.authorization.k8s.io"},
    {"kind": "Group", "name": "g", "apiGroup": "rbac.authorization.k8s.io"},
    {"kind": "ServiceAccount", "name": "s", "namespace": "n"},
    {"kind": "User", "name": "v", "apiGroup": "rbac.authorization.k8s.io"},
]
ABOUT = {"kind": "Pod", "namespace": NS, "name": "running", "fieldPath": "spec.containers{a}"}
ADDRESSES = [{"ip": f"10.0.0.{i}"} for i in range(1, 3)]

# Collection, object, status to write afterwards.
OBJECTS: list[tuple[str, Json, Json | None]] = [
    *[
        (f"api/v1/namespaces/{NS}/pods", obj("v1", "Pod", n, spec={"containers": ONE, **spec}), status)
        for n, (spec, status) in PODS.items()
    ],
    (f"api/v1/namespaces/{NS}/services", service("cluster", selector={"b": "2", "a": "1"}), None),
    (
        f"api/v1/namespaces/{NS}/services",
        service("headless", clusterIP="None", externalIPs=["1.2.3.4", "1.2.3.5"]),
        None,
    ),
    (
        f"api/v1/namespaces/{NS}/services",
        service(
            "node",
            type="NodePort",
            ports=[
                {"port": 80, "name": "a", "nodePort": 30080},
                {"port": 53, "name": "b", "protocol": "UDP", "nodePort": 30053},
            ],
        ),
        None,
    ),
    (f"api/v1/namespaces/{NS}/services", service("balanced", type="LoadBalancer"), None),
    (
        f"api/v1/namespaces/{NS}/services",
        service("balanced-up", type="LoadBalancer"),
        {"loadBalancer": {"ingress": [{"ip": "9.9.9.9"}, {"hostname": "h"}]}},
    ),
    (
        f"api/v1/namespaces/{NS}/services",
        obj("v1", "Service", "named", spec={"type": "ExternalName", "externalName": "e.x"}),
        None,
    ),
    (
        f"apis/apps/v1/namespaces/{NS}/deployments",
        obj("apps/v1", "Deployment", "d", spec=WORK),
        {"replicas": 2, "readyReplicas": 1, "updatedReplicas": 2, "availableReplicas": 1},
    ),
    (
        f"apis/apps/v1/namespaces/{NS}/replicasets",
        obj("apps/v1", "ReplicaSet", "r", spec=WORK),
        {"replicas": 2, "readyReplicas": 1},
    ),
    (
        f"api/v1/namespaces/{NS}/replicationcontrollers",
        obj("v1", "ReplicationController", "c", spec={"replicas": 3, "template": WORK["template"]}),
        {"replicas": 2, "readyReplicas": 1},
    ),
    (
        f"api/v1/namespaces/{NS}/replicationcontrollers",
        obj("v1", "ReplicationController", "zero", spec={"replicas": 0, "template": WORK["template"]}),
        None,
    ),
    (f"api/v1/namespaces/{NS}/endpoints", obj("v1", "Endpoints", "none"), None),
    (
        f"api/v1/namespaces/{NS}/endpoints",
        obj(
            "v1",
            "Endpoints",
            "some",
            subsets=[{"addresses": ADDRESSES, "ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "b"}]}],
        ),
        None,
    ),
    (
        f"api/v1/namespaces/{NS}/endpoints",
        obj("v1", "Endpoints", "unready", subsets=[{"notReadyAddresses": ADDRESSES, "ports": [{"port": 80}]}]),
        None,
    ),
    (
        f"apis/discovery.k8s.io/v1/namespaces/{NS}/endpointslices",
        obj("discovery.k8s.io/v1", "EndpointSlice", "empty", addressType="IPv4", endpoints=[]),
        None,
    ),
    (
        f"apis/discovery.k8s.io/v1/namespaces/{NS}/endpointslices",
        obj(
            "discovery.k8s.io/v1",
            "EndpointSlice",
            "full",
            addressType="IPv4",
            ports=[
                {"port": 1, "name": "a"},
                {"port": 2, "name": "b"},
                {"port": 3, "name": "c"},
                {"port": 4, "name": "d"},
            ],
            endpoints=[{"addresses": [f"10.0.0.{i}"]} for i in range(5)],
        ),
        None,
    ),
    (
        f"api/v1/namespaces/{NS}/events",
        obj(
            "v1",
            "Event",
            "old",
            metadata={"namespace": NS},
            involvedObject=ABOUT,
            reason="R",
            message=" m \n",
            type="Normal",
            count=4,
            firstTimestamp=LONG_AGO,
            lastTimestamp="2026-01-01T00:00:00Z",
            source={"component": "c", "host": "h"},
        ),
        None,
    ),
    (
        f"api/v1/namespaces/{NS}/events",
        obj(
            "v1",
            "Event",
            "new",
            metadata={"namespace": NS},
            involvedObject={**ABOUT, "fieldPath": ""},
            reason="R",
            message="m",
            type="Normal",
            action="a",
            eventTime="2026-01-01T00:00:00.000000Z",
            reportingComponent="k.io/c",
            reportingInstance="i",
            series={"count": 9, "lastObservedTime": "2026-06-01T00:00:00.000000Z"},
        ),
        None,
    ),
    (
        f"api/v1/namespaces/{NS}/configmaps",
        obj("v1", "ConfigMap", "c", data={"a": "1"}, binaryData={"b": "AA=="}),
        None,
    ),
    (f"api/v1/namespaces/{NS}/secrets", obj("v1", "Secret", "s", stringData={"a": "1", "b": "2"}), None),
    (f"api/v1/namespaces/{NS}/serviceaccounts", obj("v1", "ServiceAccount", "s", secrets=[{"name": "x"}]), None),
    (
        f"apis/coordination.k8s.io/v1/namespaces/{NS}/leases",
        obj("coordination.k8s.io/v1", "Lease", "held", spec={"holderIdentity": "me"}),
        None,
    ),
    (f"apis/coordination.k8s.io/v1/namespaces/{NS}/leases", obj("coordination.k8s.io/v1", "Lease", "free"), None),
    (
        f"apis/rbac.authorization.k8s.io/v1/namespaces/{NS}/roles",
        obj("rbac.authorization.k8s.io/v1", "Role", "r", rules=[]),
        None,
    ),
    (
        f"apis/rbac.authorization.k8s.io/v1/namespaces/{NS}/rolebindings",
        obj("rbac.authorization.k8s.io/v1", "RoleBinding", "b", roleRef=ROLE, subjects=SUBJECTS),
        None,
    ),
    (
        "apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
        obj(
            "rbac.authorization.k8s.io/v1",
            "ClusterRoleBinding",
            "tables",
            metadata={"labels": {"t": NS}},
            roleRef=ROLE,
            subjects=SUBJECTS,
        ),
        None,
    ),
    (
        "apis/rbac.authorization.k8s.io/v1/clusterroles",
        obj("rbac.authorization.k8s.io/v1", "ClusterRole", "tables", metadata={"labels": {"t": NS}}, rules=[]),
        None,
    ),
    (
        "api/v1/nodes",
        obj(
            "v1",
            "Node",
            "tables-a",
            metadata={"labels": {"t": NS, "node-role.kubernetes.io/worker": "", "kubernetes.io/role": "gpu"}},
        ),
        {
            "conditions": [{"type": "Ready", "status": "True"}],
            "addresses": [{"type": "InternalIP", "address": "1.1.1.1"}, {"type": "ExternalIP", "address": "2.2.2.2"}],
            "nodeInfo": {
                "kubeletVersion": "v1",
                "osImage": "o",
                "kernelVersion": "k",
                "containerRuntimeVersion": "c",
                "machineID": "",
                "systemUUID": "",
                "bootID": "",
                "kubeProxyVersion": "",
                "operatingSystem": "",
                "architecture": "",
            },
        },
    ),
    (
        "api/v1/nodes",
        obj("v1", "Node", "tables-b", metadata={"labels": {"t": NS}}, spec={"unschedulable": True}),
        {"conditions": [{"type": "Ready", "status": "Unknown"}]},
    ),
    ("api/v1/nodes", obj("v1", "Node", "tables-c", metadata={"labels": {"t": NS}}), None),
]


def main(url: str, cert: str, key: str) -> None:
    server = Server(url, cert, key)
    server.call("POST", "api/v1/namespaces", obj("v1", "Namespace", NS, metadata={"labels": {"t": NS}}))
    for collection, body, status in OBJECTS:
        code, answer = server.call("POST", collection, body)
        assert code in (201, 409), (collection, answer)
        if status:
            code, answer = server.call(
                "PATCH", f"{collection}/{body['metadata']['name']}/status", {"status": status}, TYPES["merge"]
            )
            assert code == 200, answer
    going = f"api/v1/namespaces/{NS}/pods/going"
    server.call("PATCH", going, {"metadata": {"finalizers": ["x/y"]}}, TYPES["merge"])
    server.call("DELETE", going + "?gracePeriodSeconds=0")
    time.sleep(3)
    tables = {}
    for collection in dict.fromkeys([c for c, _, _ in OBJECTS] + ["api/v1/namespaces"]):
        query = "?includeObject=Object" + ("" if NS in collection else f"&labelSelector=t%3D{NS}")
        server.conn.request(
            "GET", "/" + collection + query, headers={"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
        )
        now = time.time()
        table = json.loads(server.conn.getresponse().read())
        kind = table["rows"][0]["object"]["kind"]
        tables[kind] = {"now": int(now * 1e6), "rows": [[r["cells"], r["object"]] for r in table["rows"]]}
    text = ",\n".join(f"{json.dumps(k)}:{json.dumps(v, separators=(',', ':'))}" for k, v in tables.items())
    pathlib.Path(__file__).with_name("tables.json").write_text("{" + text + "}\n")
    server.call("PATCH", going, {"metadata": {"finalizers": None}}, TYPES["merge"])
    for collection, body, _ in OBJECTS:
        name = body["metadata"]["name"]
        server.call("DELETE", f"{collection}/{name}?gracePeriodSeconds=0&propagationPolicy=Background")


if __name__ == "__main__":
    main(*sys.argv[1:4])
