from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from typing import Any, Protocol, final

__version__: str
PAUSE: bytes
"""The static program of a pod's sandbox (rust/knarr-py/pause.rs)."""

class AnyUser(Protocol):
    """Whatever names a user: knarr.apiserver.http.User, or the core's own. For the type checker only."""

    @property
    def name(self) -> str: ...
    @property
    def uid(self) -> str: ...
    @property
    def groups(self) -> Iterable[str]: ...
    @property
    def extra(self) -> Mapping[str, Iterable[str]]: ...

@final
class Store:
    """The durable store of one machine. Every call that may wait for a disk leaves the GIL."""

    @staticmethod
    def open(path: str | PathLike[str], fsync: bool = True) -> Store:
        """Open or make the store in a directory. fsync False acknowledges before anything is durable. Raises OSError
        with one line: in use by another process, or damaged, naming file and offset."""

    def revision(self) -> int:
        """The revision of the cluster's key space."""

    def close(self) -> None:
        """Finish what was proposed and give the directory back. Again: does nothing."""

    def stats(self) -> dict[str, Any]:
        """proposals, entries, syncs, snapshots (counts since start), log_bytes, and per key space keys, live_bytes,
        history_bytes, changes."""

@final
class Machinery:
    """Verbs on objects over a store. types: the bytes of the committed table. Raises ValueError for a damaged table or
    a wrong range."""

    def __new__(
        cls,
        store: Store,
        types: bytes,
        *,
        service_cidr: str = "10.96.0.0/16",
        node_ports: tuple[int, int] = ...,
        event_ttl_seconds: int = 3600,
    ) -> Machinery: ...
    def add_kind(self, doc: bytes, hooks: dict[str, Callable[..., Any]] | None = None) -> None:
        """Serve a kind from now on. doc: what `Kind.encode` gives; hooks: its callables by step. Raises ValueError."""

    def kinds(self) -> list[tuple[str, str, str, str, bool]]:
        """The kinds served: (group, version, plural, kind, namespaced)."""

    def handle(
        self,
        user: str | tuple[str, Sequence[str]],
        verb: str,
        group: str,
        version: str,
        plural: str,
        namespace: str = "",
        name: str = "",
        subresource: str = "",
        query: dict[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> tuple[int, str, bytes]:
        """One request, answered whole: (code, content type, body). It enters behind authorization; the GIL is free
        meanwhile. Raises KeyError for a kind that is not served, ValueError for a verb that is none, or a watch."""

    def decode(self, group: str, version: str, plural: str, object: Any) -> tuple[Any, list[str]]:
        """(object in canonical form, strict errors). Raises ValueError in Go's words."""

    def default(self, group: str, version: str, plural: str, object: Any) -> Any:
        """The object with its defaults; it must be decoded."""

    def validate_create(self, group: str, version: str, plural: str, object: Any) -> list[dict[str, str]]:
        """Field errors of a new object: field, reason, message."""

    def validate_update(
        self, group: str, version: str, plural: str, new: Any, old: Any, subresource: str = ""
    ) -> list[dict[str, str]]:
        """Field errors of a new state beside the old one."""

    def patch(self, group: str, version: str, plural: str, object: Any, patch: Any, how: str) -> Any:
        """The object with a patch applied. how: json, merge or strategic. Raises ValueError."""

    def apply(
        self, group: str, version: str, plural: str, live: Any, config: Any, manager: str, force: bool = False
    ) -> Any:
        """Server-side apply of a configuration onto a live object ({} for none). Raises ValueError, naming
        conflicts."""

    def table(self, group: str, version: str, plural: str, object: Any) -> tuple[Any, list[Any]]:
        """(columnDefinitions, cells of one object)."""

@final
class User:
    """Whom a request speaks for."""

    @property
    def name(self) -> str: ...
    @property
    def uid(self) -> str: ...
    @property
    def groups(self) -> list[str]: ...
    @property
    def extra(self) -> dict[str, list[str]]: ...

@final
class ColdRequest:
    """A request of a cold route or of a node's path. query: pairs in order, decoded; headers: names in lower case,
    without credentials."""

    @property
    def user(self) -> User: ...
    @property
    def method(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def params(self) -> dict[str, str]: ...
    @property
    def query(self) -> list[tuple[str, str]]: ...
    @property
    def headers(self) -> dict[str, str]: ...
    @property
    def body(self) -> bytes: ...

@final
class Gateway:
    """Authentication, authorization, flow control and routes before a Machinery. Keys and certificates are PEM bytes.
    Raises ValueError for those that cannot be used, OSError for an audit log or thread that cannot be opened."""

    def __new__(
        cls,
        machinery: Machinery,
        *,
        client_ca: bytes,
        ca: bytes,
        token_signing_key: bytes,
        kubelet_client_cert: bytes,
        kubelet_client_key: bytes,
        issuer: str = ...,
        audiences: Sequence[str] | None = None,
        token_keys: Sequence[bytes] = ...,
        audit_log: str | PathLike[str] | None = None,
        anonymous: Sequence[str] | None = None,
    ) -> Gateway: ...
    def add_route(self, method: str, pattern: str, handler: Callable[[ColdRequest], tuple[Any, ...]]) -> None:
        """Answer `method` at `pattern` (`/a/{name}/b`, `{rest...}` at the end) by `handler(request) -> (code,
        content_type, body[, headers])`, on the gateway's one Python thread. What it raises costs that request: 500, and
        the log."""

    def set_static(
        self, path: str, documents: Sequence[tuple[str, bytes]], etag: str = "", *, immutable: bool = False
    ) -> None:
        """Serve [(content_type, body)] at `path`; the first where the client has no preference. immutable: a URL with
        `?hash=ETAG` may be cached for good. Raises ValueError."""

    def remove_static(self, path: str) -> None: ...
    def serve(self, host: str, port: int, cert_path: str | PathLike[str], key_path: str | PathLike[str]) -> int:
        """Listen and serve; call it once a listener. port 0: any. Answers the port. Raises OSError, ValueError."""

    def reload_certificates(self) -> None:
        """Read the serving certificates' files again. Raises OSError, ValueError: then the old ones stay."""

    def set_ready(self, name: str, passed: bool) -> None:
        """Set a named check of /readyz."""

    def set_metrics(self, name: str, text: str) -> None:
        """Show `text` (Prometheus' format) at /metrics, in place of what was set under this name before."""

    def sign_token(self, claims: bytes) -> str:
        """Sign the claims (a JSON object) as a service-account token, ES256."""

    def jwks(self) -> str:
        """The public keys of tokens as a JSON Web Key Set."""

    def review_token(self, token: str, audiences: Sequence[str] = ...) -> tuple[User, list[str]] | None:
        """(user, matching audiences), or None for a token that is not good."""

    def authorize(self, user: AnyUser, attributes: dict[str, Any]) -> tuple[bool, str]:
        """(allowed, reason). attributes: verb, and either path or group, resource, subresource, namespace, name."""

    def rules_for(self, user: AnyUser, namespace: str) -> list[dict[str, list[str]]]:
        """The rules that RBAC gives `user` in `namespace`, as PolicyRule objects."""

    def check_role(
        self, user: AnyUser, namespace: str, name: str, rules: Iterable[Mapping[str, Sequence[str]]]
    ) -> str | None:
        """Why `user` may not write a role with these rules; None if it may. namespace empty: a ClusterRole."""

    def check_binding(self, user: AnyUser, namespace: str, cluster: bool, role: str) -> str | None:
        """Why `user` may not bind the role in `namespace` (empty: everywhere); None if it may. cluster: a
        ClusterRole."""

    def call(
        self, user: AnyUser, method: str, uri: str, body: bytes = ..., headers: dict[str, str] = ...
    ) -> tuple[int, str, bytes, dict[str, str]]:
        """A request of this process, made as `user`, through authorization, flow control and routes: (code,
        content_type, body, headers). Raises ValueError for what is no URI, or a watch."""

    def stop(self) -> None:
        """Stop serving; returns when requests in work have ended, after two seconds at the latest."""

@final
class Scheduler:
    """The thread that places pods, beside a gateway in the same process. Raises RuntimeError where a kind that it needs
    (Pod, Node, Event) is not served."""

    def __new__(cls, gateway: Gateway) -> Scheduler: ...
    def stop(self) -> None:
        """End the thread. Again: does nothing."""

@final
class NodeCall:
    """One request to a NodeServer: answered once, by respond, begin (and write, end) or proxy, from any thread. A
    second answer raises RuntimeError."""

    @property
    def request(self) -> ColdRequest: ...
    def respond(self, code: int, content_type: str, body: bytes, headers: Sequence[tuple[str, str]] = ...) -> None: ...
    def begin(self, code: int, content_type: str) -> None: ...
    def write(self, data: bytes) -> bool:
        """Write a piece; waits without the GIL while the client reads slowly. False: the client is gone."""

    def try_write(self, data: bytes) -> bool | None:
        """Write a piece without waiting: True, False when the client is gone, None when it reads too slowly."""

    def end(self) -> None: ...
    @property
    def closed(self) -> bool:
        """Whether the client of a begun answer is gone."""

    def proxy(self, url: str) -> None:
        """Pass the client's upgrade (exec, attach, port-forward) through to this CRI streaming URL."""

@final
class NodeServer:
    """HTTPS on a kubelet's port, for the API server only: clients whose certificate's common name is in `users`, or one
    of whose organizations is in `groups`. `handler(call)` is given each request on some thread and returns at once.
    Raises OSError for files that cannot be read, ValueError for what is in them."""

    def __new__(
        cls,
        host: str,
        port: int,
        cert_path: str | PathLike[str],
        key_path: str | PathLike[str],
        client_ca_path: str | PathLike[str],
        handler: Callable[[NodeCall], None],
        users: Sequence[str] = ...,
        groups: Sequence[str] = ...,
    ) -> NodeServer: ...
    def start(self) -> int:
        """Listen and serve. Answers the port. Raises OSError."""

    @property
    def port(self) -> int:
        """The port it listens on; 0 before `start`."""

    def reload_certificate(self) -> None:
        """Read the certificate's files again. Raises OSError, ValueError: then the old one stays."""

    def stop(self) -> None:
        """Stop serving; streams are cut after a second."""

@final
class Dns:
    """Answers names below `zone` ("cluster.local") from what it is told, asks upstream servers for the rest. Addresses
    are text (ValueError for others); ports are (name, protocol in lower case, number)."""

    def __new__(cls, zone: str) -> Dns: ...
    def listen(self, address: str, port: int) -> None:
        """Listen for datagrams and streams. Raises OSError."""

    def set_upstreams(self, upstreams: Sequence[tuple[str, int]]) -> None:
        """Who is asked about other names, in this order."""

    def put_cluster(
        self, namespace: str, name: str, addresses: Sequence[str], ports: Sequence[tuple[str, str, int]]
    ) -> None:
        """A Service with addresses of its own."""

    def put_headless(
        self, namespace: str, name: str, endpoints: Sequence[tuple[str, str, Sequence[tuple[str, str, int]]]]
    ) -> None:
        """A Service that stands for its endpoints: (address, hostname, ports)."""

    def put_external(self, namespace: str, name: str, target: str) -> None:
        """A Service that is another name."""

    def remove(self, namespace: str, name: str) -> None: ...
    def put_namespace(self, namespace: str) -> None: ...
    def remove_namespace(self, namespace: str) -> None: ...
    def counts(self) -> tuple[int, int]:
        """(queries answered, queries asked upstream), since the start."""

class WatchStatus(Exception):
    """A watch ended with an ERROR event; args[0] is the JSON text of its Status."""

@final
class View:
    """A projected, indexed cache of one kind; an informer's sink. fields: dotted paths, keys quoted
    (`annotations['a.b/c']`), list elements chosen (`conditions[type=Ready].status`). Raises ValueError for a bad
    declaration or text."""

    def __new__(cls, fields: Sequence[str], *, indexes: Sequence[str] = ..., label_index: bool = False) -> View: ...
    def begin(self) -> None: ...
    def page(self, body: bytes) -> tuple[str, str]: ...
    def finish(self, resource_version: str = "") -> None: ...
    def chunk(self, body: bytes) -> str: ...
    def reset(self) -> None: ...
    def hold(self) -> None: ...
    def release(self) -> None: ...
    def revision(self) -> int: ...
    def __len__(self) -> int: ...
    def texts(self) -> int: ...
    def subscribe(
        self, mapping: str, fields: Sequence[str] | None = None, *, argument: str = "", other: View | None = None
    ) -> int: ...
    def take(self, subscription: int) -> list[str]: ...
    def lens(self, row: type[Any], fields: Sequence[str]) -> Lens: ...

@final
class Lens:
    """Rows of one kind as one controller declared them."""

    def __len__(self) -> int: ...
    def get(self, namespace: str, name: str) -> Any | None: ...
    def of_uid(self, uid: str) -> Any | None: ...
    def all(self) -> list[Any]: ...
    def in_namespace(self, namespace: str) -> list[Any]: ...
    def owned_by(self, uid: str) -> list[Any]: ...
    def controlled_by(self, uid: str) -> list[Any]: ...
    def orphans(self, selector: dict[str, Any] | None, namespace: str) -> list[Any]: ...
    def strays(self, uid: str, selector: dict[str, Any] | None) -> list[Any]: ...
    def with_field(self, field: str, value: str) -> list[Any]: ...
    def selected(self, selector: dict[str, Any] | None, namespace: str | None = None) -> list[Any]: ...
    def labelled(self, labels: dict[str, Any] | None, namespace: str) -> list[Any]: ...

class CodecError(ValueError): ...
class JsonError(CodecError): ...
class YamlError(CodecError): ...
class ProtobufError(CodecError): ...
class QuantityError(CodecError): ...

def json_loads(data: str | bytes) -> Any:
    """Read one JSON document. Of keys that come twice the last counts. Raises JsonError in encoding/json's words."""

def json_parse(data: str | bytes) -> tuple[Any, list[str]]:
    """As json_loads, with the paths of keys that came twice (`spec.containers[0].name`)."""

def json_dumps(value: Any, *, indent: int | None = None) -> bytes:
    """Write a value as Go's json.Encoder does (HTML escaped, no final newline). Raises TypeError, CodecError."""

def yaml_load_all(data: str | bytes) -> list[Any]:
    """Read all documents of a YAML stream that have content. Raises YamlError with the line."""

def yaml_parse_all(data: str | bytes) -> list[tuple[Any, list[str]]]:
    """As yaml_load_all, with the paths of keys that came twice, for each document."""

def yaml_dump(value: Any) -> str:
    """Write one document as `kubectl get -o yaml` shows it: keys sorted."""

def protobuf_encode(value: Any) -> bytes:
    """An object of a known kind in its envelope (`k8s\\0`); kind and apiVersion are taken from it. Raises
    ProtobufError."""

def protobuf_decode(data: bytes) -> Any:
    """The object in an envelope, in canonical order, with kind and apiVersion. Raises ProtobufError with the path."""

@final
class Quantity:
    """An exact amount, as `500m` or `1Gi`; equality, order and hash regard the amount only. Raises QuantityError."""

    def __new__(cls, value: Quantity | str | int) -> Quantity: ...
    @staticmethod
    def from_milli(value: int) -> Quantity: ...
    @staticmethod
    def from_bytes(value: int) -> Quantity: ...
    @property
    def value(self) -> int: ...
    @property
    def milli(self) -> int: ...
    def __add__(self, other: Quantity | str | int, /) -> Quantity: ...
    def __sub__(self, other: Quantity | str | int, /) -> Quantity: ...
    def __mul__(self, n: int, /) -> Quantity: ...
    def __neg__(self) -> Quantity: ...
    def __bool__(self) -> bool: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __lt__(self, other: Quantity | str | int, /) -> bool: ...
    def __le__(self, other: Quantity | str | int, /) -> bool: ...
    def __gt__(self, other: Quantity | str | int, /) -> bool: ...
    def __ge__(self, other: Quantity | str | int, /) -> bool: ...
    def __hash__(self) -> int: ...
