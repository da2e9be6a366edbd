"""The command `knarr`. Verbs are one file each in `verbs/`, imported when they are called."""

from knarr.cli.main import main

__all__ = ["main"]
