"""Plays shell transcripts: each question is a command for `sh` that calls `kubectl`; the answer is what both streams
say and the exit code where it is not 0.

Commands run in one folder a file, with the file's own namespace as the current one; $ns names it. `eventually COMMAND`
repeats a command until it succeeds.
"""

from __future__ import annotations

import os
import shutil
import subprocess

from clusters import KUBECTL
from targets import Target

EVENTUALLY = """#!/bin/sh
# repeats a command until it succeeds; shows its last output only
for _ in $(seq 300); do
    if out=$("$@" 2>&1); then [ -z "$out" ] || printf '%s\\n' "$out"; exit 0; fi
    sleep 0.1
done
printf '%s\\n' "$out"
exit 1
"""


class Shell:
    def __init__(self, target: Target, namespace: str) -> None:
        self.folder = target.folder / namespace
        commands = self.folder / "bin"
        commands.mkdir(parents=True)
        real = shutil.which(KUBECTL)
        assert real, f"no kubectl at {KUBECTL}"
        (commands / "kubectl").symlink_to(real)
        (commands / "eventually").write_text(EVENTUALLY)
        (commands / "eventually").chmod(0o755)
        kubeconfig = self.folder / "kubeconfig"
        shutil.copy(target.kubeconfig, kubeconfig)
        self.work = self.folder / "work"
        self.work.mkdir()
        self.environment = os.environ | {
            "KUBECONFIG": str(kubeconfig),
            "HOME": str(target.folder / "home"),
            "PATH": f"{commands}:{os.environ['PATH']}",
            "ns": namespace,
            "url": target.url,
        }
        self.ask(f"kubectl config set-context --current --namespace={namespace}")

    def ask(self, command: str) -> str:
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=self.work,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=120,
            check=False,
        )
        out = done.stdout.decode(errors="replace").rstrip("\n").replace(str(self.work), "WORK")
        return out if done.returncode == 0 else f"{out}\n[exit {done.returncode}]".lstrip("\n")
