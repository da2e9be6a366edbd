"""Objects, good and bad, of every built-in kind: what the differential test sends and the golden test asserts.

Each case is (kind, name of the case, object). `pod(...)` and its like give a good object, `change` makes it bad at one place.
"""

# ruff: noqa: E501 (a table: one case a line)

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from odd import odd, odd_updates

Object = dict[str, Any]

DELETE = object()


def change(base: Object, **places: Any) -> Object:
    """A copy with some places changed: `spec__containers__0__image="x"`; `DELETE` removes."""
    out = copy.deepcopy(base)
    for place, value in places.items():
        at: Any = out
        *way, last = [int(step) if step.isdigit() else step.replace("_DASH_", "-") for step in place.split("__")]
        for step in way:
            at = at.setdefault(step, {}) if isinstance(at, dict) else at[step]
        if value is DELETE:
            del at[last]
        elif isinstance(at, list) and last == len(at):
            at.append(value)
        else:
            at[last] = value
    return out


def meta(name: str, **more: Any) -> Object:
    return {"name": name, "namespace": "default", **more}


def pod() -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": meta("p", labels={"app": "x"}),
        "spec": {"containers": [{"name": "c", "image": "nginx"}]},
    }


def deployment(kind: str = "Deployment") -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": meta("d"),
        "spec": {
            "selector": {"matchLabels": {"app": "x"}},
            "template": {
                "metadata": {"labels": {"app": "x"}},
                "spec": {"containers": [{"name": "c", "image": "nginx:1"}]},
            },
        },
    }


def service() -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": meta("s"),
        "spec": {"selector": {"app": "x"}, "ports": [{"port": 80}]},
    }


def simple(kind: str, version: str = "v1", **more: Any) -> Object:
    return {"apiVersion": version, "kind": kind, "metadata": meta("x"), **more}


RBAC = "rbac.authorization.k8s.io/v1"


def full_pod() -> Object:
    """A pod that uses most of what has defaults."""
    return change(
        pod(),
        spec={
            "hostNetwork": True,
            "initContainers": [
                {
                    "name": "i",
                    "image": "busybox:1.36",
                    "restartPolicy": "Always",
                    "startupProbe": {"exec": {"command": ["true"]}},
                }
            ],
            "containers": [
                {
                    "name": "c",
                    "image": "nginx:latest",
                    "ports": [{"containerPort": 80, "name": "http"}],
                    "env": [
                        {"name": "A", "value": "1"},
                        {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                        {"name": "C", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
                        {"name": "D", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                    ],
                    "envFrom": [{"configMapRef": {"name": "m"}, "prefix": "P_"}],
                    "resources": {"limits": {"cpu": "1000m", "memory": "0.5Gi"}, "requests": {"cpu": 0.5}},
                    "livenessProbe": {"httpGet": {"port": "http"}},
                    "readinessProbe": {"tcpSocket": {"port": 80}},
                    "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
                    "volumeMounts": [
                        {"name": "e", "mountPath": "/e"},
                        {"name": "c", "mountPath": "/c", "subPath": "a/b"},
                    ],
                    "securityContext": {"runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
                }
            ],
            "volumes": [
                {"name": "e"},
                {"name": "c", "configMap": {"name": "m", "items": [{"key": "a", "path": "b"}]}},
                {"name": "s", "secret": {"secretName": "s"}},
                {"name": "h", "hostPath": {"path": "/tmp"}},
                {"name": "d", "downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
                {
                    "name": "p",
                    "projected": {
                        "sources": [
                            {"serviceAccountToken": {"path": "t"}},
                            {"configMap": {"name": "m"}},
                            {
                                "downwardAPI": {
                                    "items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.namespace"}}]
                                }
                            },
                        ]
                    },
                },
            ],
            "tolerations": [{"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}],
            "affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}]
                    }
                }
            },
            "topologySpreadConstraints": [
                {
                    "maxSkew": 1,
                    "topologyKey": "z",
                    "whenUnsatisfiable": "DoNotSchedule",
                    "labelSelector": {"matchLabels": {"a": "b"}},
                }
            ],
        },
    )


def cases() -> Iterator[tuple[str, Object]]:
    """Every case: a name, unique within the kind, and the object."""
    yield "plain", pod()
    yield "full", full_pod()
    c = "spec__containers__0__"
    for name, places in {
        "no containers": {"spec__containers": []},
        "no name": {"metadata__name": DELETE},
        "bad name": {"metadata__name": "Bad_Name"},
        "long name": {"metadata__name": "a" * 254},
        "bad label": {"metadata__labels": {"-a": "b c"}},
        "bad annotation": {"metadata__annotations": {"a b": "c"}},
        "bad finalizer": {"metadata__finalizers": ["a b"]},
        "bad owner": {"metadata__ownerReferences": [{"apiVersion": "", "kind": "", "name": "", "uid": ""}]},
        "container name": {c + "name": "A"},
        "no container name": {c + "name": ""},
        "no image": {c + "image": ""},
        "padded image": {c + "image": " nginx "},
        "pull policy": {c + "imagePullPolicy": "Sometimes"},
        "port zero": {c + "ports": [{"containerPort": 0}]},
        "port high": {c + "ports": [{"containerPort": 65536, "hostPort": -1, "protocol": "tcp", "name": "--"}]},
        "port name twice": {c + "ports": [{"containerPort": 1, "name": "a"}, {"containerPort": 2, "name": "a"}]},
        "host port twice": {c + "ports": [{"containerPort": 1, "hostPort": 1}, {"containerPort": 2, "hostPort": 1}]},
        "env name": {c + "env": [{"name": "a=b"}, {"name": ""}]},
        "env source and value": {
            c + "env": [{"name": "a", "value": "b", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]
        },
        "env no source": {c + "env": [{"name": "a", "valueFrom": {}}]},
        "env two sources": {
            c + "env": [
                {
                    "name": "a",
                    "valueFrom": {
                        "fieldRef": {"fieldPath": "metadata.name"},
                        "secretKeyRef": {"name": "s", "key": "k"},
                    },
                }
            ]
        },
        "env field": {c + "env": [{"name": "a", "valueFrom": {"fieldRef": {"fieldPath": "metadata.foo"}}}]},
        "env field of volumes": {
            c + "env": [{"name": "a", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels"}}}]
        },
        "env field version": {
            c + "env": [{"name": "a", "valueFrom": {"fieldRef": {"apiVersion": "v9", "fieldPath": "metadata.name"}}}]
        },
        "env resource": {c + "env": [{"name": "a", "valueFrom": {"resourceFieldRef": {"resource": "limits.gpu"}}}]},
        "env divisor": {
            c + "env": [{"name": "a", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "3"}}}]
        },
        "env key": {c + "env": [{"name": "a", "valueFrom": {"secretKeyRef": {"name": "A", "key": "a b"}}}]},
        "env from": {c + "envFrom": [{}, {"configMapRef": {"name": ""}, "secretRef": {"name": "A"}}]},
        "mount unknown": {c + "volumeMounts": [{"name": "v", "mountPath": "/v"}]},
        "mount bad": {
            "spec__volumes": [{"name": "v", "emptyDir": {}}],
            c + "volumeMounts": [
                {"name": "v", "mountPath": ""},
                {"name": "v", "mountPath": "/v", "subPath": "/a/.."},
                {"name": "v", "mountPath": "/v", "mountPropagation": "Bidirectional"},
            ],
        },
        "request over limit": {c + "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}},
        "request negative": {c + "resources": {"requests": {"cpu": "-1"}}},
        "resource unknown": {c + "resources": {"requests": {"foo": "1"}}},
        "resource extended": {
            c + "resources": {"requests": {"example.com/gpu": "1"}, "limits": {"example.com/gpu": "2"}}
        },
        "resource fraction": {c + "resources": {"limits": {"example.com/gpu": "500m"}}},
        "huge pages": {c + "resources": {"limits": {"hugepages-2Mi": "3Mi"}}},
        "probe none": {c + "livenessProbe": {}},
        "probe two": {c + "livenessProbe": {"exec": {"command": ["a"]}, "tcpSocket": {"port": 1}}},
        "probe bad": {
            c + "livenessProbe": {
                "httpGet": {"port": 0, "scheme": "ftp", "httpHeaders": [{"name": "a b", "value": ""}]},
                "periodSeconds": -1,
                "successThreshold": 2,
                "terminationGracePeriodSeconds": 0,
            }
        },
        "readiness grace": {c + "readinessProbe": {"exec": {"command": []}, "terminationGracePeriodSeconds": 5}},
        "hook": {c + "lifecycle": {"preStop": {"sleep": {"seconds": 60}}, "postStart": {}}},
        "escalation": {c + "securityContext": {"allowPrivilegeEscalation": False, "privileged": True, "runAsUser": -1}},
        "seccomp": {c + "securityContext": {"seccompProfile": {"type": "Foo"}}},
        "seccomp no type": {c + "securityContext": {"seccompProfile": {}}},
        "seccomp localhost": {c + "securityContext": {"seccompProfile": {"type": "Localhost"}}},
        "apparmor": {c + "securityContext": {"appArmorProfile": {"type": "Foo"}}},
        "termination policy": {c + "terminationMessagePolicy": "Foo"},
        "container twice": {"spec__containers__1": {"name": "c", "image": "a"}},
        "main restart policy": {c + "restartPolicy": "Always"},
        "init": {"spec__initContainers": [{"name": "c", "image": "a", "livenessProbe": {"exec": {"command": ["a"]}}}]},
        "init restart policy": {"spec__initContainers": [{"name": "i", "image": "a", "restartPolicy": "Never"}]},
        "ephemeral": {"spec__ephemeralContainers": [{"name": "e", "image": "a"}]},
        "volume name": {"spec__volumes": [{"name": "A_"}]},
        "volume twice": {"spec__volumes": [{"name": "v"}, {"name": "v"}]},
        "volume two sources": {"spec__volumes": [{"name": "v", "emptyDir": {}, "hostPath": {"path": "/a"}}]},
        "volume secret": {
            "spec__volumes": [{"name": "v", "secret": {"defaultMode": 1000, "items": [{"key": "", "path": "../a"}]}}]
        },
        "volume configmap": {
            "spec__volumes": [{"name": "v", "configMap": {"items": [{"key": "a", "path": "..a", "mode": -1}]}}]
        },
        "volume hostpath": {"spec__volumes": [{"name": "v", "hostPath": {"path": "/a/../b", "type": "Foo"}}]},
        "volume claim": {"spec__volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": ""}}]},
        "volume nfs": {"spec__volumes": [{"name": "v", "nfs": {"server": "", "path": "a"}}]},
        "volume downward": {"spec__volumes": [{"name": "v", "downwardAPI": {"items": [{"path": ""}]}}]},
        "volume empty size": {"spec__volumes": [{"name": "v", "emptyDir": {"sizeLimit": "-1"}}]},
        "projected": {
            "spec__volumes": [
                {
                    "name": "v",
                    "projected": {
                        "sources": [
                            {"serviceAccountToken": {"path": "", "expirationSeconds": 5}},
                            {"secret": {"name": ""}, "configMap": {"name": "m"}},
                            {"configMap": {"name": "m", "items": [{"key": "a", "path": "x"}]}},
                            {"secret": {"name": "m", "items": [{"key": "a", "path": "x"}]}},
                        ]
                    },
                }
            ]
        },
        "restart policy": {"spec__restartPolicy": "Foo"},
        "dns policy": {"spec__dnsPolicy": "Foo"},
        "dns none": {"spec__dnsPolicy": "None"},
        "dns config": {
            "spec__dnsConfig": {
                "nameservers": ["1", "1.1.1.1", "8.8.8.8", "9.9.9.9"],
                "searches": ["A"],
                "options": [{}],
            }
        },
        "node selector": {"spec__nodeSelector": {"a b": "c"}},
        "pod security": {
            "spec__securityContext": {
                "fsGroup": -1,
                "sysctls": [{"name": "a..b", "value": "1"}],
                "fsGroupChangePolicy": "Foo",
            }
        },
        "affinity": {
            "spec__affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []},
                    "preferredDuringSchedulingIgnoredDuringExecution": [
                        {"weight": 0, "preference": {"matchExpressions": [{"key": "a", "operator": "Foo"}]}}
                    ],
                },
                "podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": ""}]},
            }
        },
        "node terms": {
            "spec__affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [
                            {
                                "matchExpressions": [
                                    {"key": "a", "operator": "In"},
                                    {"key": "b", "operator": "Exists", "values": ["c"]},
                                ]
                            },
                            {"matchFields": [{"key": "foo", "operator": "In", "values": ["c"]}]},
                        ]
                    }
                }
            }
        },
        "gates": {"spec__schedulingGates": [{"name": "a b"}, {"name": "c"}, {"name": "c"}]},
        "spread": {
            "spec__topologySpreadConstraints": [
                {"maxSkew": 0, "topologyKey": "", "whenUnsatisfiable": "Foo", "minDomains": 0},
                {"maxSkew": 1, "topologyKey": "a", "whenUnsatisfiable": "ScheduleAnyway", "minDomains": 1},
                {"maxSkew": 1, "topologyKey": "a", "whenUnsatisfiable": "ScheduleAnyway"},
            ]
        },
        "tolerations": {
            "spec__tolerations": [
                {"operator": "Equal", "value": "a"},
                {"key": "a", "operator": "Exists", "value": "b"},
                {"key": "a", "operator": "Foo"},
                {"key": "a", "effect": "Foo"},
                {"key": "a", "tolerationSeconds": 1},
            ]
        },
        "names": {
            "spec__nodeName": "A",
            "spec__hostname": "a.b",
            "spec__subdomain": "-",
            "spec__priorityClassName": "",
            "spec__activeDeadlineSeconds": 0,
        },
        "host aliases": {"spec__hostAliases": [{"ip": "x", "hostnames": ["A"]}]},
        "preemption": {"spec__preemptionPolicy": "Foo"},
        "os": {"spec__os": {"name": "plan9"}},
        "unknown field": {"spec__foo": 1, c + "bar": {"a": 1}},
        "wrong type": {c + "image": 5},
        "wrong type list": {"spec__containers": "x"},
        "wrong type int": {"spec__terminationGracePeriodSeconds": "x"},
        "wrong type label": {"metadata__labels": {"a": 1}},
        "wrong type float": {c + "ports": [{"containerPort": 1.5}]},
        "wrong quantity": {c + "resources": {"requests": {"cpu": "1x"}}},
        "wrong named": {"spec__restartPolicy": 5},
        "wrong bool": {"spec__hostNetwork": "yes"},
        "nulls": {"metadata__labels": {"a": None}, "spec__volumes": None, "spec__hostNetwork": None},
    }.items():
        yield name, change(pod(), **places)
    for kind in ("Deployment", "ReplicaSet"):
        base = deployment(kind)
        yield "plain", base
        for name, places in {
            "no selector": {"spec__selector": DELETE},
            "empty selector": {"spec__selector": {}},
            "bad selector": {"spec__selector": {"matchExpressions": [{"key": "a", "operator": "Foo"}]}},
            "selector values": {"spec__selector": {"matchExpressions": [{"key": "a", "operator": "In"}]}},
            "labels": {"spec__template__metadata__labels": {"app": "y"}},
            "replicas": {"spec__replicas": -1, "spec__minReadySeconds": -1},
            "restart policy": {"spec__template__spec__restartPolicy": "Never"},
            "deadline": {"spec__template__spec__activeDeadlineSeconds": 5},
            "template": {"spec__template__spec__containers": []},
            "template labels": {"spec__template__metadata__labels": {"app": "x", "a b": "c"}},
            "wrong replicas": {"spec__replicas": "x"},
        }.items():
            yield name, change(base, **places)
    plain = change(deployment("ReplicationController"), apiVersion="v1", spec__selector={"app": "x"})
    yield "plain", plain
    for name, places in {
        "no selector": {"spec__selector": DELETE},
        "empty selector": {"spec__selector": {}},
        "no selector nor labels": {"spec__selector": DELETE, "spec__template__metadata": DELETE},
        "label selector": {"spec__selector": {"matchLabels": {"app": "x"}}},
        "own labels": {"metadata__labels": {"a": "b"}},
        "labels": {"spec__template__metadata__labels": {"app": "y"}},
        "two of three labels": {"spec__template__metadata__labels": {"app": "x", "b": "c", "d": "e"}},
        "bad labels": {"spec__selector": {"a b": "c d"}, "spec__template__metadata__labels": {"a b": "c d"}},
        "no template": {"spec__template": DELETE},
        "empty": {"spec": {}},
        "replicas": {"spec__replicas": -1, "spec__minReadySeconds": -1},
        "restart policy": {"spec__template__spec__restartPolicy": "OnFailure"},
        "deadline": {"spec__template__spec__activeDeadlineSeconds": 5},
        "template": {"spec__template__spec__containers": []},
        "status": {"status": {"replicas": 3}},
        "name": {"metadata__name": "A b"},
        "wrong replicas": {"spec__replicas": "x"},
    }.items():
        yield name, change(plain, **places)
    for name, places in {
        "recreate": {"spec__strategy": {"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}},
        "recreate fine": {"spec__strategy": {"type": "Recreate"}},
        "strategy": {"spec__strategy": {"type": "Foo"}},
        "both zero": {"spec__strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}},
        "percent": {"spec__strategy": {"rollingUpdate": {"maxSurge": "a", "maxUnavailable": "101%"}}},
        "deadline seconds": {"spec__progressDeadlineSeconds": 5, "spec__minReadySeconds": 5},
        "history": {"spec__revisionHistoryLimit": -1},
    }.items():
        yield name, change(deployment(), **places)
    yield "plain", service()
    for name, places in {
        "no ports": {"spec__ports": []},
        "name": {"metadata__name": "1a"},
        "port": {"spec__ports": [{"port": 0, "targetPort": "A", "protocol": "x", "appProtocol": "a b"}]},
        "two ports": {"spec__ports": [{"port": 80}, {"port": 80}]},
        "port names": {"spec__ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "a"}]},
        "type": {"spec__type": "Foo"},
        "affinity": {"spec__sessionAffinity": "Foo"},
        "affinity timeout": {
            "spec__sessionAffinity": "ClientIP",
            "spec__sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 0}},
        },
        "external name": {"spec__type": "ExternalName", "spec__externalName": ""},
        "external name bad": {"spec__type": "ExternalName", "spec__externalName": "A"},
        "node port of cluster ip": {"spec__ports": [{"port": 80, "nodePort": 30000}]},
        "source ranges": {"spec__loadBalancerSourceRanges": ["x"]},
        "external policy": {"spec__externalTrafficPolicy": "Local"},
        "external ips": {"spec__externalIPs": ["127.0.0.1", "x"]},
        "cluster ips": {"spec__clusterIP": "1", "spec__clusterIPs": ["2"]},
        "headless node port": {"spec__type": "NodePort", "spec__clusterIP": "None"},
        "selector": {"spec__selector": {"a b": "c"}},
        "headless": {"spec__clusterIP": "None"},
        "traffic distribution": {"spec__trafficDistribution": "Foo"},
        "internal policy": {"spec__internalTrafficPolicy": "Foo"},
    }.items():
        yield name, change(service(), **places)
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}
    yield "plain", namespace
    yield "name", change(namespace, metadata__name="a.b")
    yield "finalizer", change(namespace, spec__finalizers=["foo", "a b"])
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}}
    yield "plain", change(node, status__capacity={"cpu": "2", "memory": "1Gi"})
    yield "taints", change(node, spec__taints=[{"key": "a b"}, {"key": "a", "effect": "Foo"}])
    yield (
        "taint twice",
        change(node, spec__taints=[{"key": "a", "effect": "NoSchedule"}, {"key": "a", "effect": "NoSchedule"}]),
    )
    yield "capacity", change(node, status__capacity={"cpu": "-1"})
    yield "plain", simple("ConfigMap", data={"a": "b"})
    yield "keys", simple("ConfigMap", data={"a b": "c", "d": "e", "..": ""}, binaryData={"d": "AA=="})
    yield "base64", simple("ConfigMap", binaryData={"d": "A"})
    yield "plain", simple("Secret", data={"a": "Yg=="}, stringData={"c": "d"})
    yield "keys", simple("Secret", data={"a b": ""})
    for kind in ("tls", "ssh-auth", "basic-auth", "dockercfg", "dockerconfigjson", "service-account-token"):
        yield kind, simple("Secret", type=f"kubernetes.io/{kind}")
    yield "plain", simple("ServiceAccount")
    yield (
        "plain",
        simple(
            "Lease",
            "coordination.k8s.io/v1",
            spec={"holderIdentity": "a", "renewTime": "2024-01-02T05:04:05.678000+02:00"},
        ),
    )
    yield "short fraction", simple("Lease", "coordination.k8s.io/v1", spec={"renewTime": "2024-01-02T03:04:05.678Z"})
    yield (
        "spec",
        simple(
            "Lease",
            "coordination.k8s.io/v1",
            spec={"leaseDurationSeconds": 0, "leaseTransitions": -1, "preferredHolder": "a"},
        ),
    )
    yield "time", simple("Lease", "coordination.k8s.io/v1", spec={"renewTime": "yesterday"})
    yield "plain", simple("Endpoints", subsets=[{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}]}])
    yield "subset", simple("Endpoints", subsets=[{}])
    yield (
        "address",
        simple(
            "Endpoints",
            subsets=[{"addresses": [{"ip": "127.0.0.1", "hostname": "A"}], "ports": [{"port": 0}, {"port": 1}]}],
        ),
    )
    slice_ = simple(
        "EndpointSlice",
        "discovery.k8s.io/v1",
        addressType="IPv4",
        endpoints=[{"addresses": ["10.0.0.1"]}],
        ports=[{"port": 80}],
    )
    yield "plain", slice_
    yield "type", change(slice_, addressType="Foo")
    yield "addresses", change(slice_, endpoints=[{"addresses": []}, {"addresses": ["::1"]}, {"addresses": ["x"]}])
    yield "ports", change(slice_, ports=[{"name": "A", "protocol": "x"}, {"name": "A"}])
    event = simple(
        "Event",
        involvedObject={"kind": "Pod", "name": "p", "namespace": "default"},
        reason="R",
        message="m",
        type="Normal",
    )
    yield "plain", event
    yield "namespace", change(event, involvedObject__namespace="other")
    yield "new form", change(event, eventTime="2024-01-02T03:04:05.000000Z", reason="")
    for kind in ("Role", "ClusterRole"):
        role = simple(kind, RBAC, rules=[{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}])
        if kind == "ClusterRole":
            role = change(role, metadata__namespace=DELETE)
        yield "plain", role
        yield "rule", change(role, rules=[{}, {"nonResourceURLs": ["/x"], "verbs": ["get"], "apiGroups": [""]}])
        yield "name", change(role, metadata__name="a/b")
        yield "no rules", change(role, rules=DELETE)
        binding = simple(
            kind + "Binding",
            RBAC,
            roleRef={"kind": kind, "name": "r"},
            subjects=[{"kind": "User", "name": "u"}, {"kind": "ServiceAccount", "name": "s", "namespace": "default"}],
        )
        if kind == "ClusterRole":
            binding = change(binding, metadata__namespace=DELETE)
        yield "plain", binding
        yield "reference", change(binding, roleRef={"kind": "Foo", "name": ""})
        yield (
            "subjects",
            change(
                binding,
                subjects=[{"kind": "Foo", "name": ""}, {"kind": "ServiceAccount", "name": "A", "apiGroup": "x"}],
            ),
        )
    yield from odd(change, pod(), deployment(), service())


def updates() -> Iterator[tuple[str, Object, dict[str, Any]]]:
    """Changes of an object that was made before: a name, what is made, the places that change."""
    yield from odd_updates(change, pod(), deployment(), service())
    yield "image", pod(), {"spec__containers__0__image": "other"}
    yield "padded image", pod(), {"spec__containers__0__image": " other "}
    yield "more containers", pod(), {"spec__containers__1": {"name": "d", "image": "a"}}
    yield "deadline", change(pod(), spec__activeDeadlineSeconds=5), {"spec__activeDeadlineSeconds": 6}
    yield "shorter deadline", change(pod(), spec__activeDeadlineSeconds=5), {"spec__activeDeadlineSeconds": 4}
    yield "deadline gone", change(pod(), spec__activeDeadlineSeconds=5), {"spec__activeDeadlineSeconds": DELETE}
    yield "host network", pod(), {"spec__hostNetwork": True}
    yield "toleration", pod(), {"spec__tolerations__2": {"key": "a", "operator": "Exists"}}
    yield "toleration gone", pod(), {"spec__tolerations": []}
    yield "labels", pod(), {"metadata__labels": {"a": "b"}}
    yield "uid", pod(), {"metadata__ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": ""}]}
    yield "replicas", deployment(), {"spec__replicas": 3}
    yield (
        "selector",
        deployment(),
        {
            "spec__selector__matchLabels": {"app": "z"},
            "spec__template__metadata__labels": {"app": "z"},
        },
    )
    yield (
        "selector of set",
        deployment("ReplicaSet"),
        {
            "spec__selector__matchLabels": {"app": "z"},
            "spec__template__metadata__labels": {"app": "z"},
        },
    )
    controller = change(deployment("ReplicationController"), apiVersion="v1", spec__selector={"app": "x"})
    other = {"app": "z"}
    yield "selector", controller, {"spec__selector": other, "spec__template__metadata__labels": other}
    yield "labels alone", controller, {"spec__template__metadata__labels": other}
    yield "selector gone", controller, {"spec__selector": DELETE, "spec__template__metadata__labels": other}
    yield "scaled", controller, {"spec__replicas": 0, "status__replicas": 5}
    yield "template gone", controller, {"spec__template": DELETE}
    frozen = simple("ConfigMap", data={"a": "b"}, immutable=True)
    yield "immutable", frozen, {"data": {"a": "c"}}
    yield "thawed", frozen, {"immutable": False}
    yield "type", simple("Secret", type="a"), {"type": "b"}
    role = simple("RoleBinding", RBAC, roleRef={"kind": "Role", "name": "r", "apiGroup": "rbac.authorization.k8s.io"})
    yield "role", role, {"roleRef__name": "s"}
    slice_ = simple("EndpointSlice", "discovery.k8s.io/v1", addressType="IPv4", endpoints=[], ports=[])
    yield "address type", slice_, {"addressType": "FQDN"}
    yield "cluster ip", service(), {"spec__clusterIP": "10.96.0.77", "spec__clusterIPs": ["10.96.0.77"]}
    yield "port", service(), {"spec__ports__0__port": 81}
    yield "external name", service(), {"spec__type": "ExternalName", "spec__externalName": "a.b"}
    node = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "n"},
        "spec": {"podCIDR": "10.0.0.0/24", "podCIDRs": ["10.0.0.0/24"]},
    }
    yield "cidr", node, {"spec__podCIDR": "10.0.1.0/24", "spec__podCIDRs": ["10.0.1.0/24"]}
    yield "unschedulable", node, {"spec__unschedulable": True}
