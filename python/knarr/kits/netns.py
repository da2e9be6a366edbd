"""Network namespaces: told apart by inode, found by whoever holds them, entered by this thread.

A namespace lives as long as a process is in it, a mount shows it or a descriptor is open on it. Its inode's number
names it among those that live now and is given to another when it goes: what is found by number has to be asked who it
is. Source: namespaces(7), proc_pid_mountinfo(5).
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CLONE_NEWNET = 0x40000000
OWN = "/proc/thread-self/ns/net"

_libc = ctypes.CDLL(None, use_errno=True)


def own_inode() -> int:
    """The namespace that this thread is in."""
    return os.stat(OWN).st_ino


def find(inode: int) -> int | None:
    """A descriptor of the namespace with this inode, which the caller closes; None where nobody is seen to hold it."""
    for path in holders(inode):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue  # it went meanwhile
        if os.fstat(descriptor).st_ino == inode:
            return descriptor
        os.close(descriptor)
    return None


def holders(inode: int) -> Iterator[str]:
    """Files that may open the namespace: this thread's, those of mounts, those of processes."""
    yield OWN
    yield from mounted(inode)
    for entry in os.listdir("/proc"):
        path = f"/proc/{entry}/ns/net"
        try:
            if entry.isdigit() and os.stat(path).st_ino == inode:
                yield path
        except OSError:
            continue


def mounted(inode: int) -> list[str]:
    """Where the namespace is mounted, such as /run/netns/NAME."""
    rows = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [row[4] for row in rows if row[3] == f"net:[{inode}]"]


@contextmanager
def entered(descriptor: int) -> Iterator[None]:
    """This thread, and threads and processes that it starts, are in that namespace. Raises OSError."""
    with returning():
        if _libc.setns(descriptor, CLONE_NEWNET) != 0:
            raise last_error("setns")
        yield


@contextmanager
def empty() -> Iterator[None]:
    """This thread is in a new namespace with nothing but a loopback link, gone with the last process in it."""
    with returning():
        if _libc.unshare(CLONE_NEWNET) != 0:
            raise last_error("unshare")
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True, capture_output=True)
        yield


@contextmanager
def returning() -> Iterator[None]:
    """At the end this thread is where it was."""
    home = os.open(OWN, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield
    finally:
        try:
            if _libc.setns(home, CLONE_NEWNET) != 0:
                raise last_error("setns")
        finally:
            os.close(home)


def last_error(call: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{call}: {os.strerror(number)}")
