"""The store's figures as /metrics shows them (Prometheus' text format)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_FIGURES = (
    ("proposals", "knarr_store_proposals_total", "counter", "Commands proposed since start."),
    ("entries", "knarr_store_entries_total", "counter", "Log entries they went into."),
    ("syncs", "knarr_store_syncs_total", "counter", "Syncs of the log."),
    ("snapshots", "knarr_store_snapshots_total", "counter", "Snapshots written since start."),
    ("log_bytes", "knarr_store_log_bytes", "gauge", "Bytes of log since the last snapshot."),
    ("audits", "knarr_store_audits_total", "counter", "Comparisons of the state in memory with its digest."),
    ("audit_failures", "knarr_store_audit_failures_total", "counter", "Comparisons that found damaged memory."),
)
_SIZES = (
    ("keys", "knarr_store_keys", "Keys with a live record."),
    ("live_bytes", "knarr_store_live_bytes", "Live records and their share of the index."),
    ("history_bytes", "knarr_store_history_bytes", "Superseded versions."),
    ("changes", "knarr_store_changes", "Changes in history."),
)


def store_metrics(stats: Mapping[str, Any]) -> str:
    """`Store.stats()` as text: totals since start, and sizes by key space."""
    lines = []
    for key, name, kind, help_text in _FIGURES:
        lines += [f"# HELP {name} {help_text}", f"# TYPE {name} {kind}", f"{name} {stats[key]}"]
    spaces = {space: sizes for space, sizes in stats.items() if isinstance(sizes, Mapping)}
    for key, name, help_text in _SIZES:
        lines += [f"# HELP {name} {help_text}", f"# TYPE {name} gauge"]
        lines += [f'{name}{{space="{space}"}} {sizes[key]}' for space, sizes in spaces.items()]
    return "\n".join(lines) + "\n"
