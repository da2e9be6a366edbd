"""What the CNI plugins and the container runtime leave on a machine after the last pod: removed at `knarr down`.

The plugins delete a pod's own rules, but not what they share: the bridge, the chains of portmap, the `nat` table that
`iptables` made for them, the folder of libcni's cache. All of it is made again on demand, so that removing what is
empty harms nobody else's use of it; what is not empty stays.
"""

from __future__ import annotations

import json
import logging
import re
import shlex
import subprocess
from pathlib import Path

from knarr.network.links import links

from .config import AgentConfig

log = logging.getLogger(__name__)

BUILT_IN = ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING")
HOSTPORT = "CNI-HOSTPORT-"
DNAT = "CNI-HOSTPORT-DNAT"
FOLDERS = (
    "/var/lib/cni/results",
    "/var/lib/cni",
    "/run/containerd/s",
    "/run/containerd",
)
"""Made by libcni and by containerd's shims wherever their own folders lie; the inner ones first."""
RESULTS = Path(FOLDERS[0])


def remove(config: AgentConfig) -> None:
    """Remove the bridge, rules and empty folders. Does nothing while another node's pods hang on the bridge."""
    if config.cri_endpoint:
        return
    if remove_bridge(config.bridge):
        for family in ("iptables", "ip6tables"):
            remove_rules(family, config.bridge)
    for folder in FOLDERS:
        try:
            Path(folder).rmdir()
        except OSError:
            continue  # in use by others, or not there


def remove_bridge(name: str) -> bool:
    """Remove the bridge of our CNI network; False where somebody's pods hang on it still."""
    if not links("show", "dev", name):
        return True
    if links("show", "master", name):
        return False
    done = run("ip", "link", "delete", name)
    if done.returncode != 0:
        log.warning("bridge not removed: name=%s error=%s", name, done.stderr.strip())
    return done.returncode == 0


def remove_rules(command: str, network: str) -> None:
    """Remove the network's rules in `nat`, portmap's chains where no port is mapped, and the table where nothing is
    left in it."""
    saved = run(f"{command}-save", "-t", "nat")
    if saved.returncode != 0:
        return
    for sandbox in undeleted(saved.stdout, network):
        for path in RESULTS.glob(f"*-{sandbox}-*"):
            path.unlink(missing_ok=True)
    for arguments in removals(saved.stdout, network):
        done = run(command, "-w", "-t", "nat", *arguments)
        if done.returncode != 0:
            log.warning("rule not removed: arguments=%s error=%s", " ".join(arguments), done.stderr.strip())
    family = "ip" if command == "iptables" else "ip6"
    chains = run("nft", "--json", "list", "table", family, "nat")
    if chains.returncode != 0:
        return
    found = json.loads(chains.stdout)["nftables"]
    kinds = {next(iter(entry)) for entry in found}
    names = [entry["chain"]["name"] for entry in found if "chain" in entry]
    if kinds <= {"metainfo", "table", "chain"} and set(names) <= set(BUILT_IN):
        # deleting each chain first fails, and with it all, where somebody put a rule there since
        script = "".join(f"delete chain {family} nat {name}\n" for name in names) + f"delete table {family} nat\n"
        run("nft", "-f", "-", stdin=script)


def removals(saved: str, network: str) -> list[list[str]]:
    """What to call iptables with, from the text of iptables-save: rules first, then the chains that they led to.

    The plugins mark the rules of a network by the name in its CNI configuration.
    """
    marks = {"POSTROUTING": f'name: "{network}"', DNAT: f'dnat name: "{network}"'}
    rules = [shlex.split(line) for line in saved.splitlines() if line.startswith("-A ")]
    chains = re.findall(r"^:(\S+) ", saved, re.MULTILINE)
    gone = {target(rule) for rule in rules if rule[1] in marks and any(w.startswith(marks[rule[1]]) for w in rule)}
    # a plugin that was killed has deleted the rule that leads to a pod's chain, and not the chain
    own = (rule[1] for rule in rules if any(w.startswith(marks["POSTROUTING"]) for w in rule))
    gone |= {chain for chain in own if chain not in BUILT_IN}
    if not any(rule[1] == DNAT and target(rule) not in gone for rule in rules):
        gone |= {chain for chain in chains if chain.startswith(HOSTPORT)}
    delete = [["-D", *rule[1:]] for rule in rules if target(rule) in gone and rule[1] not in gone]
    present = [chain for chain in chains if chain in gone]
    return delete + [["-F", chain] for chain in present] + [["-X", chain] for chain in present]


def undeleted(saved: str, network: str) -> set[str]:
    """Sandboxes that have rules still: what libcni remembers of them, nobody deleted either."""
    return set(re.findall(rf'name: \\"{re.escape(network)}\\" id: \\"(\w+)\\"', saved))


def target(rule: list[str]) -> str:
    """The chain or verdict that a rule jumps to."""
    return rule[rule.index("-j") + 1] if "-j" in rule[:-1] else ""


def run(*command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """A command's end; code 127 where it is not installed."""
    try:
        return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        return subprocess.CompletedProcess(command, 127, "", str(error))
