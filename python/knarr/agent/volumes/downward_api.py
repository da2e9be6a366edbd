"""downwardAPI: fields of the pod and its containers' resources as files. Source: pkg/volume/downwardapi."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..env import ConfigError, Sources, field_value, resource_value
from .base import File, VolumeError, mode_of


def payload(source: Mapping[str, Any], pod: Mapping[str, Any], sources: Sources, default_mode: int) -> dict[str, File]:
    """source: items. Raises VolumeError for a field that is not supported."""
    files = {}
    for item in source.get("items") or ():
        try:
            if ref := item.get("fieldRef"):
                text = field_value(pod, ref["fieldPath"], sources)
            else:
                ref = item["resourceFieldRef"]
                text = resource_value(pod, ref.get("containerName", ""), ref, sources)
        except ConfigError as error:
            raise VolumeError(str(error)) from None
        files[item["path"]] = File(text.encode(errors="surrogateescape"), mode_of(item, default_mode))
    return files
