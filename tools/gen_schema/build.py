"""From Go declarations to the tables."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import Any

from tools.gen_schema.gosource import GoField, GoPackage, GoType, markers, read_package
from tools.gen_schema.sources import KUBERNETES, PACKAGES, Sources

FORMAT = 1
META = "k8s.io/apimachinery/pkg/apis/meta/v1"
RUNTIME = "k8s.io/apimachinery/pkg/runtime"
EXTENSIONS = "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

SPECIAL = {
    (META, "Time"): "Time",
    (META, "MicroTime"): "MicroTime",
    (META, "FieldsV1"): "Fields",
    (RUNTIME, "RawExtension"): "Raw",
    ("k8s.io/apimachinery/pkg/api/resource", "Quantity"): "Quantity",
    ("k8s.io/apimachinery/pkg/util/intstr", "IntOrString"): "IntOrString",
    (EXTENSIONS, "JSON"): "Any",
}
"""Types with a JSON form of their own, by what the core calls their shape."""

UNIONS = {
    "JSONSchemaPropsOrBool": "OrBool",
    "JSONSchemaPropsOrArray": "OrList",
    "JSONSchemaPropsOrStringArray": "OrStrings",
}
STRINGS = {("k8s.io/apimachinery/pkg/types", name) for name in ("UID", "NodeName", "PatchType")}
DURATION = (META, "Duration")
BASIC = {"string": "string", "bool": "bool", "int32": "int32", "int64": "int64", "float64": "double", "int": "int64"}
STRUCTS = {"Time", "MicroTime", "Quantity", "IntOrString", "Raw", "Any", "Fields"}
"""Shapes that are structs in Go: omitempty does nothing for them."""

META_GROUP = {"PartialObjectMetadata", "PartialObjectMetadataList", "Table", "TableOptions"}
"""Kinds of meta/v1 that live in the group meta.k8s.io; the others are in every group, the core one stands for all."""
OBJECT = "k8s:deepcopy-gen:interfaces"


def openapi_name(package: str, name: str) -> str:
    """`k8s.io/api/core/v1`, `Pod` -> `io.k8s.api.core.v1.Pod`."""
    host, _, rest = package.partition("/")
    return ".".join([*reversed(host.split(".")), *rest.split("/"), name])


def description(comment: list[str]) -> str:
    """The text kube-openapi's generator makes of a Go comment."""
    out = ""
    for line in comment:
        if line == "---":
            break
        line = line.rstrip(" ")
        leading = line.lstrip(" ")
        if not line:
            out = out[:-1] + "\n\n"
        elif leading.startswith(("TODO", "+")):
            continue
        elif line[0] in " \t":
            out = out[:-1] + "\n" + line + "\n"
        else:
            out += line + " "
    return out.rstrip("\n").strip(" ")


@dataclass(frozen=True)
class Resolved:
    """What a Go type is. shape: the core's word, `{}` and `[]` prefixes included, `#<OpenAPI name>` for a struct.

    pointer: `*` in front. struct: omitempty has no effect. wrapped: a named list. named: the string type with
    constants, if it is one."""

    shape: str
    pointer: bool = False
    struct: bool = False
    wrapped: bool = False
    named: GoType | None = None
    declared: GoType | None = None


class Builder:
    """Holds all packages while types are resolved."""

    def __init__(self, packages: dict[str, GoPackage]) -> None:
        self.packages = packages
        self.jsononly = set[str]()

    def lookup(self, origin: GoType, text: str) -> tuple[str, str]:
        """(package, name) of a type name as written in a file."""
        if "." in text:
            alias, name = text.split(".")
            return origin.imports[alias], name
        return origin.package, text

    def resolve(self, origin: GoType, text: str) -> Resolved:
        """What a type expression means in the file of `origin`."""
        if text.startswith("*"):
            inner = self.resolve(origin, text[1:])
            return Resolved(inner.shape, True, False, inner.wrapped, inner.named, inner.declared)
        if text == "[]byte":
            return Resolved("bytes")
        if text.startswith("[]"):
            inner = self.resolve(origin, text[2:])
            return Resolved("[]" + inner.shape, named=inner.named)
        if text.startswith("map["):
            value = text[4:].partition("]")[2]
            inner = self.resolve(origin, value)
            return Resolved("{}" + inner.shape, declared=None)
        if text in BASIC:
            return Resolved(BASIC[text])
        if text in ("interface{}", "any"):
            return Resolved("Any", struct=True)
        package, name = self.lookup(origin, text)
        if (package, name) in SPECIAL:
            shape = SPECIAL[package, name]
            return Resolved(shape, struct=shape in STRUCTS)
        if (package, name) in STRINGS:
            return Resolved("string")
        if (package, name) == DURATION:
            self.jsononly.add(openapi_name(origin.package, origin.name))
            return Resolved("string")
        if package == EXTENSIONS and name in UNIONS:
            return Resolved(f"{UNIONS[name]}#{openapi_name(package, 'JSONSchemaProps')}", struct=True)
        if package not in self.packages:
            raise ValueError(
                f"{origin.package}.{origin.name} refers to {text} of {package}: name the package in sources.PACKAGES"
            )
        declared = self.packages[package].types[name]
        if declared.fields is not None:
            return Resolved("#" + openapi_name(package, name), struct=True, declared=declared)
        inner = self.resolve(declared, declared.target)
        if inner.shape == "string" and declared.constants:
            return Resolved("string", named=declared)
        wrapped = inner.shape.startswith("[]")
        return Resolved(inner.shape, inner.pointer, inner.struct, wrapped, inner.named, declared)

    def fields(
        self, declared: GoType, docs: dict[str, Any], out: list[dict[str, Any]], numbered: bool = True
    ) -> list[Any]:
        """Append a struct's fields, inlined ones flattened, to `out`; returns the wire items, ordered by number."""
        wire: list[tuple[int, Any]] = []
        for line in declared.fields or []:
            name, *options = line.tags.get("json", "").split(",")
            protobuf = line.tags.get("protobuf", "")
            number = int(protobuf.split(",")[1]) if numbered and "," in protobuf else 0
            if name == "-" or (not line.name and not line.tags) or (line.name and "json" not in line.tags):
                continue
            if not name and ("inline" in options or not line.name):
                inner = self.resolve(declared, line.type)
                if inner.declared is None:
                    raise ValueError(f"{declared.name}: cannot inline {line.type}")
                items = self.fields(inner.declared, docs, out, numbered and number > 0)
                if number:
                    wire.append((number, [number, items]))
                continue
            out.append(self.field(declared, line, name, options, number, docs))
            if number:
                wire.append((number, len(out) - 1))
        return [item for _, item in sorted(wire, key=lambda pair: pair[0])]

    def field(
        self, owner: GoType, line: GoField, name: str, options: list[str], number: int, docs: dict[str, Any]
    ) -> dict[str, Any]:
        """One field of the table; what is false or absent is left out."""
        found = self.resolve(owner, line.type)
        marks = markers(line.comment)
        omitempty, omitzero = "omitempty" in options, "omitzero" in options
        optional = omitempty or omitzero or "optional" in marks
        entry: dict[str, Any] = {"n": name, "s": found.shape}
        if number:
            entry["p"] = number
        if "required" in marks or not optional:
            entry["r"] = 1
        if found.pointer:
            entry["x"] = 1
        elif omitzero or (omitempty and not found.struct):
            entry["e"] = 1
        if not omitzero and (not omitempty or (found.struct and not found.pointer)):
            entry["z"] = 1
        if found.wrapped:
            entry["i"] = 1
        own = markers(found.declared.comment) if found.declared else {}
        if "listType" in marks or "listType" in own:
            entry["l"] = (marks.get("listType") or own["listType"])[0]
        if "listMapKey" in marks:
            entry["k"] = marks["listMapKey"]
        if "patchStrategy" in line.tags:
            entry["ps"] = line.tags["patchStrategy"]
        if "patchMergeKey" in line.tags:
            entry["pk"] = line.tags["patchMergeKey"]
        if any(m.get(key) == ["atomic"] for m in (marks, own) for key in ("mapType", "structType")):
            entry["a"] = 1
        docs[name] = self.documentation(line, marks, found)
        if "default" in docs[name]:
            entry["d"] = docs[name]["default"]
        return entry

    def documentation(self, line: GoField, marks: dict[str, list[str]], found: Resolved) -> dict[str, Any]:
        """Description, enumeration and default of a field."""
        entry: dict[str, Any] = {"d": description(line.comment)}
        if "default" in marks:
            with contextlib.suppress(ValueError):  # ref(constant): the constant is not looked for
                entry["default"] = json.loads(marks["default"][0])
        if found.named is not None and "enum" in markers(found.named.comment):
            values = sorted({value: description(text) for _, value, text in found.named.constants}.items())
            entry["enum"] = [value for value, _ in values]
            listed = "".join(f"\n - `{json.dumps(value)}` {text}".rstrip() for value, text in values)
            entry["d"] = f"{entry['d']}\n\nPossible enum values:{listed}".lstrip("\n")
        return entry


def _kinds(package: GoPackage, declared: GoType) -> list[list[str]]:
    if OBJECT not in markers(declared.comment):
        return []
    version = package.path.rsplit("/", 1)[-1]
    if package.path == META:
        return [["meta.k8s.io" if declared.name in META_GROUP else "", version, declared.name]]
    if package.group is None:
        raise ValueError(f"{package.path}: no API group was found")
    return [[package.group, version, declared.name]]


def _shaken(shape: str, ids: dict[str, int]) -> str:
    prefix, mark, name = shape.partition("#")
    return f"{prefix}#{ids[name]}" if mark else shape


def tables(sources: Sources) -> dict[str, Any]:
    """Both tables by file name, as plain data."""
    packages = {path: read_package(path, sources.folder(path)) for path in PACKAGES}
    builder = Builder(packages)
    types: dict[str, dict[str, Any]] = {}
    docs: dict[str, Any] = {}
    for package in packages.values():
        for declared in package.types.values():
            skipped = (package.path, declared.name) in SPECIAL
            union = package.path == EXTENSIONS and declared.name in UNIONS
            tagged = not declared.fields or any("json" in line.tags for line in declared.fields)
            if declared.fields is None or not tagged or skipped or union or (package.path, declared.name) == DURATION:
                continue
            name = openapi_name(package.path, declared.name)
            fields: list[dict[str, Any]] = []
            documented: dict[str, Any] = {}
            marks = markers(declared.comment)
            wire = builder.fields(declared, documented, fields)
            entry: dict[str, Any] = {"n": name, "f": fields}
            if wire and name not in builder.jsononly and marks.get("protobuf") != ["false"]:
                entry["w"] = wire
            if any(marks.get(key) == ["atomic"] for key in ("mapType", "structType")):
                entry["a"] = 1
            kinds = _kinds(package, declared)
            if kinds:
                entry["k"] = kinds
            types[name] = entry
            docs[name] = {"d": description(declared.comment), "f": documented}
    ordered = sorted(types)
    ids = {name: i for i, name in enumerate(ordered)}
    for entry in types.values():
        for field in entry["f"]:
            field["s"] = _shaken(field["s"], ids)
    table = {
        "format": FORMAT,
        "kubernetes": KUBERNETES,
        "types": [types[n] for n in ordered],
        "resources": resources(sources),
    }
    return {"types": table, "descriptions": {n: docs[n] for n in ordered}}


def resources(sources: Sources) -> list[dict[str, Any]]:
    """What kube-apiserver's discovery says of each resource of the stable versions, subresources included."""
    path = sources.folder("k8s.io/kubernetes/api/discovery")
    out: list[dict[str, Any]] = []
    for document in [path / "api__v1.json", *sorted(path.glob("apis__*__v[0-9].json"))]:
        listed = json.loads(document.read_text())
        group, _, version = listed["groupVersion"].rpartition("/")
        for resource in listed["resources"]:
            resource.pop("storageVersionHash", None)
            out.append({"group_version": [group, version], **resource})
    return out
