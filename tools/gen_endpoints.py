"""Which language answers each endpoint: docs/endpoints.md.

From the declared kinds, the cold routes (`knarr.apiserver.routes`), the documents that `ApiServer` hands to the core,
and what the gateway's sources say it answers itself. A resource that discovery would show and nobody answers is an
error.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tools.committed import ROOT, write_or_compare

if TYPE_CHECKING:
    from knarr.apiserver.http import Route
    from knarr.declare import Kind, Subresource

FILE = ROOT / "docs" / "endpoints.md"
SERVE = ROOT / "rust" / "knarr-gateway" / "src" / "serve.rs"
HEALTH = ROOT / "rust" / "knarr-gateway" / "src" / "health.rs"
SERVER = ROOT / "python" / "knarr" / "apiserver" / "server.py"
NODE = ROOT / "python" / "knarr" / "agent" / "server.py"

HEAD = """\
# Which language answers what

Made by `python -m tools generate endpoints` from the declared kinds, the cold routes and the gateway's sources;
`--check` compares. Do not edit.

TLS, HTTP, authentication, audit, authorization and flow control are Rust for every row; the column says who makes the
answer. `Rust` never takes the GIL. `Python` is a cold route: one file, on the server's one Python thread. `Rust > node`
is carried by the gateway to the node's HTTPS server. A kind with hooks runs those in Python, on writes only.
`all` verbs are create, delete, deletecollection, get, list, patch, update, watch; objects of all namespaces are listed
and watched at the path without `namespaces/{namespace}`.
"""

NODE_HEAD = """
## On each node, port 10250

TLS, HTTP and the check of the caller are Rust (`_core.NodeServer`); what the paths mean is Python
(`python/knarr/agent/server.py`). The bytes of exec, attach and port-forward pass through Rust to the container runtime.

| path | answered by |
| --- | --- |
"""

# paths of the node's server; each first part must stand in its source
NODE_PATHS = (
    ("/healthz", "Python"),
    ("/pods", "Python"),
    ("/metrics", "Python"),
    ("/metrics/resource", "Python"),
    ("/stats/summary", "Python"),
    ("/containerLogs/{namespace}/{pod}/{container}", "Python"),
    ("/exec/{namespace}/{pod}/{container}", "Python chooses, Rust carries"),
    ("/attach/{namespace}/{pod}/{container}", "Python chooses, Rust carries"),
    ("/portForward/{namespace}/{pod}", "Python chooses, Rust carries"),
)

ALL_VERBS_COUNT = 8


class SourceChanged(Exception):
    """A source no longer says what this generator reads from it, or nobody answers what is declared."""


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    path: str
    verbs: str
    who: str
    where: str

    def line(self) -> str:
        return f"| `{self.path}` | {self.verbs} | {self.who} | {self.where} |"


def quoted(text: str) -> list[str]:
    return re.findall(r'"([^"]+)"', text)


def node_subresources() -> dict[str, set[str]]:
    """Resource to the subresources that its node answers, as serve.rs routes them."""
    block = re.search(r"let proxied = match found\.resource\.as_ref\(\) \{(.*?)\n\s*\};", SERVE.read_text(), re.S)
    arms = re.findall(r'"(\w+)" => (.+),', block.group(1)) if block else []
    if not arms:
        raise SourceChanged(f"{SERVE.relative_to(ROOT)} no longer says which subresources a node answers")
    return {resource: set(quoted(rest)) for resource, rest in arms}


def health_paths() -> list[str]:
    found = re.search(r"matches!\(endpoint, ([^)]+)\)", HEALTH.read_text())
    if not found:
        raise SourceChanged(f"{HEALTH.relative_to(ROOT)} no longer says which paths are health")
    return [f"/{name}" for name in quoted(found.group(1))]


def static_paths() -> list[str]:
    """Paths of the documents that ApiServer hands to the core when it is composed."""
    for node in ast.walk(ast.parse(SERVER.read_text())):
        if isinstance(node, ast.FunctionDef) and node.name == "set_documents":
            heads = [each.elts[0] for each in ast.walk(node) if isinstance(each, ast.Tuple) and each.elts]
            texts = [head.value for head in heads if isinstance(head, ast.Constant) and isinstance(head.value, str)]
            return [text for text in texts if text.startswith("/")]
    raise SourceChanged(f"{SERVER.relative_to(ROOT)} no longer has set_documents")


def shape(pattern: str) -> str:
    """A pattern without the names of its parameters, so that two can be compared."""
    return re.sub(r"\{[^}]*\}", "{}", pattern)


def place_of(route: Route) -> str:
    return f"`apiserver/routes/{route.handler.__module__.rpartition('.')[2]}.py`"


def base(kind: Kind) -> str:
    return f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"


def collection(kind: Kind) -> str:
    return f"{base(kind)}/namespaces/{{namespace}}/{kind.plural}" if kind.namespaced else f"{base(kind)}/{kind.plural}"


def of_kind(kind: Kind, cold: dict[str, Route], on_node: dict[str, set[str]]) -> Iterator[Row]:
    """The rows of one kind. Raises SourceChanged for what is declared and answered by nobody."""
    path = collection(kind)
    verbs = "all" if len(kind.verbs) == ALL_VERBS_COUNT else ", ".join(kind.verbs)
    if kind.virtual:
        yield Row(path, verbs, "Python", place_of(taken(cold, path)))
        return
    who = "Rust, hooks in Python" if kind.hooks else "Rust"
    named = "" if set(kind.verbs) <= {"create", "list"} else "[/{name}]"
    yield Row(path + named, verbs, who, "`knarr-machinery`")
    for sub in kind.subresources:
        yield of_subresource(kind, sub, f"{path}/{{name}}/{sub.name}", cold, on_node)


def of_subresource(
    kind: Kind, sub: Subresource, path: str, cold: dict[str, Route], on_node: dict[str, set[str]]
) -> Row:
    verbs = ", ".join(sub.verbs)
    if not kind.group and sub.name in on_node.get(kind.plural, ()):
        return Row(path, verbs, "Rust > node", "`knarr-gateway`, `src/proxy`")
    if not sub.cold:
        return Row(path, verbs, "Rust", "`knarr-machinery`")
    return Row(path, verbs, "Python", place_of(taken(cold, path)))


def taken(cold: dict[str, Route], path: str) -> Route:
    """The cold route of a path, which is no other path's."""
    route = cold.pop(shape(path), None)
    if route is None:
        raise SourceChanged(
            f"{path} is declared, and neither the core nor a route of knarr.apiserver.routes answers it"
        )
    return route


def rows(kinds: Iterable[Kind], routes: Iterable[Route]) -> Iterator[tuple[str, list[Row]]]:
    """Titles and their rows: objects by group, then everything that is no object."""
    cold = {shape(route.pattern): route for route in routes}
    on_node = node_subresources()
    groups: dict[str, list[Row]] = {}
    for kind in kinds:
        title = f"{kind.group or 'core'}/{kind.version}"
        groups.setdefault(title, []).extend(of_kind(kind, cold, on_node))
    yield from groups.items()
    other = [Row(route.pattern, route.method, "Python", place_of(route)) for route in cold.values()]
    gateway = "`knarr-gateway`, `src/{}.rs`"
    other += [Row(path, "GET", "Rust", gateway.format("health")) for path in health_paths()]
    if 'path == "/metrics"' not in SERVE.read_text():
        raise SourceChanged(f"{SERVE.relative_to(ROOT)} no longer answers /metrics")
    other.append(Row("/metrics", "GET", "Rust", gateway.format("metrics")))
    made = gateway.format("statics") + ", made once by `apiserver/server.py`"
    other += [Row(path, "GET", "Rust", made) for path in static_paths()]
    yield "Everything else", sorted(other, key=lambda row: row.path)


def text() -> str:
    """The document. Raises SourceChanged."""
    from knarr.api import all_kinds
    from knarr.apiserver.routes import all_routes

    parts = [HEAD]
    for title, lines in rows(all_kinds(), all_routes()):
        parts.append(f"\n## {title}\n\n| path | verbs | answered by | where |\n| --- | --- | --- | --- |\n")
        parts.extend(f"{row.line()}\n" for row in lines)
    parts.append(NODE_HEAD)
    source = NODE.read_text()
    for path, who in NODE_PATHS:
        first = path.split("/")[1]
        if first not in source:
            raise SourceChanged(f"{NODE.relative_to(ROOT)} no longer answers /{first}")
        parts.append(f"| `{path}` | {who} |\n")
    return "".join(parts)


def run(check: bool) -> int:
    """Write the document, or compare it. Returns the exit code: 2 where the sources do not fit together."""
    try:
        made = text()
    except SourceChanged as changed:
        print(f"error: {changed}", file=sys.stderr)
        return 2
    return write_or_compare(FILE, made, "endpoints", check)
