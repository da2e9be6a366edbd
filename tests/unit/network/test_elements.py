"""Goal: the elements follow from the Services as kube-proxy's rules would, and change as little as can be.

Method: tables of Services with the elements they give; hypothesis for the laws of numbering and difference.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from knarr.network.elements import Chain, Elements, difference, elements_of, merged, numbered
from knarr.network.nft import base, commands_of
from knarr.network.services import Backends, Endpoint, Service, ServicePort, Slice, service_of, slice_of, usable

HTTP = ServicePort("http", "tcp", 80)


def backends(*endpoints: Endpoint, port: int = 8080) -> Backends:
    return Backends({"a": Slice("d", "a", "web", 4, (("http", "tcp", port),), endpoints)})


def service(**changes: Any) -> Service:
    values: dict[str, Any] = {"cluster_addresses": ("10.96.0.5",), "ports": (HTTP,)}
    return Service("d", "web", **(values | changes))


def check(made: Elements, **expected: dict[str, str]) -> None:
    assert made.maps == expected


def test_an_address_leads_to_a_draw_among_its_endpoints() -> None:
    made = elements_of(service(), backends(Endpoint("10.244.0.2"), Endpoint("10.244.0.3")), {})
    check(
        made,
        services={"10.96.0.5 . tcp . 80": "goto of_2"},
        endpoints={
            "10.96.0.5 . tcp . 80 . 0x6b0000": "10.244.0.2 . 8080",
            "10.96.0.5 . tcp . 80 . 0x6b0001": "10.244.0.3 . 8080",
        },
        hairpin={"10.244.0.2 . 10.244.0.2": "", "10.244.0.3 . 10.244.0.3": ""},
        addresses={"10.96.0.5": ""},
    )
    assert made.chains == {Chain(2)}


def test_without_endpoints_the_address_is_refused() -> None:
    check(elements_of(service(), Backends(), {}), addresses={"10.96.0.5": ""})
    node_port = service(ports=(ServicePort("http", "tcp", 80, 30080),))
    check(
        elements_of(node_port, Backends(), {}),
        addresses={"10.96.0.5": ""},
        refused_node_ports={"tcp . 30080": ""},
    )


def test_a_node_port_is_masqueraded_unless_its_traffic_stays_here() -> None:
    ports = (ServicePort("http", "tcp", 80, 30080),)
    everywhere = elements_of(service(ports=ports), backends(Endpoint("10.244.0.2")), {})
    assert everywhere.maps["node_ports"] == {"tcp . 30080": "goto node_masq_of_1"}
    assert everywhere.maps["node_endpoints"] == {"tcp . 30080 . 0x6c0000": "10.244.0.2 . 8080"}
    behind = backends(Endpoint("10.244.0.2", local=True), Endpoint("10.244.1.2"))
    here = elements_of(service(ports=ports, external_local=True), behind, {})
    assert here.maps["node_ports"] == {"tcp . 30080": "goto node_of_1"}
    assert here.maps["node_endpoints"] == {"tcp . 30080 . 0x6b0000": "10.244.0.2 . 8080"}


def test_headless_external_and_foreign_services_have_no_elements() -> None:
    behind = backends(Endpoint("10.244.0.2"))
    for changes in ({"headless": True}, {"external_name": "x.org"}, {"proxied": False}):
        check(elements_of(service(**changes), behind, {}))


def test_affinity_remembers_the_draw() -> None:
    made = elements_of(service(affinity_seconds=60), backends(Endpoint("10.244.0.2"), Endpoint("10.244.0.3")), {})
    assert made.chains == {Chain(2, affinity=60)}
    rules = Chain(2, affinity=60).rules()
    assert rules[0].endswith(f"map @affinity {rules[2]} jump pick") and rules[-1] == "goto pick"
    assert rules[2].startswith("update @affinity") and "timeout 60s" in rules[2]


def test_ready_endpoints_first_then_those_that_still_serve() -> None:
    ending = Endpoint("10.0.0.1", ready=False, serving=True, terminating=True)
    gone = Endpoint("10.0.0.2", ready=False, serving=False, terminating=True)
    ready = Endpoint("10.0.0.3")
    assert usable([(ending, 1), (ready, 1)], local=False) == [(ready, 1)]
    assert usable([(ending, 1), (gone, 1)], local=False) == [(ending, 1)]
    assert usable([(ready, 1)], local=True) == []


def test_objects_are_read_as_kubernetes_means_them() -> None:
    item = {
        "metadata": {"namespace": "d", "name": "web"},
        "spec": {
            "clusterIP": "10.96.0.5",
            "clusterIPs": ["10.96.0.5", "fd00::5"],
            "type": "NodePort",
            "externalTrafficPolicy": "Local",
            "sessionAffinity": "ClientIP",
            "ports": [{"name": "http", "port": 80, "nodePort": 30080}],
        },
    }
    read = service_of(item)
    assert read.cluster_addresses == ("10.96.0.5", "fd00::5") and read.external_local
    assert read.affinity_seconds == 10800 and read.ports == (ServicePort("http", "tcp", 80, 30080),)
    assert service_of({"metadata": item["metadata"], "spec": {"clusterIP": "None", "clusterIPs": ["None"]}}).headless
    external = {"type": "ExternalName", "externalName": "x.org"}
    assert service_of({"metadata": item["metadata"], "spec": external}).external_name == "x.org"
    sliced = slice_of(
        {
            "metadata": {"namespace": "d", "name": "s", "labels": {"kubernetes.io/service-name": "web"}},
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": 8080}],
            "endpoints": [
                {"addresses": ["10.0.0.1"], "nodeName": "here"},
                {"addresses": ["10.0.0.2"], "conditions": {"ready": False, "serving": True, "terminating": True}},
            ],
        },
        "here",
    )
    assert sliced.service == "web" and sliced.ports == (("http", "tcp", 8080),)
    first, second = sliced.endpoints
    assert first.ready and first.serving and first.local
    assert not second.ready and second.serving and second.terminating and not second.local


addresses = st.lists(st.integers(1, 9).map(lambda n: f"10.0.0.{n}"), unique=True, max_size=9)


@given(st.lists(addresses, min_size=1, max_size=8))
def test_numbers_are_dense_and_stay(steps: list[list[str]]) -> None:
    numbering: dict[str, list[tuple[str, int]]] = {}
    for step in steps:
        before = list(numbering.get("k", []))
        after = numbered(numbering, "k", [(Endpoint(a), 80) for a in step])
        assert sorted(after) == sorted((a, 80) for a in step)
        moved = [each for i, each in enumerate(before) if each in after and after.index(each) != i]
        gone = [each for each in before if each not in after]
        assert len(moved) <= len(gone), "an endpoint moves only into the place of one that went"


maps = st.dictionaries(
    st.sampled_from(["services", "endpoints"]),
    st.dictionaries(st.sampled_from("abcd"), st.sampled_from(["", "x", "y"]), max_size=4),
)


@given(maps, maps)
def test_a_difference_leads_from_one_to_the_other(
    before: dict[str, dict[str, str]], after: dict[str, dict[str, str]]
) -> None:
    changes = difference(before, set(), Elements(after))
    state = {name: dict(entries) for name, entries in before.items()}
    for name, key in changes.delete:
        del state[name][key]
    for name, key, value in changes.add:
        assert key not in state.setdefault(name, {})
        state[name][key] = value
    assert {n: e for n, e in state.items() if e} == {n: e for n, e in after.items() if e}
    assert not difference(after, set(), Elements(after))


def test_the_first_service_keeps_an_address_that_two_claim() -> None:
    one, two = Elements({"services": {"a": "goto of_1"}}), Elements({"services": {"a": "goto of_2"}})
    assert merged([one, two]).maps == {"services": {"a": "goto of_1"}}


def test_commands_delete_before_they_add() -> None:
    changes = difference(
        {"services": {"a": "goto of_1"}}, {Chain(1)}, Elements({"services": {"a": "goto of_2"}}, {Chain(2)})
    )
    assert commands_of(changes) == [
        "add chain ip knarr of_2",
        "add rule ip knarr of_2 meta mark set numgen random mod 2 offset 7012352",
        "add rule ip knarr of_2 goto pick",
        "delete element ip knarr services { a }",
        "add element ip knarr services { a : goto of_2 }",
    ]
    assert base("10.244.0.0/16")[0] == "table ip knarr"
