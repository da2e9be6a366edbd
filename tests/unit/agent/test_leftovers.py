"""What of iptables' `nat` table is removed at the end of a node: our network's rules, portmap's chains when no port is
mapped, and nothing of anybody else's. Method: texts of iptables-save in, arguments of iptables out."""

from __future__ import annotations

from knarr.agent.leftovers import removals, undeleted

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
OURS = """:CNI-aaaa - [0:0]
-A POSTROUTING -s 10.244.0.2/32 -m comment --comment "name: \\"knarr0\\" id: \\"1\\"" -j CNI-aaaa
-A CNI-aaaa -d 10.244.0.0/24 -m comment --comment "name: \\"knarr0\\" id: \\"1\\"" -j ACCEPT
-A CNI-aaaa ! -d 224.0.0.0/4 -m comment --comment "name: \\"knarr0\\" id: \\"1\\"" -j MASQUERADE
"""
THEIRS = OURS.replace("knarr0", "podman").replace("aaaa", "bbbb")
ANOTHERS = OURS.replace("knarr0", "knarr01").replace("aaaa", "dddd")
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


def test_only_the_rules_of_our_network_go() -> None:
    calls = removals(SHARED + MAPPED + OURS + THEIRS + ANOTHERS, NETWORK)
    assert chains(calls, "-X") == {"CNI-aaaa"}
    (rule,) = (call for call in calls if call[0] == "-D")
    assert rule[1:4] == ["POSTROUTING", "-s", "10.244.0.2/32"] and 'name: "knarr0" id: "1"' in rule


def test_a_pod_s_chain_goes_although_nothing_leads_to_it() -> None:
    orphan = "".join(line for line in OURS.splitlines(keepends=True) if "-A POSTROUTING" not in line)
    calls = removals(SHARED + MAPPED + orphan + THEIRS, NETWORK)
    assert calls == [["-F", "CNI-aaaa"], ["-X", "CNI-aaaa"]]


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


def test_sandboxes_that_nobody_deleted_are_those_with_rules() -> None:
    assert undeleted(SHARED + MAPPED + OURS + THEIRS + ANOTHERS, NETWORK) == {"1"}
