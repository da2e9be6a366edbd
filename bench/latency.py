"""From `kubectl apply` of a pod to its Ready condition, as a client sees it."""

from __future__ import annotations

import json
import os
import subprocess
import time

from bench.http2 import Connection
from bench.processes import median
from bench.sides import Side, kubectl

PODS = 20
IMAGE = "knarr.dev/busybox:1"
READY_SECONDS_MAX = 60


def pod(name: str) -> str:
    container = {"name": "c", "image": IMAGE, "imagePullPolicy": "Never", "command": ["sleep", "3600"]}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})


def ready_seconds(side: Side, pods: int = PODS) -> float:
    """The median over pods started one after another, the image present. Raises TimeoutError where one is never
    Ready."""
    environment = os.environ | {"KUBECONFIG": str(side.kubeconfig), "HOME": str(side.folder)}
    taken = []
    with Connection(side.address, side.port, side.pki) as client:
        ready: dict[str, float] = {}
        rest = bytearray()

        def take(data: bytes) -> None:
            rest.extend(data)
            *lines, last = bytes(rest).split(b"\n")
            rest[:] = last
            for line in lines:
                found = json.loads(line)["object"]
                for condition in found.get("status", {}).get("conditions", []):
                    if condition["type"] == "Ready" and condition["status"] == "True":
                        ready.setdefault(found["metadata"]["name"], time.monotonic())

        client.watch("/api/v1/namespaces/default/pods?watch=1", take)
        for number in range(pods + 1):
            name = f"bench-{number}"
            begin = time.monotonic()
            done = subprocess.Popen(
                [kubectl(), "apply", "-f", "-"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                env=environment,
                text=True,
            )
            done.communicate(pod(name), timeout=60)
            while name not in ready:
                client.idle(0.002)
                if time.monotonic() - begin > READY_SECONDS_MAX:
                    raise TimeoutError(f"{side.name}: pod {name} is not Ready after {READY_SECONDS_MAX} s")
            if number:  # the first fills kubectl's cache and the runtime's
                taken.append(ready[name] - begin)
            subprocess.run(
                [kubectl(), "delete", "pod", name, "--wait=false", "--now"],
                env=environment,
                capture_output=True,
                check=False,
            )
            client.idle(1.0)
    return median(taken)
