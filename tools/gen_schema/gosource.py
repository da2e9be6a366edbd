"""A reader of Go type declarations: what the API packages' `types.go` consist of, and no more of Go.

gofmt's layout is relied upon: a declaration begins in column 0, a struct ends with a lone brace there, a field is one
line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

_SKIPPED = re.compile(
    r"(_test|\.pb|_swagger_doc_generated|^zz_generated.*|^conversion|^defaults|^register|model_name)\.go$|\.pb\.go$"
)
_TYPE = re.compile(r"^type (\w+)(?:\[.*?\])? (=\s*)?(.+?)(?:\s*//.*)?$")
_FIELD = re.compile(r"^\t(?:([A-Z]\w*)\s+)?([\[\]*\w.{}]+)(?:\s+`([^`]*)`)?(?:\s*//.*)?$")
_TAG = re.compile(r'(\w+):"((?:[^"\\]|\\.)*)"')
_IMPORT = re.compile(r'^(?:import )?\s*(\w+)?\s*"([^"]+)"$')
_BLOCK = re.compile(r"^\s*/\*.*?\*/$\n?", re.DOTALL | re.MULTILINE)
_CONST = re.compile(r'^\s+(\w+)\s+(\w+)\s+=\s+"((?:[^"\\]|\\.)*)"')


@dataclass
class GoField:
    """One line of a struct. name: "" where embedded. type: as written. tags: by key. comment: lines without slashes."""

    name: str
    type: str
    tags: dict[str, str]
    comment: list[str]


@dataclass
class GoType:
    """One declaration. package: import path. fields: None where it is not a struct; target is what it is then."""

    package: str
    name: str
    comment: list[str]
    imports: dict[str, str]
    fields: list[GoField] | None = None
    target: str = ""
    constants: list[tuple[str, str, list[str]]] = field(default_factory=list)
    """Of a string type: (constant's name, value, comment) in order of the source."""


@dataclass
class GoPackage:
    """One package: its types by name, and its API group (None: register.go does not say)."""

    path: str
    types: dict[str, GoType]
    group: str | None


def markers(comment: list[str]) -> dict[str, list[str]]:
    """The `+name=value` lines of a comment, values by name; "" where there is no value."""
    found: dict[str, list[str]] = {}
    for line in comment:
        line = line.strip()
        if line.startswith("+"):
            name, _, value = line[1:].partition("=")
            found.setdefault(name.strip(), []).append(value.strip())
    return found


def read_package(path: str, folder: Path) -> GoPackage:
    """Read all declarations of the Go package in a folder."""
    package = GoPackage(path, {}, None)
    constants: list[tuple[str, str, str, list[str]]] = []
    for source in sorted(folder.glob("*.go")):
        text = source.read_text(encoding="utf-8")
        group = re.search(r'^const GroupName = "(.*)"$', text, re.MULTILINE)
        if group:
            package.group = group[1]
        if _SKIPPED.search(source.name):
            continue
        _read_file(path, _BLOCK.sub("", text).splitlines(), package.types, constants)
    for name, type_name, value, comment in constants:
        if type_name in package.types:
            package.types[type_name].constants.append((name, value, comment))
    return package


def _read_file(
    path: str, lines: list[str], types: dict[str, GoType], constants: list[tuple[str, str, str, list[str]]]
) -> None:
    imports: dict[str, str] = {}
    comment: list[
        str
    ] = []  # what stands right above; one empty line between keeps it, as gengo's second closest comment
    pending: list[str] = []
    struct: GoType | None = None
    block = ""
    for line in lines:
        bare = line.strip()
        if block == "import" or line.startswith('import "') or re.match(r'^import \w+ "', line):
            found = _IMPORT.match(bare if block else line)
            if found:
                imports[found[1] or found[2].rsplit("/", 1)[-1]] = found[2]
            if bare == ")":
                block = ""
            continue
        if bare.startswith("//"):
            comment.append(bare[2:].removeprefix(" "))
            continue
        if line == "import (":
            block = "import"
        elif line == "const (":
            block = "const"
        elif line == ")":
            block = ""
        elif block == "const":
            found = _CONST.match(line)
            if found:
                constants.append((found[1], found[2], found[3], comment))
        elif struct is not None:
            if line == "}":
                struct = None
            elif bare:
                _read_field(struct, line, comment)
        else:
            found = _TYPE.match(line)
            if found:
                name, target = found[1], found[3]
                declared = GoType(path, name, [*pending, *comment], imports)
                types[name] = declared
                if target == "struct {":
                    declared.fields = []
                    struct = declared
                elif target in ("struct{}",):
                    declared.fields = []
                else:
                    declared.target = target
        # A marker block may stand one empty line above its type, as gengo has it.
        pending = [] if bare or struct is not None else [entry for entry in comment if entry.startswith("+")]
        comment = []


def _read_field(struct: GoType, line: str, comment: list[str]) -> None:
    if re.match(r"^\t[a-z_]\w*[ ,]", line):
        return  # unexported: no part of the API
    found = _FIELD.match(line)
    if found is None:
        raise ValueError(f"{struct.package}.{struct.name}: cannot read the field {line!r}")
    if struct.fields is not None:
        struct.fields.append(GoField(found[1] or "", found[2], dict(_TAG.findall(found[3] or "")), comment))
