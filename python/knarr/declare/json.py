"""The shapes of JSON that declarations are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

#: A node of a declaration: a JSON object with a tag (`rule`, `default`, `step`) and the node's own fields.
Node: TypeAlias = Mapping[str, Any]
Nodes: TypeAlias = Sequence[Node]


def node(tag: str, name: str, /, **fields: Any) -> Node:
    """A node; fields that are None, False, or an empty string or list are left out, since each has that default
    in the core.

    A trailing underscore of a field's name is dropped (`if_`), an inner one makes camel case (`once_set`: `onceSet`).
    """
    out: dict[str, Any] = {tag: name}
    for key, value in fields.items():
        if value is None or value is False or value == "" or value == []:
            continue
        head, *tail = key.rstrip("_").split("_")
        out[head + "".join(word.capitalize() for word in tail)] = value
    return out
