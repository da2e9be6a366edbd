"""Run tests of the Kubernetes conformance suite against a knarr cluster made for it, in a network namespace of its own.

usage: PEERS=DIR python tests/conformance/run.py [--list FILE | --focus RE] [--procs 6] [--type TYPE] [--out DIR]

PEERS is where bin/ginkgo, bin/e2e.test and images.tar (the suite's images, one OCI archive) lie. Needs root. Prints
each failure with its reason and the count; exits with 1 when a test failed. Without --list: volumes.txt beside this
file, the tests of ConfigMap, Secrets, EmptyDir and the downward API. Not a part of `sh tests/run.sh`: the images are
not the repository's. Serial tests of the list run after the others, alone.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

HERE = Path(__file__).parent
NAMESPACE, LINK = "knarr-conformance", "knarr-conf"
OUTSIDE, INSIDE, BITS = "10.201.0.1", "10.201.0.2", 30
ALONE = re.compile(r"\[Serial\]|\[Disruptive\]")
REASON_CHARACTERS = 300


def check(*command: str | Path) -> None:
    subprocess.run([str(part) for part in command], check=True)


@contextlib.contextmanager
def host() -> Iterator[list[str]]:
    """A network namespace joined to this one; the prefix of commands that run in it."""
    inside = ["ip", "-n", NAMESPACE]
    check("ip", "netns", "add", NAMESPACE)
    try:
        check("ip", "link", "add", LINK, "type", "veth", "peer", "name", "eth0", "netns", NAMESPACE)
        check("ip", "addr", "add", f"{OUTSIDE}/{BITS}", "dev", LINK)
        check("ip", "link", "set", LINK, "up")
        check(*inside, "addr", "add", f"{INSIDE}/{BITS}", "dev", "eth0")
        for link in ("lo", "eth0"):
            check(*inside, "link", "set", link, "up")
        check(*inside, "route", "add", "default", "via", OUTSIDE)
        yield ["nsenter", f"--net=/run/netns/{NAMESPACE}"]
    finally:
        subprocess.run(["ip", "netns", "del", NAMESPACE], check=False)
        subprocess.run(["ip", "link", "del", LINK], check=False, stderr=subprocess.DEVNULL)


@contextlib.contextmanager
def cluster(enter: Sequence[str], images: Path) -> Iterator[Path]:
    """A cluster of one node with the suite's images; its kubeconfig."""
    from knarr.agent.config import AgentConfig
    from knarr.agent.containerd import Containerd, import_images

    with tempfile.TemporaryDirectory(prefix="knarr-conformance-") as scratch:
        data, kubeconfig = Path(scratch) / "data", Path(scratch) / "kubeconfig"
        knarr = [*enter, sys.executable, "-m", "knarr"]
        check(*knarr, "up", "--detach", "--data-dir", data, "--node-ip", INSIDE, "--kubeconfig", kubeconfig)
        try:
            node = AgentConfig(kubeconfig=kubeconfig, node_name="", node_ip=INSIDE, data_dir=data)
            import_images(Containerd(node).endpoint, images)
            yield kubeconfig
        finally:
            check(*knarr, "down", "--purge", "--data-dir", data)


def run(
    enter: Sequence[str], peers: Path, kubeconfig: Path, focus: str, options: argparse.Namespace, alone: bool
) -> Path:
    """One run of the suite; its report. Serial tests do not share a cluster with others."""
    out: Path = options.out / ("serial" if alone else "parallel")
    out.mkdir(parents=True, exist_ok=True)
    report = out / "report.json"
    report.unlink(missing_ok=True)
    command = [
        *(*enter, peers / "bin" / "ginkgo", f"--procs={1 if alone else options.procs}", f"--timeout={options.timeout}"),
        *("--no-color", "--keep-going", "--poll-progress-after=0", f"--focus={focus}"),
        # A --focus means both runs: each takes its own.
        "--label-filter=Serial || Disruptive" if alone else f"--skip={ALONE.pattern}",
        *("--skip=\\[Flaky\\]", "--json-report=report.json"),
        *(f"--output-dir={out}", peers / "bin" / "e2e.test", "--", f"--kubeconfig={kubeconfig}", "--provider=skeleton"),
        *("--num-nodes=1", "--allowed-not-ready-nodes=-1", "--dns-domain=cluster.local", "--disable-log-dump"),
        *(f"--kube-api-content-type={options.type}", f"--report-dir={out}"),
    ]
    with open(out / "log.txt", "wb") as log:
        subprocess.run([str(part) for part in command], stdout=log, stderr=log, check=False)
    return report


def outcome(report: Path) -> tuple[collections.Counter[str], list[str]]:
    """(tests by state, a line for each that did not pass)."""
    count: collections.Counter[str] = collections.Counter()
    bad = []
    for suite in json.loads(report.read_bytes()):
        for spec in suite.get("SpecReports") or ():
            if spec["LeafNodeType"] != "It" or spec["State"] == "skipped":
                continue
            count["passed" if spec["State"] == "passed" else "failed"] += 1
            if spec["State"] != "passed":
                name = " ".join([*spec["ContainerHierarchyTexts"], spec["LeafNodeText"]])
                reason = " ".join((spec.get("Failure") or {}).get("Message", "").split())
                bad.append(f"FAIL {name} | {reason[:REASON_CHARACTERS]}")
    return count, sorted(bad)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--list", type=Path, default=HERE / "volumes.txt", help="names of tests, one a line")
    choice.add_argument("--focus", help="a regular expression instead of a list")
    parser.add_argument("--procs", type=int, default=6)
    parser.add_argument("--timeout", default="80m")
    parser.add_argument("--type", default="application/json", help="what the client sends and reads")
    parser.add_argument("--out", type=Path, default=Path(".cache/conformance"), help="reports and logs")
    options = parser.parse_args()
    options.out = options.out.resolve()
    peers = Path(os.environ.get("PEERS", ""))
    missing = [path for path in ("bin/ginkgo", "bin/e2e.test", "images.tar") if not (peers / path).is_file()]
    if not os.environ.get("PEERS") or missing:
        print("PEERS does not name a folder with bin/ginkgo, bin/e2e.test and images.tar", file=sys.stderr)
        return 2
    if options.focus:
        together = apart = options.focus
    else:
        names = options.list.read_text().splitlines()
        together = "|".join(re.escape(name) for name in names if not ALONE.search(name))
        apart = "|".join(re.escape(name) for name in names if ALONE.search(name))
    total: collections.Counter[str] = collections.Counter()
    with host() as enter, cluster(enter, peers / "images.tar") as kubeconfig:
        for focus, alone in ((together, False), (apart, True)):
            if focus:
                count, bad = outcome(run(enter, peers, kubeconfig, focus, options, alone))
                total += count
                print(*bad, sep="\n", end="\n" if bad else "")
    print(f"{total['passed']} passed, {total['failed']} failed")
    return 1 if total["failed"] or not total["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
