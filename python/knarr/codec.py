"""JSON, YAML, protobuf and quantities, through the core: plain dict, list, str, int, float, bool and None.

All errors are ValueErrors (`CodecError` and its kinds); an object Python has and JSON has not raises TypeError. JSON
is written as Go's encoding/json writes it and YAML as kubectl shows it; YAML is read as kubectl's users know it (`0644`
is 420, dates stay strings).
"""

from __future__ import annotations

from knarr._core import (
    CodecError,
    JsonError,
    ProtobufError,
    Quantity,
    QuantityError,
    YamlError,
    json_dumps,
    json_loads,
    json_parse,
    protobuf_decode,
    protobuf_encode,
    yaml_dump,
    yaml_load_all,
    yaml_parse_all,
)

__all__ = [
    "CodecError",
    "JsonError",
    "ProtobufError",
    "Quantity",
    "QuantityError",
    "YamlError",
    "json_dumps",
    "json_loads",
    "json_parse",
    "protobuf_decode",
    "protobuf_encode",
    "yaml_dump",
    "yaml_load_all",
    "yaml_parse_all",
]
