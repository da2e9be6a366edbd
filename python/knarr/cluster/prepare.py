"""What must be there before a role starts: a data directory of ours, certificates, kubeconfigs.

The certificates are made by a short-lived child, so that no long-lived process carries the library that makes them.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import time
from pathlib import Path

from knarr.cluster.config import Config, Paths, bracketed, write_private
from knarr.cluster.refusal import Refusal

RENEWAL_CHECK_SECONDS = 24 * 3600


def prepare(config: Config) -> None:
    """Make the data directory and everything in it that the roles start from. Raises Refusal."""
    make_data_dir(config.paths)
    if not certificates_current(config):
        in_child(config)
    config.save()


def make_data_dir(paths: Paths) -> None:
    directory = paths.data_dir
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise Refusal(f"{directory} is not a directory", "name another with --data-dir") from None
    except OSError as cause:
        raise Refusal(f"{directory} cannot be made: {cause.strerror}", "name another with --data-dir") from None
    if not os.access(directory, os.W_OK | os.X_OK):
        raise Refusal(f"{directory} cannot be written by this user", "name another with --data-dir")
    if not paths.config.exists() and not paths.pki.exists() and any(directory.iterdir()):
        raise Refusal(f"{directory} is not empty and holds no cluster", "name an empty or a new one with --data-dir")
    os.chmod(directory, 0o700)


def certificates_current(config: Config) -> bool:
    """Whether the certificates were found right for these settings within the last day."""
    try:
        stamp = json.loads((config.paths.pki / "checked.json").read_bytes())
    except (FileNotFoundError, ValueError):
        return False
    age = time.time() - stamp.get("at", 0)
    there = all(path.exists() for path in kubeconfigs(config))
    return bool(stamp.get("for") == repr(config) and 0 <= age < RENEWAL_CHECK_SECONDS and there)


def kubeconfigs(config: Config) -> list[Path]:
    roles = ("controllers", "agent", "proxy")
    paths = [config.paths.admin_kubeconfig, *(config.paths.kubeconfig(role) for role in roles)]
    return [*paths, *([Path(config.kubeconfig)] if config.kubeconfig else [])]


def in_child(config: Config) -> None:
    """Run `pki.ensure` in a child of ours; what it refuses is refused here."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        said: dict[str, str] = {}
        try:
            from knarr.cluster import pki

            pki.ensure(config)
            stamp = {"for": repr(config), "at": time.time()}
            write_private(config.paths.pki / "checked.json", json.dumps(stamp).encode())
        except Refusal as refusal:
            said = {"message": refusal.message, "hint": refusal.hint}
        except OSError as cause:
            said = {
                "message": f"{cause.filename or config.paths.pki}: {cause.strerror}",
                "hint": "free space, or see its mode",
            }
        finally:
            os.write(writer, json.dumps(said).encode())
            os._exit(1 if said else 0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = json.loads(pipe.read() or b'{"message": "the certificates could not be made"}')
    os.waitpid(child, 0)
    if said:
        raise Refusal(said["message"], said.get("hint", ""))


def refuse_taken_port(config: Config) -> None:
    """Say who holds the API port, before anything is started. Raises Refusal."""
    family = socket.AF_INET6 if ":" in config.node_ip else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((config.node_ip, config.port))
        except OSError as cause:
            where = f"{bracketed(config.node_ip)}:{config.port}"
            if cause.errno == errno.EADDRINUSE:
                raise Refusal(f"{where} is in use{by_whom(config.port)}", "choose another with --port") from None
            if cause.errno == errno.EADDRNOTAVAIL:
                raise Refusal(f"{config.node_ip} is no address of this host", "name one with --node-ip") from None
            raise Refusal(f"{where} cannot be listened on: {cause.strerror}", "choose another with --port") from None


def by_whom(port: int) -> str:
    """` by NAME (pid N)`, where it can be found out."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(table) as file:
                for line in file.readlines()[1:]:
                    fields = line.split()
                    if fields[3] == "0A" and int(fields[1].rsplit(":", 1)[1], 16) == port:
                        inodes.add(f"socket:[{fields[9]}]")
        except OSError:
            continue
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            holds = any(os.readlink(f"/proc/{entry}/fd/{fd}") in inodes for fd in os.listdir(f"/proc/{entry}/fd"))
            if holds:
                with open(f"/proc/{entry}/comm") as file:
                    return f" by {file.read().strip()} (pid {entry})"
        except OSError:
            continue
    return ""
