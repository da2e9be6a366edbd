"""Where a cluster's node lives: the network namespace that its agent was started in. `knarr down` may be called in
another.

The agent writes the namespace's inode into the data directory before it marks the namespace (knarr.network.claim). The
number finds it again, whoever asks; the mark in it says that it is still the one: a namespace that went gave its number
to another.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from knarr.agent import AgentConfig, node_id, remove_leftovers
from knarr.cluster.config import Config, Paths, write_private
from knarr.cluster.refusal import Refusal
from knarr.kits import netns
from knarr.network import claim


def refuse(config: Config) -> None:
    """Refuse to start a node where another lives, or where this one does not. Raises Refusal."""
    here, inode = netns.own_inode(), recorded(config)
    if inode not in (None, here) and (there := find(config)) is not None:
        os.close(there)
        path = next(iter(netns.mounted(inode or 0)), "")
        raise Refusal(
            f"the node of the cluster in {config.data_dir} is in another network namespace, {path or f'net:[{inode}]'}",
            f"end it with `knarr down --data-dir {config.data_dir}`, or run this there"
            + (f": nsenter --net={path} knarr up" if path else ""),
        )
    try:
        claim.refuse(id_of(config), AgentConfig.bridge, holds_cluster, clear)
    except claim.ClaimError as error:
        raise Refusal(error.message, error.hint) from None


@contextmanager
def claimed(config: Config) -> Iterator[None]:
    """This process is the agent of the node that lives in this network namespace. Raises Refusal."""
    paths = config.paths
    write_private(paths.place, f"{netns.own_inode()}\n".encode())
    mark = claim.Mark(id_of(config), config.data_dir)
    with ExitStack() as stack:
        try:
            stack.enter_context(claim.claimed(mark, AgentConfig.bridge, holds_cluster, clear))
        except claim.ClaimError as error:
            raise Refusal(error.message, error.hint) from None
        yield


def recorded(config: Config) -> int | None:
    """The inode of the namespace that the node was last seen in; None where no agent ran since `down`."""
    try:
        return int(config.paths.place.read_text())
    except (FileNotFoundError, ValueError):
        return None


def find(config: Config) -> int | None:
    """A descriptor of the node's network namespace, which the caller closes; None where it is gone, or nobody is seen
    to hold it."""
    inode = recorded(config)
    descriptor = netns.find(inode) if inode is not None else None
    if descriptor is None:
        return None
    with netns.entered(descriptor):
        mark = claim.marked()
    if mark is not None and mark.node == id_of(config):
        return descriptor
    os.close(descriptor)
    return None


@contextmanager
def inside(descriptor: int | None) -> Iterator[None]:
    """In the node's network namespace; in an empty one where there is none, because the plugins that delete a pod's
    network must run somewhere, and what they find elsewhere is not theirs."""
    if descriptor is None:
        with netns.empty():
            yield
        return
    with netns.entered(descriptor):
        yield


def lost_node(directory: str) -> str:
    """The id of the node in this network namespace whose cluster's data was in that directory and is not; "" for
    none."""
    mark = claim.marked()
    named = mark is not None and claim.Mark(mark.node, directory).text() == mark.text()
    return mark.node if mark is not None and named and not holds_cluster(directory) else ""


def id_of(config: Config) -> str:
    return node_id(config.data_dir, config.node_name)


def holds_cluster(directory: str) -> bool:
    return Paths(Path(directory)).config.exists()


def clear() -> None:
    """Remove the network of a node that is no more from the namespace of this thread."""
    from knarr.network.remove import remove_network

    remove_leftovers()
    remove_network()
