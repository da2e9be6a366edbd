"""The runtime behind a CRI v1 endpoint (containerd, CRI-O): conversion, and a source of events.

containerd 1.6 has no GetContainerEvents; its own event service tells of ended tasks instead. Where neither is
there, `events()` ends at once and the caller lists once a second.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from . import (
    Container,
    ContainerSpec,
    ContainerState,
    ContainerStats,
    ExecResult,
    Filesystem,
    Image,
    ImagePullError,
    Limits,
    Namespaces,
    RuntimeCallError,
    RuntimeInfo,
    Sandbox,
    SandboxSpec,
    Security,
)
from ._cri import containerd_events_pb2 as events_pb
from ._cri import cri_pb2 as pb
from .grpc import Service, unix_channel

CALL_SECONDS = 120.0
"""Any call but pulls and stops: kubelet's --runtime-request-timeout."""

_STATES = {
    pb.CONTAINER_CREATED: ContainerState.CREATED,
    pb.CONTAINER_RUNNING: ContainerState.RUNNING,
    pb.CONTAINER_EXITED: ContainerState.EXITED,
}
_PROPAGATION = {
    "None": pb.PROPAGATION_PRIVATE,
    "HostToContainer": pb.PROPAGATION_HOST_TO_CONTAINER,
    "Bidirectional": pb.PROPAGATION_BIDIRECTIONAL,
}
_PROTOCOLS = {"TCP": pb.TCP, "UDP": pb.UDP, "SCTP": pb.SCTP}


class CriRuntime:
    """A Runtime over `endpoint` (`unix:///path`)."""

    def __init__(self, endpoint: str) -> None:
        self._channel = unix_channel(endpoint)
        services = pb.DESCRIPTOR.services_by_name
        self._runtime = Service(self._channel, services["RuntimeService"])
        self._images = Service(self._channel, services["ImageService"])
        self._events = Service(self._channel, events_pb.DESCRIPTOR.services_by_name["Events"])

    async def _call(self, method: str, request: Any, timeout_seconds: float | None = CALL_SECONDS) -> Any:
        return await self._runtime.call(method, request, timeout_seconds)

    async def info(self) -> RuntimeInfo:
        version = await self._call("Version", pb.VersionRequest(version="v1"), 5.0)
        status = await self._call("Status", pb.StatusRequest(), 5.0)
        conditions = {c.type: c for c in status.status.conditions}
        ready, network = conditions.get("RuntimeReady"), conditions.get("NetworkReady")
        return RuntimeInfo(
            name=version.runtime_name,
            version=version.runtime_version,
            ready=ready is None or ready.status,
            network_ready=network is None or network.status,
            message=" ".join(c.message for c in (ready, network) if c is not None and not c.status),
        )

    # Sandboxes

    async def run_sandbox(self, spec: SandboxSpec) -> str:
        request = pb.RunPodSandboxRequest(config=sandbox_config(spec), runtime_handler=spec.runtime_handler)
        return str((await self._call("RunPodSandbox", request, 240.0)).pod_sandbox_id)

    async def stop_sandbox(self, sandbox_id: str) -> None:
        await self._forgiving("StopPodSandbox", pb.StopPodSandboxRequest(pod_sandbox_id=sandbox_id))

    async def remove_sandbox(self, sandbox_id: str) -> None:
        await self._forgiving("RemovePodSandbox", pb.RemovePodSandboxRequest(pod_sandbox_id=sandbox_id))

    async def sandbox(self, sandbox_id: str) -> Sandbox:
        s = (await self._call("PodSandboxStatus", pb.PodSandboxStatusRequest(pod_sandbox_id=sandbox_id))).status
        ips = tuple(ip for ip in (s.network.ip, *(a.ip for a in s.network.additional_ips)) if ip)
        return _sandbox(s, ips)

    async def sandboxes(self, labels: Mapping[str, str] | None = None) -> Sequence[Sandbox]:
        request = pb.ListPodSandboxRequest(filter=pb.PodSandboxFilter(label_selector=dict(labels or {})))
        return [_sandbox(s, ()) for s in (await self._call("ListPodSandbox", request)).items]

    # Containers

    async def create_container(self, sandbox_id: str, spec: ContainerSpec, sandbox: SandboxSpec) -> str:
        request = pb.CreateContainerRequest(
            pod_sandbox_id=sandbox_id, config=container_config(spec), sandbox_config=sandbox_config(sandbox)
        )
        return str((await self._call("CreateContainer", request)).container_id)

    async def start_container(self, container_id: str) -> None:
        await self._call("StartContainer", pb.StartContainerRequest(container_id=container_id))

    async def stop_container(self, container_id: str, grace_seconds: int) -> None:
        request = pb.StopContainerRequest(container_id=container_id, timeout=grace_seconds)
        await self._forgiving("StopContainer", request, grace_seconds + CALL_SECONDS)

    async def remove_container(self, container_id: str) -> None:
        await self._forgiving("RemoveContainer", pb.RemoveContainerRequest(container_id=container_id))

    async def container(self, container_id: str) -> Container:
        s = (await self._call("ContainerStatus", pb.ContainerStatusRequest(container_id=container_id))).status
        user = None
        if s.HasField("user") and s.user.HasField("linux"):
            user = (s.user.linux.uid, s.user.linux.gid, tuple(s.user.linux.supplemental_groups))
        return Container(
            id=s.id,
            sandbox_id="",
            name=s.metadata.name,
            attempt=s.metadata.attempt,
            state=_STATES.get(s.state, ContainerState.UNKNOWN),
            created_at=s.created_at,
            image=s.image.user_specified_image or s.image.image,
            image_ref=s.image_ref,
            labels=dict(s.labels),
            annotations=dict(s.annotations),
            started_at=s.started_at,
            finished_at=s.finished_at,
            exit_code=s.exit_code,
            reason=s.reason,
            message=s.message,
            log_path=s.log_path,
            user=user,
        )

    async def containers(self, labels: Mapping[str, str] | None = None) -> Sequence[Container]:
        request = pb.ListContainersRequest(filter=pb.ContainerFilter(label_selector=dict(labels or {})))
        return [
            Container(
                id=c.id,
                sandbox_id=c.pod_sandbox_id,
                name=c.metadata.name,
                attempt=c.metadata.attempt,
                state=_STATES.get(c.state, ContainerState.UNKNOWN),
                created_at=c.created_at,
                image=c.image.image,
                image_ref=c.image_ref,
                labels=dict(c.labels),
                annotations=dict(c.annotations),
            )
            for c in (await self._call("ListContainers", request)).containers
        ]

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout_seconds: int) -> ExecResult:
        request = pb.ExecSyncRequest(container_id=container_id, cmd=command, timeout=timeout_seconds)
        limit = timeout_seconds + 10.0 if timeout_seconds else None
        answer = await self._call("ExecSync", request, limit)
        return ExecResult(answer.exit_code, answer.stdout, answer.stderr)

    async def exec_url(
        self, container_id: str, command: Sequence[str], *, tty: bool, stdin: bool, stdout: bool, stderr: bool
    ) -> str:
        request = pb.ExecRequest(
            container_id=container_id, cmd=command, tty=tty, stdin=stdin, stdout=stdout, stderr=stderr
        )
        return str((await self._call("Exec", request)).url)

    async def attach_url(self, container_id: str, *, tty: bool, stdin: bool, stdout: bool, stderr: bool) -> str:
        request = pb.AttachRequest(container_id=container_id, tty=tty, stdin=stdin, stdout=stdout, stderr=stderr)
        return str((await self._call("Attach", request)).url)

    async def port_forward_url(self, sandbox_id: str, ports: Sequence[int]) -> str:
        request = pb.PortForwardRequest(pod_sandbox_id=sandbox_id, port=ports)
        return str((await self._call("PortForward", request)).url)

    async def reopen_log(self, container_id: str) -> None:
        await self._call("ReopenContainerLog", pb.ReopenContainerLogRequest(container_id=container_id))

    async def stats(self) -> Sequence[ContainerStats]:
        answer = await self._call("ListContainerStats", pb.ListContainerStatsRequest())
        return [
            ContainerStats(
                id=s.attributes.id,
                at=s.cpu.timestamp,
                cpu_ns=s.cpu.usage_core_nano_seconds.value,
                working_set=s.memory.working_set_bytes.value,
                rss=s.memory.rss_bytes.value,
                writable=s.writable_layer.used_bytes.value,
            )
            for s in answer.stats
        ]

    async def probe_tcp(self, host: str, port: int, timeout_seconds: float) -> bool | None:
        return None

    # Images

    async def image(self, reference: str) -> Image | None:
        request = pb.ImageStatusRequest(image=pb.ImageSpec(image=reference))
        answer = await self._images.call("ImageStatus", request, CALL_SECONDS)
        return _image(answer.image) if answer.HasField("image") and answer.image.id else None

    async def images(self) -> Sequence[Image]:
        answer = await self._images.call("ListImages", pb.ListImagesRequest(), CALL_SECONDS)
        return [_image(i) for i in answer.images]

    async def pull_image(self, reference: str, auth: Mapping[str, str] | None, sandbox: SandboxSpec) -> str:
        request = pb.PullImageRequest(
            image=pb.ImageSpec(image=reference),
            auth=pb.AuthConfig(**auth) if auth else None,
            sandbox_config=sandbox_config(sandbox),
        )
        try:
            return str((await self._images.call("PullImage", request, None)).image_ref)
        except RuntimeCallError as error:
            raise ImagePullError(str(error)) from None

    async def remove_image(self, reference: str) -> None:
        request = pb.RemoveImageRequest(image=pb.ImageSpec(image=reference))
        await self._images.call("RemoveImage", request, CALL_SECONDS)

    async def image_filesystem(self) -> Filesystem | None:
        answer = await self._images.call("ImageFsInfo", pb.ImageFsInfoRequest(), CALL_SECONDS)
        for fs in answer.image_filesystems:
            return Filesystem(fs.fs_id.mountpoint, fs.used_bytes.value, fs.inodes_used.value)
        return None

    # Events

    async def events(self) -> AsyncIterator[str]:
        """Container ids. containerd is asked by its own service: its CRI answers Unimplemented up to 1.6."""
        filters = ['topic=="/tasks/exit",namespace==k8s.io', 'topic=="/tasks/oom",namespace==k8s.io']
        request = events_pb.SubscribeRequest(filters=filters)
        try:
            async for envelope in self._events.stream("Subscribe", request):
                ended = events_pb.TaskExit.FromString(envelope.event.value)
                # An exec's end (a probe's, say) carries the exec's own id; only the task's end is an event here.
                if ended.id in ("", ended.container_id):
                    yield ended.container_id
            return
        except RuntimeCallError as error:
            if "Unimplemented" not in str(error):
                raise
        try:
            async for event in self._runtime.stream("GetContainerEvents", pb.GetEventsRequest()):
                if event.container_event_type == pb.CONTAINER_STOPPED_EVENT:
                    yield event.container_id
        except RuntimeCallError as error:
            if "Unimplemented" not in str(error):
                raise

    async def close(self) -> None:
        await self._channel.close()

    async def _forgiving(self, method: str, request: Any, timeout_seconds: float = CALL_SECONDS) -> None:
        try:
            await self._call(method, request, timeout_seconds)
        except RuntimeCallError as error:
            if not error.not_found:
                raise


def _sandbox(s: Any, ips: tuple[str, ...]) -> Sandbox:
    return Sandbox(
        id=s.id,
        name=s.metadata.name,
        namespace=s.metadata.namespace,
        uid=s.metadata.uid,
        attempt=s.metadata.attempt,
        ready=s.state == pb.SANDBOX_READY,
        created_at=s.created_at,
        ips=ips,
        labels=dict(s.labels),
        annotations=dict(s.annotations),
    )


def _image(i: Any) -> Image:
    return Image(
        id=i.id,
        tags=tuple(i.repo_tags),
        digests=tuple(i.repo_digests),
        size=i.size,
        uid=i.uid.value if i.HasField("uid") else None,
        username=i.username,
    )


def _namespaces(n: Namespaces) -> Any:
    node, pod, own = pb.NODE, pb.POD, pb.CONTAINER
    return pb.NamespaceOption(
        network=node if n.host_network else pod,
        pid=node if n.host_pid else pod if n.share_process else own,
        ipc=node if n.host_ipc else pod,
    )


def _seccomp(profile: str) -> Any:
    kind, _, reference = profile.partition(":")
    return pb.SecurityProfile(profile_type=kind, localhost_ref=reference)


def _int64(value: int | None) -> Any:
    return None if value is None else pb.Int64Value(value=value)


def _groups_policy(security: Security) -> Any:
    return pb.Strict if security.supplemental_groups_strict else pb.Merge


def _resources(limits: Limits) -> Any:
    return pb.LinuxContainerResources(
        cpu_period=limits.cpu_period,
        cpu_quota=limits.cpu_quota,
        cpu_shares=limits.cpu_shares,
        memory_limit_in_bytes=limits.memory,
        oom_score_adj=limits.oom_score_adj,
        unified=dict(limits.unified),
    )


def sandbox_config(spec: SandboxSpec) -> Any:
    """The CRI's PodSandboxConfig."""
    security = spec.security
    return pb.PodSandboxConfig(
        metadata=pb.PodSandboxMetadata(name=spec.name, uid=spec.uid, namespace=spec.namespace, attempt=spec.attempt),
        hostname=spec.hostname,
        log_directory=spec.log_directory,
        dns_config=pb.DNSConfig(servers=spec.dns_servers, searches=spec.dns_searches, options=spec.dns_options),
        port_mappings=[
            pb.PortMapping(
                protocol=_PROTOCOLS[p.protocol],
                container_port=p.container_port,
                host_port=p.host_port,
                host_ip=p.host_ip,
            )
            for p in spec.ports
        ],
        labels=dict(spec.labels),
        annotations=dict(spec.annotations),
        linux=pb.LinuxPodSandboxConfig(
            cgroup_parent=spec.cgroup_parent,
            security_context=pb.LinuxSandboxSecurityContext(
                namespace_options=_namespaces(spec.namespaces),
                run_as_user=_int64(security.user),
                run_as_group=_int64(security.group),
                supplemental_groups=security.supplemental_groups,
                supplemental_groups_policy=_groups_policy(security),
                privileged=security.privileged,
                seccomp=_seccomp(security.seccomp),
            ),
            sysctls=dict(spec.sysctls),
            resources=_resources(spec.limits),
        ),
    )


def container_config(spec: ContainerSpec) -> Any:
    """The CRI's ContainerConfig."""
    security = spec.security
    return pb.ContainerConfig(
        metadata=pb.ContainerMetadata(name=spec.name, attempt=spec.attempt),
        image=pb.ImageSpec(image=spec.image, user_specified_image=spec.image_name),
        command=spec.command,
        args=spec.args,
        working_dir=spec.working_dir,
        envs=[pb.KeyValue(key=k, value=v) for k, v in spec.env],
        mounts=[
            pb.Mount(
                container_path=m.container_path,
                host_path=m.host_path,
                readonly=m.readonly,
                propagation=_PROPAGATION[m.propagation],
            )
            for m in spec.mounts
        ],
        devices=[pb.Device(container_path=d, host_path=d, permissions="rwm") for d in spec.devices],
        labels=dict(spec.labels),
        annotations=dict(spec.annotations),
        log_path=spec.log_path,
        stdin=spec.stdin,
        stdin_once=spec.stdin_once,
        tty=spec.tty,
        linux=pb.LinuxContainerConfig(
            resources=_resources(spec.limits),
            security_context=pb.LinuxContainerSecurityContext(
                capabilities=pb.Capability(
                    add_capabilities=security.add_capabilities, drop_capabilities=security.drop_capabilities
                ),
                privileged=security.privileged,
                namespace_options=_namespaces(spec.namespaces),
                run_as_user=_int64(security.user),
                run_as_group=_int64(security.group),
                run_as_username=security.username,
                readonly_rootfs=security.readonly_rootfs,
                supplemental_groups=security.supplemental_groups,
                supplemental_groups_policy=_groups_policy(security),
                no_new_privs=security.no_new_privs,
                masked_paths=security.masked_paths,
                readonly_paths=security.readonly_paths,
                seccomp=_seccomp(security.seccomp),
            ),
        ),
    )
