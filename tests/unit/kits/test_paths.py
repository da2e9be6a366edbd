"""Where sockets go. Goal: whatever a data directory's length, containerd takes both of its sockets' paths. Method:
folders of every length around its limit ("unix socket path too long (> 104)")."""

from __future__ import annotations

from pathlib import Path

import pytest
from knarr.kits.paths import socket_dir


@pytest.mark.parametrize("length", range(70, 120))
def test_a_socket_s_path_is_never_longer_than_containerd_takes(length: int) -> None:
    folder = Path("/" + "d" * (length - 1))
    chosen = socket_dir(folder, "containerd.sock.ttrpc", Path("/run"))
    assert len(str(chosen / "containerd.sock.ttrpc")) <= 104
    assert (chosen == folder) == (length + len("/containerd.sock.ttrpc") <= 104)
