"""The end of a node's network: what the service proxy and cluster DNS leave behind, so that connections survive a
restart of the agent, goes with `knarr down`."""

from __future__ import annotations

from knarr.network.links import remove_link
from knarr.network.nft import Nft, ServiceTable


def remove_network() -> None:
    """Delete the table and the link of this network namespace. Idempotent. Raises OSError, NftError."""
    nft = Nft()
    try:
        ServiceTable(nft, "").remove()
    finally:
        nft.close()
    remove_link()
