"""Printer columns: what `kubectl get` shows of a kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Column:
    """One column: a dotted `path`, or a `cell` (a named function of rust/knarr-schema/src/table), which may take
    a path.

    type: string, integer, number, boolean or date. priority: 0 always, 1 with `-o wide`. default: shown where
    `path` is absent.
    """

    name: str
    description: str
    path: str = ""
    cell: str = ""
    type: str = "string"
    format: str = ""
    priority: int = 0
    default: str = ""

    def document(self) -> dict[str, Any]:
        """Raises ValueError without a source."""
        if not (self.path or self.cell):
            raise ValueError(f"column {self.name}: a path or a cell")
        fields = {key: value for key, value in vars(self).items() if value not in ("", 0)}
        return {"type": self.type, **fields}


NAME = Column(
    "Name",
    "Name must be unique within a namespace. Is required when creating resources, although some "
    "resources may allow a client to"
    " request the generation of an appropriate name automatically. Name is primarily intended for "
    "creation idempotence and"
    " configuration definition. Cannot be updated. More info:"
    " https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names",
    path="metadata.name",
    format="name",
)

AGE = Column(
    "Age",
    "CreationTimestamp is a timestamp representing the server time when this object was created. It "
    "is not guaranteed to be set in"
    " happens-before order across separate operations. Clients may not set this value. It is "
    "represented in RFC3339 form and is in"
    " UTC.\n\nPopulated by the system. Read-only. Null for lists. More info:"
    " https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata",
    cell="age",
)
