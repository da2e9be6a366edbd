"""The settings of one machine's cluster, and the layout of its data directory.

Settings are remembered in `config.json` of the data directory, so that every role of it is started by `knarr ROLE
--data-dir D` alone, and a second `knarr up` needs no flag to find the same cluster again.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import os
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from knarr.cluster.refusal import Refusal

DNS_1123_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
RUNTIMES = ("cri", "hollow")


@dataclass(frozen=True, slots=True)
class Config:
    """What `knarr up` was told. Addresses are text in their canonical form; ports are TCP ports."""

    data_dir: str
    node_name: str
    node_ip: str
    port: int = 6443
    runtime: str = "cri"
    cri: str | None = None
    cluster_cidr: str = "10.244.0.0/16"
    service_cidr: str = "10.96.0.0/16"
    kubeconfig: str | None = None
    tls_san: tuple[str, ...] = ()

    @property
    def paths(self) -> Paths:
        """Where everything of this cluster lies."""
        return Paths(Path(self.data_dir))

    @property
    def server_url(self) -> str:
        """The address that clients on this machine and its pods use."""
        return f"https://{bracketed(self.node_ip)}:{self.port}"

    @property
    def admin_kubeconfig(self) -> str:
        """The kubeconfig that a person is to use."""
        return self.kubeconfig or str(self.paths.admin_kubeconfig)

    def service_address(self, offset: int) -> str:
        """The address `offset` steps into the Service range: 1 is Service default/kubernetes, 10 is cluster DNS."""
        return str(ipaddress.ip_network(self.service_cidr)[offset])

    @property
    def pod_cidr(self) -> str:
        """The range of this node's pods: the first of the size that Kubernetes gives a node, or all there is."""
        network = ipaddress.ip_network(self.cluster_cidr)
        bits = max(network.prefixlen, 24 if network.version == 4 else 64)
        return str(next(network.subnets(new_prefix=bits)))

    def save(self) -> None:
        """Remember the settings in the data directory."""
        write_private(self.paths.config, json.dumps(dataclasses.asdict(self), indent=1).encode())


def is_text(value: Any) -> bool:
    return isinstance(value, str)


def is_optional_text(value: Any) -> bool:
    return value is None or isinstance(value, str)


# what config.json may hold, by field of Config; the data directory is where the file was found
SHAPES: dict[str, Callable[[Any], bool]] = {
    "node_name": is_text,
    "node_ip": is_text,
    "port": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "runtime": is_text,
    "cri": is_optional_text,
    "cluster_cidr": is_text,
    "service_cidr": is_text,
    "kubeconfig": is_optional_text,
    "tls_san": lambda value: isinstance(value, list) and all(map(is_text, value)),
}


@dataclass(frozen=True, slots=True)
class Paths:
    """The files of one data directory."""

    data_dir: Path

    @property
    def config(self) -> Path:
        return self.data_dir / "config.json"

    @property
    def store(self) -> Path:
        return self.data_dir / "store"

    @property
    def pki(self) -> Path:
        return self.data_dir / "pki"

    @property
    def admin_kubeconfig(self) -> Path:
        return self.data_dir / "admin.conf"

    def kubeconfig(self, role: str) -> Path:
        """The kubeconfig that `role` (controllers, agent, proxy) speaks with."""
        return self.data_dir / f"{role}.conf"

    @property
    def agent(self) -> Path:
        return self.data_dir / "agent"

    @property
    def logs(self) -> Path:
        return self.data_dir / "logs"

    def log(self, role: str) -> Path:
        return self.logs / f"{role}.log"

    @property
    def run(self) -> Path:
        return self.data_dir / "run"

    @property
    def lock(self) -> Path:
        return self.run / "lock"

    @property
    def state(self) -> Path:
        return self.run / "state.json"

    @property
    def place(self) -> Path:
        """Which network namespace the node lives in."""
        return self.run / "netns"


def default_data_dir() -> str:
    """`/var/lib/knarr` for root, the XDG state folder for everybody else."""
    if os.geteuid() == 0:
        return "/var/lib/knarr"
    base = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return os.path.join(base, "knarr")


def default_node_ip() -> str:
    """The address this host would send from, else loopback where it has no route out (a network namespace of its
    own)."""
    for family, far in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:  # connecting a datagram socket sends nothing
                probe.connect((far, 9))
                return str(probe.getsockname()[0])
        except OSError:
            continue
    return "127.0.0.1"


def settle(data_dir: str | None, given: Mapping[str, Any]) -> Config:
    """The settings to run with: what was given, else what this data directory remembers, else the defaults.

    given: field name to value, None where the flag was not used. Raises Refusal for a value that cannot be.
    """
    directory = resolved(data_dir)
    values: dict[str, Any] = remembered(directory)
    values.update({key: value for key, value in given.items() if value is not None and value != ()})
    values["data_dir"] = directory
    if not given.get("cri") and given.get("runtime") == "hollow":
        values["cri"] = None
    values.setdefault("node_name", socket.gethostname().split(".")[0].lower())
    values.setdefault("node_ip", default_node_ip())
    if values.get("kubeconfig") is not None:
        values["kubeconfig"] = checked_path("--kubeconfig", values["kubeconfig"])
    values["tls_san"] = tuple(values.get("tls_san", ()))
    known = {field.name for field in dataclasses.fields(Config)}
    return checked(Config(**{key: value for key, value in values.items() if key in known}))


def resolved(data_dir: str | None) -> str:
    """The data directory that --data-dir names, or the default one. Raises Refusal."""
    return checked_path("--data-dir", default_data_dir() if data_dir is None else data_dir)


def checked_path(flag: str, path: str) -> str:
    """The same path from the root. Raises Refusal for an empty one (a variable that is not set), and for what would
    not survive the files and command lines that it stands in."""
    try:
        path.encode()
    except UnicodeEncodeError:
        raise Refusal(f"{flag} {os.fsencode(path)!r} is not UTF-8", "use a path of UTF-8 characters") from None
    if not path or not path.isprintable():
        raise Refusal(f"{flag} {path!r} is no path", "use one of printable characters, such as /var/lib/knarr")
    return os.path.abspath(path)


def load(data_dir: str | None) -> Config:
    """The settings that a data directory (None: the default one) remembers. Raises Refusal where there are none."""
    directory = resolved(data_dir)
    values = remembered(directory)
    if not values:
        raise Refusal(f"{directory} holds no cluster", "start one with `knarr up`, or name another with --data-dir")
    return settle(directory, {})


def remembered(directory: str) -> dict[str, Any]:
    path = Paths(Path(directory)).config
    try:
        values = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except NotADirectoryError:
        raise Refusal(f"{directory} is not a directory", "name another with --data-dir") from None
    except PermissionError:
        raise Refusal(
            f"{directory} cannot be read by this user",
            "run as the user that it belongs to, or name another with --data-dir",
        ) from None
    except OSError as cause:
        raise Refusal(f"{path} cannot be read: {cause.strerror}", "name another with --data-dir") from None
    except ValueError as cause:
        raise damaged(path, str(cause)) from None
    if not isinstance(values, dict):
        raise damaged(path, "not an object")
    for name, fits in SHAPES.items():
        if name in values and not fits(values[name]):
            raise damaged(path, f"{name} is {json.dumps(values[name])}")
    return values


def damaged(path: Path, why: str) -> Refusal:
    return Refusal(f"{path} is damaged: {why}", "remove that file and give the flags of `knarr up` again")


def checked(config: Config) -> Config:
    """The same settings, or a Refusal that names the flag and what it takes."""
    if len(config.node_name) > 253 or not DNS_1123_SUBDOMAIN.fullmatch(config.node_name):
        raise Refusal(
            f"--node-name {config.node_name!r} is no node name",
            "use lower-case letters, digits, '-' and '.', at most 253, beginning and ending with a letter or digit",
        )
    address = parsed_address("--node-ip", config.node_ip)
    if address.is_unspecified or address.is_multicast or (address.version == 4 and address.is_reserved):
        raise Refusal(f"--node-ip {address} is no address of one host", "use one of this host's, such as 192.168.1.10")
    if not 1 <= config.port <= 65535:
        raise Refusal(f"--port {config.port} is no port", "use a number from 1 to 65535")
    if config.runtime not in RUNTIMES:
        raise Refusal(f"--runtime {config.runtime!r} is not known", f"use one of: {', '.join(RUNTIMES)}")
    if config.cri is not None and not re.fullmatch(r"(unix://)?/.+", config.cri):
        raise Refusal(f"--cri {config.cri!r} is no endpoint", "use unix:///path/to/socket")
    if config.cri is not None and config.runtime != "cri":
        raise Refusal(f"--cri {config.cri} and --runtime {config.runtime} exclude each other", "leave one of them out")
    for name in config.tls_san:
        checked_san(name)
    cluster = parsed_network("--cluster-cidr", config.cluster_cidr)
    service = parsed_network("--service-cidr", config.service_cidr)
    if service.num_addresses < 16:
        raise Refusal(
            f"--service-cidr {config.service_cidr} is too small", "use at least a /28: cluster DNS is its tenth"
        )
    if service.prefixlen < 8:
        raise Refusal(f"--service-cidr {service} is too large", "use at most a /8, such as 10.0.0.0/8")
    if cluster.version != service.version:
        raise Refusal("--cluster-cidr and --service-cidr are of different address families", "use one family for both")
    if service.version != 4:
        raise Refusal(f"--service-cidr {service} is of IPv6", "use one of IPv4, such as 10.96.0.0/16")
    if cluster.num_addresses < 16:
        raise Refusal(f"--cluster-cidr {cluster} is too small", "use at least a /28: a bridge and every pod take of it")
    if cluster.overlaps(service):
        raise Refusal(
            f"--cluster-cidr {config.cluster_cidr} and --service-cidr {config.service_cidr} overlap",
            "give them ranges of their own",
        )
    for flag, network in (("--cluster-cidr", cluster), ("--service-cidr", service)):
        if address in network:
            raise Refusal(
                f"{flag} {network} holds this node's own address, {address}", f"use another range with {flag}"
            )
    return dataclasses.replace(config, node_ip=str(address), cluster_cidr=str(cluster), service_cidr=str(service))


def checked_san(name: str) -> None:
    """Raises Refusal for what is neither an address nor a DNS name (a first label `*` is one)."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        plain = name.lower().removeprefix("*.")
        if len(plain) > 253 or not DNS_1123_SUBDOMAIN.fullmatch(plain):
            raise Refusal(
                f"--tls-san {name!r} is neither a DNS name nor an IP address", "use one such as api.example.com"
            ) from None


def parsed_address(flag: str, text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        raise Refusal(f"{flag} {text!r} is no IP address", "use one of this host's, such as 192.168.1.10") from None


def parsed_network(flag: str, text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as cause:
        raise Refusal(f"{flag} {text!r} is no network: {cause}", "use ADDRESS/BITS, such as 10.244.0.0/16") from None


def bracketed(address: str) -> str:
    """An address as it stands in a URL."""
    return f"[{address}]" if ":" in address else address


def write_private(path: Path, data: bytes) -> None:
    """Write a file of mode 0600 whole or not at all; a reader sees the old content or the new."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
    except OSError:
        scratch.unlink(missing_ok=True)
        raise
