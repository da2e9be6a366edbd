"""What must be there before a role starts: a data directory of ours, certificates, kubeconfigs.

The certificates are looked at and made by a short-lived child, so that no long-lived process carries the libraries of
that.
"""

from __future__ import annotations

import errno
import fcntl
import gc
import ipaddress
import json
import os
import pwd
import shutil
import socket
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from knarr.agent.config import AgentConfig
from knarr.cluster.config import Config, Paths, bracketed, write_private
from knarr.cluster.refusal import Refusal, refused_by_machine

RENEWAL_CHECK_SECONDS = 24 * 3600
STAMP = "checked.json"


def prepare(config: Config) -> None:
    """Make the data directory and everything in it that the roles start from. Raises Refusal, and leaves nothing of a
    cluster that was to be new."""
    paths = config.paths
    there = paths.data_dir.exists()
    make_data_dir(paths)
    fresh = not any(paths.data_dir.iterdir())
    try:
        with alone(paths.data_dir):
            in_child(config)
            config.save()
    except BaseException as cause:  # an interrupt too
        if fresh:
            undo(paths, there)
        if isinstance(cause, OSError):
            raise refused_by_machine(cause, paths.data_dir) from None
        raise


@contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Two that start at once make the files one after the other."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def undo(paths: Paths, there: bool) -> None:
    """Take a half-made cluster away. there: whether the directory, then empty, was there before."""
    for path in paths.data_dir.iterdir() if there else (paths.data_dir,):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def make_data_dir(paths: Paths) -> None:
    directory = paths.data_dir
    another = "name another with --data-dir"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        entries = [entry.name for entry in directory.iterdir()]
    except (FileExistsError, NotADirectoryError):
        raise Refusal(f"{directory} is not a directory", another) from None
    except PermissionError as cause:
        raise Refusal(f"{directory} cannot be used by this user: {cause.strerror}", another) from None
    except OSError as cause:
        raise Refusal(f"{directory} cannot be made: {cause.strerror}", another) from None
    owner = directory.stat().st_uid
    if owner != os.geteuid() and (entries or os.geteuid() != 0):
        raise Refusal(f"{directory} belongs to {user_name(owner)}", f"run as that user, or {another}")
    if not os.access(directory, os.W_OK | os.X_OK):
        raise Refusal(f"{directory} cannot be written by this user", another)
    if entries and not paths.config.exists() and not paths.pki.exists():
        raise Refusal(f"{directory} is not empty and holds no cluster", "name an empty or a new one with --data-dir")
    os.chmod(directory, 0o700)


def user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def certificates_current(config: Config) -> bool:
    """Whether the certificates were found right for these settings within the last day, and no file changed since."""
    try:
        stamp = json.loads((config.paths.pki / STAMP).read_bytes())
        age = time.time() - stamp["at"]
        return bool(
            stamp["for"] == repr(config) and 0 <= age < RENEWAL_CHECK_SECONDS and stamp["files"] == digests(config)
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def digests(config: Config) -> dict[str, str]:
    """What the certificates, keys and kubeconfigs are now: path to digest. Raises OSError where one is missing."""
    import hashlib  # in the child only: it loads OpenSSL

    paths = [path for path in sorted(config.paths.pki.iterdir()) if path.suffix in (".crt", ".key", ".pub")]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in [*paths, *kubeconfigs(config)]}


def kubeconfigs(config: Config) -> list[Path]:
    roles = ("controllers", "agent", "proxy")
    paths = [config.paths.admin_kubeconfig, *(config.paths.kubeconfig(role) for role in roles)]
    return [*paths, *([Path(config.kubeconfig)] if config.kubeconfig else [])]


def in_child(config: Config) -> None:
    """Have the certificates looked at, and made, by a child of ours; what it refuses is refused here."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        # What the caller left to be collected may wait for threads that this process has not.
        gc.disable()
        said = {"message": "the certificates could not be made"}
        try:
            if not certificates_current(config):
                from knarr.cluster import pki

                pki.ensure(config)
                stamp = {"for": repr(config), "at": time.time(), "files": digests(config)}
                write_private(config.paths.pki / STAMP, json.dumps(stamp).encode())
            said = {}
        except Refusal as refusal:
            said = {"message": refusal.message, "hint": refusal.hint}
        except OSError as cause:
            told = refused_by_machine(cause, config.paths.pki)
            said = {"message": told.message, "hint": told.hint}
        except (ArithmeticError, ImportError, ValueError) as cause:
            said["message"] += f": {cause}"
        finally:
            os.write(writer, json.dumps(said).encode())
            os._exit(1 if said else 0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = json.loads(pipe.read() or b'{"message": "the certificates could not be made"}')
    os.waitpid(child, 0)
    if said:
        raise Refusal(said["message"], said.get("hint", ""))


def refuse_taken_ports(config: Config, running: Collection[str] = ()) -> None:
    """Say who holds a port that a role will listen on, before anything is started. Raises Refusal.

    running: roles of this cluster that run and may hold their ports.
    """
    if config.port == AgentConfig.port:
        raise Refusal(f"--port {config.port} is the node's own port", "choose another with --port")
    if "server" not in running:
        for address in dict.fromkeys((config.node_ip, "127.0.0.1")):
            refuse_taken_port(address, config.port, "choose another with --port")
    if "agent" not in running:
        hint = "end it, or give this node an address of its own with --node-ip"
        refuse_taken_port(config.node_ip, AgentConfig.port, hint)


def refuse_taken_port(address: str, port: int, hint: str) -> None:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as cause:
            where = f"{bracketed(address)}:{port}"
            if cause.errno == errno.EADDRINUSE:
                raise Refusal(f"{where} is in use{by_whom(address, port)}", hint) from None
            if cause.errno == errno.EADDRNOTAVAIL:
                raise Refusal(f"{address} is no address of this host", "name one with --node-ip") from None
            raise Refusal(f"{where} cannot be listened on: {cause.strerror}", hint) from None


def by_whom(address: str, port: int) -> str:
    """` by NAME (pid N)`, where it can be found out."""
    inodes = listeners(address, port)
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            if any(os.readlink(f"/proc/{entry}/fd/{fd}") in inodes for fd in os.listdir(f"/proc/{entry}/fd")):
                return f" by {program(entry)} (pid {entry})"
        except OSError:
            continue
    return ""


def program(pid: str) -> str:
    """What a process is called; for a script the script and its first argument: `knarr server`. Raises OSError."""
    with open(f"/proc/{pid}/cmdline") as file:
        words = file.read().split("\0")[:-1]
    if len(words) > 1 and os.path.basename(words[0]).startswith("python") and not words[1].startswith("-"):
        return " ".join([os.path.basename(words[1]), *words[2:3]])
    with open(f"/proc/{pid}/comm") as file:
        return file.read().strip()


def listeners(address: str, port: int) -> set[str]:
    """`socket:[INODE]` of what listens there or on every address. Source: proc_net_tcp: addresses are hexadecimal
    32-bit words in the machine's byte order."""
    packed = ipaddress.ip_address(address).packed
    words = "".join(
        packed[at : at + 4][:: 1 if sys.byteorder == "big" else -1].hex() for at in range(0, len(packed), 4)
    )
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(table) as file:
                rows = [line.split() for line in file.readlines()[1:]]
        except OSError:
            continue
        for fields in rows:
            local, _, number = fields[1].rpartition(":")
            # 0A: TCP_LISTEN. A v6 socket shows a v4 address mapped, at its end.
            if (
                fields[3] == "0A"
                and int(number, 16) == port
                and (not local.strip("0") or local.endswith(words.upper()))
            ):
                inodes.add(f"socket:[{fields[9]}]")
    return inodes
