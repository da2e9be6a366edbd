"""From a Pod to what the runtime is asked for: names, labels, DNS, hosts file, sandbox and container specs. Pure.

Labels and annotations are kubelet's, so that crictl and log collectors read them; `knarr.dev/agent` marks what this
agent made. Source: pkg/kubelet/kuberuntime/labels.go, pkg/kubelet/network/dns/dns.go, kubelet_pods.go.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import env as environment
from .cgroups import parent_path
from .env import ConfigError, Sources, expand
from .resources import container_limits, is_sidecar, pod_limits, qos_class
from .runtime import ContainerSpec, Image, Mount, PortMapping, SandboxSpec
from .security import container_security, namespaces, sandbox_security

POD_NAME = "io.kubernetes.pod.name"
POD_NAMESPACE = "io.kubernetes.pod.namespace"
POD_UID = "io.kubernetes.pod.uid"
CONTAINER_NAME = "io.kubernetes.container.name"
CONTAINER_HASH = "io.kubernetes.container.hash"
RESTART_COUNT = "io.kubernetes.container.restartCount"
TERMINATION_PATH = "io.kubernetes.container.terminationMessagePath"
TERMINATION_POLICY = "io.kubernetes.container.terminationMessagePolicy"
POD_GRACE = "io.kubernetes.pod.terminationGracePeriod"
AGENT = "knarr.dev/agent"

LOCAL_HOSTS = (
    "127.0.0.1\tlocalhost",
    "::1\tlocalhost ip6-localhost ip6-loopback",
    "fe00::0\tip6-localnet",
    "fe00::0\tip6-mcastprefix",
    "fe00::1\tip6-allnodes",
    "fe00::2\tip6-allrouters",
)
HOSTNAME_BYTES_MAX = 63
DNS_SERVERS_MAX = 3


@dataclass(frozen=True)
class NodeFacts:
    """What a pod's configuration needs to know of its node."""

    instance: str
    name: str
    ips: tuple[str, ...]
    memory_capacity: int
    pods_dir: Path
    logs_dir: Path
    cluster_dns: tuple[str, ...] = ()
    cluster_domain: str = "cluster.local"
    resolv_conf: str = ""
    cgroups: bool = True
    """Whether pods have cgroups: not where there are no containers."""
    sources: Sources = field(default_factory=Sources)


def every_container(pod: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Init containers, then containers, then ephemeral ones."""
    spec = pod["spec"]
    return [*spec.get("initContainers", ()), *spec["containers"], *spec.get("ephemeralContainers", ())]


def container_hash(container: Mapping[str, Any]) -> str:
    """Changes when a container has to be made anew; of its fields only the image may change in a live pod."""
    text = json.dumps([container["name"], container.get("image", "")])
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def pod_dir(node: NodeFacts, pod: Mapping[str, Any]) -> Path:
    return node.pods_dir / str(pod["metadata"]["uid"])


def log_dir(node: NodeFacts, pod: Mapping[str, Any]) -> Path:
    metadata = pod["metadata"]
    return node.logs_dir / f"{metadata['namespace']}_{metadata['name']}_{metadata['uid']}"


def termination_file(node: NodeFacts, pod: Mapping[str, Any], container: str, attempt: int) -> Path:
    return pod_dir(node, pod) / "containers" / container / str(attempt)


def hostname(pod: Mapping[str, Any], cluster_domain: str) -> tuple[str, str]:
    """(hostname, fully qualified domain or "")."""
    spec, metadata = pod["spec"], pod["metadata"]
    if spec.get("hostnameOverride"):
        return spec["hostnameOverride"], ""
    name = spec.get("hostname") or metadata["name"][:HOSTNAME_BYTES_MAX].rstrip("-.")
    domain = ""
    if spec.get("subdomain"):
        domain = f"{spec['subdomain']}.{metadata['namespace']}.svc.{cluster_domain}"
    return name, domain


def parse_resolv_conf(text: str) -> tuple[list[str], list[str], list[str]]:
    """(nameservers, searches, options); the last search or domain line counts."""
    servers: list[str] = []
    searches: list[str] = []
    options: list[str] = []
    for line in text.splitlines():
        words = line.split("#", 1)[0].split()
        if not words or words[0].startswith(";"):
            continue
        if words[0] == "nameserver" and len(words) > 1:
            servers.append(words[1])
        elif words[0] in ("search", "domain"):
            searches = words[1:]
        elif words[0] == "options":
            options = words[1:]
    return servers, searches, options


def dns(pod: Mapping[str, Any], node: NodeFacts) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """(servers, searches, options) of the pod's resolv.conf."""
    spec = pod["spec"]
    policy = spec.get("dnsPolicy") or "ClusterFirst"
    servers, searches, options = parse_resolv_conf(node.resolv_conf)
    cluster = policy == "ClusterFirstWithHostNet" or (policy == "ClusterFirst" and not spec.get("hostNetwork"))
    if policy == "None":
        servers, searches, options = [], [], []
    elif cluster and node.cluster_dns:
        servers = list(node.cluster_dns)
        base = f"svc.{node.cluster_domain}"
        searches = [f"{pod['metadata']['namespace']}.{base}", base, node.cluster_domain, *searches]
        # The node's options are meant for its own servers.
        options = ["ndots:5"]
    if config := spec.get("dnsConfig"):
        servers = [*servers, *(config.get("nameservers") or ())]
        searches = [*searches, *(config.get("searches") or ())]
        for option in config.get("options") or ():
            value = option.get("value")
            options = [o for o in options if o.split(":", 1)[0] != option["name"]]
            options.append(f"{option['name']}:{value}" if value not in (None, "") else option["name"])
    return _unique(servers)[:DNS_SERVERS_MAX], _unique(searches), _unique(options)


def _unique(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


def hosts_file(pod: Mapping[str, Any], ips: Sequence[str], cluster_domain: str, host_file: str) -> str:
    """/etc/hosts of the pod's containers. host_file: the node's, for pods on its network."""
    spec = pod["spec"]
    if spec.get("hostNetwork"):
        text = "# Kubernetes-managed hosts file (host network).\n" + host_file
    else:
        name, domain = hostname(pod, cluster_domain)
        names = f"{name}.{domain}\t{name}" if domain else name
        lines = [
            "# Kubernetes-managed hosts file.",
            "127.0.0.1\tlocalhost",
            "::1\tlocalhost ip6-localhost ip6-loopback",
        ]
        lines += [
            "fe00::0\tip6-localnet",
            "fe00::0\tip6-mcastprefix",
            "fe00::1\tip6-allnodes",
            "fe00::2\tip6-allrouters",
        ]
        lines += [f"{ip}\t{names}" for ip in ips]
        text = "\n".join(lines) + "\n"
    if aliases := spec.get("hostAliases"):
        text += "\n# Entries added by HostAliases.\n"
        text += "".join("\t".join([alias["ip"], *(alias.get("hostnames") or ())]) + "\n" for alias in aliases)
    return text


def identity_labels(pod: Mapping[str, Any], instance: str) -> dict[str, str]:
    metadata = pod["metadata"]
    return {
        POD_NAME: metadata["name"],
        POD_NAMESPACE: metadata["namespace"],
        POD_UID: metadata["uid"],
        AGENT: instance,
    }


def cgroup(pod: Mapping[str, Any], node: NodeFacts) -> str:
    """The pod's cgroup; its sandbox and all of its containers are made inside."""
    return parent_path(node.instance, qos_class(pod), pod["metadata"]["uid"]) if node.cgroups else ""


def sandbox_spec(pod: Mapping[str, Any], node: NodeFacts, attempt: int) -> SandboxSpec:
    metadata, spec = pod["metadata"], pod["spec"]
    servers, searches, options = dns(pod, node)
    name, domain = hostname(pod, node.cluster_domain)
    ports = tuple(
        PortMapping(p.get("protocol") or "TCP", p["containerPort"], p["hostPort"], p.get("hostIP") or "")
        for c in every_container(pod)
        for p in c.get("ports") or ()
        if p.get("hostPort")
    )
    host_network = bool(spec.get("hostNetwork"))
    full = f"{name}.{domain}" if spec.get("setHostnameAsFQDN") and domain else name
    sysctls = {s["name"]: s["value"] for s in (spec.get("securityContext") or {}).get("sysctls") or ()}
    return SandboxSpec(
        name=metadata["name"],
        namespace=metadata["namespace"],
        uid=metadata["uid"],
        attempt=attempt,
        hostname="" if host_network else full,
        log_directory=str(log_dir(node, pod)),
        dns_servers=servers,
        dns_searches=searches,
        dns_options=options,
        ports=() if host_network else ports,
        labels={**(metadata.get("labels") or {}), **identity_labels(pod, node.instance)},
        annotations=dict(metadata.get("annotations") or {}),
        cgroup_parent=cgroup(pod, node),
        namespaces=namespaces(pod),
        security=sandbox_security(pod),
        sysctls=sysctls,
        limits=pod_limits(pod),
    )


def container_spec(
    pod: Mapping[str, Any],
    container: Mapping[str, Any],
    attempt: int,
    restarts: int,
    image_id: str,
    image: Image | None,
    mounts: tuple[Mount, ...],
    node: NodeFacts,
) -> ContainerSpec:
    """restarts: the restart count that is shown; attempt: unique per container name in the pod's sandboxes.

    Raises ConfigError where kubelet says CreateContainerConfigError.
    """
    variables = environment.environment(pod, container, node.sources)
    termination_path = container.get("terminationMessagePath") or "/dev/termination-log"
    grace = pod["metadata"].get("deletionGracePeriodSeconds", pod["spec"].get("terminationGracePeriodSeconds", 30))
    return ContainerSpec(
        name=container["name"],
        attempt=attempt,
        image=image_id,
        image_name=container.get("image", ""),
        command=tuple(expand(a, variables) for a in container.get("command") or ()),
        args=tuple(expand(a, variables) for a in container.get("args") or ()),
        working_dir=container.get("workingDir") or "",
        env=tuple(variables.items()),
        mounts=mounts,
        labels={**identity_labels(pod, node.instance), CONTAINER_NAME: container["name"]},
        annotations={
            CONTAINER_HASH: container_hash(container),
            RESTART_COUNT: str(restarts),
            TERMINATION_PATH: termination_path,
            TERMINATION_POLICY: container.get("terminationMessagePolicy") or "File",
            POD_GRACE: str(grace),
        },
        log_path=f"{container['name']}/{attempt}.log",
        stdin=bool(container.get("stdin")),
        stdin_once=bool(container.get("stdinOnce")),
        tty=bool(container.get("tty")),
        limits=container_limits(pod, container, node.memory_capacity),
        security=container_security(pod, container, image),
        namespaces=namespaces(pod),
    )


def subpath(pod: Mapping[str, Any], container: Mapping[str, Any], mount: Mapping[str, Any], sources: Sources) -> str:
    """The mount's subPath, or its subPathExpr expanded. Raises ConfigError where it leads outside the volume."""
    path = str(mount.get("subPath") or "")
    if expression := mount.get("subPathExpr"):
        variables = environment.environment(pod, container, sources)
        path = expand(expression, variables)
        if "$(" in path.replace("$$", ""):
            raise ConfigError(
                f"failed to expand subPath for volumeMount {mount['name']!r} of container {container['name']!r}"
            )
    if path.startswith("/"):
        raise ConfigError(f"error SubPath `{path}` must not be an absolute path")
    if ".." in path.split("/"):
        raise ConfigError(f"unable to provision SubPath `{path}`: must not contain '..'")
    return path


def referenced(pod: Mapping[str, Any]) -> set[tuple[str, str]]:
    """("ConfigMap" or "Secret", name) of all that the pod reads: environment, volumes, pull secrets."""
    found: set[tuple[str, str]] = set()
    for container in every_container(pod):
        for source in container.get("envFrom") or ():
            if ref := source.get("configMapRef"):
                found.add(("ConfigMap", ref.get("name", "")))
            if ref := source.get("secretRef"):
                found.add(("Secret", ref.get("name", "")))
        for variable in container.get("env") or ():
            origin = variable.get("valueFrom") or {}
            if ref := origin.get("configMapKeyRef"):
                found.add(("ConfigMap", ref.get("name", "")))
            if ref := origin.get("secretKeyRef"):
                found.add(("Secret", ref.get("name", "")))
    for volume in pod["spec"].get("volumes") or ():
        for source in (volume, *((volume.get("projected") or {}).get("sources") or ())):
            if ref := source.get("configMap"):
                found.add(("ConfigMap", ref.get("name", "")))
            if ref := source.get("secret"):
                found.add(("Secret", ref.get("secretName") or ref.get("name", "")))
    for ref in pod["spec"].get("imagePullSecrets") or ():
        found.add(("Secret", ref.get("name", "")))
    return {(kind, name) for kind, name in found if name}


def host_ports(pod: Mapping[str, Any]) -> set[tuple[str, str, int]]:
    return {
        (p.get("hostIP") or "0.0.0.0", p.get("protocol") or "TCP", p["hostPort"])
        for c in (*pod["spec"]["containers"], *(c for c in pod["spec"].get("initContainers", ()) if is_sidecar(c)))
        for p in c.get("ports") or ()
        if p.get("hostPort")
    }
