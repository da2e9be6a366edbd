"""Record what a real kube-apiserver answers to sequences of creates, patches, updates and applies.

    python rust/knarr-schema/testdata/record.py https://127.0.0.1:6443 admin.crt admin.key

Writes transcripts.json beside this file. Goal: the Rust tests replay each step on the recorded object before it and
must come to the recorded object, managedFields or refusal. Run it against an apiserver alone: without controllers
nothing else writes the objects. A second passes between steps, so that a kept timestamp differs from a new one.
"""

import copy
import http.client
import json
import pathlib
import ssl
import sys
import time
from typing import Any
from urllib.parse import urlencode, urlsplit

Json = dict[str, Any]

CONTAINER = {"name": "web", "image": "nginx:1", "ports": [{"containerPort": 80}]}


def deployment(**spec: Any) -> Json:
    base: Json = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d", "labels": {"app": "d"}},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "d"}},
            "template": {"metadata": {"labels": {"app": "d"}}, "spec": {"containers": [copy.deepcopy(CONTAINER)]}},
        },
    }
    base["spec"].update(spec)
    return base


def partial(kind: str, version: str, name: str, **parts: Any) -> Json:
    metadata = {"name": name, **parts.pop("metadata", {})}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **parts}


def config_map(data: Json | None = None, **metadata: Any) -> Json:
    out = partial("ConfigMap", "v1", "c", metadata=metadata)
    if data is not None:
        out["data"] = data
    return out


def service(ports: list[Json], **spec: Any) -> Json:
    return partial("Service", "v1", "s", spec={"ports": ports, "clusterIP": "None", **spec})


def pod(**spec: Any) -> Json:
    return partial("Pod", "v1", "p", spec={"containers": [copy.deepcopy(CONTAINER)], **spec})


def containers(*items: Json) -> Json:
    return {"template": {"spec": {"containers": list(items)}}}


def dep(**spec: Any) -> Json:
    return partial("Deployment", "apps/v1", "d", spec=spec)


def annotated(obj: Json) -> Json:
    """As kubectl's client-side apply sends it."""
    text = json.dumps(
        {**obj, "metadata": {**obj["metadata"], "annotations": {}, "namespace": "default"}}, separators=(",", ":")
    )
    out = copy.deepcopy(obj)
    out["metadata"].setdefault("annotations", {})["kubectl.kubernetes.io/last-applied-configuration"] = text + "\n"
    return out


# A step: (operation, manager, body, options). Operations: create, update, apply, json, merge, strategic; options:
# sub, force, reset.
Step = tuple[str, str, Any, Json]
STATUS = {"sub": "status"}
FORCE = {"force": "true"}

SCENARIOS: dict[str, tuple[str, list[Step]]] = {
    "deployment: client-side then server-side": (
        "apis/apps/v1/namespaces/default/deployments/d",
        [
            ("create", "kubectl-client-side-apply", annotated(deployment()), {}),
            ("apply", "other", dep(replicas=3), {}),
            ("apply", "kubectl", deployment(replicas=5), {}),
            ("apply", "kubectl", deployment(replicas=6), FORCE),
            ("strategic", "kubectl-edit", {"spec": containers({"name": "web", "image": "nginx:2"})}, {}),
            ("apply", "kubectl", deployment(replicas=6), {}),
            ("apply", "kubectl", deployment(replicas=6), FORCE),
            ("apply", "kubectl", deployment(replicas=6), FORCE),
        ],
    ),
    "deployment: conflicts, scale, status": (
        "apis/apps/v1/namespaces/default/deployments/d",
        [
            ("create", "kubectl-client-side-apply", deployment(), {}),
            ("apply", "one", dep(replicas=3), {}),
            ("apply", "one", dep(replicas=3, paused=True), {"force": "true"}),
            ("apply", "one", dep(), {}),
            ("apply", "two", dep(replicas=3), {}),
            ("apply", "three", dep(replicas=3), {}),
            ("apply", "two", dep(replicas=4), {}),
            ("apply", "two", dep(), {}),
            ("merge", "scaler", {"spec": {"replicas": 7}}, {"sub": "scale"}),
            ("merge", "kcm", {"status": {"observedGeneration": 1, "replicas": 7, "unavailableReplicas": 7}}, STATUS),
            (
                "strategic",
                "kcm",
                {"status": {"conditions": [{"type": "Available", "status": "False", "reason": "x"}]}},
                STATUS,
            ),
            (
                "strategic",
                "kcm",
                {"status": {"conditions": [{"type": "Available", "status": "True", "reason": "x"}]}},
                STATUS,
            ),
            ("strategic", "kcm", {"status": {"conditions": [{"type": "Available", "$patch": "delete"}]}}, STATUS),
            (
                "apply",
                "two",
                dep(
                    template={
                        "spec": {"containers": [{"name": "side", "image": "b", "ports": [{"containerPort": 80}]}]}
                    }
                ),
                {},
            ),
            ("apply", "two", dep(template={"spec": {"containers": [{"name": "side", "image": "b"}]}}), {}),
            ("apply", "two", dep(), {}),
            ("apply", "bad", dep(replicas="three"), {}),
            ("apply", "bad", dep(nope=1), {}),
            ("apply", "bad", dep(template={"spec": {"containers": [{"image": "b"}]}}), {}),
            ("apply", "bad", dep(template={"spec": {"containers": [{"name": "a"}, {"name": "a"}]}}), {}),
            ("apply", "bad", {**dep(), "kind": "Pod"}, {}),
            ("apply", "bad", partial("Deployment", "apps/v1", "d", metadata={"managedFields": []}), {}),
        ],
    ),
    "deployment: applied from the start": (
        "apis/apps/v1/namespaces/default/deployments/d",
        [
            ("apply", "one", deployment(), {}),
            (
                "apply",
                "two",
                dep(template={"spec": {"containers": [{"name": "web", "env": [{"name": "A", "value": "1"}]}]}}),
                {},
            ),
            (
                "apply",
                "one",
                deployment(
                    template={
                        "metadata": {"labels": {"app": "d"}},
                        "spec": {"containers": [{"name": "web", "image": "x"}]},
                    }
                ),
                {},
            ),
            ("apply", "one", deployment(strategy={"type": "Recreate"}), {}),
            (
                "apply",
                "two",
                dep(template={"spec": {"containers": [{"name": "web", "env": [{"name": "A", "value": "2"}]}]}}),
                {},
            ),
            ("apply", "two", dep(), {}),
        ],
    ),
    "config map: maps, resets, ancient changes": (
        "api/v1/namespaces/default/configmaps/c",
        [
            ("create", "a", config_map({"a": "1", "b": "2"}), {}),
            ("merge", "b", {"data": {"b": None, "c": "3"}}, {}),
            ("apply", "x", config_map({"c": "3", "d": "4"}, labels={"l": "1"}), {}),
            ("apply", "x", config_map({"d": "5"}), {}),
            ("apply", "x", config_map({"a": "2"}), {}),
            ("apply", "x", config_map({}), {}),
            ("apply", "x", config_map(), {}),
            *[("merge", f"m{i}", {"data": {f"k{i}": "v"}}, {}) for i in range(12)],
            ("merge", "m5", {"data": {"k5": "v"}}, {}),
            (
                "merge",
                "own",
                {"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "1-2"}]}},
                {},
            ),
            ("merge", "own", {"metadata": {"finalizers": ["a/b", "c/d"]}}, {}),
            ("json", "own", [{"op": "remove", "path": "/metadata/finalizers/0"}], {}),
            ("merge", "own", {"metadata": {"finalizers": None}}, {}),
            ("merge", "reset", {"metadata": {"managedFields": [{}]}}, {}),
            ("merge", "late", {"data": {"z": "1"}}, {}),
            ("apply", "first", config_map({"z": "2"}), {}),
            ("apply", "first", config_map({"z": "2"}), FORCE),
        ],
    ),
    "service: ports by port and protocol": (
        "api/v1/namespaces/default/services/s",
        [
            ("apply", "one", service([{"port": 80, "name": "http"}]), {}),
            ("apply", "two", service([{"port": 80, "name": "http", "protocol": "TCP"}]), {}),
            ("apply", "two", partial("Service", "v1", "s", spec={"ports": [{"port": 443, "name": "https"}]}), {}),
            (
                "strategic",
                "p",
                {"spec": {"ports": [{"port": 53, "name": "dns", "protocol": "UDP", "targetPort": 53}]}},
                {},
            ),
            ("strategic", "p", {"spec": {"ports": [{"port": 53, "$patch": "delete"}]}}, {}),
            (
                "strategic",
                "p",
                {
                    "spec": {
                        "$setElementOrder/ports": [{"port": 443}, {"port": 80}],
                        "ports": [{"port": 80, "name": "web"}],
                    }
                },
                {},
            ),
            ("merge", "p", {"spec": {"selector": {"a": "b"}}}, {}),
            ("apply", "two", partial("Service", "v1", "s"), {}),
        ],
    ),
    "pod: patches of every kind": (
        "api/v1/namespaces/default/pods/p",
        [
            ("create", "kubectl-create", pod(), {}),
            (
                "strategic",
                "kubelet",
                {
                    "status": {
                        "phase": "Running",
                        "conditions": [{"type": "Ready", "status": "True"}],
                        "podIPs": [{"ip": "10.0.0.1"}],
                        "podIP": "10.0.0.1",
                    }
                },
                STATUS,
            ),
            (
                "strategic",
                "kubelet",
                {
                    "status": {
                        "$setElementOrder/conditions": [{"type": "Initialized"}, {"type": "Ready"}],
                        "conditions": [{"type": "Initialized", "status": "True"}, {"type": "Ready", "status": "False"}],
                    }
                },
                STATUS,
            ),
            ("strategic", "l", {"metadata": {"labels": {"a": "1", "b": "2"}, "finalizers": ["x/y", "z/w"]}}, {}),
            (
                "strategic",
                "l",
                {"metadata": {"labels": {"a": None}, "$deleteFromPrimitiveList/finalizers": ["x/y"]}},
                {},
            ),
            ("strategic", "l", {"metadata": {"labels": {"$patch": "replace", "c": "3"}}}, {}),
            ("strategic", "l", {"metadata": {"labels": {"$retainKeys": ["d"], "d": "4"}}}, {}),
            ("strategic", "l", {"metadata": {"labels": {"$retainKeys": ["e"], "d": "4"}}}, {}),
            ("strategic", "l", {"metadata": {"$patch": "nonsense"}}, {}),
            ("strategic", "l", {"spec": {"containers": [{"image": "x"}]}}, {}),
            (
                "strategic",
                "l",
                {
                    "spec": {
                        "$setElementOrder/containers": [{"name": "a"}],
                        "containers": [{"name": "web", "image": "x"}],
                    }
                },
                {},
            ),
            ("strategic", "l", {"metadata": {"$deleteFromPrimitiveListfinalizers": ["x"]}}, {}),
            (
                "json",
                "j",
                [
                    {"op": "add", "path": "/metadata/labels/x~1y", "value": "1"},
                    {"op": "test", "path": "/metadata/labels/x~1y", "value": "1"},
                ],
                {},
            ),
            ("json", "j", [{"op": "replace", "path": "/metadata/labels/new", "value": "1"}], {}),
            (
                "json",
                "j",
                [
                    {"op": "copy", "from": "/metadata/labels/new", "path": "/metadata/labels/copy"},
                    {"op": "move", "from": "/metadata/labels/new", "path": "/metadata/labels/moved"},
                ],
                {},
            ),
            ("json", "j", [{"op": "remove", "path": "/metadata/labels/absent"}], {}),
            ("json", "j", [{"op": "test", "path": "/metadata/name", "value": "q"}], {}),
            ("json", "j", [{"op": "nonsense", "path": "/metadata/name"}], {}),
            ("json", "j", [{"path": "/metadata/name"}], {}),
            ("json", "j", [{"op": "add", "path": "/spec/containers/9", "value": {}}], {}),
            ("json", "j", [{"op": "replace", "path": "/spec/containers/-1/image", "value": "nginx:3"}], {}),
            ("json", "j", {"op": "add"}, {}),
            ("json", "j", ["add"], {}),
            ("json", "j", [{"op": 1}], {}),
            ("json", "j", [{"op": "test", "path": "/metadata/name", "value": "p"}] * 10001, {}),
            ("merge", "m", ["x"], {}),
            ("merge", "m", "x", {}),
            ("strategic", "m", ["x"], {}),
        ],
    ),
}


class Server:
    def __init__(self, url: str, cert: str, key: str) -> None:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.load_cert_chain(cert, key)
        self.conn = http.client.HTTPSConnection(urlsplit(url).netloc, context=context)

    def call(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json"
    ) -> tuple[int, Json]:
        data = None if body is None else json.dumps(body)
        self.conn.request(method, "/" + path, data, {"Content-Type": content_type, "Accept": "application/json"})
        answer = self.conn.getresponse()
        return answer.status, json.loads(answer.read())


TYPES = {
    "apply": "application/apply-patch+yaml",
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
}


def record(server: Server) -> list[Json]:
    out: list[Json] = []
    for title, (path, steps) in SCENARIOS.items():
        server.call("DELETE", path + "?gracePeriodSeconds=0")
        server.call("PATCH", path, {"metadata": {"finalizers": None}}, TYPES["merge"])
        recorded: list[Json] = []
        for operation, manager, body, options in steps:
            time.sleep(1.05)
            code, live = server.call("GET", path)
            before = live if code == 200 else None
            query = {"fieldManager": manager} | ({"force": options["force"]} if "force" in options else {})
            if operation == "create":
                code, answer = server.call("POST", path.rsplit("/", 1)[0] + "?" + urlencode(query), body)
            else:
                sub = "/" + options["sub"] if "sub" in options else ""
                code, answer = server.call("PATCH", f"{path}{sub}?{urlencode(query)}", body, TYPES[operation])
            if code < 300:
                _, answer = server.call("GET", path)
            if isinstance(body, list) and len(body) > 100:
                body = {"repeat": body[0], "times": len(body)}
            recorded.append(
                {
                    "op": operation,
                    "manager": manager,
                    "body": body,
                    **options,
                    "live": before,
                    "code": code,
                    "answer": answer,
                }
            )
        out.append({"title": title, "steps": recorded})
        server.call("PATCH", path, {"metadata": {"finalizers": None}}, TYPES["merge"])
        server.call("DELETE", path + "?gracePeriodSeconds=0")
    return out


def compact(recorded: list[Json]) -> list[Json]:
    """A step's `live` is mostly the answer before it: say so instead of repeating it."""
    for scenario in recorded:
        last: Any = None
        for step in scenario["steps"]:
            if step["live"] == last:
                del step["live"]
            if step["code"] < 300:
                last = step["answer"]
    return recorded


if __name__ == "__main__":
    target = pathlib.Path(__file__).with_name("transcripts.json")
    lines = compact(record(Server(*sys.argv[1:4])))
    target.write_text("[\n" + ",\n".join(json.dumps(s, separators=(",", ":")) for s in lines) + "\n]\n")
