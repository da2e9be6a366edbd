"""Kubeconfig files and in-pod credentials, read into one value: a `Connection`.

Relative file names are taken from the kubeconfig's own folder, as client-go does. `exec` and auth-provider plugins
are not supported and are refused by name, not ignored.
"""

from __future__ import annotations

import base64
import binascii
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

IN_CLUSTER = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class ConfigError(ValueError):
    """A kubeconfig that cannot be used; the message names the file and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Connection:
    """Where a server is and who one is there.

    servers: base URLs, tried in turn. ca, certificate, key: PEM bytes, empty when not given (no CA: the system's).
    token: bearer token; token_file wins over it and is read again as it rotates. insecure: do not verify (only when
    the file says so).
    """

    servers: tuple[str, ...]
    ca: bytes = b""
    certificate: bytes = b""
    key: bytes = field(default=b"", repr=False)
    token: str = field(default="", repr=False)
    token_file: str = ""
    server_name: str = ""
    insecure: bool = False
    namespace: str = "default"

    def with_token(self, token: str) -> Connection:
        """The same servers as another user: no client certificate."""
        return replace(self, certificate=b"", key=b"", token=token, token_file="")

    def with_servers(self, *servers: str) -> Connection:
        return replace(self, servers=servers)


def load_kubeconfig(path: str | os.PathLike[str] | None = None, context: str = "") -> Connection:
    """Read a kubeconfig. path None: the first file of $KUBECONFIG, else ~/.kube/config. Raises ConfigError, OSError."""
    if path is None:
        path = os.environ.get("KUBECONFIG", "").split(os.pathsep)[0] or Path.home() / ".kube" / "config"
    file = Path(path)
    document = _parse(file)
    try:
        return _connection(document, context, file)
    except (KeyError, TypeError, AttributeError, binascii.Error) as error:
        raise ConfigError(f"{file}: not a usable kubeconfig: {error!r}") from error


def in_cluster(folder: Path = IN_CLUSTER) -> Connection:
    """The credentials of the pod this runs in. Raises ConfigError outside of one."""
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST", ""), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host or not (folder / "token").exists():
        raise ConfigError("not in a pod: KUBERNETES_SERVICE_HOST or the mounted token is missing")
    host = f"[{host}]" if ":" in host else host
    return Connection(
        (f"https://{host}:{port}",), ca=(folder / "ca.crt").read_bytes(), token_file=str(folder / "token")
    )


def _parse(file: Path) -> dict[str, Any]:
    from knarr.codec import yaml_load_all

    try:
        documents = list(yaml_load_all(file.read_bytes()))
    except ValueError as error:
        raise ConfigError(f"{file}: not YAML: {error}") from error
    if not documents or not isinstance(documents[0], dict):
        raise ConfigError(f"{file}: not a kubeconfig")
    return documents[0]


def _connection(document: dict[str, Any], context: str, file: Path) -> Connection:
    context = context or document.get("current-context") or ""
    chosen = _named(document, "contexts", context, file)["context"]
    cluster = _named(document, "clusters", chosen["cluster"], file)["cluster"]
    user = _named(document, "users", chosen["user"], file)["user"] or {} if chosen.get("user") else {}
    for plugin in ("exec", "auth-provider"):
        if plugin in user:
            raise ConfigError(f"{file}: user {chosen['user']!r} needs {plugin!r}, which is not supported")
    return Connection(
        servers=(cluster["server"].rstrip("/"),),
        ca=_pem(cluster, "certificate-authority", file),
        certificate=_pem(user, "client-certificate", file),
        key=_pem(user, "client-key", file),
        token=user.get("token") or "",
        token_file=str(file.parent / user["tokenFile"]) if user.get("tokenFile") else "",
        server_name=cluster.get("tls-server-name") or "",
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
        namespace=chosen.get("namespace") or "default",
    )


def _named(document: dict[str, Any], section: str, name: str, file: Path) -> dict[str, Any]:
    for entry in document.get(section) or []:
        if entry.get("name") == name:
            found: dict[str, Any] = entry
            return found
    raise ConfigError(f"{file}: {section} has no {name!r}")


def _pem(section: dict[str, Any], field_name: str, file: Path) -> bytes:
    """`field-data` (base64) or the file named by `field`; data wins, as in client-go."""
    data = section.get(f"{field_name}-data")
    if data:
        return base64.b64decode(data, validate=True)
    name = section.get(field_name)
    return (file.parent / name).read_bytes() if name else b""
