"""Admission plugins that are declared: Kubernetes' name, settings, and the resources they run for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Plugin:
    """A plugin of the core (rust/knarr-schema/src/admission), by its Kubernetes name.

    resources: `group/plural` (`/pods` in the core group), or `*` for all namespaced kinds. order: plugins run from low
    to high. reads: what it looks at besides the request, for documentation and for the table of endpoints.
    """

    name: str
    order: int
    resources: frozenset[str]
    settings: Mapping[str, Any] = field(default_factory=dict)
    reads: tuple[str, ...] = ()

    def applies(self, group: str, plural: str, namespaced: bool) -> bool:
        return f"{group}/{plural}" in self.resources or ("*" in self.resources and namespaced)

    def document(self) -> dict[str, Any]:
        return {"plugin": self.name, "settings": dict(self.settings)}
