"""OpenAPI v2 as gnostic protobuf: what Go clients ask `/openapi/v2` for.

A small encoder over a table of the messages of gnostic's `openapiv2/OpenAPIv2.proto`: a document is plain JSON, each
message says which of its keys is which field. Extensions (`x-...`) are NamedAny fields whose value is YAML text, for
which JSON does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

MEDIA_TYPE = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
# What is answered: `@` is not allowed in a media type, so kube-apiserver writes a dot.
CONTENT_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"

Encode = Callable[[Any], bytes]


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def delimited(field: int, payload: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(payload)) + payload


def text(field: int, value: str) -> bytes:
    return delimited(field, value.encode())


def _any(value: Any) -> bytes:
    return text(2, json.dumps(value, separators=(",", ":"), ensure_ascii=False) + "\n")


def _named(name: str, value: bytes) -> bytes:
    return text(1, name) + delimited(2, value)


# Messages by name: JSON key -> (field number, form). A form is `string`, `bool`, `any`, the name of a message,
# `map:M` (a message whose
# field 1 repeats NamedM) or, in a list, one of these repeated. `x` is the number of vendor_extension.
MESSAGES: Mapping[str, Mapping[str, tuple[int, str]]] = {
    "Document": {
        "swagger": (1, "string"),
        "info": (2, "Info"),
        "paths": (8, "Paths"),
        "definitions": (9, "map:Schema"),
        "security": (12, "SecurityRequirement"),
        "securityDefinitions": (13, "map:Security"),
        "x": (16, ""),
    },
    "Info": {"title": (1, "string"), "version": (2, "string"), "x": (7, "")},
    "PathItem": {
        "get": (2, "Operation"),
        "put": (3, "Operation"),
        "post": (4, "Operation"),
        "delete": (5, "Operation"),
        "patch": (8, "Operation"),
        "parameters": (9, "Parameter"),
        "x": (10, ""),
    },
    "Operation": {
        "tags": (1, "string"),
        "description": (3, "string"),
        "operationId": (5, "string"),
        "produces": (6, "string"),
        "consumes": (7, "string"),
        "parameters": (8, "Parameter"),
        "responses": (9, "Responses"),
        "schemes": (10, "string"),
        "deprecated": (11, "bool"),
        "x": (13, ""),
    },
    "BodyParameter": {
        "description": (1, "string"),
        "name": (2, "string"),
        "in": (3, "string"),
        "required": (4, "bool"),
        "schema": (5, "Schema"),
    },
    "QueryParameter": {
        "required": (1, "bool"),
        "in": (2, "string"),
        "description": (3, "string"),
        "name": (4, "string"),
        "type": (6, "string"),
        "format": (7, "string"),
        "uniqueItems": (20, "bool"),
    },
    "PathParameter": {
        "required": (1, "bool"),
        "in": (2, "string"),
        "description": (3, "string"),
        "name": (4, "string"),
        "type": (5, "string"),
        "format": (6, "string"),
        "uniqueItems": (19, "bool"),
    },
    "Response": {"description": (1, "string"), "schema": (2, "SchemaItem")},
    "ApiKey": {"type": (1, "string"), "name": (2, "string"), "in": (3, "string"), "description": (4, "string")},
    "Schema": {
        "$ref": (1, "string"),
        "format": (2, "string"),
        "description": (4, "string"),
        "default": (5, "any"),
        "required": (19, "string"),
        "enum": (20, "any"),
        "additionalProperties": (21, "AdditionalProperties"),
        "type": (22, "Type"),
        "items": (23, "Items"),
        "properties": (25, "map:Schema"),
        "x": (31, ""),
    },
}


def _parameter(value: Any) -> bytes:
    """ParametersItem > Parameter > one of the three kinds of parameters."""
    where = value["in"]
    if where == "body":
        parameter = delimited(1, message("BodyParameter", value))
    elif where == "query":
        parameter = delimited(2, delimited(3, message("QueryParameter", value)))
    elif where == "path":
        parameter = delimited(2, delimited(4, message("PathParameter", value)))
    else:
        raise ValueError(f"a parameter in {where!r}")
    return delimited(1, parameter)


def _responses(value: Any) -> bytes:
    return b"".join(delimited(1, _named(code, delimited(1, message("Response", r)))) for code, r in value.items())


def _requirement(value: Any) -> bytes:
    return b"".join(delimited(1, _named(n, b"".join(text(1, s) for s in scopes))) for n, scopes in value.items())


SPECIAL: Mapping[str, Encode] = {
    "any": _any,
    "Parameter": _parameter,
    "Responses": _responses,
    "SecurityRequirement": _requirement,
    "Paths": lambda value: b"".join(
        delimited(2, _named(path, message("PathItem", item))) for path, item in value.items()
    ),
    "Security": lambda value: delimited(2, message("ApiKey", value)),
    "SchemaItem": lambda value: delimited(1, message("Schema", value)),
    "AdditionalProperties": lambda value: (
        varint(2 << 3) + varint(int(value)) if isinstance(value, bool) else delimited(1, message("Schema", value))
    ),
    "Type": lambda value: text(1, value),
    "Items": lambda value: delimited(1, message("Schema", value)),
}


def _field(number: int, form: str, value: Any) -> bytes:
    if form == "string":
        return text(number, value)
    if form == "bool":
        return varint(number << 3) + b"\x01" if value else b""
    if form.startswith("map:"):
        inner = form.removeprefix("map:")
        encode = SPECIAL.get(inner) or (lambda v: message(inner, v))
        return delimited(number, b"".join(delimited(1, _named(name, encode(v))) for name, v in value.items()))
    encode = SPECIAL.get(form) or (lambda v: message(form, v))
    return delimited(number, encode(value))


def message(name: str, value: Mapping[str, Any]) -> bytes:
    """One message. Raises ValueError for a key that the table does not have: nothing is left out silently."""
    fields = MESSAGES[name]
    out = []
    for key, part in value.items():
        if key.startswith("x-"):
            out.append(delimited(fields["x"][0], _named(key, _any(part))))
            continue
        if key not in fields:
            raise ValueError(f"{name} has no field {key!r}")
        number, form = fields[key]
        if isinstance(part, list) and form != "map:Schema":
            out += [_field(number, form, one) for one in part]
        else:
            out.append(_field(number, form, part))
    return b"".join(out)


def encode(document: Mapping[str, Any]) -> bytes:
    """A swagger document as gnostic protobuf."""
    return message("Document", document)
