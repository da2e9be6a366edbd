"""postStart and preStop: exec, httpGet, tcpSocket and sleep. Source: pkg/kubelet/lifecycle/handlers.go."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from .actions import PLAIN, http_get, resolve_port
from .runtime import Runtime, RuntimeCallError


class HookError(Exception):
    """The hook failed; the message is that of kubelet's FailedPostStartHook or FailedPreStopHook log line."""


async def run_hook(
    runtime: Runtime, handler: Mapping[str, Any], container: Mapping[str, Any], container_id: str, ip: str
) -> None:
    """Raises HookError."""
    if action := handler.get("exec"):
        command = list(action.get("command") or ())
        try:
            done = await runtime.exec_sync(container_id, command, 0)
        except RuntimeCallError as error:
            raise HookError(
                f"Exec lifecycle hook ({command}) for Container {container['name']!r} failed: {error}"
            ) from None
        if done.code:
            output = (done.stdout + done.stderr).decode(errors="replace")
            raise HookError(f"command {command} exited with {done.code}: {output}")
    elif action := handler.get("httpGet"):
        # Hooks have no time limit of their own: the pod's grace period ends them.
        try:
            port = resolve_port(action["port"], container)
        except ValueError as error:
            raise HookError(str(error)) from None
        where = (action.get("host") or ip, port, 3600.0, "kube-lifecycle/1.34")
        outcome = await http_get(action, *where)
        if PLAIN in outcome.text:
            outcome = await http_get({**action, "scheme": "HTTP"}, *where)
        # An error is an answer too: the hook has been heard.
        if not outcome.ok and not outcome.answered:
            raise HookError(outcome.text)
    elif action := handler.get("sleep"):
        await asyncio.sleep(float(action.get("seconds") or 0))
    elif "tcpSocket" in handler:
        # Kept in the API for old manifests only; kubelet refuses it at this point too.
        raise HookError(f"invalid handler: {dict(handler)}")
