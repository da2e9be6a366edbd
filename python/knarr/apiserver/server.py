"""`ApiServer`: a server composed from a store, kinds, authentication, authorization, admission and routes."""

from __future__ import annotations

import ipaddress
import json
import logging
import platform
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from knarr import _core
from knarr.admission import all_plugins
from knarr.apiserver import bootstrap, routes
from knarr.apiserver.figures import store_metrics
from knarr.apiserver.http import Object, Request, Response, Route, User
from knarr.apiserver.local import Local
from knarr.errors import OpenError, StatusError

if TYPE_CHECKING:
    from knarr.declare import Kind

log = logging.getLogger("knarr.apiserver")

# the Kubernetes API level that is served
LEVEL = "1.34.2"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
ISSUER = "https://kubernetes.default.svc.cluster.local"
# the server's own user, as kube-apiserver's loopback client
SELF = ("system:apiserver", ["system:masters", "system:authenticated"])


@dataclass(frozen=True, slots=True)
class Options:
    """One server of a cluster. pki_dir holds ca, apiserver, kubelet-client and sa files (.crt, .key)."""

    store_dir: str
    pki_dir: str
    address: str
    port: int
    service_cidr: str
    fsync: bool = True


class ApiServer:
    """A server and its parts. `open` makes one from files; the constructor takes the parts.

    store: what objects are kept in. kinds: the declarations served at first; `add_kind` adds more while it serves.
    authn: PEM texts (client_ca, ca, token_signing_key, kubelet_client_cert, kubelet_client_key) and the issuer.
    admission: the declared plugins that are compiled into the kinds. routes: what is answered in Python.
    """

    def __init__(
        self,
        store: _core.Store,
        kinds: Iterable[Kind],
        authn: Mapping[str, Any],
        admission: Iterable[Any],
        cold: Iterable[Route],
        service_cidr: str = "10.96.0.0/16",
    ) -> None:
        self.store = store
        self.issuer: str = authn.get("issuer", ISSUER)
        self.generation = 0
        self.kinds: list[Object] = []
        self.admission = tuple(admission)
        self.plurals: dict[tuple[str, str], str] = {}
        self.machinery = _core.Machinery(store, type_table(), service_cidr=service_cidr)
        for kind in kinds:
            self.add_kind(kind)
        self.gateway = _core.Gateway(self.machinery, **authn)
        self.local = Local(self.machinery.handle, self.plurals, *SELF)
        for route in cold:
            self.gateway.add_route(route.method, route.pattern, self.handler_of(route))
        self.scheduler: _core.Scheduler | None = None
        self.set_documents(authn["ca"])

    @classmethod
    def open(cls, options: Options) -> ApiServer:
        """A server on a directory, with the built-in kinds, all plugins and all routes. Raises OpenError."""
        from knarr.api import all_kinds

        try:
            store = _core.Store.open(options.store_dir, fsync=options.fsync)
        except OSError as error:
            raise OpenError(str(error), f"see {options.store_dir}, or start with another --data-dir") from None
        pki = Path(options.pki_dir)
        authn = {
            "client_ca": (pki / "ca.crt").read_bytes(),
            "ca": (pki / "ca.crt").read_bytes(),
            "token_signing_key": (pki / "sa.key").read_bytes(),
            "kubelet_client_cert": (pki / "kubelet-client.crt").read_bytes(),
            "kubelet_client_key": (pki / "kubelet-client.key").read_bytes(),
            "issuer": ISSUER,
        }
        return cls(store, all_kinds(), authn, all_plugins(), routes.all_routes(), options.service_cidr)

    def start(self, options: Options) -> None:
        """Make what a cluster begins with, schedule, serve. Raises OpenError where the port cannot be listened on."""
        network = ipaddress.ip_network(options.service_cidr)
        bootstrap.ensure(self.local, str(network[1]), str(network[10]), [options.address], options.port)
        self.scheduler = _core.Scheduler(self.gateway)
        pki = Path(options.pki_dir)
        for host in dict.fromkeys((options.address, "127.0.0.1")):
            try:
                self.gateway.serve(host, options.port, pki / "apiserver.crt", pki / "apiserver.key")
            except OSError as error:
                what = f"{host}:{options.port} cannot be listened on: {error.strerror or error}"
                raise OpenError(what, "choose another --port") from None
        log.info("serving on %s:%d", options.address, options.port)

    def stop(self) -> None:
        """End what serves, then what schedules, then the store."""
        self.gateway.stop()
        if self.scheduler is not None:
            self.scheduler.stop()
        self.store.close()

    def publish(self) -> None:
        """Show the store's figures, as they are now, at /metrics. For whoever runs the server to call now and then."""
        self.gateway.set_metrics("store", store_metrics(self.store.stats()))

    def set_documents(self, ca: bytes) -> None:
        """What strangers and token verifiers ask for: the version, the CA, the keys of tokens."""
        keys = self.gateway.jwks()
        discovery = {
            "issuer": self.issuer,
            "jwks_uri": f"{self.issuer}/openid/v1/jwks",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        }
        for path, content_type, body in (
            ("/version", "application/json", json.dumps(version(), indent=2).encode()),
            ("/ca.crt", "application/x-pem-file", ca),
            ("/.well-known/openid-configuration", "application/json", json.dumps(discovery).encode()),
            ("/openid/v1/jwks", "application/jwk-set+json", keys.encode()),
        ):
            self.gateway.set_static(path, [(content_type, body)])

    def add_kind(self, kind: Kind) -> None:
        """Serve a kind from now on, or another form of one served already: swapped in in one step."""
        document = kind.encode(self.admission)
        self.machinery.add_kind(document, dict(kind.hooks or {}))
        described = json.loads(document)
        same = (kind.group, kind.version, kind.plural)
        others = [each for each in self.kinds if (each["group"], each["version"], each["plural"]) != same]
        self.kinds = [*others, described]
        self.plurals[kind.group, kind.kind] = kind.plural
        self.generation += 1

    def handler_of(self, route: Route) -> Callable[[Any], tuple[int, str, bytes, Mapping[str, str]]]:
        """A route as the core calls it. StatusError becomes its Status; anything else is the core's to report."""

        def handle(asked: Any) -> tuple[int, str, bytes, Mapping[str, str]]:
            user = asked.user
            request = Request(
                user=User(user.name, user.uid, tuple(user.groups), {k: tuple(v) for k, v in user.extra.items()}),
                method=asked.method,
                path=asked.path,
                params=asked.params,
                query=dict(asked.query),
                headers=asked.headers,
                body=bytes(asked.body),
            )
            try:
                answer = route.handler(self, request)
            except StatusError as error:
                body = json.dumps(error.status(), separators=(",", ":")).encode() + b"\n"
                answer = Response(error.code, body)
            return answer.code, answer.content_type, answer.body, answer.headers

        return handle

    def authorize(self, user: User, attributes: Mapping[str, Any]) -> tuple[bool, str]:
        """May `user` do this? Answers (allowed, reason)."""
        allowed, reason = self.gateway.authorize(user, dict(attributes))
        return bool(allowed), str(reason)

    def rules_for(self, user: User, namespace: str) -> tuple[list[Object], list[Object], bool]:
        """(resource rules, path rules, incomplete) that a user has in a namespace."""
        rules = self.gateway.rules_for(user, namespace)
        paths = [rule for rule in rules if rule.get("nonResourceURLs")]
        return [rule for rule in rules if not rule.get("nonResourceURLs")], paths, False

    def authenticate(self, token: str, audiences: list[str]) -> tuple[User | None, list[str], str]:
        """Whose token this is: (user, audiences that match, "") or (None, [], error)."""
        found = self.gateway.review_token(token, audiences)
        if found is None:
            return None, [], "invalid bearer token"
        user, matching = found
        extra = {key: tuple(values) for key, values in user.extra.items()}
        return User(user.name, user.uid, tuple(user.groups), extra), list(matching), ""

    def sign_token(self, claims: Object) -> str:
        """A ServiceAccount token with these claims."""
        return self.gateway.sign_token(json.dumps(claims, separators=(",", ":")).encode())


def version() -> Object:
    """What /version answers: the level of the API that is served, and by whom."""
    major, minor, _ = LEVEL.split(".")
    return {
        "major": major,
        "minor": minor,
        "gitVersion": f"v{LEVEL}+knarr{_core.__version__}",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": f"{platform.system().lower()}/{ARCHITECTURES.get(platform.machine(), platform.machine())}",
    }


def type_table() -> bytes:
    """The committed table of API types, as the core reads it."""
    return resources.files("knarr.api").joinpath("_tables", "types.json.zz").read_bytes()
