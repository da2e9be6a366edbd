"""`up`, `down` and `status` as functions; the verbs of the command line are thin shells around them.

`up --detach` forks a supervisor that leaves the terminal's session and closes what it inherited; the parent waits until
the cluster serves, so that the next command finds it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from knarr.cluster.config import Config
from knarr.cluster.prepare import prepare, refuse_taken_port
from knarr.cluster.process import Process, children_of, wait_until
from knarr.cluster.refusal import Refusal
from knarr.cluster.supervisor import ROLES, STOP_SECONDS_MAX, Supervisor, read_state

UP_SECONDS_MAX = 120.0
DOWN_SECONDS_MAX = 90.0


def supervisor_of(config: Config) -> Process | None:
    """The running supervisor of this data directory, or None."""
    return Process.from_json(read_state(config).get("supervisor"))


def up(config: Config, say: Callable[[str], None]) -> None:
    """Run the cluster in the foreground until SIGTERM or SIGINT. Raises Refusal."""
    begin(config)
    Supervisor(config, lambda: say(f"serving on {config.server_url}")).run()


def up_detached(config: Config, say: Callable[[str], None]) -> None:
    """Start the cluster in the background and return once it serves. Raises Refusal. Does nothing where it runs
    already."""
    if supervisor_of(config) is not None:
        await_ready(config, say, None)
        return
    begin(config)
    reader, writer = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        os.close(reader)
        supervise_detached(config, writer)
    os.close(writer)
    await_ready(config, say, reader)


def begin(config: Config) -> None:
    """Refuse what would fail later, then make what the roles need."""
    if supervisor_of(config) is not None:
        raise Refusal(f"a cluster already runs in {config.data_dir}", "see `knarr status`, or end it with `knarr down`")
    server = read_state(config).get("roles", {})
    if Process.from_json(server.get("server") if isinstance(server, dict) else None) is None:
        refuse_taken_port(config)
    if config.runtime == "cri":
        from knarr.agent import preflight

        problem = preflight(cri=config.cri)
        if problem:
            raise Refusal(*problem)
    prepare(config)


def supervise_detached(config: Config, writer: int) -> None:
    """The forked side: a session of its own, no inherited terminal, refusals told through the pipe. Never returns."""
    os.setsid()
    os.umask(0o077)
    config.paths.logs.mkdir(mode=0o700, parents=True, exist_ok=True)
    null = os.open(os.devnull, os.O_RDWR)
    log = os.open(config.paths.log("supervisor"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for old, new in ((null, 0), (log, 1), (log, 2)):
        os.dup2(old, new)
    code = 0
    try:
        # the command line tells a process list what this is: knarr up --data-dir D
        os.set_inheritable(writer, True)
        os.environ["KNARR_DETACHED_FD"] = str(writer)
        from knarr.cluster.supervisor import command

        arguments = [*command(), "up", "--data-dir", config.data_dir]
        os.execv(arguments[0], arguments)
    except OSError as cause:
        os.write(writer, json.dumps({"message": f"the supervisor cannot be started: {cause}", "hint": ""}).encode())
        code = 1
    os._exit(code)


def await_ready(config: Config, say: Callable[[str], None], reader: int | None) -> None:
    """Wait for /readyz, the default ServiceAccount and the Ready node, saying each as it comes true.

    reader: what a supervisor that cannot go on writes to before it ends; None where it was running before.
    """
    from knarr.cluster.health import get, node_ready  # not in a process that stays: it loads HTTP and TLS

    end = time.monotonic() + UP_SECONDS_MAX
    waits: list[tuple[str, Callable[[], bool]]] = [
        (f"API server answers on {config.server_url}", lambda: get(config, "/readyz") == b"ok"),
        (
            "namespace default has its ServiceAccount",
            lambda: get(config, "/api/v1/namespaces/default/serviceaccounts/default") is not None,
        ),
        (f"node {config.node_name} is Ready", lambda: node_ready(config)),
    ]
    if reader is not None:
        os.set_blocking(reader, False)
    heard = False
    for text, done in waits:
        while not done():
            if reader is not None:
                refusal, heard = hear(reader, heard)
                if refusal:
                    raise refusal
            if time.monotonic() > end:
                raise Refusal(f"not within {UP_SECONDS_MAX:.0f} s: {text}", f"see the logs in {config.paths.logs}")
            time.sleep(0.02)
        say(text)
    if reader is not None:
        os.close(reader)


def hear(reader: int, heard: bool) -> tuple[Refusal | None, bool]:
    """What the detached supervisor said, if anything: its refusal, or that its end of the pipe closed without a
    word."""
    try:
        said = os.read(reader, 65536)
    except BlockingIOError:
        return None, heard
    if said:
        message = json.loads(said)
        return Refusal(message["message"], message.get("hint", "")), True
    return (None if heard else Refusal("the supervisor ended", "see logs/supervisor.log in the data directory")), True


def tell_parent(refusal: Refusal) -> bool:
    """In a detached supervisor: pass a refusal to the `knarr up --detach` that waits. Whether there was one."""
    descriptor = os.environ.pop("KNARR_DETACHED_FD", None)
    if descriptor is None:
        return False
    try:
        os.write(int(descriptor), json.dumps({"message": refusal.message, "hint": refusal.hint}).encode())
    except OSError:
        return False
    return True


def down(config: Config, say: Callable[[str], None], purge: bool = False) -> None:
    """End the servers, then the pods and what the node made for them; `purge` deletes the data too. Idempotent."""
    state = read_state(config)
    supervisor = Process.from_json(state.get("supervisor"))
    if supervisor is not None:
        supervisor.signal(signal.SIGTERM)
        if not supervisor.wait(DOWN_SECONDS_MAX):
            supervisor.signal(signal.SIGKILL)
        say("servers ended")
    roles = state.get("roles", {})
    for name in reversed(ROLES):
        process = Process.from_json(roles.get(name)) if isinstance(roles, dict) else None
        if process is not None:
            process.end(STOP_SECONDS_MAX[name])
    config.paths.state.unlink(missing_ok=True)
    if config.runtime == "cri":
        from knarr.agent import remove_node
        from knarr.network.remove import remove_network

        remove_node(config.data_dir, cri=config.cri, node_name=config.node_name)
        remove_network()
        say("pods, their network and mounts ended")
    if purge:
        shutil.rmtree(config.data_dir)
        if config.kubeconfig and os.path.exists(config.kubeconfig):
            os.unlink(config.kubeconfig)
        say(f"{config.data_dir} deleted")


def status(config: Config) -> dict[str, Any]:
    """Roles, pids, memory, addresses and health, as `knarr status -o json` prints them."""
    from knarr.cluster.health import get, node_ready

    state = read_state(config)
    roles: dict[str, Any] = {}
    named = state.get("roles", {})
    entries = {"supervisor": state.get("supervisor"), **(named if isinstance(named, dict) else {})}
    for name, entry in entries.items():
        process = Process.from_json(entry)
        roles[name] = {
            "pid": process.pid if process else None,
            "running": process is not None,
            "memoryBytes": process.resident_bytes() if process else 0,
            "cpuSeconds": process.cpu_seconds() if process else 0.0,
            "restarts": entry.get("restarts", 0) if isinstance(entry, dict) else 0,
        }
    agent = roles.get("agent", {}).get("pid")
    for pid in children_of(agent) if agent else []:
        process = Process.of(pid)
        if process is not None and "containerd" in comm(pid):
            roles["containerd"] = {
                "pid": pid,
                "running": True,
                "memoryBytes": process.resident_bytes(),
                "cpuSeconds": process.cpu_seconds(),
                "restarts": 0,
            }
    ready = get(config, "/readyz") == b"ok"
    return {
        "dataDir": config.data_dir,
        "server": config.server_url,
        "node": {"name": config.node_name, "address": config.node_ip, "ready": ready and node_ready(config)},
        "kubeconfig": config.kubeconfig or str(config.paths.admin_kubeconfig),
        "ready": ready,
        "roles": roles,
    }


def comm(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().strip()
    except OSError:
        return ""


def ended(config: Config, seconds: float) -> bool:
    """Whether the supervisor of this data directory is gone within `seconds`."""
    return wait_until(seconds, 0.05, lambda: supervisor_of(config) is None)


def say_on_stderr(text: str) -> None:
    """Progress goes to standard error: standard output belongs to the answer."""
    print(text, file=sys.stderr, flush=True)
