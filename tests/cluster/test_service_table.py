"""Goal: packets go where the elements say, in a real kernel. Method: a node and two pods as network namespaces on a
bridge, a web server in each pod, the table applied in the node's namespace, requests from a pod, from the node, and
from outside.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from knarr.network import masquerade
from knarr.network.elements import Numbering, elements_of
from knarr.network.nft import Nft, ServiceTable
from knarr.network.services import Backends, Endpoint, Service, ServicePort, Slice

CLONE_NEWNET = 0x40000000
NODE, PODS, OUTSIDE = "kt-node", ("kt-pod1", "kt-pod2"), "kt-out"
POD_ADDRESSES = ("10.244.9.2", "10.244.9.3")
SERVICE, NODE_ADDRESS = "10.96.9.9", "192.0.2.10"


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def link(one: str, two: str, address_one: str, address_two: str, names: tuple[str, str]) -> None:
    ip("link", "add", names[0], "netns", one, "type", "veth", "peer", "name", names[1], "netns", two)
    for namespace, name, address in ((one, names[0], address_one), (two, names[1], address_two)):
        if address:
            ip("-n", namespace, "addr", "add", address, "dev", name)
        ip("-n", namespace, "link", "set", name, "up")


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    namespaces = (NODE, *PODS, OUTSIDE)
    for name in namespaces:
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
        ip("netns", "add", name)
        ip("-n", name, "link", "set", "lo", "up")
    servers = []
    try:
        ip("-n", NODE, "link", "add", "br0", "type", "bridge")
        ip("-n", NODE, "addr", "add", "10.244.9.1/24", "dev", "br0")
        ip("-n", NODE, "link", "set", "br0", "up")
        sysctls = ["net.ipv4.ip_forward=1", "net.bridge.bridge-nf-call-iptables=1"]
        subprocess.run(["ip", "netns", "exec", NODE, "sysctl", "-qw", *sysctls], check=True)
        for i, (pod, address) in enumerate(zip(PODS, POD_ADDRESSES, strict=True)):
            link(pod, NODE, f"{address}/24", "", ("eth0", f"veth{i}"))
            ip("-n", NODE, "link", "set", f"veth{i}", "master", "br0")
            subprocess.run(["bridge", "-n", NODE, "link", "set", "dev", f"veth{i}", "hairpin", "on"], check=True)
            ip("-n", pod, "route", "add", "default", "via", "10.244.9.1")
            folder = tmp_path_factory.mktemp(pod)
            (folder / "index.html").write_text(pod)
            command = ["ip", "netns", "exec", pod, "busybox", "httpd", "-f", "-p", "8080", "-h", str(folder)]
            servers.append(subprocess.Popen(command))
        link(OUTSIDE, NODE, "192.0.2.1/24", f"{NODE_ADDRESS}/24", ("eth0", "eth0"))
        ip("-n", NODE, "route", "add", "default", "via", "192.0.2.1")
        yield
    finally:
        for server in servers:
            server.kill()
            server.wait()
        for name in namespaces:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


@pytest.fixture(scope="module")
def in_node(hosts: None) -> Iterator[Callable[..., Any]]:
    """Runs a function on a thread that lives in the node's namespace."""

    def enter() -> None:
        descriptor = os.open(f"/run/netns/{NODE}", os.O_RDONLY)
        if ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
        os.close(descriptor)

    with ThreadPoolExecutor(1, initializer=enter) as pool:
        yield lambda function, *arguments: pool.submit(function, *arguments).result(30)


def fetch(namespace: str, url: str) -> str:
    """The page, or curl's error number: 7 refused, 28 no answer."""
    command = ["ip", "netns", "exec", namespace, "curl", "-s", "-m", "3", url]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else str(done.returncode)


def several(namespace: str, url: str, count: int = 24) -> set[str]:
    return {fetch(namespace, url) for _ in range(count)}


def backends(*indexes: int) -> Backends:
    endpoints = tuple(Endpoint(POD_ADDRESSES[i], local=True) for i in indexes)
    return Backends({"a": Slice("d", "a", "web", 4, (("", "tcp", 8080),), endpoints)})


def service(**changes: Any) -> Service:
    port = ServicePort("", "tcp", 80, 30080)
    return Service("d", "web", cluster_addresses=(SERVICE,), ports=(port,), **changes)


def test_packets_go_where_the_elements_say(in_node: Callable[..., Any]) -> None:
    table: ServiceTable = in_node(lambda: ServiceTable(Nft(), "10.244.0.0/16"))
    numbering: Numbering = {}

    def apply(what: Service, behind: Backends) -> int:
        touched: int = in_node(table.apply, elements_of(what, behind, numbering))
        return touched

    url, node_url = f"http://{SERVICE}/", f"http://{NODE_ADDRESS}:30080/"
    wait_for_servers()

    apply(service(), backends(0, 1))
    assert several(NODE, url) == set(PODS), "from the node, to each endpoint"
    assert several(PODS[0], url) == set(PODS), "from a pod, itself among them"
    assert several(OUTSIDE, node_url) == set(PODS), "from outside by the node's port"
    assert fetch(NODE, node_url) in PODS, "from the node by its own port"
    assert fetch(PODS[0], node_url) in PODS, "from a pod by the node's port"

    assert apply(service(), backends(0, 1)) == 0, "nothing changed, nothing is touched"
    touched = apply(service(), backends(1))
    assert touched < 12
    assert several(PODS[0], url, 6) == {PODS[1]}

    apply(service(), Backends())
    assert fetch(PODS[0], url) == "7", "without endpoints it is refused, at once"
    assert fetch(NODE, url) == "7"
    assert fetch(OUTSIDE, node_url) == "7"
    assert fetch(PODS[0], f"http://{SERVICE}:81/") == "7", "a port that the Service has not"

    apply(service(affinity_seconds=60), backends(0, 1))
    assert len(several(PODS[0], url)) == 1, "a client stays with its endpoint"
    apply(service(affinity_seconds=2), backends(0, 1))
    for _ in range(2):
        fetch(PODS[1], url)
        time.sleep(1.2)
    remembered = subprocess.run(
        ["ip", "netns", "exec", NODE, "nft", "list", "map", "ip", "knarr", "affinity"], capture_output=True, text=True
    )
    assert f"{POD_ADDRESSES[1]} . {SERVICE}" in remembered.stdout, "as long as it comes again in time"

    in_node(table.remove)
    listed = subprocess.run(["ip", "netns", "exec", NODE, "nft", "list", "ruleset"], capture_output=True, text=True)
    assert "table ip knarr" not in listed.stdout


NAME = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
    server.bind(("", 5353))
    while True:
        server.sendto(sys.argv[1].encode(), server.recvfrom(9)[1])
"""
ASK = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
    client.bind(("", 5555))
    client.settimeout(0.2)
    for line in sys.stdin:
        try:
            client.sendto(b"?", (sys.argv[1], int(sys.argv[2])))
            print(client.recv(99).decode(), flush=True)
        except OSError:
            print("", flush=True)
"""


@pytest.mark.parametrize(
    ("who", "address", "port"), [(PODS[0], SERVICE, 53), (NODE, SERVICE, 53), (OUTSIDE, NODE_ADDRESS, 30053)]
)
def test_a_client_of_udp_leaves_an_endpoint_that_is_gone(
    in_node: Callable[..., Any], who: str, address: str, port: int
) -> None:
    """Clients that send from one port all the time, as resolvers and log senders do."""
    command = ["ip", "netns", "exec"]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    started = [subprocess.Popen([*command, pod, sys.executable, "-c", NAME, pod]) for pod in PODS]
    client = subprocess.Popen([*command, who, sys.executable, "-c", ASK, address, str(port)], **pipes)
    started.append(client)

    def ask() -> str:
        assert client.stdin is not None and client.stdout is not None
        client.stdin.write("\n")
        client.stdin.flush()
        return str(client.stdout.readline().strip())

    def eventually(expected: str) -> None:
        end = time.monotonic() + 10
        while (found := ask()) != expected:
            assert time.monotonic() < end, f"{found!r} instead of {expected!r}"

    def behind(*indexes: int) -> Backends:
        endpoints = tuple(Endpoint(POD_ADDRESSES[i], local=True) for i in indexes)
        return Backends({"a": Slice("d", "a", "dns", 4, (("", "udp", 5353),), endpoints)})

    ports = (ServicePort("", "udp", 53, 30053),)
    asked = Service("d", "dns", cluster_addresses=(SERVICE,), ports=ports)
    table: ServiceTable = in_node(lambda: ServiceTable(Nft(), "10.244.0.0/16"))
    try:
        for i, pod in enumerate(PODS):
            in_node(table.apply, elements_of(asked, behind(i), {}))
            eventually(pod)
        in_node(table.apply, elements_of(asked, behind(0, 1), {}))
        assert {ask() for _ in range(8)} == {PODS[1]}, "what another endpoint comes to stays"
        # one that is started anew knows only what is there
        table = in_node(lambda: ServiceTable(Nft(), "10.244.0.0/16"))
        in_node(table.apply, elements_of(asked, behind(0), {}))
        eventually(PODS[0])
        in_node(table.apply, elements_of(asked, Backends(), {}))
        assert {ask() for _ in range(8)} == {""}
    finally:
        in_node(table.remove)
        for process in started:
            process.kill()
            process.wait()


WHO = """
import socket
with socket.create_server(("", 9000)) as server:
    while True:
        with server.accept()[0] as peer:
            peer.sendall(peer.getpeername()[0].encode())
"""


def test_what_leaves_the_pod_network_bears_the_nodes_address(in_node: Callable[..., Any]) -> None:
    """Servers that say whom they see; the one outside knows no way back to a pod."""
    command = ["ip", "netns", "exec"]
    servers = [subprocess.Popen([*command, name, sys.executable, "-c", WHO]) for name in (OUTSIDE, PODS[1])]

    def seen(address: str) -> str:
        ask = [*command, PODS[0], "timeout", "1", "busybox", "nc", address, "9000"]
        return subprocess.run(ask, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL).stdout

    def eventually_seen(address: str) -> str:
        end = time.monotonic() + 10
        while not (found := seen(address)) and time.monotonic() < end:
            time.sleep(0.1)
        return found

    try:
        for _ in range(2):  # loading it again changes nothing
            in_node(masquerade.load, "br0", ("10.244.9.0/24", "fd00:9::/64"))
        assert eventually_seen("192.0.2.1") == NODE_ADDRESS
        assert eventually_seen(POD_ADDRESSES[1]) == POD_ADDRESSES[0], "within the pod network nothing is changed"
        for _ in range(2):
            in_node(masquerade.remove, "br0")
        assert seen("192.0.2.1") == ""
    finally:
        for server in servers:
            server.kill()
            server.wait()


def wait_for_servers() -> None:
    end = time.monotonic() + 5
    for pod, address in zip(PODS, POD_ADDRESSES, strict=True):
        while fetch(NODE, f"http://{address}:8080/") != pod:
            assert time.monotonic() < end, f"{pod} does not serve"
            time.sleep(0.05)


def test_a_thousand_services_load_in_a_second_and_change_one_by_one(
    in_node: Callable[..., Any], tmp_path: Path
) -> None:
    from knarr.network.elements import merged

    def thousand(ports: int) -> Any:
        parts = []
        for n in range(1000):
            one = Service(
                "d",
                f"s{n}",
                cluster_addresses=(f"10.97.{n // 250}.{n % 250 + 1}",),
                ports=(ServicePort("", "tcp", 80),),
            )
            count = 3 if n else ports
            ends = tuple(Endpoint(f"10.244.{n // 250}.{i + 1}") for i in range(count))
            behind = Backends({"a": Slice("d", "a", f"s{n}", 4, (("", "tcp", 8080),), ends)})
            parts.append(elements_of(one, behind, {}))
        return merged(parts)

    table: ServiceTable = in_node(lambda: ServiceTable(Nft(), "10.244.0.0/16"))
    try:
        begin = time.monotonic()
        in_node(table.apply, thousand(3))
        loaded = time.monotonic() - begin
        begin = time.monotonic()
        touched = in_node(table.apply, thousand(2))
        changed = time.monotonic() - begin
    finally:
        in_node(table.remove)
    assert touched <= 6
    assert loaded < 5, f"{loaded:.2f} s"
    assert changed < 1, f"{changed:.2f} s"
    print(f"1,000 services: {loaded:.3f} s, one change: {changed:.3f} s")
