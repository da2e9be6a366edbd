"""What of iptables' `nat` table is removed at the end of a node: our network's rules, portmap's chains when no port is
mapped, and nothing of anybody else's. Method: texts of iptables-save in, arguments of iptables out."""

from __future__ import annotations

import json
from pathlib import Path

from knarr.agent.leftovers import removals, remove_results

NETWORK = "knarr0"
SHARED = """*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:CNI-HOSTPORT-DNAT - [0:0]
:CNI-HOSTPORT-MASQ - [0:0]
:CNI-HOSTPORT-SETMARK - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
-A POSTROUTING -m comment --comment "CNI portfwd requiring masquerade" -j CNI-HOSTPORT-MASQ
-A CNI-HOSTPORT-MASQ -m mark --mark 0x2000/0x2000 -j MASQUERADE
-A CNI-HOSTPORT-SETMARK -m comment --comment "CNI portfwd masquerade mark" -j MARK --set-xmark 0x2000/0x2000
"""
MAPPED = """:CNI-DN-cccc - [0:0]
-A CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat name: \\"podman\\"" -m multiport --dports 80 -j CNI-DN-cccc
-A CNI-DN-cccc -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.9.0.2:80
"""


OUR_PORT = MAPPED.replace("podman", "knarr0").replace("cccc", "eeee")


def chains(calls: list[list[str]], flag: str) -> set[str]:
    return {call[1] for call in calls if call[0] == flag}


def test_an_empty_table_needs_nothing() -> None:
    assert removals("", NETWORK) == [] and removals("*nat\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n", NETWORK) == []


def test_the_chains_of_portmap_go_when_no_port_is_mapped() -> None:
    calls = removals(SHARED, NETWORK)
    shared = {"CNI-HOSTPORT-DNAT", "CNI-HOSTPORT-MASQ", "CNI-HOSTPORT-SETMARK"}
    assert chains(calls, "-F") == chains(calls, "-X") == shared
    assert ["-D", "PREROUTING", "-m", "addrtype", "--dst-type", "LOCAL", "-j", "CNI-HOSTPORT-DNAT"] in calls
    # a chain that a rule still leads to cannot be deleted: rules first, all chains emptied, then deleted
    order = [call[0] for call in calls]
    assert order == sorted(order, key=["-D", "-F", "-X"].index)


def test_they_stay_while_somebody_maps_a_port() -> None:
    assert removals(SHARED + MAPPED, NETWORK) == []


def test_a_port_that_our_network_still_maps_goes_too() -> None:
    assert chains(removals(SHARED + OUR_PORT, NETWORK), "-X") == {
        "CNI-DN-eeee",
        "CNI-HOSTPORT-DNAT",
        "CNI-HOSTPORT-MASQ",
        "CNI-HOSTPORT-SETMARK",
    }
    calls = removals(SHARED + MAPPED + OUR_PORT, NETWORK)
    assert chains(calls, "-X") == {"CNI-DN-eeee"}
    (rule,) = (call for call in calls if call[0] == "-D")
    assert rule[1] == "CNI-HOSTPORT-DNAT" and rule[-1] == "CNI-DN-eeee"


def test_what_libcni_remembers_of_pods_that_are_no_more_goes(tmp_path: Path) -> None:
    def known(name: str, network: str, sandbox: str) -> Path:
        path = tmp_path / name
        links = [{"name": "veth1"}, {"name": "eth0", "sandbox": sandbox}]
        pod = name.split("-")[-2]
        path.write_text(json.dumps({"networkName": network, "containerId": pod, "result": {"interfaces": links}}))
        return path

    gone = known("knarr0-aaaa-eth0", NETWORK, str(tmp_path / "none"))
    there = known("knarr0-bbbb-eth0", NETWORK, str(tmp_path))
    loopback = known("cni-loopback-aaaa-lo", "cni-loopback", str(tmp_path / "none"))
    others = known("knarr0-x-cccc-eth0", "knarr0-x", str(tmp_path / "none"))
    remove_results(NETWORK, tmp_path)
    assert [each.exists() for each in (gone, loopback, there, others)] == [False, False, True, True]
