"""`up`, `down` and `status` as functions; the verbs of the command line are thin shells around them.

`up --detach` forks a supervisor that leaves the terminal's session and closes what it inherited; the parent waits until
the cluster serves, so that the next command finds it. What the supervisor has to say meanwhile comes through the same
kind of pipe as a role's words to the supervisor (notify.py).
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from knarr.cluster import notify
from knarr.cluster.config import Config, Paths, remembered
from knarr.cluster.process import Process
from knarr.cluster.refusal import Refusal, refused_by_machine
from knarr.cluster.supervisor import (
    ROLES,
    STOP_SECONDS_MAX,
    Supervisor,
    called,
    command,
    end_strays,
    locked,
    read_state,
    role_of,
)

UP_SECONDS_MAX = 120.0
DOWN_SECONDS_MAX = 90.0


class SupervisorEnded(Refusal):
    """The supervisor ended before all roles served, and did not say why."""

    def __init__(self, config: Config) -> None:
        super().__init__("the supervisor ended before all roles served", f"see {config.paths.log('supervisor')}")


def supervisor_of(config: Config) -> Process | None:
    """The running supervisor of this data directory, or None."""
    return Process.from_json(read_state(config).get("supervisor"))


def up(config: Config, say: Callable[[str], None]) -> None:
    """Run the cluster in the foreground until SIGTERM or SIGINT. Raises Refusal."""

    def serving() -> None:
        say(f"serving on {config.server_url}")
        say(f"kubeconfig is {config.admin_kubeconfig}")
        notify.ready()

    try:
        if not notify.awaited():  # whoever waits for a detached one has begun for it
            begin(config)
        Supervisor(config, serving).run()
    except Refusal as refusal:
        notify.refused(refusal)
        raise
    except OSError as cause:
        told = refused_by_machine(cause, config.data_dir)
        notify.refused(told)
        raise told from None


def up_detached(config: Config, say: Callable[[str], None]) -> None:
    """Start the cluster in the background and return once it serves. Raises Refusal. Does nothing where it runs
    already with these settings."""
    while supervisor_of(config) is not None:
        refuse_other_settings(config)
        try:
            await_ready(config, say, None)
        except SupervisorEnded:
            continue
        # one that was killed a moment ago looks alive at first
        if supervisor_of(config) is not None:
            return
    begin(config)
    reader, writer = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        os.close(reader)
        supervise_detached(config, writer)
    os.close(writer)
    try:
        await_ready(config, say, reader)
    except KeyboardInterrupt:
        raise Refusal(
            "interrupted; the cluster goes on starting in the background", "see `knarr status`, or `knarr down` ends it"
        ) from None


def begin(config: Config) -> None:
    """Refuse what would fail later, then make what the roles need. What is imported here is needed no more by a
    supervisor that was started detached: it never loads it."""
    from knarr.cluster.prepare import prepare, refuse_taken_ports

    if supervisor_of(config) is not None:
        raise Refusal(f"a cluster already runs in {config.data_dir}", "see `knarr status`, or end it with `knarr down`")
    if config.runtime == "cri":
        from knarr.agent import preflight
        from knarr.cluster import place

        problem = preflight(cri=config.cri)
        if problem:
            raise Refusal(*problem)
        place.refuse(config)
    if config.paths.run.exists():
        lock = locked(config)
        if lock is None:
            raise Refusal(f"a cluster already runs in {config.data_dir}", "end it with `knarr down` first")
        end_strays(config)
        os.close(lock)
    refuse_taken_ports(config, {role for role in ROLES if role_of(config, role) is not None})
    prepare(config)


def refuse_other_settings(config: Config) -> None:
    """A running cluster keeps the settings it was started with. Raises Refusal where others are asked for."""
    running = remembered(config.data_dir)
    asked = json.loads(json.dumps(dataclasses.asdict(config)))
    other = [f"--{name.replace('_', '-')}" for name, value in asked.items() if running.get(name, value) != value]
    if other:
        raise Refusal(
            f"the cluster in {config.data_dir} runs with another {', '.join(other)}",
            "end it with `knarr down` first; its data stays",
        )


def supervise_detached(config: Config, writer: int) -> None:
    """The forked side: a session of its own, no inherited terminal, refusals told through the pipe. Never returns."""
    try:
        os.setsid()
        os.umask(0o077)
        config.paths.logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        null = os.open(os.devnull, os.O_RDWR)
        log = os.open(config.paths.log("supervisor"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for old, new in ((null, 0), (log, 1), (log, 2)):
            os.dup2(old, new)
        os.closerange(3, writer)
        os.closerange(writer + 1, os.sysconf("SC_OPEN_MAX"))
        os.environ[notify.VARIABLE] = str(writer)
        # the command line tells a process list what this is: knarr up --data-dir D
        os.set_inheritable(writer, True)
        arguments = [*command(), "up", "--data-dir", config.data_dir]
        os.execv(arguments[0], arguments)
    except OSError as cause:
        os.environ[notify.VARIABLE] = str(writer)
        notify.refused(refused_by_machine(cause, config.data_dir))
    finally:
        os._exit(1)


def await_ready(config: Config, say: Callable[[str], None], reader: int | None) -> None:
    """Wait for /readyz, the default ServiceAccount and the Ready node, saying each as it comes true.

    reader: where a supervisor that was just started says that all serve, or why they cannot; None where it was running
    before. Roles that outlived another supervisor serve already, and their Node may say Ready: only the new supervisor
    knows whether it takes them up.
    """
    from knarr.cluster.health import get, node_ready  # not in a process that stays: it loads HTTP and TLS

    def ready(role: str) -> bool:
        entry = read_state(config).get("roles", {}).get(role)
        return bool(entry and entry.get("ready") and Process.from_json(entry))

    end = time.monotonic() + UP_SECONDS_MAX

    def node() -> bool:
        return reader is None and all(map(ready, ROLES)) and node_ready(config)

    waits: list[tuple[str, Callable[[], bool]]] = [
        (f"API server answers on {config.server_url}", lambda: ready("server") and get(config, "/readyz") == b"ok"),
        (
            "namespace default has its ServiceAccount",
            lambda: get(config, "/api/v1/namespaces/default/serviceaccounts/default") is not None,
        ),
        (f"node {config.node_name} is Ready", node),
    ]
    if reader is not None:
        os.set_blocking(reader, False)
    for text, done in waits:
        while not done():
            if reader is not None and hear(reader, config):
                os.close(reader)
                reader = None
            if reader is None and supervisor_of(config) is None:
                raise SupervisorEnded(config)
            if time.monotonic() > end:
                raise Refusal(f"not within {UP_SECONDS_MAX:.0f} s: {text}", f"see the logs in {config.paths.logs}")
            time.sleep(0.02)
        say(text)
        if text is waits[0][0]:
            say(f"kubeconfig is {config.admin_kubeconfig}")


def hear(reader: int, config: Config) -> bool:
    """Whether the detached supervisor said that all serve. Raises the Refusal that it said, or that it ended without a
    word."""
    try:
        said = os.read(reader, 65536)
    except BlockingIOError:
        return False
    message = json.loads(said) if said.endswith(b"\n") else {}
    if message.get("refused"):
        raise Refusal(message["refused"], message.get("hint", ""))
    if not message.get("ready"):
        raise SupervisorEnded(config)
    return True


def down(config: Config, say: Callable[[str], None], purge: bool = False) -> None:
    """End the servers, then the pods and what the node made for them; `purge` deletes the data too. Idempotent."""
    from knarr.cluster import place

    with ExitStack() as stack:
        # before what keeps the namespace ends
        node = place.find(config)
        if node is not None:
            stack.callback(os.close, node)
        end_servers(config, say)
        if config.runtime == "cri" or place.recorded(config) is not None:
            end_node(config, node, say)
    if purge:
        delete_data(config)
        say(f"{config.data_dir} deleted")


def end_servers(config: Config, say: Callable[[str], None]) -> None:
    """End the supervisor and the roles, its own or left by an earlier one, whether it wrote them down or not."""
    supervisor = supervisor_of(config)
    supervisors = [*([supervisor] if supervisor else []), *called("up", config.data_dir)]
    for each in supervisors:
        each.end(DOWN_SECONDS_MAX)
    ended = bool(supervisors)
    for name in reversed(ROLES):
        known = role_of(config, name)
        for each in [*([known] if known else []), *called(name, config.data_dir)]:
            each.end(STOP_SECONDS_MAX[name])
            ended = True
    if config.paths.run.exists():
        lock = locked(config)
        if lock is None:
            raise Refusal(
                f"a `knarr up` that cannot be found runs in {config.data_dir}", "end it, then run `knarr down` again"
            )
        os.close(lock)
    if ended:
        say("servers ended")
    config.paths.state.unlink(missing_ok=True)


def end_node(config: Config, node: int | None, say: Callable[[str], None]) -> None:
    """End the pods, and last the network that marks where they were. node: a descriptor of its network namespace."""
    from knarr.agent import AgentError, remove_node
    from knarr.cluster import place
    from knarr.network.remove import remove_network

    if node is None and place.recorded(config) is not None:
        say("the node's network namespace is gone or out of sight; its pods are ended without it")
    with place.inside(node):
        try:
            remove_node(config.data_dir, config.cri, config.node_name)
        except AgentError as error:
            raise Refusal(error.message, error.hint) from None
        remove_network()
    config.paths.place.unlink(missing_ok=True)
    say("pods, their network and mounts ended")


def down_lost(directory: str, say: Callable[[str], None]) -> bool:
    """End what is left of a cluster whose data directory was deleted while it ran; False where this network namespace
    has nothing of it."""
    from knarr.agent import end_lost_node
    from knarr.cluster import place
    from knarr.network.remove import remove_network

    node = place.lost_node(directory) if os.geteuid() == 0 else ""
    if not node:
        return False

    for role in ("up", *reversed(ROLES)):
        for process in called(role, directory):
            process.end(STOP_SECONDS_MAX.get(role, DOWN_SECONDS_MAX))
    end_lost_node(directory, node)
    remove_network()
    paths = Paths(Path(directory))
    for folder in (paths.run, paths.logs):
        shutil.rmtree(folder, ignore_errors=True)
    if paths.data_dir.is_dir() and not any(paths.data_dir.iterdir()):
        paths.data_dir.rmdir()
    say(f"what was left of the cluster in {directory} ended")
    return True


def delete_data(config: Config) -> None:
    """Delete the data directory, its settings last, so that a deletion cut short can be called again."""
    if config.kubeconfig:
        copy, ours = Path(config.kubeconfig), config.paths.admin_kubeconfig
        # a file that somebody put there since is not ours
        if copy.exists() and ours.exists() and copy.read_bytes() == ours.read_bytes():
            copy.unlink()
    for entry in config.paths.data_dir.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry != config.paths.config:
            entry.unlink()
    shutil.rmtree(config.data_dir)


def status(config: Config) -> dict[str, Any]:
    """Roles, pids, memory, addresses and health, as `knarr status -o json` prints them."""
    from knarr.cluster.health import get, node_ready

    state = read_state(config)
    named = state.get("roles", {})
    entries = {"supervisor": state.get("supervisor"), **{role: named.get(role) for role in ROLES}}
    roles = {}
    for name, entry in entries.items():
        verb = "up" if name == "supervisor" else name
        process = Process.from_json(entry) or next(iter(called(verb, config.data_dir)), None)
        roles[name] = described(process, entry.get("restarts", 0) if entry else 0)
    if config.runtime == "cri" and config.cri is None:
        roles["containerd"] = described(containerd_of(config), 0)
    ready = get(config, "/readyz") == b"ok"
    return {
        "dataDir": config.data_dir,
        "server": config.server_url,
        "node": {"name": config.node_name, "address": config.node_ip, "ready": ready and node_ready(config)},
        "kubeconfig": config.admin_kubeconfig,
        "ready": ready,
        "roles": roles,
    }


def described(process: Process | None, restarts: int) -> dict[str, Any]:
    """One role as `knarr status` shows it."""
    return {
        "pid": process.pid if process else None,
        "running": process is not None,
        "memoryBytes": process.resident_bytes() if process else 0,
        "cpuSeconds": process.cpu_seconds() if process else 0.0,
        "restarts": restarts,
    }


def containerd_of(config: Config) -> Process | None:
    """The node's own containerd, whoever its parent is: it outlives its agent."""
    try:
        pid, started = (config.paths.agent / "containerd" / "containerd.pid").read_text().split()
    except (OSError, ValueError):
        return None
    return Process.from_json({"pid": pid, "started": started})


def say_on_stderr(text: str) -> None:
    """Progress goes to standard error: standard output belongs to the answer."""
    print(text, file=sys.stderr, flush=True)
