"""What pods send out of the pod network bears the node's address: nobody outside knows a pod's.

One table for a bridge, of the bridge's name. The bridge plugin's own way (ipMasq) runs iptables several times for each
pod that starts, and again when it goes: some 75 ms of the way to Ready.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from knarr.network.nft import Nft

MULTICAST = {4: "224.0.0.0/4", 6: "ff00::/8"}


def rules(bridge: str, cidrs: Sequence[str]) -> str:
    """The table for the node's ranges, in place of what stood there. Pure."""
    lines = []
    for cidr in cidrs:
        version = ipaddress.ip_network(cidr).version
        family = "ip" if version == 4 else "ip6"
        inside = f"{{ {cidr}, {MULTICAST[version]} }}"
        lines.append(f"{family} saddr {cidr} {family} daddr != {inside} masquerade")
    chain = "\n".join(["type nat hook postrouting priority srcnat;", *lines])
    table = f"table inet {bridge}"
    return f"{table}\ndelete {table}\n{table} {{\nchain postrouting {{\n{chain}\n}}\n}}"


def load(bridge: str, cidrs: Sequence[str]) -> None:
    """Have the kernel do so in this network namespace. Raises NftError."""
    run(rules(bridge, cidrs))


def remove(bridge: str) -> None:
    """Delete the table. Nothing happens where it is not there. Raises NftError."""
    run(f"table inet {bridge}\ndelete table inet {bridge}")


def run(commands: str) -> None:
    nft = Nft()
    try:
        nft.run(commands)
    finally:
        nft.close()
