"""The node agent: what a kubelet is to Kubernetes.

Knows one node's pods, its runtime and the client interface. Never knows other nodes, the store or the scheduler.

Where to start reading: `step.py` decides (pure: pod, what is observed, now -> actions), `status.py` tells it to the
API (pure), `worker.py` carries it out for one pod, `agent.py` puts the node together. Everything else is one concern a
file: `volumes/`, `probes.py`, `images.py`, `containerd.py`, `node.py`, `logs.py`, `server.py`.

`run(config)` is the coroutine of `knarr agent`; `drain_and_remove(config)` what `knarr down` calls afterwards.
"""

from __future__ import annotations

from .config import AgentConfig

__all__ = ["AgentConfig", "drain_and_remove", "run"]


async def run(config: AgentConfig) -> None:
    """Run the node until SIGTERM or SIGINT (containers go on) or cancellation. Raises AgentError when it cannot start."""
    from .agent import run as run_agent

    await run_agent(config)


async def drain_and_remove(config: AgentConfig) -> None:
    """End this node's pods: sandboxes, mounts, cgroups, and the containerd of knarr's own. Works without an agent or API."""
    from .drain import drain_and_remove as drain

    await drain(config)
