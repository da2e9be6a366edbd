"""Environment variables, $(VAR) expansion, fieldRef and resourceFieldRef. Pure.

Source: Kubernetes 1.34, pkg/kubelet/kubelet_pods.go (makeEnvironmentVariables), pkg/kubelet/envvars, pkg/fieldpath.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from .quantity import amount, quantity
from .runtime import RuntimeCallError

_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['(.*)'\]")


class ConfigError(RuntimeCallError):
    """The container cannot be configured: its state is Waiting with reason CreateContainerConfigError."""


@dataclass(frozen=True)
class Sources:
    """What values are taken from.

    config_maps, secrets: name -> object, of the pod's namespace; None: there is none. services: those of the pod's
    namespace, and default/kubernetes. allocatable: the node's, for limits that are not set.
    """

    config_maps: Mapping[str, Mapping[str, Any] | None] = field(default_factory=dict)
    secrets: Mapping[str, Mapping[str, Any] | None] = field(default_factory=dict)
    services: tuple[Mapping[str, Any], ...] = ()
    allocatable: Mapping[str, str] = field(default_factory=dict)
    pod_ips: tuple[str, ...] = ()
    host_ips: tuple[str, ...] = ()


def expand(text: str, *environments: Mapping[str, str]) -> str:
    """Replace $(NAME) by the first environment's value that has it; $$ is $; unknown names stay as they are."""
    out: list[str] = []
    i = 0
    while i < len(text):
        if text[i] != "$" or i + 1 == len(text):
            out.append(text[i])
            i += 1
        elif text[i + 1] == "$":
            out.append("$")
            i += 2
        elif text[i + 1] == "(" and (end := text.find(")", i)) > 0:
            name = text[i + 2 : end]
            out.append(next((e[name] for e in environments if name in e), text[i : end + 1]))
            i = end + 1
        else:
            out.append(text[i : i + 2])
            i += 2
    return "".join(out)


def format_map(values: Mapping[str, str] | None) -> str:
    """Labels or annotations as a downward file shows them."""
    return "\n".join(f"{key}={go_quote(value)}" for key, value in sorted((values or {}).items()))


def go_quote(text: str) -> str:
    """strconv.Quote."""
    named = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}
    named |= {'"': '\\"', "\\": "\\\\"}
    parts = []
    for char in text:
        code = ord(char)
        if char in named:
            parts.append(named[char])
        elif char.isprintable():
            parts.append(char)
        elif code < 0x80:
            parts.append(f"\\x{code:02x}")
        else:
            parts.append(f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
    return '"' + "".join(parts) + '"'


_POD_LEVEL = ("cpu", "memory")  # what a pod as a whole can be limited in and resourceFieldRef can name


def field_value(pod: Mapping[str, Any], path: str, sources: Sources) -> str:
    """A fieldRef's value. Raises ConfigError for a path that is not supported."""
    metadata, spec = pod["metadata"], pod["spec"]
    if found := _SUBSCRIPT.fullmatch(path):
        return str((metadata.get(found[1]) or {}).get(found[2], ""))
    simple: dict[str, str] = {
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata["namespace"],
        "metadata.uid": metadata["uid"],
        "spec.nodeName": spec.get("nodeName", ""),
        "spec.serviceAccountName": spec.get("serviceAccountName", ""),
        "status.hostIP": sources.host_ips[0] if sources.host_ips else "",
        "status.hostIPs": ",".join(sources.host_ips),
        "status.podIP": sources.pod_ips[0] if sources.pod_ips else "",
        "status.podIPs": ",".join(sources.pod_ips),
    }
    if path in simple:
        return simple[path]
    if path in ("metadata.labels", "metadata.annotations"):
        return format_map(metadata.get(path.removeprefix("metadata.")))
    raise ConfigError(f"unsupported fieldPath: {path}")


def resource_value(pod: Mapping[str, Any], container_name: str, selector: Mapping[str, Any], sources: Sources) -> str:
    """A resourceFieldRef's value: the amount over the divisor, rounded up."""
    name = selector.get("containerName") or container_name
    spec = pod["spec"]
    every = (*spec["containers"], *spec.get("initContainers", ()))
    container = next((c for c in every if c["name"] == name), None)
    if container is None:
        raise ConfigError(f"container {name} not found")
    which, _, resource = selector["resource"].partition(".")
    if which not in ("limits", "requests") or not resource:
        raise ConfigError(f"unsupported container resource : {selector['resource']}")
    resources = container.get("resources") or {}
    value = amount(resources.get(which), resource)
    if which == "limits" and not value and resource in _POD_LEVEL:
        value = amount((spec.get("resources") or {}).get("limits"), resource)
    if which == "limits" and not value:
        value = amount(sources.allocatable, resource)
    divisor = quantity(selector.get("divisor") or "1") or Fraction(1)
    return str(math.ceil(value / divisor))


def service_variables(services: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Docker-link style variables of Services that have an address."""
    made: dict[str, str] = {}
    for service in services:
        spec = service["spec"]
        address, ports = spec.get("clusterIP"), spec.get("ports") or []
        if address in (None, "", "None") or not ports:
            continue
        name = service["metadata"]["name"].upper().replace("-", "_")
        host = f"[{address}]" if ":" in address else address
        made[f"{name}_SERVICE_HOST"] = address
        made[f"{name}_SERVICE_PORT"] = str(ports[0]["port"])
        for port in ports:
            if port.get("name"):
                made[f"{name}_SERVICE_PORT_{port['name'].upper().replace('-', '_')}"] = str(port["port"])
        for index, port in enumerate(ports):
            protocol = port.get("protocol") or "TCP"
            url = f"{protocol.lower()}://{host}:{port['port']}"
            if index == 0:
                made[f"{name}_PORT"] = url
            prefix = f"{name}_PORT_{port['port']}_{protocol.upper()}"
            made[prefix] = url
            made[f"{prefix}_PROTO"] = protocol.lower()
            made[f"{prefix}_PORT"] = str(port["port"])
            made[f"{prefix}_ADDR"] = address
    return made


def _links(pod: Mapping[str, Any], services: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Services a pod gets variables of: its namespace's if it asks for links, and the API's own in any case."""
    namespace = pod["metadata"]["namespace"]
    wanted = pod["spec"].get("enableServiceLinks") is not False
    chosen: dict[str, Mapping[str, Any]] = {}
    for service in services:
        metadata = service["metadata"]
        api = metadata["namespace"] == "default" and metadata["name"] == "kubernetes"
        if metadata["namespace"] == namespace and wanted:
            chosen[metadata["name"]] = service
        elif api:
            chosen.setdefault("kubernetes", service)
    return [chosen[name] for name in sorted(chosen)]


def environment(pod: Mapping[str, Any], container: Mapping[str, Any], sources: Sources) -> dict[str, str]:
    """The container's variables in order. Raises ConfigError for a missing object or key that is not optional."""
    namespace = pod["metadata"]["namespace"]
    services = service_variables(_links(pod, sources.services))
    own: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        own |= _from_object(namespace, source, sources)
    result = dict(own)
    for variable in container.get("env") or ():
        name, origin = variable["name"], variable.get("valueFrom")
        if origin:
            value = _referred(pod, container, origin, sources)
            if value is None:
                continue
        else:
            value = expand(variable.get("value") or "", own, services)
        own[name] = value
        result.pop(name, None)
        result[name] = value
    return services | result


def _from_object(namespace: str, source: Mapping[str, Any], sources: Sources) -> dict[str, str]:
    prefix = source.get("prefix") or ""
    if ref := source.get("configMapRef"):
        found = sources.config_maps.get(ref.get("name", ""))
        if found is None:
            if ref.get("optional"):
                return {}
            raise ConfigError(f'configmap "{ref.get("name", "")}" not found')
        return {prefix + k: v for k, v in sorted((found.get("data") or {}).items())}
    ref = source.get("secretRef") or {}
    found = sources.secrets.get(ref.get("name", ""))
    if found is None:
        if ref.get("optional"):
            return {}
        raise ConfigError(f'secret "{ref.get("name", "")}" not found')
    return {
        prefix + k: decode(v).decode(errors="surrogateescape") for k, v in sorted((found.get("data") or {}).items())
    }


def _referred(
    pod: Mapping[str, Any], container: Mapping[str, Any], origin: Mapping[str, Any], sources: Sources
) -> str | None:
    """The value a valueFrom names; None: optional and not there."""
    if ref := origin.get("fieldRef"):
        return field_value(pod, ref["fieldPath"], sources)
    if ref := origin.get("resourceFieldRef"):
        return resource_value(pod, container["name"], ref, sources)
    namespace = pod["metadata"]["namespace"]
    if ref := origin.get("configMapKeyRef"):
        kind, found = "ConfigMap", sources.config_maps.get(ref.get("name", ""))
    elif ref := origin.get("secretKeyRef"):
        kind, found = "Secret", sources.secrets.get(ref.get("name", ""))
    else:
        raise ConfigError("unsupported valueFrom")
    if found is None:
        if ref.get("optional"):
            return None
        raise ConfigError(f'{kind.lower()} "{ref.get("name", "")}" not found')
    value = (found.get("data") or {}).get(ref["key"])
    if value is None:
        if ref.get("optional"):
            return None
        raise ConfigError(f"couldn't find key {ref['key']} in {kind} {namespace}/{ref.get('name', '')}")
    return decode(value).decode(errors="surrogateescape") if kind == "Secret" else str(value)


def decode(data: str) -> bytes:
    """base64, as a Secret's data and a ConfigMap's binaryData."""
    import binascii

    return binascii.a2b_base64(data)
