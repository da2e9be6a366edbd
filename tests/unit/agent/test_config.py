"""Goal: a pod's configuration means on the node what Kubernetes says. Method: tables of cases."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from knarr.agent.admission import admit, demands
from knarr.agent.containers import read_termination
from knarr.agent.env import ConfigError, Sources, environment, expand, go_quote, resource_value, service_variables
from knarr.agent.images import credentials, default_policy, default_tag
from knarr.agent.podspec import (
    TERMINATION_PATH,
    NodeFacts,
    dns,
    hosts_file,
    parse_resolv_conf,
    referenced,
    subpath,
    termination_file,
)
from knarr.agent.quantity import milli, quantity, whole
from knarr.agent.resources import container_limits, pod_limits, qos_class
from knarr.agent.runtime import Container, ContainerState, Image
from knarr.agent.security import container_security


def make(container: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "p", "namespace": "ns", "uid": "u", "labels": {"a.b/c": 'x"y'}},
        "spec": {"containers": [{"name": "c", "image": "i", **(container or {})}], "nodeName": "n", **spec},
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [("1500m", 1.5), ("1Ki", 1024), ("1.5Gi", 1.5 * 2**30), ("2e3", 2000), ("1E", 10**18), ("0", 0), ("100M", 10**8)],
)
def test_quantities(text: str, value: float) -> None:
    assert quantity(text) == value


def test_quantities_round_up() -> None:
    assert (milli(quantity("1.0001")), whole(quantity("1.1"))) == (1001, 2)
    with pytest.raises(ValueError, match="not a quantity"):
        quantity("1x")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A)", "1"),
        ("$$(A)", "$(A)"),
        ("$(B)", "$(B)"),
        ("a$(A)b$(S)", "a1bs"),
        ("$", "$"),
        ("$(A", "$(A"),
        ("$x", "$x"),
        ("$$$(A)", "$1"),
    ],
)
def test_expansion(text: str, expected: str) -> None:
    assert expand(text, {"A": "1"}, {"A": "2", "S": "s"}) == expected


@given(st.text())
def test_expansion_of_text_without_references_changes_nothing(text: str) -> None:
    plain = text.replace("$", "")
    assert expand(plain, {"A": "1"}) == plain


def test_environment_comes_from_all_its_sources_and_later_ones_win() -> None:
    container = {
        "envFrom": [{"configMapRef": {"name": "m"}, "prefix": "P_"}, {"secretRef": {"name": "gone", "optional": True}}],
        "env": [
            {"name": "LIT", "value": "$(P_k)-$(UNKNOWN)"},
            {"name": "SEC", "valueFrom": {"secretKeyRef": {"name": "s", "key": "pw"}}},
            {"name": "OPT", "valueFrom": {"secretKeyRef": {"name": "s", "key": "no", "optional": True}}},
            {"name": "LABEL", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a.b/c']"}}},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
            {"name": "P_k", "value": "over"},
        ],
    }
    sources = Sources(
        config_maps={"m": {"data": {"k": "v"}}},
        secrets={"s": {"data": {"pw": base64.b64encode(b"x").decode()}}, "gone": None},
        allocatable={"cpu": "1500m"},
        pod_ips=("10.0.0.1",),
    )
    subject = make(container)
    assert environment(subject, subject["spec"]["containers"][0], sources) == {
        "LIT": "v-$(UNKNOWN)",
        "SEC": "x",
        "LABEL": 'x"y',
        "IP": "10.0.0.1",
        "CPU": "2",
        "P_k": "over",
    }


@pytest.mark.parametrize(
    ("own", "pod", "expected"),
    [("1", "2", "1"), (None, "2", "2"), (None, None, "4"), (None, "0", "4")],
)
def test_a_limit_that_is_not_set_is_the_pods_or_else_the_nodes(own: str | None, pod: str | None, expected: str) -> None:
    container = {"env": [{"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}]}
    subject = make(container | ({"resources": {"limits": {"cpu": own}}} if own else {}))
    subject["spec"]["resources"] = {"limits": {"cpu": pod}} if pod else {}
    sources = Sources(allocatable={"cpu": "4"})
    assert environment(subject, subject["spec"]["containers"][0], sources) == {"CPU": expected}


@pytest.mark.parametrize(
    ("container", "message"),
    [
        ({"envFrom": [{"configMapRef": {"name": "no"}}]}, 'configmap "no" not found'),
        ({"envFrom": [{"secretRef": {"name": "no"}}]}, 'secret "no" not found'),
        (
            {"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "no"}}}]},
            "couldn't find key no in ConfigMap ns/m",
        ),
        ({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.x"}}}]}, "unsupported fieldPath: spec.x"),
    ],
)
def test_environment_errors_are_kubelets(container: dict[str, Any], message: str) -> None:
    subject = make(container)
    sources = Sources(config_maps={"m": {"data": {}}})
    with pytest.raises(ConfigError, match=message.replace("(", r"\(")):
        environment(subject, subject["spec"]["containers"][0], sources)


def test_service_variables() -> None:
    service = {
        "metadata": {"name": "my-web", "namespace": "ns"},
        "spec": {"clusterIP": "10.96.0.7", "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]},
    }
    headless = {"metadata": {"name": "h", "namespace": "ns"}, "spec": {"clusterIP": "None", "ports": [{"port": 1}]}}
    made = service_variables([service, headless])
    assert made == {
        "MY_WEB_SERVICE_HOST": "10.96.0.7",
        "MY_WEB_SERVICE_PORT": "80",
        "MY_WEB_SERVICE_PORT_HTTP": "80",
        "MY_WEB_PORT": "tcp://10.96.0.7:80",
        "MY_WEB_PORT_80_TCP": "tcp://10.96.0.7:80",
        "MY_WEB_PORT_80_TCP_PROTO": "tcp",
        "MY_WEB_PORT_80_TCP_PORT": "80",
        "MY_WEB_PORT_80_TCP_ADDR": "10.96.0.7",
    }
    off = make(enableServiceLinks=False)
    api = {**service, "metadata": {"name": "kubernetes", "namespace": "default"}}
    found = environment(off, off["spec"]["containers"][0], Sources(services=(service, api)))
    assert "KUBERNETES_SERVICE_HOST" in found and "MY_WEB_SERVICE_HOST" not in found


def test_resource_divisors_round_up() -> None:
    subject = make({"resources": {"limits": {"memory": "33Mi", "cpu": "250m"}}})
    for resource, divisor, expected in (
        ("limits.memory", "1Mi", "33"),
        ("limits.memory", "1Gi", "1"),
        ("limits.cpu", "1m", "250"),
        ("limits.cpu", "1", "1"),
        ("requests.cpu", "1", "0"),
    ):
        assert resource_value(subject, "c", {"resource": resource, "divisor": divisor}, Sources()) == expected


def test_labels_are_quoted_as_go_does() -> None:
    assert go_quote('a"b\\\n\x01é') == '"a\\"b\\\\\\n\\x01é"'


@pytest.mark.parametrize(
    ("resources", "qos", "shares", "quota", "memory", "score"),
    [
        ({}, "BestEffort", 2, 0, 0, 1000),
        ({"limits": {"cpu": "500m", "memory": "64Mi"}}, "Guaranteed", 512, 50_000, 64 << 20, -997),
        ({"requests": {"cpu": "100m", "memory": "512Mi"}}, "Burstable", 102, 0, 0, 500),
        ({"requests": {"cpu": "100m"}, "limits": {"cpu": "5m"}}, "Burstable", 102, 1000, 0, 999),
    ],
)
def test_resources_become_cgroup_values(
    resources: dict[str, Any], qos: str, shares: int, quota: int, memory: int, score: int
) -> None:
    subject = make({"resources": resources})
    limits = container_limits(subject, subject["spec"]["containers"][0], 1 << 30)
    assert qos_class(subject) == qos
    assert (limits.cpu_shares, limits.cpu_quota, limits.memory, limits.oom_score_adj) == (shares, quota, memory, score)
    assert pod_limits(subject).memory == memory


def test_a_pod_cgroup_is_limited_only_when_all_containers_are() -> None:
    limited = {"resources": {"limits": {"memory": "64Mi"}}}
    subject = make(limited)
    subject["spec"]["containers"].append({"name": "d", "image": "i"})
    assert pod_limits(subject).memory == 0
    subject["spec"]["containers"][1] |= limited
    assert pod_limits(subject).memory == 128 << 20


def facts(**more: Any) -> NodeFacts:
    resolv = "nameserver 1.1.1.1\nsearch corp.example\noptions ndots:1 timeout:2\n"
    return NodeFacts(
        "i", "n", ("10.9.9.9",), 1 << 30, Path("/p"), Path("/l"), ("10.96.0.10",), resolv_conf=resolv, **more
    )


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (
            {},
            (
                ("10.96.0.10",),
                ("ns.svc.cluster.local", "svc.cluster.local", "cluster.local", "corp.example"),
                ("ndots:5",),
            ),
        ),
        ({"dnsPolicy": "Default"}, (("1.1.1.1",), ("corp.example",), ("ndots:1", "timeout:2"))),
        ({"hostNetwork": True}, (("1.1.1.1",), ("corp.example",), ("ndots:1", "timeout:2"))),
        (
            {
                "dnsPolicy": "None",
                "dnsConfig": {"nameservers": ["9.9.9.9"], "options": [{"name": "ndots", "value": "3"}]},
            },
            (("9.9.9.9",), (), ("ndots:3",)),
        ),
    ],
)
def test_dns_policies(spec: dict[str, Any], expected: Any) -> None:
    assert dns(make(**spec), facts()) == expected


def test_resolv_conf_takes_the_last_search_line() -> None:
    assert parse_resolv_conf("search a\n# c\nsearch b c # d\nnameserver ::1") == (["::1"], ["b", "c"], [])


def test_hosts_file() -> None:
    subject = make(hostname="web", subdomain="sub", hostAliases=[{"ip": "1.2.3.4", "hostnames": ["x", "y"]}])
    text = hosts_file(subject, ["10.0.0.5"], "cluster.local", "")
    assert "10.0.0.5\tweb.sub.ns.svc.cluster.local\tweb\n" in text
    assert text.endswith("\n# Entries added by HostAliases.\n1.2.3.4\tx\ty\n")
    assert hosts_file(make(hostNetwork=True), [], "c", "127.0.0.1 me\n").splitlines()[1] == "127.0.0.1 me"


def test_subpaths_stay_inside() -> None:
    container = {"name": "c", "env": [{"name": "POD", "value": "a"}]}
    subject = make(container)

    def of(**mount: str) -> str:
        return subpath(subject, container, {"name": "v", **mount}, Sources())

    assert (of(), of(subPath="x/y"), of(subPathExpr="$(POD)/b")) == ("", "x/y", "a/b")
    for bad in ({"subPath": "/x"}, {"subPath": "a/../../b"}, {"subPathExpr": "$(NOPE)"}):
        with pytest.raises(ConfigError):
            of(**bad)


@pytest.mark.parametrize(
    ("pod_context", "own", "image", "message"),
    [
        ({"runAsNonRoot": True}, {}, Image("i", uid=0), "image will run as root"),
        ({"runAsNonRoot": True}, {}, Image("i", username="me"), "non-numeric user"),
        ({"runAsNonRoot": True, "runAsUser": 0}, {}, None, "breaks non-root policy"),
        ({"runAsNonRoot": True}, {"runAsUser": 5}, Image("i", uid=0), ""),
        ({"runAsNonRoot": True}, {"runAsNonRoot": False}, Image("i", uid=0), ""),
    ],
)
def test_run_as_non_root(pod_context: dict[str, Any], own: dict[str, Any], image: Image | None, message: str) -> None:
    subject = make({"securityContext": own}, securityContext=pod_context)
    if message:
        with pytest.raises(ConfigError, match=message):
            container_security(subject, subject["spec"]["containers"][0], image)
    else:
        container_security(subject, subject["spec"]["containers"][0], image)


def test_security_contexts_are_merged() -> None:
    own = {"capabilities": {"add": ["NET_ADMIN"]}, "allowPrivilegeEscalation": False, "runAsUser": 7}
    shared = {"runAsUser": 5, "runAsGroup": 6, "fsGroup": 9, "supplementalGroups": [8]}
    subject = make({"securityContext": own}, securityContext=shared)
    made = container_security(subject, subject["spec"]["containers"][0], None)
    assert (made.user, made.group, made.supplemental_groups) == (7, 6, (9, 8))
    assert made.no_new_privs and made.add_capabilities == ("NET_ADMIN",) and made.masked_paths


def test_references_are_all_found() -> None:
    subject = make(
        {
            "envFrom": [{"secretRef": {"name": "a"}}],
            "env": [{"name": "E", "valueFrom": {"configMapKeyRef": {"name": "b"}}}],
        },
        volumes=[
            {"name": "v", "secret": {"secretName": "c"}},
            {"name": "w", "projected": {"sources": [{"configMap": {"name": "d"}}, {"secret": {"name": "e"}}]}},
        ],
        imagePullSecrets=[{"name": "f"}],
    )
    kinds = {"a": "Secret", "b": "ConfigMap", "c": "Secret", "d": "ConfigMap", "e": "Secret", "f": "Secret"}
    assert referenced(subject) == {(kind, name) for name, kind in kinds.items()}


@pytest.mark.parametrize(
    ("image", "tagged", "policy"),
    [
        ("busybox", "busybox:latest", "Always"),
        ("r.io:5000/a/b", "r.io:5000/a/b:latest", "Always"),
        ("a:1", "a:1", "IfNotPresent"),
        ("a@sha256:" + "0" * 64, "a@sha256:" + "0" * 64, "IfNotPresent"),
    ],
)
def test_image_references(image: str, tagged: str, policy: str) -> None:
    assert (default_tag(image), default_policy(image)) == (tagged, policy)


def test_a_bad_image_reference_is_refused() -> None:
    with pytest.raises(ValueError, match="couldn't parse image name"):
        default_tag("UPPER/Case:tag")


def test_pull_secrets_match_by_registry_and_path() -> None:
    text = (
        b'{"auths": {"r.io/a": {"auth": "dTpw"}, "r.io": {"username": "x", "password": "y"}, "o.io": {"auth": "eDp5"}}}'
    )
    secret = {"data": {".dockerconfigjson": base64.b64encode(text).decode()}}
    assert credentials("r.io/a/b:1", [secret, None]) == [
        {"username": "u", "password": "p"},
        {"username": "x", "password": "y"},
    ]


def node(**allocatable: str) -> dict[str, Any]:
    return {
        "metadata": {"name": "n", "labels": {"zone": "a", "cores": "4"}},
        "spec": {"taints": [{"key": "new", "effect": "NoSchedule"}]},
        "status": {"allocatable": {"cpu": "1", "memory": "1Gi", "pods": "2", **allocatable}},
    }


@pytest.mark.parametrize(
    ("subject", "others", "reason"),
    [
        (make(), [], None),
        (make({"resources": {"requests": {"cpu": "2"}}}), [], "OutOfcpu"),
        (
            make({"resources": {"requests": {"memory": "600Mi"}}}),
            [make({"resources": {"requests": {"memory": "600Mi"}}})],
            "OutOfmemory",
        ),
        (make(), [make(), make()], "OutOfpods"),
        (make(nodeSelector={"zone": "b"}), [], "NodeAffinity"),
        (
            make({"ports": [{"containerPort": 1, "hostPort": 80}]}),
            [make({"ports": [{"containerPort": 2, "hostPort": 80}]})],
            "NodePorts",
        ),
        (make(securityContext={"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}), [], "SysctlForbidden"),
    ],
)
def test_admission(subject: dict[str, Any], others: list[dict[str, Any]], reason: str | None) -> None:
    rejection = admit(subject, node(), [demands(other) for other in others])
    assert (rejection.reason if rejection else None) == reason


def test_admission_of_another_operating_system() -> None:
    for more, reason in (
        ({"os": {"name": "windows"}}, "PodOSNotSupported"),
        ({"nodeSelector": {"kubernetes.io/os": "windows"}}, "NodeAffinity"),
        ({"os": {"name": "linux"}}, None),
    ):
        rejection = admit(make(**more), node(), [])
        assert (rejection.reason if rejection else None) == reason
    for label, reason in (("windows", "PodOSSelectorNodeLabelDoesNotMatch"), ("linux", None)):
        subject = make()
        subject["metadata"]["labels"] = {"kubernetes.io/os": label}
        rejection = admit(subject, node(), [])
        assert (rejection.reason if rejection else None) == reason


@pytest.mark.parametrize(
    ("toleration", "admitted"),
    [
        (None, False),
        ({"operator": "Exists"}, True),
        ({"key": "down", "operator": "Exists", "effect": "NoExecute"}, True),
        ({"key": "down", "value": "yes"}, True),
        ({"key": "down", "operator": "Equal", "value": "no"}, False),
        ({"key": "up", "operator": "Exists"}, False),
        ({"key": "down", "operator": "Exists", "effect": "NoSchedule"}, False),
    ],
)
def test_a_node_that_executes_nothing_takes_who_tolerates_it(toleration: Any, admitted: bool) -> None:
    tainted = node() | {"spec": {"taints": [{"key": "down", "value": "yes", "effect": "NoExecute"}]}}
    rejection = admit(make(tolerations=[toleration] if toleration else []), tainted, [])
    assert (rejection is None) is admitted
    if rejection is not None:
        assert rejection.reason == "TaintToleration"


def test_admission_says_the_amounts() -> None:
    rejection = admit(make({"resources": {"requests": {"cpu": "2"}}}), node(), [])
    assert rejection is not None
    assert rejection.message == "Node didn't have enough resource: cpu, requested: 2000, used: 0, capacity: 1000"


@pytest.mark.parametrize(
    ("operator", "values", "fits"),
    [("In", ["a"], True), ("NotIn", ["a"], False), ("Exists", [], True), ("DoesNotExist", [], False)],
)
def test_node_affinity_operators(operator: str, values: list[str], fits: bool) -> None:
    term = {"matchExpressions": [{"key": "zone", "operator": operator, "values": values}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    assert (admit(make(affinity={"nodeAffinity": required}), node(), []) is None) is fits
    more = {"matchExpressions": [{"key": "cores", "operator": "Gt", "values": ["3"]}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [more]}}
    assert admit(make(affinity={"nodeAffinity": required}), node(), []) is None


def test_the_end_of_a_termination_message_is_kept(tmp_path: Path) -> None:
    place, subject = replace(facts(), pods_dir=tmp_path), make()
    file = termination_file(place, subject, "c", 0)
    file.parent.mkdir(parents=True)
    file.write_bytes(b"first" + b"x" * 4091 + b"last")
    ended = Container(
        "id", "s", "c", 0, ContainerState.EXITED, 1, annotations={TERMINATION_PATH: "/dev/termination-log"}
    )
    assert read_termination(place, subject, ended) == "t" + "x" * 4091 + "last"
