"""The node's network: Services as nftables elements, cluster DNS, and the link that DNS answers on.

Knows: what Services and EndpointSlices mean for packets and names, nftables' syntax. Never knows: pods, containers,
controllers. What should be is computed as values (`services.py`, `elements.py`); `nft.py` and `dns.py` apply the
difference. `claim.py` says whose node a network namespace is. Start reading at `proxy.py`, the shell that follows the
API.
"""
