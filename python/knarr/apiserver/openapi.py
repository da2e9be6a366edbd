"""OpenAPI v2 and v3 as pure functions of the declared kinds and the committed type tables.

kubectl needs them for explain, for client-side apply (merge keys) and to see which parameters the server knows; other
clients to generate code. The tables are read when a document is first asked for and dropped after it was made: only
bytes stay. The forms are those of kube-apiserver 1.34 (kube-openapi); a test holds the schemas against it.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from importlib import resources
from typing import Any

from knarr.apiserver import openapi_paths
from knarr.apiserver.discovery import group_version

Json = dict[str, Any]
Kind = Mapping[str, Any]

META = "io.k8s.apimachinery.pkg.apis.meta.v1."
SECURITY = {
    "BearerToken": {
        "type": "apiKey",
        "description": "Bearer Token authentication",
        "name": "authorization",
        "in": "header",
    }
}

# Types that are one JSON value; the tables have them as shapes. Their v3 forms are in `scalar`.
SCALARS: dict[str, tuple[str, Json]] = {
    "Time": (
        META + "Time",
        {
            "description": "Time is a wrapper around time.Time which supports correct marshaling to YAML and JSON.  "
            "Wrappers are provided "
            "for many of the factory methods that the time package offers.",
            "type": "string",
            "format": "date-time",
        },
    ),
    "MicroTime": (
        META + "MicroTime",
        {
            "description": "MicroTime is version of Time with microsecond level precision.",
            "type": "string",
            "format": "date-time",
        },
    ),
    "Quantity": (
        "io.k8s.apimachinery.pkg.api.resource.Quantity",
        {
            "description": "Quantity is a fixed-point representation of a number: a decimal number with an optional "
            "suffix, binary "
            "(Ki, Mi, Gi, Ti, Pi, Ei), decimal (n, u, m, k, M, G, T, P, E) or an exponent (e3). It "
            "has at most 3 decimal places and is "
            "at most 2^63-1.",
            "type": "string",
        },
    ),
    "IntOrString": (
        "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
        {
            "description": "IntOrString is a type that can hold an int32 or a string.  When used in JSON or YAML "
            "marshalling and "
            "unmarshalling, it produces or consumes the inner type.  This allows you to have, for "
            "example, a JSON field that can accept "
            "a name or number.",
            "type": "string",
            "format": "int-or-string",
        },
    ),
    "Fields": (
        META + "FieldsV1",
        {
            "description": "FieldsV1 stores a set of fields in a data structure like a Trie, in JSON format.",
            "type": "object",
        },
    ),
    "Raw": (
        "io.k8s.apimachinery.pkg.runtime.RawExtension",
        {"description": "RawExtension holds any object.", "type": "object"},
    ),
    "Any": (
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON",
        {"description": "JSON represents any valid JSON value."},
    ),
}

PLAIN: dict[str, Json] = {
    "string": {"type": "string"},
    "bool": {"type": "boolean"},
    "int32": {"type": "integer", "format": "int32"},
    "int64": {"type": "integer", "format": "int64"},
    "double": {"type": "number", "format": "double"},
    "bytes": {"type": "string", "format": "byte"},
}
ZERO: dict[str, Any] = {"string": "", "bool": False, "int32": 0, "int64": 0, "double": 0.0}


def table(name: str) -> Any:
    """A committed table: `types` or `descriptions`."""
    packed = resources.files("knarr.api").joinpath("_tables", f"{name}.json.zz").read_bytes()
    return json.loads(zlib.decompress(packed))


class Schemas:
    """Schemas by type name, for OpenAPI `version` 2 or 3. kinds: their group, version and kind stand in the schema
    of their type.
    """

    def __init__(
        self, version: int, kinds: Iterable[Kind], types: Sequence[Json], descriptions: Mapping[str, Json]
    ) -> None:
        self.version = version
        self.types = types
        self.descriptions = descriptions
        self.by_name: dict[str, Json] = {t["n"]: t for t in types}
        self.prefix = "#/definitions/" if version == 2 else "#/components/schemas/"
        self.gvks: dict[str, list[Json]] = {}
        for kind in kinds:
            for suffix in ("", "List"):
                gvk = {"group": kind["group"], "kind": kind["kind"] + suffix, "version": kind["version"]}
                known = self.gvks.setdefault(kind["type"] + suffix, [])
                if gvk not in known:
                    known.append(gvk)
        for name in ("DeleteOptions", "Status", "WatchEvent"):
            self.gvks.setdefault(META + name, [{"group": "", "kind": name, "version": "v1"}])

    def closure(self, names: Iterable[str]) -> list[str]:
        """These types and all they hold, by name."""
        found: set[str] = set()
        waiting = [n for n in names if n in self.by_name]
        while waiting:
            name = waiting.pop()
            if name in found:
                continue
            found.add(name)
            for field in self.by_name.get(name, {}).get("f", ()):
                base = field["s"].replace("[]", "").replace("{}", "")
                if "#" in base:
                    waiting.append(self.types[int(base.split("#")[1])]["n"])
                elif base in SCALARS:
                    found.add(SCALARS[base][0])
        return sorted(found)

    def schemas(self, names: Iterable[str]) -> Json:
        scalars = {name: schema for name, schema in SCALARS.values()}
        return {n: self.scalar(n, scalars[n]) if n in scalars else self.of_type(n) for n in self.closure(names)}

    def scalar(self, name: str, schema: Json) -> Json:
        # v3 can say that a value is of one of two types.
        either = {"IntOrString": ("integer", "string"), "Quantity": ("string", "number")}.get(name.rsplit(".", 1)[1])
        if self.version == 3 and either:
            kept = {k: v for k, v in schema.items() if k != "type"}
            return kept | {"oneOf": [{"type": t} for t in either]}
        return schema

    def of_type(self, name: str) -> Json:
        of = self.by_name[name]
        docs = self.descriptions.get(name, {})
        out: Json = {}
        if docs.get("d"):
            out["description"] = docs["d"]
        out["type"] = "object"
        required = [f["n"] for f in of.get("f", ()) if f.get("r")]
        if required:
            out["required"] = required
        fields = sorted(of.get("f", ()), key=lambda f: str(f["n"]))
        if fields:
            out["properties"] = {f["n"]: self.field(f, docs.get("f", {}).get(f["n"], {})) for f in fields}
        if name in self.gvks:
            out["x-kubernetes-group-version-kind"] = self.gvks[name]
        if of.get("a"):
            out["x-kubernetes-map-type"] = "atomic"
        return out

    def field(self, field: Json, docs: Json) -> Json:
        shape = field["s"]
        out: Json = {}
        if docs.get("d"):
            out["description"] = docs["d"]
        out |= self.shape(shape, bool(out))
        if self.version == 3:
            # Defaults stand in v3 only: the declared one, else the zero value of what Go always writes.
            if "default" in docs:
                out["default"] = docs["default"]
            elif shape.startswith("#") and not field.get("x"):
                out["default"] = {}
            elif field.get("z") and not field.get("x") and shape in ZERO:
                out["default"] = ZERO[shape]
        if docs.get("enum"):
            (out["items"] if shape.startswith("[]") else out)["enum"] = docs["enum"]
        if field.get("k"):
            out["x-kubernetes-list-map-keys"] = field["k"]
        if field.get("l"):
            out["x-kubernetes-list-type"] = field["l"]
        if field.get("a") and not shape.startswith("#"):
            out["x-kubernetes-map-type"] = "atomic"
        if field.get("pk"):
            out["x-kubernetes-patch-merge-key"] = field["pk"]
        if field.get("ps"):
            out["x-kubernetes-patch-strategy"] = field["ps"]
        return out

    def shape(self, shape: str, described: bool = False) -> Json:
        if shape.startswith("[]"):
            return {"type": "array", "items": self.element(shape[2:])}
        if shape.startswith("{}"):
            return {"type": "object", "additionalProperties": self.element(shape[2:])}
        if shape in PLAIN:
            return dict(PLAIN[shape])
        name = SCALARS[shape][0] if shape in SCALARS else self.types[int(shape.split("#")[1])]["n"]
        ref = {"$ref": self.prefix + name}
        # In v3 nothing may stand beside a $ref.
        return {"allOf": [ref]} if self.version == 3 and described else ref

    def element(self, shape: str) -> Json:
        out = self.shape(shape)
        if self.version == 2:
            return out
        if shape in ZERO:
            return out | {"default": ZERO[shape]}
        if shape.startswith("#"):
            return {"default": {}, "allOf": [out]}
        return out


def roots(kinds: Iterable[Kind]) -> Iterator[str]:
    """The types that the operations of these kinds name."""
    yield from (META + name for name in ("APIResourceList", "DeleteOptions", "Patch", "Status", "WatchEvent"))
    for kind in kinds:
        yield kind["type"]
        yield kind["type"] + "List"
        for sub in kind.get("subresources") or ():
            yield openapi_paths.body_type(kind, sub)


class Documents:
    """All OpenAPI documents of one generation of kinds, each made when it is first asked for."""

    def __init__(self, kinds: Sequence[Kind], version: str = "1.34") -> None:
        self.kinds = [k for k in kinds if k.get("type")]
        self.info = {"title": "Kubernetes", "version": version}
        self._v3: dict[str, bytes] = {}

    def group_versions(self) -> dict[str, list[Kind]]:
        """`api/v1` and `apis/GROUP/VERSION`, each with its kinds."""
        out: dict[str, list[Kind]] = {}
        for kind in self.kinds:
            path = (
                f"apis/{group_version(kind['group'], kind['version'])}" if kind["group"] else f"api/{kind['version']}"
            )
            out.setdefault(path, []).append(kind)
        return dict(sorted(out.items()))

    def _make_v3(self) -> dict[str, bytes]:
        if not self._v3:
            made = Schemas(3, self.kinds, table("types")["types"], table("descriptions"))
            for path, kinds in self.group_versions().items():
                document = {
                    "openapi": "3.0.0",
                    "info": self.info,
                    "paths": openapi_paths.paths(3, kinds, made.by_name),
                    "components": {"schemas": made.schemas(roots(kinds)), "securitySchemes": SECURITY},
                }
                self._v3[path] = encode(document)
        return self._v3

    def v3(self, path: str) -> bytes | None:
        """One group version; None where there is none."""
        return self._make_v3().get(path)

    def hash(self, path: str) -> str:
        return hashlib.sha512(self._make_v3()[path]).hexdigest().upper()

    @cached_property
    def index(self) -> bytes:
        """`/openapi/v3`: where each group version is, by the hash of its content."""
        urls = {p: {"serverRelativeURL": f"/openapi/v3/{p}?hash={self.hash(p)}"} for p in self._make_v3()}
        return encode({"paths": urls})

    def swagger(self) -> Json:
        made = Schemas(2, self.kinds, table("types")["types"], table("descriptions"))
        return {
            "swagger": "2.0",
            "info": self.info,
            "paths": openapi_paths.paths(2, self.kinds, made.by_name),
            "definitions": made.schemas(roots(self.kinds)),
            "securityDefinitions": SECURITY,
            "security": [{"BearerToken": []}],
        }

    @cached_property
    def v2(self) -> bytes:
        return encode(self.swagger())

    @cached_property
    def v2_protobuf(self) -> bytes:
        from knarr.apiserver import gnostic

        return gnostic.encode(self.swagger())


def encode(document: Json) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
