"""The root command: finds a verb's file by its name, so that `knarr up` imports no other verb.

Exit codes: 0 done, 1 it could not be done (`error:` and `hint:` on standard error), 2 the command line makes no sense.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
from typing import Any

import click

import knarr.cli.verbs
from knarr.cluster.refusal import Refusal, refused_by_machine


class Verbs(click.Group):
    """A group whose commands are the modules of `knarr.cli.verbs`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(module.name for module in pkgutil.iter_modules(knarr.cli.verbs.__path__))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = importlib.import_module(f"knarr.cli.verbs.{cmd_name}").command
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Refusal("interrupted", "call it again: it takes up, or ends, what was begun") from None


@click.command(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="knarr", message="knarr %(version)s")
def root() -> None:
    """A cluster orchestrator that speaks the Kubernetes API."""


def main() -> None:
    """Entry point of the script `knarr`."""
    open_standard_files()
    try:
        root(prog_name="knarr")
    except Refusal as refusal:
        print(refusal.text(), file=sys.stderr)
        sys.exit(1)
    except OSError as cause:  # the machine's refusal: a full disk, a missing permission
        print(refused_by_machine(cause).text(), file=sys.stderr)
        sys.exit(1)


def open_standard_files() -> None:
    """Open what the caller closed of standard input, output and error: a file of ours that got such a number would be
    taken for it, by us and by every child."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    if sys.stderr is None:  # what is written to None goes to standard output
        sys.stderr = os.fdopen(2, "w", closefd=False)
