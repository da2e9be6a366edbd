"""The ClusterRoles of the controllers, from what each declares to write: python/knarr/controllers/roles.json."""

from __future__ import annotations

from tools.committed import ROOT, write_or_compare

FILE = ROOT / "python" / "knarr" / "controllers" / "roles.json"


def run(check: bool) -> int:
    """Write the file, or compare it. Returns the exit code."""
    from knarr.controllers.runtime.rbac import table

    return write_or_compare(FILE, table(), "roles", check)
