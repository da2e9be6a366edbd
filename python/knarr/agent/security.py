"""Effective security context of sandboxes and containers. Pure. Source: pkg/securitycontext, kuberuntime."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .env import ConfigError
from .runtime import Image, Namespaces, Security

MASKED_PATHS = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def namespaces(pod: Mapping[str, Any]) -> Namespaces:
    spec = pod["spec"]
    return Namespaces(
        host_network=bool(spec.get("hostNetwork")),
        host_pid=bool(spec.get("hostPID")),
        host_ipc=bool(spec.get("hostIPC")),
        share_process=bool(spec.get("shareProcessNamespace")),
    )


def seccomp(profile: Mapping[str, Any] | None) -> str:
    """Kubernetes' default, where nothing is said, is Unconfined."""
    kind = (profile or {}).get("type", "Unconfined")
    if kind == "Localhost":
        return f"Localhost:/var/lib/kubelet/seccomp/{(profile or {}).get('localhostProfile', '')}"
    return str(kind)


def _groups(pod: Mapping[str, Any]) -> tuple[int, ...]:
    context = pod["spec"].get("securityContext") or {}
    groups = list(context.get("supplementalGroups") or ())
    if (group := context.get("fsGroup")) is not None:
        groups.insert(0, group)
    return tuple(groups)


def sandbox_security(pod: Mapping[str, Any]) -> Security:
    context = pod["spec"].get("securityContext") or {}
    every = (*pod["spec"]["containers"], *pod["spec"].get("initContainers", ()))
    user, group = context.get("runAsUser"), context.get("runAsGroup")
    return Security(
        user=user,
        # The CRI refuses a group without a user.
        group=group if user is not None else None,
        supplemental_groups=_groups(pod),
        privileged=any((c.get("securityContext") or {}).get("privileged") for c in every),
        seccomp="RuntimeDefault",
    )


def container_security(pod: Mapping[str, Any], container: Mapping[str, Any], image: Image | None) -> Security:
    """image: for its user; None when it is not known. Raises ConfigError when runAsNonRoot cannot be kept."""
    shared = pod["spec"].get("securityContext") or {}
    own = container.get("securityContext") or {}

    def pick(name: str) -> Any:
        return own[name] if own.get(name) is not None else shared.get(name)

    privileged = bool(own.get("privileged"))
    user = pick("runAsUser")
    username = ""
    if user is None and image is not None:
        user, username = image.uid, image.username if image.uid is None else ""
    check_non_root(pod, container, pick("runAsNonRoot"), pick("runAsUser"), image)
    capabilities = own.get("capabilities") or {}
    unmasked = privileged or own.get("procMount") == "Unmasked"
    return Security(
        user=user,
        group=pick("runAsGroup"),
        username=username,
        supplemental_groups=_groups(pod),
        supplemental_groups_strict=shared.get("supplementalGroupsPolicy") == "Strict",
        privileged=privileged,
        readonly_rootfs=bool(own.get("readOnlyRootFilesystem")),
        no_new_privs=own.get("allowPrivilegeEscalation") is False,
        add_capabilities=tuple(capabilities.get("add") or ()),
        drop_capabilities=tuple(capabilities.get("drop") or ()),
        seccomp="Unconfined" if privileged else seccomp(pick("seccompProfile")),
        masked_paths=() if unmasked else MASKED_PATHS,
        readonly_paths=() if unmasked else READONLY_PATHS,
    )


def check_non_root(
    pod: Mapping[str, Any], container: Mapping[str, Any], wanted: bool | None, user: int | None, image: Image | None
) -> None:
    """Raises ConfigError in kubelet's words."""
    if not wanted:
        return
    metadata = pod["metadata"]
    where = f'(pod: "{metadata["name"]}_{metadata["namespace"]}({metadata["uid"]})", container: {container["name"]})'
    if user is not None:
        if user == 0:
            raise ConfigError(f"container's runAsUser breaks non-root policy {where}")
        return
    if image is None:
        return
    if image.uid is None and image.username:
        raise ConfigError(
            f"container has runAsNonRoot and image has non-numeric user ({image.username}), "
            f"cannot verify user is non-root {where}"
        )
    if not image.uid:
        raise ConfigError(f"container has runAsNonRoot and image will run as root {where}")
