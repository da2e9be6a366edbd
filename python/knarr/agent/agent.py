"""The agent put together: runtime, node, pods, events, logs. Here are the tasks; what they decide stands elsewhere."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from knarr.client import Connection, HttpClient, load_kubeconfig
from knarr.client.informer import Informer, ObjectSink
from knarr.client.protocol import Client
from knarr.kits.tasks import TaskSet
from knarr.network import masquerade
from knarr.network.nft import NftError

from . import cni
from .admission import admit
from .cgroups import Cgroups
from .config import AgentConfig, instance_id
from .containerd import Containerd
from .containers import log_path
from .drain import end_sandboxes
from .errors import AgentError
from .events import Recorder
from .images import Images
from .logs import rotate
from .node import NODES, NodeStatus
from .objects import SERVICES, Objects, Tokens
from .observed import Rejection
from .pleg import Pleg
from .podspec import NodeFacts
from .reporter import PODS
from .runtime import Container, ContainerState, Runtime, RuntimeCallError, Sandbox
from .serve import NodeApi
from .server import Handlers
from .shared import Shared
from .status import Host
from .volumes import teardown
from .worker import PodWorker

log = logging.getLogger(__name__)

ROTATE_SECONDS = 10.0
USER_AGENT = "knarr-agent"


@dataclass(frozen=True)
class Companion:
    """What else runs in the agent's process (service proxy, DNS) is given: the node's client, its configuration, its
    Node object as it is now."""

    client: Client
    config: AgentConfig
    node: Callable[[], Mapping[str, Any]]


CompanionTask = Callable[[Companion], Awaitable[None]]


class Agent:
    """`async with Agent(config, connection) as agent: await agent.serve()`. Leaving it leaves containers running."""

    def __init__(self, config: AgentConfig, connection: Connection) -> None:
        self.config = config
        self._connection = connection
        self._tasks = TaskSet("agent")
        self._client = HttpClient(connection, user_agent=USER_AGENT)
        self._watch_client = HttpClient(connection, user_agent=USER_AGENT)
        self._containerd: Containerd | None = None
        self.workers: dict[str, PodWorker] = {}
        self._found: dict[str, tuple[list[Sandbox], list[Container]]] = {}
        self._ending: set[str] = set()
        self._started = time.time()
        self._services = ObjectSink()
        self._cidrs = ""
        self._resolv_conf = (0.0, "")
        self.synced = asyncio.Event()

    async def __aenter__(self) -> Agent:
        config = self.config
        for folder in (config.pods_dir, config.logs_dir):
            folder.mkdir(parents=True, exist_ok=True)
        config.pods_dir.chmod(0o750)
        # Logs and volumes below may be read by all: nobody else comes here.
        config.pods_dir.parent.chmod(0o700)
        if config.pod_cidr:
            self._write_cni(config.pod_cidr)
        self.runtime = await self._start_runtime()
        info = await self.runtime.info()
        host = Host((config.node_ip,), info.name)
        self.recorder = Recorder(self._client, config.node_name)
        self.node = NodeStatus(self._client, self.runtime, config, self._network_missing)
        self.objects = Objects(lambda: HttpClient(self._connection, user_agent=USER_AGENT), self._object_changed)
        self.tokens = Tokens(self._client)
        real = config.runtime == "cri"
        self._pleg = Pleg(self.runtime, instance_id(config), lambda: self.workers, self._orphan)
        self._shared = Shared(
            runtime=self.runtime,
            client=self._client,
            recorder=self.recorder,
            images=Images(self.runtime),
            objects=self.objects,
            tokens=self.tokens,
            cgroups=Cgroups.detect() if real else None,
            host=host,
            facts=self.facts,
            services=lambda: tuple(self._services.objects.values()),
            allocatable=self.node.allocatable,
            ended_unseen=self._pleg.ended_unseen,
            look=self._pleg.look,
            mounts=real,
        )
        self.handlers = Handlers(
            self.runtime, self.facts, lambda: list(self.workers.values()), lambda: self.node.machine, self._counters
        )
        self._api = NodeApi(config, self.handlers)
        self._pods = Informer(
            self._watch_client, PODS, ObjectSink(self._pod_changed), field_selector=f"spec.nodeName={config.node_name}"
        )
        self._service_informer = Informer(self._watch_client, SERVICES, self._services)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._api.close()
        await self._tasks.close()
        await self.objects.close()
        await self.runtime.close()
        for client in (self._client, self._watch_client):
            await client.close()
        if self._containerd is not None:
            await self._containerd.stop()

    async def serve(self, companions: Sequence[CompanionTask] = ()) -> None:
        """Register, find what runs, start everything. Returns when the node is registered and its pods are known."""
        self._api.start()
        self._found = await self._pleg.snapshot()
        spawn = self._tasks.spawn
        if self._containerd is not None:
            spawn(self._containerd.supervise(), "containerd")
        spawn(self._service_informer.run(), "services")
        await self.node.register()
        self._take_pod_cidr()
        spawn(self.node.run_lease(), "lease")
        spawn(self.node.run_status(), "status")
        spawn(self.recorder.run(), "events")
        spawn(self._pleg.run_events(), "runtime-events")
        self.recorder.node("Normal", "Starting", "Starting kubelet.")
        await self._service_informer.synced.wait()
        spawn(self._pods.run(), "pods")
        await self._pods.synced.wait()
        await self._remove_strangers()
        self.synced.set()
        spawn(self._pleg.run_lists(), "lists")
        if self.config.runtime == "cri":  # hollow containers write nothing
            spawn(self._rotate(), "rotate")
        spawn(self._follow_node(), "node")
        for companion in companions:
            spawn(self._companion(companion), "companion")

    async def _companion(self, companion: CompanionTask) -> None:
        await companion(Companion(self._client, self.config, lambda: self.node.node))

    # Runtime and network

    async def _start_runtime(self) -> Runtime:
        config = self.config
        if config.runtime == "hollow":
            from .runtime.hollow import HollowRuntime

            return HollowRuntime(config.pod_cidr)
        from .runtime.cri import CriRuntime

        if config.cri_endpoint:
            return CriRuntime(config.cri_endpoint)
        self._containerd = Containerd(config)
        await self._containerd.start()
        return CriRuntime(self._containerd.endpoint)

    def _network_missing(self) -> str:
        own_network = self.config.runtime == "cri" and not self.config.cri_endpoint
        if own_network and not (self._containerd is not None and any(self._containerd.cni_conf_dir.glob("*.conflist"))):
            return "container runtime network not ready: the node has no pod CIDR yet"
        return ""

    def _write_cni(self, cidrs: str) -> None:
        if self.config.runtime != "cri" or self.config.cri_endpoint:
            return
        try:
            masquerade.load(self.config.bridge, cidrs.split(","))
        except NftError as error:
            raise AgentError(f"what pods send cannot be masqueraded: {error}", "apt-get install nftables") from None
        folder = self.config.data_dir / "agent" / "cni"
        cni.write(folder / "net.d", tuple(cidrs.split(",")), self.config.bridge, folder / "ipam")

    def _take_pod_cidr(self) -> None:
        spec = self.node.node.get("spec") or {}
        cidrs = ",".join(spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else []))
        if cidrs and not self.config.pod_cidr and cidrs != self._cidrs:
            try:
                self._write_cni(cidrs)
            except AgentError as error:
                # the node goes on saying that it has no network; the next word of it is the next try
                log.error("pod network not made: error=%s", error.message)
            else:
                self._cidrs = cidrs

    async def _follow_node(self) -> None:
        """What others write to the Node: labels, its range of addresses, conditions that are this agent's to tell."""

        def changed(event: str, node: dict[str, Any], _before: Mapping[str, Any] | None) -> None:
            if event != "DELETED":
                self.node.seen(node)
                self._take_pod_cidr()

        name = f"metadata.name={self.config.node_name}"
        await Informer(self._watch_client, NODES, ObjectSink(changed), field_selector=name).run()

    def facts(self) -> NodeFacts:
        config = self.config
        now = time.monotonic()
        if now - self._resolv_conf[0] > 10.0 or not self._resolv_conf[1]:
            try:
                self._resolv_conf = (now, config.resolv_conf.read_text())
            except OSError:
                self._resolv_conf = (now, "")
        return NodeFacts(
            instance=instance_id(config),
            name=config.node_name,
            ips=(config.node_ip,),
            memory_capacity=self.node.machine.memory,
            pods_dir=config.pods_dir.resolve(),
            logs_dir=config.logs_dir.resolve(),
            cluster_dns=config.cluster_dns,
            cluster_domain=config.cluster_domain,
            resolv_conf=self._resolv_conf[1],
            cgroups=config.runtime == "cri",
        )

    def _counters(self) -> Mapping[str, float]:
        running = sum(c.state is ContainerState.RUNNING for w in self.workers.values() for c in w.containers.values())
        return {
            "kubelet_running_pods": sum(any(s.ready for s in w.sandboxes.values()) for w in self.workers.values()),
            'kubelet_running_containers{container_state="running"}': running,
            "kubelet_desired_pods": len(self.workers),
            "process_start_time_seconds": self._started,
            "knarr_agent_events_dropped_total": self.recorder.dropped,
        }

    # Pods

    def _pod_changed(self, event: str, pod: dict[str, Any], _before: dict[str, Any] | None) -> None:
        uid = pod["metadata"]["uid"]
        worker = self.workers.get(uid)
        if event == "DELETED":
            if worker is not None:
                worker.deleted()
            return
        if worker is not None:
            worker.update(pod)
            return
        status = pod.get("status") or {}
        sandboxes, containers = self._found.pop(uid, ([], []))
        worker = PodWorker(self._shared, pod, tuple(sandboxes), tuple(containers))
        unsure = False
        if not sandboxes and status.get("phase") not in ("Succeeded", "Failed") and not status.get("startTime"):
            rejection = self._judge(worker)
            unsure = rejection is not None and rejection.reason in ("NodeAffinity", "TaintToleration")
            if rejection is not None and not unsure:
                self._reject(worker, rejection)
        self.workers[uid] = worker
        self._tasks.spawn(self._work(worker, unsure), f"pod/{pod['metadata']['name']}")

    def _judge(self, worker: PodWorker) -> Rejection | None:
        ended = ("Succeeded", "Failed")
        others = [
            w.demands
            for w in self.workers.values()
            if w is not worker and (w.pod.get("status") or {}).get("phase") not in ended
        ]
        return admit(worker.pod, self.node.node, others, self.config.allowed_unsafe_sysctls)

    def _reject(self, worker: PodWorker, rejection: Rejection) -> None:
        self.recorder.pod(worker.pod, "Warning", rejection.reason, rejection.message)
        worker.reject(Rejection(rejection.reason, f"Pod was rejected: {rejection.message}"))

    async def _work(self, worker: PodWorker, unsure: bool) -> None:
        """unsure: the Node had not the labels that the pod wants, or had a taint that it does not tolerate, when last
        heard of; the scheduler may have heard later."""
        try:
            if unsure:
                await self.node.read()
                if (rejection := self._judge(worker)) is not None:
                    self._reject(worker, rejection)
            await worker.run()
        finally:
            if self.workers.get(worker.uid) is worker:
                del self.workers[worker.uid]

    def _object_changed(self, uid: str) -> None:
        if (worker := self.workers.get(uid)) is not None:
            worker.objects_changed()

    async def _remove_strangers(self) -> None:
        """Sandboxes of ours whose pods went while no agent was here, and what is left of such pods on the disk."""
        for uid, (sandboxes, _) in self._found.items():
            self._orphan(uid, sandboxes)
        self._found = {}
        for folder in self.config.pods_dir.iterdir():
            if folder.name not in self.workers and folder.name not in self._ending:
                await self._remove_folder(folder.name)

    def _orphan(self, uid: str, sandboxes: list[Sandbox]) -> None:
        if uid in self._ending or (not self.synced.is_set() and uid in self.workers):
            return
        self._ending.add(uid)
        self._tasks.spawn(self._end_orphan(uid, sandboxes), f"orphan/{uid}")

    async def _end_orphan(self, uid: str, sandboxes: list[Sandbox]) -> None:
        try:
            await end_sandboxes(self.runtime, sandboxes)
            await self._remove_folder(uid)
        except RuntimeCallError as error:
            log.warning("orphan not removed: uid=%s error=%s", uid, error)
        finally:
            self._ending.discard(uid)

    async def _remove_folder(self, uid: str) -> None:
        try:
            await asyncio.to_thread(teardown, self.config.pods_dir / uid, self._shared.mounts)
        except OSError as error:
            log.warning("folder not removed: uid=%s error=%s", uid, error)

    # Logs

    async def _rotate(self) -> None:
        while True:
            await asyncio.sleep(ROTATE_SECONDS)
            for worker in list(self.workers.values()):
                for container in list(worker.containers.values()):
                    if container.state is ContainerState.RUNNING:
                        await self._rotate_one(worker, container)

    async def _rotate_one(self, worker: PodWorker, container: Container) -> None:
        path = log_path(self.facts(), worker.pod, container)
        try:
            if path.stat().st_size < self.config.log_max_bytes:
                return
            await asyncio.to_thread(rotate, path, self.config.log_max_files, time.time())
            await self.runtime.reopen_log(container.id)
        except (OSError, RuntimeCallError) as error:
            log.warning("log not rotated: path=%s error=%s", path, error)


async def serve(
    config: AgentConfig,
    connection: Connection,
    on_ready: Callable[[], None] | None,
    companions: Sequence[CompanionTask],
) -> None:
    """Until SIGTERM or SIGINT. Raises AgentError when the node cannot be brought up."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with Agent(config, connection) as agent:
        starting = asyncio.create_task(_start(agent, on_ready, companions))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
        await stopping
        starting.cancel()


async def _start(agent: Agent, on_ready: Callable[[], None] | None, companions: Sequence[CompanionTask]) -> None:
    await agent.serve(companions)
    await agent.node.ready.wait()
    if on_ready is not None:
        on_ready()


def connection_of(config: AgentConfig) -> Connection:
    return load_kubeconfig(config.kubeconfig)
