"""The paths of an OpenAPI document: every operation of the declared kinds, in the form of v2 or v3."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from knarr.apiserver.discovery import group_version

Json = dict[str, Any]
Kind = Mapping[str, Any]

META = "io.k8s.apimachinery.pkg.apis.meta.v1."
MEDIA = ("application/json", "application/vnd.kubernetes.protobuf", "application/yaml")
STREAMS = ("application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch")
PATCHES = (
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)

# Query parameters: type and what they mean.
QUERY: dict[str, tuple[str, str]] = {
    "allowWatchBookmarks": (
        "boolean",
        "Whether a watch also sends events of type BOOKMARK, which carry a resourceVersion only.",
    ),
    "continue": ("string", "The token of the page before, to go on with a list."),
    "fieldSelector": (
        "string",
        "A selector to restrict the list of returned objects by their fields. Defaults to everything.",
    ),
    "labelSelector": (
        "string",
        "A selector to restrict the list of returned objects by their labels. Defaults to everything.",
    ),
    "limit": ("integer", "The most items a page of a list may have."),
    "resourceVersion": (
        "string",
        "The version that a list or watch starts from; what it means is said by resourceVersionMatch.",
    ),
    "resourceVersionMatch": ("string", "How resourceVersion is applied to a list: Exact or NotOlderThan."),
    "sendInitialEvents": ("boolean", "Whether a watch begins with the objects there are, closed by a bookmark."),
    "timeoutSeconds": ("integer", "Timeout for the list/watch call."),
    "watch": ("boolean", "Watch for changes to the described resources and return them as a stream of notifications."),
    "dryRun": ("string", "`All`: everything is checked, nothing is stored."),
    "fieldManager": ("string", "The name of who makes these changes; needed for apply."),
    "fieldValidation": ("string", "What to do with unknown or duplicate fields: Ignore, Warn or Strict."),
    "force": ("boolean", "Take fields that others own. Only for apply."),
    "gracePeriodSeconds": ("integer", "Seconds the object has before it is deleted."),
    "orphanDependents": ("boolean", "Deprecated: use propagationPolicy."),
    "propagationPolicy": ("string", "What becomes of dependents: Orphan, Background or Foreground."),
    "pretty": ("string", "If 'true', then the output is pretty printed."),
}
LIST = (
    "allowWatchBookmarks",
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
    "watch",
)
WRITE = ("dryRun", "fieldManager", "fieldValidation")
DELETE = ("dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy")
DELETE_MANY = tuple(sorted({*DELETE, *LIST} - {"allowWatchBookmarks", "watch"}))


def body_type(kind: Kind, sub: Mapping[str, Any]) -> str:
    """The type of a subresource's body: the parent's, or that of the kind it names."""
    if not sub.get("kind") or sub["kind"] == kind["kind"]:
        return str(kind["type"])
    group = (sub.get("group") if sub.get("group") is not None else kind["group"]) or "core"
    version = sub.get("version") or kind["version"]
    return f"io.k8s.api.{group.split('.')[0]}.{version}.{sub['kind']}"


def _camel(text: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in text.replace("-", ".").split("."))


class Writer:
    """Operations in the form of one version."""

    def __init__(self, version: int, known: Mapping[str, Any]) -> None:
        self.version = version
        self.known = known
        self.prefix = "#/definitions/" if version == 2 else "#/components/schemas/"

    def parameter(self, name: str, where: str = "query", described: str = "", kind: str = "string") -> Json:
        if where == "query":
            kind, described = QUERY[name]
        out: Json = {"name": name, "in": where, "description": described}
        if where == "path":
            out["required"] = True
        if self.version == 2:
            return out | {"type": kind, "uniqueItems": True}
        return out | {"schema": {"type": kind, "uniqueItems": True}}

    def schema(self, type_name: str) -> Json | None:
        return {"$ref": self.prefix + type_name} if type_name in self.known else None

    def response(self, description: str, type_name: str, media: Sequence[str]) -> Json:
        schema = self.schema(type_name)
        if schema is None:
            return {"description": description}
        if self.version == 2:
            return {"description": description, "schema": schema}
        return {"description": description, "content": {m: {"schema": schema} for m in media}}

    def operation(
        self,
        action: str,
        gvk: Json,
        operation_id: str,
        text: str,
        answer: str,
        codes: Mapping[str, str],
        query: Iterable[str] = (),
        body: str = "",
    ) -> Json:
        """action: Kubernetes' word (`get`, `list`, `post` ...). codes: HTTP code to description. body: a type, empty
        for none.
        """
        media = MEDIA + STREAMS if action == "list" else MEDIA
        group, version = gvk["group"], gvk["version"]
        tag = f"{group.split('.')[0] if group else 'core'}_{version}"
        out: Json = {"tags": [tag], "description": text, "operationId": operation_id}
        parameters = [self.parameter(name) for name in query]
        consumed = sorted(PATCHES) if action == "patch" else ["*/*"]
        required = action in ("post", "put", "patch")
        schema = self.schema(body) if body else None
        if self.version == 2:
            out |= {"consumes": consumed, "produces": list(media), "schemes": ["https"]}
            if schema:
                parameters.insert(
                    0, {"name": "body", "in": "body", "schema": schema} | ({"required": True} if required else {})
                )
        elif schema:
            out["requestBody"] = {"content": {m: {"schema": schema} for m in consumed}} | (
                {"required": True} if required else {}
            )
        if parameters:
            out["parameters"] = parameters
        out["responses"] = {code: self.response(says, answer, media) for code, says in codes.items()}
        out["responses"]["401"] = {"description": "Unauthorized"}
        return out | {"x-kubernetes-action": action, "x-kubernetes-group-version-kind": gvk}


def paths(version: int, kinds: Iterable[Kind], known: Mapping[str, Any]) -> Json:
    """Paths to their items, sorted. known: the types that have a schema, by name."""
    writer = Writer(version, known)
    out: Json = {}
    for kind in kinds:
        _of_kind(writer, kind, out)
    return dict(sorted(out.items()))


def _of_kind(writer: Writer, kind: Kind, out: Json) -> None:
    group, version, name = kind["group"], kind["version"], kind["kind"]
    root = f"/apis/{group_version(group, version)}" if group else f"/api/{version}"
    family = _camel((group or "core").removesuffix(".k8s.io").removesuffix(".authorization")) + _camel(version)
    scope = "Namespaced" if kind["namespaced"] else ""
    gvk = {"group": group, "version": version, "kind": name}
    of = str(kind["type"])
    verbs = set(kind["verbs"])
    pretty = writer.parameter("pretty")
    namespace = writer.parameter("namespace", "path", "object name and auth scope, such as for teams and projects")
    base = [namespace, pretty] if kind["namespaced"] else [pretty]
    plural = kind["plural"]
    collection = f"{root}/namespaces/{{namespace}}/{plural}" if kind["namespaced"] else f"{root}/{plural}"

    def make(action: str, word: str, text: str, answer: str, codes: Mapping[str, str], **more: Any) -> Json:
        return writer.operation(action, gvk, word, text, answer, codes, **more)

    ok, stored = {"200": "OK"}, {"200": "OK", "201": "Created"}
    deleted = {"200": "OK", "202": "Accepted"}
    options = META + "DeleteOptions"
    item: Json = {}
    if "list" in verbs:
        text = f"list or watch objects of kind {name}"
        item["get"] = make("list", f"list{family}{scope}{name}", text, of + "List", ok, query=LIST)
    if "create" in verbs:
        codes = {**stored, "202": "Accepted"}
        item["post"] = make("post", f"create{family}{scope}{name}", f"create a {name}", of, codes, query=WRITE, body=of)
    if "deletecollection" in verbs:
        word = f"delete{family}Collection{scope}{name}"
        answer = META + "Status"
        item["delete"] = make(
            "deletecollection", word, f"delete collection of {name}", answer, ok, query=DELETE_MANY, body=options
        )
    if item:
        out[collection] = item | {"parameters": base}
    if kind["namespaced"] and "list" in verbs:
        word = f"list{family}{name}ForAllNamespaces"
        everywhere = make("list", word, f"list or watch objects of kind {name}", of + "List", ok, query=LIST)
        out[f"{root}/{plural}"] = {"get": everywhere, "parameters": [pretty]}
    named = [writer.parameter("name", "path", f"name of the {name}"), *base]
    one: Json = {}
    if "get" in verbs:
        one["get"] = make("get", f"read{family}{scope}{name}", f"read the specified {name}", of, ok)
    if "update" in verbs:
        one["put"] = make(
            "put", f"replace{family}{scope}{name}", f"replace the specified {name}", of, stored, query=WRITE, body=of
        )
    if "delete" in verbs:
        answer = META + "Status"
        one["delete"] = make(
            "delete", f"delete{family}{scope}{name}", f"delete a {name}", answer, deleted, query=DELETE, body=options
        )
    if "patch" in verbs:
        text = f"partially update the specified {name}"
        one["patch"] = make(
            "patch", f"patch{family}{scope}{name}", text, of, stored, query=(*WRITE, "force"), body=META + "Patch"
        )
    if one:
        out[f"{collection}/{{name}}"] = one | {"parameters": named}
    for sub in kind.get("subresources") or ():
        out[f"{collection}/{{name}}/{sub['name']}"] = _of_subresource(writer, kind, sub, family, scope) | {
            "parameters": named
        }


def _of_subresource(writer: Writer, kind: Kind, sub: Mapping[str, Any], family: str, scope: str) -> Json:
    name, of = kind["kind"], body_type(kind, sub)
    own = bool(sub.get("kind")) and sub["kind"] != name
    gvk = {
        "group": (sub.get("group") or "") if own else kind["group"],
        "version": (sub.get("version") or kind["version"]) if own else kind["version"],
        "kind": sub["kind"] if own else name,
    }
    word = f"{scope}{name}{_camel(sub['name'])}"
    of_what = f"{sub['name']} of the specified {name}"
    stored = {"200": "OK", "201": "Created"}
    out: Json = {}
    for verb in sorted(sub["verbs"]):
        if verb == "get":
            out["get"] = writer.operation("get", gvk, f"read{family}{word}", f"read {of_what}", of, {"200": "OK"})
        elif verb == "create":
            codes = {**stored, "202": "Accepted"}
            out["post"] = writer.operation(
                "post", gvk, f"create{family}{word}", f"create {of_what}", of, codes, WRITE, of
            )
        elif verb == "update":
            out["put"] = writer.operation(
                "put", gvk, f"replace{family}{word}", f"replace {of_what}", of, stored, WRITE, of
            )
        elif verb == "patch":
            text, query = f"partially update {of_what}", (*WRITE, "force")
            out["patch"] = writer.operation(
                "patch", gvk, f"patch{family}{word}", text, of, stored, query, META + "Patch"
            )
    return out
