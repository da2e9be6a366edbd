"""The controllers against a real server: kube-apiserver, or knarr's own.

KNARR_TEST_SERVER names a kubeconfig of an administrator; no other controller may run there. Pods need no node: the test
is the kubelet, and says in their status what one would.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from knarr.client import AlreadyExists, Conflict, HttpClient, NotFound, Object, Resource, load_kubeconfig
from knarr.controllers import load
from knarr.controllers.runtime.main import RunConfig, serve
from knarr.controllers.runtime.objects import (
    CLUSTER_ROLES,
    CONFIG_MAPS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    ENDPOINTS,
    NAMESPACES,
    NODES,
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    SERVICE_ACCOUNTS,
    SERVICES,
)
from knarr.controllers.runtime.rbac import roles

SERVER = os.environ.get("KNARR_TEST_SERVER", "")
pytestmark = pytest.mark.skipif(not SERVER, reason="KNARR_TEST_SERVER names no kubeconfig")
BINDINGS = Resource("rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False)


async def eventually(what: str, check: Callable[[], Awaitable[bool]], seconds: float = 20.0) -> None:
    deadline = asyncio.get_running_loop().time() + seconds
    while not await check():
        assert asyncio.get_running_loop().time() < deadline, f"not within {seconds} s: {what}"
        await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def cluster(tmp_path: os.PathLike[str]) -> AsyncIterator[tuple[HttpClient, str]]:
    """Controllers at work, and a namespace of the test's own, deleted by them at the end."""
    client = HttpClient(load_kubeconfig(SERVER))
    for made in roles(load(), "knarr:controller:"):
        with contextlib.suppress(AlreadyExists):
            await client.create(CLUSTER_ROLES if made["kind"] == "ClusterRole" else BINDINGS, made)
    ca = os.path.join(tmp_path, "ca.crt")
    Path(ca).write_text("the root", encoding="ascii")  # noqa: ASYNC240
    stop, ready = asyncio.Event(), asyncio.Event()
    config = RunConfig(kubeconfig=SERVER, root_ca=ca, on_ready=ready.set, settings={"node_grace_seconds": 2.0})
    serving = asyncio.create_task(serve(config, stop))
    namespace = f"t-{uuid.uuid4().hex[:8]}"
    try:
        await asyncio.wait({serving, asyncio.create_task(ready.wait())}, return_when=asyncio.FIRST_COMPLETED)
        await client.create(NAMESPACES, {"metadata": {"name": namespace}})
        yield client, namespace
        await client.delete(NAMESPACES, namespace)

        async def gone() -> bool:
            for pod in (await client.list(PODS, namespace))["items"]:  # the kubelet's part
                with contextlib.suppress(NotFound):
                    await client.delete(PODS, pod["metadata"]["name"], namespace, grace_period=0)
            try:
                await client.get(NAMESPACES, namespace)
            except NotFound:
                return True
            return False

        await eventually("the namespace is gone", gone, 30)
    finally:
        stop.set()
        await serving
        await client.close()


def deployment(replicas: int, image: str = "web:1") -> Object:
    labels = {"app": "web"}
    container = {"name": "web", "image": image, "ports": [{"name": "http", "containerPort": 80}]}
    return {
        "metadata": {"name": "web"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


async def run_pods(client: HttpClient, namespace: str) -> int:
    """Be the kubelet: every pod runs and is ready; those being deleted end. The number that runs."""
    running = 0
    for number, pod in enumerate((await client.list(PODS, namespace))["items"]):
        name = pod["metadata"]["name"]
        with contextlib.suppress(NotFound, Conflict):
            if pod["metadata"].get("deletionTimestamp"):
                await client.delete(PODS, name, namespace, grace_period=0)
                continue
            running += 1
            if pod["status"].get("phase") == "Running":
                continue
            status = {
                "phase": "Running",
                "podIP": f"10.0.0.{number + 1}",
                "podIPs": [{"ip": f"10.0.0.{number + 1}"}],
                "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
            }
            await client.patch(PODS, name, {"status": status}, namespace, subresource="status")
    return running


async def test_a_deployment_from_apply_to_the_end(tmp_path: os.PathLike[str]) -> None:
    async with cluster(tmp_path) as (client, namespace):
        account = lambda: client.get(SERVICE_ACCOUNTS, "default", namespace)  # noqa: E731
        await eventually("default ServiceAccount", lambda: exists(account))
        await eventually("root CA", lambda: exists(lambda: client.get(CONFIG_MAPS, "kube-root-ca.crt", namespace)))
        await client.create(DEPLOYMENTS, deployment(3), namespace)
        service = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]}
        await client.create(SERVICES, {"metadata": {"name": "web"}, "spec": service}, namespace)

        async def complete(replicas: int, revision: str) -> bool:
            await run_pods(client, namespace)
            found = await client.get(DEPLOYMENTS, "web", namespace)
            status = found["status"]
            reasons = {c["type"]: c["reason"] for c in status.get("conditions", [])}
            counts = [status.get(f, 0) for f in ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")]
            return (
                counts == [replicas] * 4
                and status["observedGeneration"] == found["metadata"]["generation"]
                and found["metadata"]["annotations"].get("deployment.kubernetes.io/revision") == revision
                and reasons == {"Available": "MinimumReplicasAvailable", "Progressing": "NewReplicaSetAvailable"}
            )

        await eventually("three replicas", lambda: complete(3, "1"))

        async def published(count: int) -> bool:
            slices = (await client.list(ENDPOINT_SLICES, namespace))["items"]
            ready = [e for s in slices for e in s.get("endpoints") or [] if e["conditions"]["ready"]]
            subsets = (await client.get(ENDPOINTS, "web", namespace)).get("subsets") or []
            return len(ready) == count == sum(len(s.get("addresses", [])) for s in subsets)

        await eventually("three endpoints", lambda: published(3))
        await client.patch(DEPLOYMENTS, "web", deployment(3, "web:2"), namespace)
        await eventually("the second revision", lambda: complete(3, "2"), 30)
        sets = (await client.list(REPLICA_SETS, namespace))["items"]
        assert sorted(s["spec"]["replicas"] for s in sets) == [0, 3]
        await client.patch(DEPLOYMENTS, "web", {"spec": {"replicas": 5}}, namespace)
        await eventually("five replicas", lambda: complete(5, "2"))
        await client.patch(DEPLOYMENTS, "web", deployment(5, "web:1"), namespace)
        await eventually("back to the first template, as revision 3", lambda: complete(5, "3"), 30)

        await client.delete(DEPLOYMENTS, "web", namespace, propagation="Foreground")

        async def collected() -> bool:
            await run_pods(client, namespace)
            rest = [(await client.list(kind, namespace))["items"] for kind in (DEPLOYMENTS, REPLICA_SETS, PODS)]
            return not any(rest)

        await eventually("sets and pods collected", collected, 30)


async def test_orphans_stay_and_are_adopted(tmp_path: os.PathLike[str]) -> None:
    async with cluster(tmp_path) as (client, namespace):
        await client.create(DEPLOYMENTS, deployment(2), namespace)

        async def running() -> bool:
            return await run_pods(client, namespace) == 2

        await eventually("two pods", running)
        await client.delete(DEPLOYMENTS, "web", namespace, propagation="Orphan")

        async def orphaned() -> bool:
            sets = (await client.list(REPLICA_SETS, namespace))["items"]
            return len(sets) == 1 and not sets[0]["metadata"].get("ownerReferences")

        await eventually("the set lost its owner", orphaned)
        before = {pod["metadata"]["uid"] for pod in (await client.list(PODS, namespace))["items"]}
        made = await client.create(DEPLOYMENTS, deployment(2), namespace)

        async def adopted() -> bool:
            sets = (await client.list(REPLICA_SETS, namespace))["items"]
            owners = [owner["uid"] for s in sets for owner in s["metadata"].get("ownerReferences", [])]
            return owners == [made["metadata"]["uid"]]

        await eventually("the set was adopted", adopted)
        assert {pod["metadata"]["uid"] for pod in (await client.list(PODS, namespace))["items"]} == before


async def test_a_replication_controller_leaves_its_pods(tmp_path: os.PathLike[str]) -> None:
    """A deletion that does not say orphans them, as no other kind's does; another one of the same labels takes them."""
    async with cluster(tmp_path) as (client, namespace):
        template = deployment(2)["spec"]["template"]
        body = {"metadata": {"name": "c"}, "spec": {"replicas": 2, "template": template}}
        made = await client.create(REPLICATION_CONTROLLERS, body, namespace)
        assert made["spec"]["selector"] == made["metadata"]["labels"] == {"app": "web"}

        async def ready() -> bool:
            running = await run_pods(client, namespace)
            status = (await client.get(REPLICATION_CONTROLLERS, "c", namespace))["status"]
            return running == 2 and status.get("readyReplicas") == status.get("availableReplicas") == 2

        await eventually("two pods", ready)
        before = {pod["metadata"]["uid"] for pod in (await client.list(PODS, namespace))["items"]}
        await client.delete(REPLICATION_CONTROLLERS, "c", namespace)

        async def owners() -> list[str]:
            pods = (await client.list(PODS, namespace))["items"]
            assert {pod["metadata"]["uid"] for pod in pods} == before
            return [owner["uid"] for pod in pods for owner in pod["metadata"].get("ownerReferences", [])]

        async def gone() -> bool:
            rest = (await client.list(REPLICATION_CONTROLLERS, namespace))["items"]
            return not rest and not await owners()

        await eventually("the pods lost their owner", gone)
        made = await client.create(REPLICATION_CONTROLLERS, body, namespace)

        async def adopted() -> bool:
            return await owners() == [made["metadata"]["uid"]] * 2

        await eventually("the pods were adopted", adopted)


async def test_a_silent_node_is_tainted_and_its_pods_evicted(tmp_path: os.PathLike[str]) -> None:
    async with cluster(tmp_path) as (client, namespace):
        name = f"node-{namespace}"
        await client.create(NODES, {"metadata": {"name": name}})
        ready = {
            "type": "Ready",
            "status": "True",
            "reason": "KubeletReady",
            "lastHeartbeatTime": "2026-01-01T00:00:00Z",
        }
        await client.patch(NODES, name, {"status": {"conditions": [ready]}}, subresource="status")
        now = [{"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 0}
               for key in ("unreachable", "not-ready")]  # fmt: skip
        spec = {"nodeName": name, "containers": [{"name": "c", "image": "i"}], "tolerations": now}
        await eventually("a ServiceAccount", lambda: exists(lambda: client.get(SERVICE_ACCOUNTS, "default", namespace)))
        await client.create(PODS, {"metadata": {"name": "p"}, "spec": spec}, namespace)

        async def tainted() -> bool:
            node = await client.get(NODES, name)
            taints = {(t["key"], t["effect"]) for t in node["spec"].get("taints", [])}
            return {("node.kubernetes.io/unreachable", effect) for effect in ("NoSchedule", "NoExecute")} <= taints

        await eventually("taints", tainted)

        async def evicted() -> bool:
            pod = await client.get(PODS, "p", namespace)
            return "deletionTimestamp" in pod["metadata"]

        await eventually("the pod is evicted", evicted)
        await client.delete(NODES, name)


async def exists(get: Callable[[], Awaitable[Object]]) -> bool:
    try:
        await get()
    except NotFound:
        return False
    return True
