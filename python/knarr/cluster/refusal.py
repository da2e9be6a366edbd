"""What a person is told when something cannot be done: one line that names it, one that says what to do."""

from __future__ import annotations

import errno
import os


class Refusal(Exception):
    """An operating error that the person at the terminal can mend.

    message: what happened to what, on one line, without a full stop. hint: what to do about it.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def text(self) -> str:
        """The lines for standard error: `error: ...` and, where there is one, `hint: ...`."""
        return f"error: {self.message}" + (f"\nhint: {self.hint}" if self.hint else "")


def refused_by_machine(cause: OSError, fallback: str | os.PathLike[str] = "") -> Refusal:
    """What the machine refused, as a person is told it. fallback: what it was about, where the error does not say."""
    named: str | bytes | os.PathLike[str] = fallback if cause.filename is None else cause.filename
    why = cause.strerror or str(cause)
    return Refusal(f"{os.fsdecode(named)}: {why}" if named else why, HINTS.get(cause.errno or 0, "see what is there"))


HINTS = {
    errno.ENOSPC: "free space there",
    errno.EDQUOT: "free space there",
    errno.ENOENT: "name one that exists",
    errno.EISDIR: "a file must be there",
    errno.EACCES: "see its mode and owner",
    errno.EPERM: "see its mode and owner",
    errno.EROFS: "it lies on a file system that is mounted read-only",
    errno.EMFILE: "raise the limit of open files: ulimit -n",
    errno.ENFILE: "this machine has too many open files",
    errno.ENOMEM: "free memory",
    errno.EAGAIN: "raise the limit of processes: ulimit -u",
}
