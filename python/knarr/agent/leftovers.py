"""What the CNI plugins and the container runtime leave on a machine after the last pod: removed at `knarr down`.

The plugins delete a pod's own rules, but not what they share: the bridge, the chains of portmap, the `nat` table that
`iptables` made for them, the folder of libcni's cache. All of it is made again on demand, so that removing what is
empty harms nobody else's use of it; what is not empty stays. The table that masquerades goes with the bridge.
"""

from __future__ import annotations

import json
import logging
import re
import shlex
import subprocess
from pathlib import Path

from knarr.network import masquerade
from knarr.network.links import links
from knarr.network.nft import NftError

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
        try:
            masquerade.remove(config.bridge)
        except NftError as error:
            log.warning("table not removed: name=%s error=%s", config.bridge, error)
        remove_results(config.bridge)
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


def remove_results(network: str, folder: Path = RESULTS) -> None:
    """Remove what libcni remembers of the network's pods whose own namespaces are no more: nobody deleted them."""
    for path in folder.glob(f"{network}-*"):
        try:
            known = json.loads(path.read_bytes())
        except (OSError, ValueError):
            continue
        sandboxes = [link["sandbox"] for link in known["result"].get("interfaces", ()) if link.get("sandbox")]
        if known["networkName"] == network and not any(Path(sandbox).exists() for sandbox in sandboxes):
            # its loopback is remembered too
            for each in folder.glob(f"*-{known['containerId']}-*"):
                each.unlink(missing_ok=True)


def remove_rules(command: str, network: str) -> None:
    """Remove the network's rules in `nat`, portmap's chains where no port is mapped, and the table where nothing is
    left in it."""
    saved = run(f"{command}-save", "-t", "nat")
    if saved.returncode != 0:
        return
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
    mark = f'dnat name: "{network}"'
    rules = [shlex.split(line) for line in saved.splitlines() if line.startswith("-A ")]
    chains = re.findall(r"^:(\S+) ", saved, re.MULTILINE)
    gone = {target(rule) for rule in rules if rule[1] == DNAT and any(word.startswith(mark) for word in rule)}
    if not any(rule[1] == DNAT and target(rule) not in gone for rule in rules):
        gone |= {chain for chain in chains if chain.startswith(HOSTPORT)}
    delete = [["-D", *rule[1:]] for rule in rules if target(rule) in gone and rule[1] not in gone]
    present = [chain for chain in chains if chain in gone]
    return delete + [["-F", chain] for chain in present] + [["-X", chain] for chain in present]


def target(rule: list[str]) -> str:
    """The chain or verdict that a rule jumps to."""
    return rule[rule.index("-j") + 1] if "-j" in rule[:-1] else ""


def run(*command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """A command's end; code 127 where it is not installed."""
    try:
        return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        return subprocess.CompletedProcess(command, 127, "", str(error))
