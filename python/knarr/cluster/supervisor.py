"""`knarr up`: starts the roles, starts again what ends, ends all on SIGTERM. One thread that sleeps in poll(2).

                 start                     ready line
     (stopped) ---------> (starting) -------------------> (running)
         ^                    | ended: again after back-off   | ended: again after back-off
         |                    | refused: everything stops     |
         +--------------------+-------------------------------+  SIGTERM, SIGINT

Roles are no thralls of the supervisor: it may be killed, and they go on. The next `knarr up` finds them by pid and
start time in run/state.json and watches them by pidfd as if they were its own children.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from knarr.cluster import notify
from knarr.cluster.config import Config, write_private
from knarr.cluster.process import Process
from knarr.cluster.refusal import Refusal

ROLES = ("server", "controllers", "agent")
START_SECONDS_MAX = 60.0  # a store of some gigabytes is read in this time
STOP_SECONDS_MAX = {"server": 20.0, "controllers": 10.0, "agent": 20.0}
BACKOFF_SECONDS_MIN, BACKOFF_SECONDS_MAX = 0.2, 15.0
START_TRIES_MAX = 3  # of a role that never served: more would only keep the caller waiting
STEADY_SECONDS = 30.0  # a role that ran this long starts again at once
LOG_BYTES_MAX = 16 << 20


@dataclass(slots=True)
class Role:
    """One role and what is known of it. notify: read end of its pipe while it starts."""

    name: str
    process: Process | None = None
    pidfd: int | None = None
    notify: int | None = None
    child: subprocess.Popen[bytes] | None = None
    ready: bool = False
    started_at: float = 0.0
    restart_at: float = 0.0
    backoff: float = BACKOFF_SECONDS_MIN
    restarts: int = 0
    said: bytes = field(default=b"", repr=False)


class Supervisor:
    """Runs the roles of one data directory. on_ready is called once, when all of them serve.

    A role that refuses before that ends everything: the person who called waits for the answer. Later it is tried again
    like one that ended, because what else runs must not suffer.
    """

    def __init__(self, config: Config, on_ready: Callable[[], None] = lambda: None) -> None:
        self.config = config
        self.roles = {name: Role(name) for name in ROLES}
        self.stopping = False
        self.on_ready = on_ready
        self.announced = False
        self.lock: int | None = None
        self.wake: tuple[int, int] | None = None

    def run(self) -> None:
        """Start everything and stay until SIGTERM or SIGINT. Raises Refusal where a role cannot start."""
        self.take_lock()
        self.watch_signals()
        try:
            self.adopt()
            self.start_in_order()
            while not self.stopping:
                self.turn()
        finally:
            self.stop()

    def take_lock(self) -> None:
        """One supervisor a data directory."""
        self.lock = locked(self.config)
        if self.lock is None:
            raise Refusal(
                f"a cluster already runs in {self.config.data_dir}", "see `knarr status`, or end it with `knarr down`"
            )
        self.config.paths.logs.mkdir(mode=0o700, parents=True, exist_ok=True)

    def watch_signals(self) -> None:
        reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self.wake = (reader, writer)
        signal.set_wakeup_fd(writer)

        def stop(_number: int, _frame: object) -> None:
            self.stopping = True

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def adopt(self) -> None:
        """Take up the roles that outlived an earlier supervisor; end those started with other settings."""
        state = read_state(self.config)
        same = state.get("config") == fingerprint(self.config)
        for name, role in self.roles.items():
            entry = state.get("roles", {}).get(name)
            process = Process.from_json(entry)
            if process is None:
                continue
            # one that was still starting tells a pipe that nobody reads any more
            if not same or not entry.get("ready"):
                process.end(STOP_SECONDS_MAX[name])
                continue
            role.process, role.pidfd = process, process.open()
            role.ready = role.pidfd is not None
            role.restarts = int(state["roles"][name].get("restarts", 0))
            role.started_at = time.monotonic()
        # `knarr status` and `knarr down` find this supervisor here; where all roles were taken up, nothing else would
        # write it
        self.save_state()

    def start_in_order(self) -> None:
        """The server first: the others would only try in vain until it answers."""
        for name in ROLES:
            role = self.roles[name]
            if self.stopping:
                return
            if role.process is None:
                self.start(role)
            if name == "server":
                end = time.monotonic() + START_SECONDS_MAX
                while not role.ready and not self.stopping:
                    if time.monotonic() > end:
                        raise Refusal(
                            f"the server does not answer after {START_SECONDS_MAX:.0f} s",
                            f"see {self.config.paths.log('server')}",
                        )
                    self.turn()
        self.announce()

    def start(self, role: Role) -> None:
        paths = self.config.paths
        trim_log(self.config, role.name)
        reader, writer = os.pipe2(os.O_CLOEXEC)
        environment = os.environ | {notify.VARIABLE: str(writer)}
        try:
            with open(paths.log(role.name), "ab", opener=private) as log:
                role.child = subprocess.Popen(
                    [*command(), role.name, "--data-dir", self.config.data_dir],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=environment,
                    pass_fds=(writer,),
                    start_new_session=True,
                )
        except OSError:
            os.close(reader)
            raise
        finally:
            os.close(writer)
        os.set_blocking(reader, False)
        role.process = Process.of(role.child.pid)
        role.pidfd = role.process.open() if role.process else None
        role.notify, role.said, role.ready = reader, b"", False
        role.started_at = time.monotonic()
        self.save_state()

    def start_again(self, role: Role) -> None:
        """Start a role that ended; where the machine has no room for it now, later."""
        role.restart_at = 0.0
        try:
            self.start(role)
        except OSError as cause:
            if not self.announced:
                raise
            print(f"knarr: {role.name} cannot be started: {cause}", file=sys.stderr)
            role.restart_at = time.monotonic() + BACKOFF_SECONDS_MAX

    def turn(self) -> None:
        """Wait for the next thing to happen, and do what follows from it."""
        poll = select.poll()
        watched: dict[int, Role] = {}
        for role in self.roles.values():
            for descriptor in (role.pidfd, role.notify):
                if descriptor is not None:
                    watched[descriptor] = role
                    poll.register(descriptor, select.POLLIN)
        if self.wake:
            poll.register(self.wake[0], select.POLLIN)
        for descriptor, _ in poll.poll(self.milliseconds_to_next()):
            if self.wake and descriptor == self.wake[0]:
                os.read(descriptor, 512)
                continue
            role = watched[descriptor]
            if descriptor == role.notify:
                self.hear(role)
            elif descriptor == role.pidfd:
                self.ended(role)
        now = time.monotonic()
        for role in self.roles.values():
            if role.process is None and role.restart_at and role.restart_at <= now and not self.stopping:
                self.start_again(role)
            trim_log(self.config, role.name)
        self.announce()

    def announce(self) -> None:
        if not self.announced and all(role.ready for role in self.roles.values()):
            self.announced = True
            self.on_ready()

    def milliseconds_to_next(self) -> float:
        times = [role.restart_at for role in self.roles.values() if role.restart_at]
        # once a minute the logs are looked at
        return max(0.0, min([60.0, *(at - time.monotonic() for at in times)])) * 1000

    def hear(self, role: Role) -> None:
        """Read what a starting role says."""
        if role.notify is None:
            return
        try:
            said = os.read(role.notify, 65536)
        except BlockingIOError:
            return
        role.said += said
        if said and b"\n" not in role.said:
            return
        os.close(role.notify)
        role.notify = None
        try:
            message = json.loads(role.said or b"{}")
        except ValueError:
            message = {}
        if message.get("refused"):
            refusal = Refusal(message["refused"], message.get("hint", ""))
            if not self.announced:
                raise refusal
            print(f"knarr: {role.name} cannot start: {refusal.message}", file=sys.stderr)
            return
        role.ready = bool(message.get("ready"))
        self.save_state()

    def ended(self, role: Role) -> None:
        """A role ended by itself: start it again, later the more often it happens."""
        self.hear(role)
        self.forget(role)
        if self.stopping:
            return
        if not self.announced and role.restarts + 1 >= START_TRIES_MAX:
            log = self.config.paths.log(role.name)
            raise Refusal(f"{role.name} ended {START_TRIES_MAX} times before it served: {last_line(log)}", f"see {log}")
        ran = time.monotonic() - role.started_at
        role.backoff = BACKOFF_SECONDS_MIN if ran >= STEADY_SECONDS else min(role.backoff * 2, BACKOFF_SECONDS_MAX)
        role.restart_at = time.monotonic() + (0.0 if ran >= STEADY_SECONDS else role.backoff)
        role.restarts += 1
        print(f"knarr: {role.name} ended, starting it again (see {self.config.paths.log(role.name)})", file=sys.stderr)

    def forget(self, role: Role) -> None:
        for descriptor in (role.pidfd, role.notify):
            if descriptor is not None:
                os.close(descriptor)
        if role.child is not None:
            role.child.wait()
        role.process = role.pidfd = role.notify = role.child = None
        role.ready = False

    def stop(self) -> None:
        """End the roles, the server last: the others say good-bye to it."""
        self.stopping = True
        for name in reversed(ROLES):
            role = self.roles[name]
            if role.process is not None:
                role.process.end(STOP_SECONDS_MAX[name])
                self.forget(role)
        self.config.paths.state.unlink(missing_ok=True)
        if self.lock is not None:
            os.close(self.lock)
            self.lock = None

    def save_state(self) -> None:
        me = Process.of(os.getpid())
        state = {
            "supervisor": me.to_json() if me else None,
            "config": fingerprint(self.config),
            "server": self.config.server_url,
            "roles": {
                name: role.process.to_json() | {"ready": role.ready, "restarts": role.restarts}
                for name, role in self.roles.items()
                if role.process is not None
            },
        }
        try:
            write_private(self.config.paths.state, json.dumps(state).encode())
        except OSError as cause:
            if not self.announced:
                raise
            # what serves goes on; whom the file does not name is found by its command line
            print(f"knarr: {self.config.paths.state} cannot be written: {cause.strerror}", file=sys.stderr)


def command() -> list[str]:
    """How this knarr is called: the script of the same environment, so that a process list shows `knarr ROLE`."""
    script = os.path.join(os.path.dirname(sys.executable), "knarr")
    return [sys.executable, script] if os.path.exists(script) else [sys.executable, "-m", "knarr"]


def fingerprint(config: Config) -> str:
    """What roles must have been started with to be taken up as they are."""
    return repr(config)


def read_state(config: Config) -> dict[str, Any]:
    """What the running, or last, supervisor wrote down; empty where it said good-bye."""
    try:
        state = json.loads(config.paths.state.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    roles = state.get("roles") if isinstance(state, dict) else None
    fits = isinstance(roles, dict) and all(isinstance(entry, dict) for entry in roles.values())
    return state if fits else {}


def role_of(config: Config, role: str) -> Process | None:
    """The running process of a role, or None."""
    return Process.from_json(read_state(config).get("roles", {}).get(role))


def called(role: str, directory: str) -> list[Process]:
    """The processes `knarr ROLE ... --data-dir DIRECTORY`, but for this one, whether a state file names them or not."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        process = Process.of(int(entry))
        # python knarr ROLE, python -m knarr ROLE
        ours = (
            os.path.basename(words[0]).startswith(b"python")
            and os.fsencode(role) in words[2:4]
            and (b"--data-dir", os.fsencode(directory)) in pairwise(words)
        )
        if process is not None and ours and process.pid != os.getpid():
            found.append(process)
    return found


def end_strays(config: Config) -> None:
    """End the roles that a supervisor of this data directory started and nothing names: it was killed before it could
    write them down, or what it had written is lost. Called with the directory's lock held."""
    for name in reversed(ROLES):
        known = role_of(config, name)
        for process in called(name, config.data_dir):
            if process != known and process.has_environment(notify.VARIABLE):
                process.end(STOP_SECONDS_MAX[name])


def locked(config: Config) -> int | None:
    """The lock of the data directory as a descriptor, or None where another has it. It falls with the process, however
    that ends."""
    paths = config.paths
    paths.run.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(paths.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def trim_log(config: Config, role: str) -> None:
    """Keep the newest log and one before it, each of at most LOG_BYTES_MAX.

    Roles hold the file open for appending: its text is copied aside and the file cut, as logrotate's copytruncate does.
    """
    path = config.paths.log(role)
    try:
        if path.stat().st_size <= LOG_BYTES_MAX:
            return
        write_private(path.with_suffix(".log.1"), path.read_bytes())
        os.truncate(path, 0)
    except OSError:  # it is not there, or the disk is full: the next look tries again
        return


def last_line(path: Path) -> str:
    """What a role said last, for the person who waits for it."""
    try:
        lines = path.read_text(errors="replace").split("\n")
    except OSError:
        return "it wrote nothing"
    return next((line.strip() for line in reversed(lines) if line.strip()), "it wrote nothing")


def private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
