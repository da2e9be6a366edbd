"""Run in a host's network namespace: a containerd as somebody else has it, and sandboxes in it.

usage: existing_containerd.py start DIR          starts it; prints its endpoint
       existing_containerd.py sandboxes ENDPOINT CLUSTER_DIR NODE    makes a stranger's sandbox and an orphan of that
                                                 cluster's node; prints both ids
       existing_containerd.py clear ENDPOINT      ends every sandbox in it
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from knarr.agent import AgentConfig, cni
from knarr.agent.config import instance_id
from knarr.agent.containerd import Containerd
from knarr.agent.podspec import AGENT, POD_NAME, POD_NAMESPACE, POD_UID
from knarr.agent.runtime import SandboxSpec
from knarr.agent.runtime.cri import CriRuntime


def config(folder: Path, node: str) -> AgentConfig:
    return AgentConfig(kubeconfig=folder / "none", node_name=node, node_ip="", data_dir=folder)


async def start(folder: Path) -> None:
    made = Containerd(config(folder, "somebody-else"))
    cni.write(made.cni_conf_dir, ("10.99.0.0/24",), "somebody0", folder / "ipam")
    await made.start()
    print(made.endpoint)


async def sandboxes(endpoint: str, folder: Path, node: str) -> None:
    runtime = CriRuntime(endpoint)
    try:
        for name, labels in (("stranger", {}), ("orphan", {AGENT: instance_id(config(folder, node))})):
            uid = f"uid-of-{name}"
            identity = {POD_NAME: name, POD_NAMESPACE: "default", POD_UID: uid, **labels}
            print(await runtime.run_sandbox(SandboxSpec(name, "default", uid, 0, labels=identity)))
    finally:
        await runtime.close()


async def clear(endpoint: str) -> None:
    runtime = CriRuntime(endpoint)
    try:
        for sandbox in await runtime.sandboxes():
            await runtime.stop_sandbox(sandbox.id)
            await runtime.remove_sandbox(sandbox.id)
    finally:
        await runtime.close()


if __name__ == "__main__":
    if sys.argv[1] == "start":
        asyncio.run(start(Path(sys.argv[2])))
    elif sys.argv[1] == "clear":
        asyncio.run(clear(sys.argv[2]))
    else:
        asyncio.run(sandboxes(sys.argv[2], Path(sys.argv[3]), sys.argv[4]))
