"""The generator of the types tables. Goal: it reads Go as Go means it, and agrees with another source of the schema.

Method: a small package of every shape, written here; the committed tables against kubernetes-validate's definitions."""

from __future__ import annotations

import json
import lzma
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tools import gen_schema
from tools.gen_schema.build import Builder, description
from tools.gen_schema.gosource import read_package

SOURCE = """\
package v1

import (
\tmetav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Colour is a colour.
// +enum
type Colour string

const (
\t// Red like blood.
\tRed Colour = "Red"
\tBlue Colour = "Blue"
)

// Names is a list with a name.
type Names []string

// Inner is inlined.
type Inner struct {
\t// a comes first.
\tA *int32 `json:"a,omitempty" protobuf:"varint,1,opt,name=a"`
}

// Thing is a thing.
// TODO: nobody reads this.
//
// Second paragraph.
type Thing struct {
\tmetav1.TypeMeta `json:",inline"`
\t// +optional
\tInner `json:",inline" protobuf:"bytes,2,opt,name=inner"`
\t// ports.
\t// +listType=map
\t// +listMapKey=port
\tColours []Colour `json:"colours" patchStrategy:"merge" patchMergeKey:"port" protobuf:"bytes,1,rep,name=colours"`
\t/*
\t   not a comment for readers
\t*/
\tNames Names `json:"names,omitempty" protobuf:"bytes,4,opt,name=names"`
\tWhen metav1.Time `json:"when,omitempty" protobuf:"bytes,5,opt,name=when"`
\tCount int64 `json:"count,omitempty" protobuf:"varint,3,opt,name=count"` // trailing
\t// +default="Red"
\tColour Colour `json:"colour" protobuf:"bytes,6,opt,name=colour"`
\thidden int
}
"""


@pytest.fixture
def package(tmp_path: Path) -> tuple[Builder, Any]:
    (tmp_path / "types.go").write_text(SOURCE)
    (tmp_path / "register.go").write_text('package v1\n\nconst GroupName = "example.com"\n')
    read = read_package("example.com/api/v1", tmp_path)
    meta = read_package("k8s.io/apimachinery/pkg/apis/meta/v1", _meta(tmp_path))
    return Builder({read.path: read, meta.path: meta}), read


def _meta(tmp_path: Path) -> Path:
    folder = tmp_path / "meta"
    folder.mkdir()
    (folder / "types.go").write_text(
        "package v1\n\ntype TypeMeta struct {\n"
        '\tKind string `json:"kind,omitempty" protobuf:"bytes,1,opt,name=kind"`\n}\n'
    )
    return folder


def test_fields_have_what_go_says(package: tuple[Builder, Any]) -> None:
    builder, read = package
    docs: dict[str, Any] = {}
    fields: list[dict[str, Any]] = []
    wire = builder.fields(read.types["Thing"], docs, fields)
    assert read.group == "example.com"
    assert fields == [
        {"n": "kind", "s": "string", "e": 1},
        {"n": "a", "s": "int32", "p": 1, "x": 1},
        {
            "n": "colours",
            "s": "[]string",
            "p": 1,
            "r": 1,
            "z": 1,
            "l": "map",
            "k": ["port"],
            "ps": "merge",
            "pk": "port",
        },
        {"n": "names", "s": "[]string", "p": 4, "e": 1, "i": 1},
        {"n": "when", "s": "Time", "p": 5, "z": 1},
        {"n": "count", "s": "int64", "p": 3, "e": 1},
        {"n": "colour", "s": "string", "p": 6, "r": 1, "z": 1, "d": "Red"},
    ]
    assert wire == [2, [2, [1]], 5, 3, 4, 6], "in order of number; the inlined struct is a message"
    assert docs["colour"]["enum"] == ["Blue", "Red"]
    assert docs["colour"]["d"].endswith('Possible enum values:\n - `"Blue"`\n - `"Red"` Red like blood.')
    assert docs["names"] == {"d": ""}


def test_descriptions_are_openapis(package: tuple[Builder, Any]) -> None:
    _, read = package
    assert description(read.types["Thing"].comment) == "Thing is a thing.\n\nSecond paragraph."


def _definitions() -> dict[str, Any]:
    """kubernetes-validate's definitions of 1.34, in whichever packing its wheel has them."""
    validate = pytest.importorskip("kubernetes_validate")
    folder = Path(validate.__file__).parent
    for path in sorted(folder.rglob("*1.34*")):
        if path.suffix == ".json":
            return dict(json.loads(path.read_text()))
        if path.suffix == ".xz":
            return dict(json.loads(lzma.decompress(path.read_bytes())))
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as packed:
                return dict(json.loads(packed.read(packed.namelist()[0])))
        if path.is_dir() and (path / "_definitions.json").exists():
            return dict(json.loads((path / "_definitions.json").read_text()))
    raise AssertionError(f"no definitions of 1.34 in {folder}")


def test_the_committed_table_agrees_with_published_openapi() -> None:
    """Fields, required ones, list types, keys, patch strategies and merge keys of published OpenAPI are the table's."""
    document = _definitions()
    published = document.get("definitions") or document["$defs"]
    table = gen_schema.load("types")["types"]
    compared = 0
    for entry in table:
        other = published.get(entry["n"])
        if other is None or "properties" not in other:
            continue
        compared += 1
        fields = {field["n"]: field for field in entry["f"]}
        assert set(fields) == set(other["properties"]), entry["n"]
        assert {name for name, field in fields.items() if "r" in field} == set(other.get("required", [])), entry["n"]
        for name, says in other["properties"].items():
            ours = fields[name]
            where = f"{entry['n']}.{name}"
            assert ours.get("l") == says.get("x-kubernetes-list-type"), where
            assert ours.get("k") == says.get("x-kubernetes-list-map-keys"), where
            assert ours.get("ps") == says.get("x-kubernetes-patch-strategy"), where
            assert ours.get("pk") == says.get("x-kubernetes-patch-merge-key"), where
    assert compared > 450, f"only {compared} types were compared"
