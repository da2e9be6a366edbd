"""What `sh deploy/up.sh` does once the cluster serves: loads the local images, applies the example, waits, and shows
it.

usage: show.py --images ARCHIVE [--data-dir DIR]
Progress goes to standard error, the page and what to do next to standard output.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shlex
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from knarr import codec
from knarr.client import ApiError, HttpClient, NotFound, Resource, load_kubeconfig
from knarr.cluster.config import Config, bracketed, default_data_dir, load

EXAMPLE = Path(__file__).with_name("examples") / "hello" / "hello.yaml"
MANAGER = "knarr-up"
NAMESPACE = "default"
WAIT_SECONDS_MAX = 180.0
RESOURCES = {
    "ConfigMap": Resource("", "v1", "configmaps", "ConfigMap"),
    "Deployment": Resource("apps", "v1", "deployments", "Deployment"),
    "Node": Resource("", "v1", "nodes", "Node", namespaced=False),
    "Pod": Resource("", "v1", "pods", "Pod"),
    "Service": Resource("", "v1", "services", "Service"),
}
TABLE = "application/json;as=Table;g=meta.k8s.io;v=v1"


async def main(config: Config, images: Path) -> None:
    load_images(config, images)
    async with HttpClient(load_kubeconfig(config.paths.admin_kubeconfig)) as client:
        for document in codec.yaml_load_all(EXAMPLE.read_bytes()):
            kind, name = document["kind"], document["metadata"]["name"]
            body = with_last_applied(document)
            await client.apply(RESOURCES[kind], name, body, NAMESPACE, field_manager=MANAGER, force=True)
            say(f"applied {kind.lower()}/{name}")
        await waited("the Deployment's pods are available", lambda: available(client))
        page = await page_through_dns(client)
        say("the page, fetched by a pod from http://hello.default.svc.cluster.local/")
        port = (await client.get(RESOURCES["Service"], "hello", NAMESPACE))["spec"]["ports"][0]["nodePort"]
        url = f"http://{bracketed(config.node_ip)}:{port}/"
        if await page_from_host(url) != page:
            raise SystemExit(f"error: {url} shows another page than the Service's DNS name does")
        say(f"the same page from this host by NodePort {port}")
        print(page)
        print(await table(client, RESOURCES["Node"]))
        print(await table(client, RESOURCES["Pod"], NAMESPACE))
    print(f"{url}\n")
    print(f"  export KUBECONFIG={shlex.quote(config.admin_kubeconfig)}\n")
    # what was said to up.sh must be said again
    directory = "" if config.data_dir == default_data_dir() else shlex.quote(config.data_dir)
    print("Try next:")
    print("  kubectl get pods -o wide")
    print("  kubectl scale deployment/hello --replicas=5")
    print("  kubectl edit configmap hello              # the page follows within a minute")
    print("  .venv/bin/knarr status" + (directory and f" --data-dir {directory}"))
    print(f"  {directory and f'DATA_DIR={directory} '}sh deploy/down.sh".ljust(43) + " # removes it all")


def with_last_applied(document: dict[str, Any]) -> dict[str, Any]:
    """With the annotation that `kubectl apply` leaves and looks for: it can go on from here without a warning."""
    metadata = {"annotations": {}, "namespace": NAMESPACE, **document["metadata"]}
    text = json.dumps({**document, "metadata": metadata}, sort_keys=True, separators=(",", ":")) + "\n"
    text = text.translate({ord(c): f"\\u{ord(c):04x}" for c in "<>&"})  # as Go writes them
    annotations = {**metadata["annotations"], "kubectl.kubernetes.io/last-applied-configuration": text}
    return {**document, "metadata": {**metadata, "annotations": annotations}}


def load_images(config: Config, archive: Path) -> None:
    """Import the local images into the node's containerd, unless this archive was imported before."""
    from knarr.agent.config import AgentConfig
    from knarr.agent.containerd import Containerd, import_images

    stamp = config.paths.run / "images"
    mark = f"{archive.stat().st_mtime_ns} {archive.stat().st_size}"
    if stamp.exists() and stamp.read_text() == mark:
        return
    endpoint = (
        config.cri
        or Containerd(
            AgentConfig(
                kubeconfig=config.paths.kubeconfig("agent"),
                node_name=config.node_name,
                node_ip=config.node_ip,
                data_dir=config.paths.data_dir,
            )
        ).endpoint
    )
    import_images(endpoint, archive)
    stamp.write_text(mark)
    say("loaded the local images")


async def available(client: HttpClient) -> str | None:
    """None once all replicas are available, else how many are."""
    found = await client.get(RESOURCES["Deployment"], "hello", NAMESPACE)
    wanted, state = found["spec"]["replicas"], found.get("status", {})
    ready = state.get("availableReplicas", 0)
    current = state.get("observedGeneration") == found["metadata"]["generation"]
    done = current and ready == wanted and state.get("updatedReplicas", 0) == wanted
    return None if done else f"{ready} of {wanted}"


async def page_through_dns(client: HttpClient) -> str:
    """The page as a pod sees it under the Service's DNS name: a visitor fetches it, its log is the page."""
    pods, name = RESOURCES["Pod"], "hello-visitor"
    await deleted(client, name)
    command = "until timeout 2 wget -q -O - http://hello.default.svc.cluster.local/; do sleep 0.2; done"
    await client.create(
        pods,
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name},
            "spec": {
                "restartPolicy": "Never",
                "activeDeadlineSeconds": 60,
                "terminationGracePeriodSeconds": 0,
                "containers": [{"name": "visitor", "image": "knarr.dev/busybox:1", "command": ["sh", "-c", command]}],
            },
        },
        NAMESPACE,
    )

    async def ended() -> str | None:
        phase = (await client.get(pods, name, NAMESPACE)).get("status", {}).get("phase", "Pending")
        if phase == "Failed":
            raise SystemExit(f"error: the pod {name} could not fetch the page; see its log")
        return None if phase == "Succeeded" else str(phase)

    await waited("a pod has fetched the page by the Service's DNS name", ended)
    page = await client.request("GET", pods.path(NAMESPACE, name, "log"), accept="*/*")
    await deleted(client, name)
    return page.decode()


async def deleted(client: HttpClient, name: str) -> None:
    try:
        await client.delete(RESOURCES["Pod"], name, NAMESPACE, grace_period=0)
    except NotFound:
        return

    async def gone() -> str | None:
        try:
            await client.get(RESOURCES["Pod"], name, NAMESPACE)
        except NotFound:
            return None
        return "there"

    await waited(f"pod/{name} is gone", gone, quiet=True)


async def page_from_host(url: str) -> str:
    """The page as this host sees it. The first tries may come before the last rule is in place."""
    end = time.monotonic() + 10
    while True:
        try:
            return await asyncio.to_thread(fetch, url)
        except OSError:
            if time.monotonic() > end:
                raise
            await asyncio.sleep(0.2)


def fetch(url: str) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # the node is never behind a proxy
    with opener.open(url, timeout=5) as answer:
        return str(answer.read().decode())


async def waited(what: str, state: Callable[[], Awaitable[str | None]], *, quiet: bool = False) -> None:
    """Ask until `state` answers None, showing what it says meanwhile."""
    end = time.monotonic() + WAIT_SECONDS_MAX
    last = None
    while (now := await state()) is not None:
        if now != last and not quiet:
            say(f"waiting: {what} ({now})")
        last = now
        if time.monotonic() > end:
            raise SystemExit(f"error: not within {WAIT_SECONDS_MAX:.0f} s: {what} ({now})")
        await asyncio.sleep(0.1)
    if not quiet:
        say(what)


async def table(client: HttpClient, resource: Resource, namespace: str = "") -> str:
    """A list as kubectl prints it."""
    answer: dict[str, Any] = json.loads(await client.request("GET", resource.path(namespace), accept=TABLE))
    shown = [i for i, column in enumerate(answer["columnDefinitions"]) if column.get("priority", 0) == 0]
    rows = [[answer["columnDefinitions"][i]["name"].upper() for i in shown]]
    rows += [[str(row["cells"][i]) for i in shown] for row in answer.get("rows") or []]
    widths = [max(len(row[i]) for row in rows) + 3 for i in range(len(shown))]
    lines = ["".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines) + "\n"


def say(text: str) -> None:
    print(f"    {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Apply and show the example.")
    parser.add_argument("--data-dir", default=default_data_dir())
    parser.add_argument("--images", type=Path, required=True)
    arguments = parser.parse_args()
    try:
        asyncio.run(main(load(arguments.data_dir), arguments.images))
    except ApiError as error:
        raise SystemExit(f"error: {error}") from None
