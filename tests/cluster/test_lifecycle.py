"""The life of a cluster as its user types it: flags, what is printed where, signals, settings that are remembered.

No containers here: the hollow runtime starts the same processes (test_lifecycle_hosts.py has the real one)."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from clusters import KNARR, Cluster, cluster, eventually, free_port, run
from knarr.cluster.process import Process

ADDRESS = "127.77.0.41"
VERBS = ("up", "down", "status", "server", "controllers", "agent")
UP_FLAGS = (
    "--data-dir", "--node-name", "--node-ip", "--port", "--cri", "--runtime", "--cluster-cidr", "--service-cidr",
    "--kubeconfig", "--tls-san", "--detach",
)  # fmt: skip
ROLES = ("server", "controllers", "agent")


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster that may be mistreated."""
    with cluster(tmp_path, ADDRESS) as made:
        yield made


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_and_refuses_unknown_flags(verb: str) -> None:
    done = run(KNARR, verb, "--help")
    assert done.code == 0 and done.out.startswith(f"Usage: knarr {verb}") and done.err == ""
    assert "--data-dir" in done.out
    done = run(KNARR, verb, "--no-such-flag")
    assert done.code == 2 and done.out == "" and "--no-such-flag" in done.err


def test_up_knows_its_flags_and_no_others() -> None:
    text = run(KNARR, "up", "--help").out
    assert all(flag in text for flag in UP_FLAGS)
    for flag, value in (("--etcd-listen", "127.0.0.1:2379"), ("--store", "etcd://x"), ("--runtime", "docker")):
        done = run(KNARR, "up", flag, value)
        assert done.code == 2 and done.out == "", done
    assert run(KNARR, "no-such-verb").code == 2


def test_detach_returns_through_a_pipe_and_says_its_progress_on_standard_error(tmp_path: Path) -> None:
    made = Cluster(tmp_path / "data", ADDRESS, free_port("127.0.0.1"), "hollow")
    flags = f"--data-dir {made.data_dir} --node-ip {ADDRESS} --port {made.port} --runtime hollow --node-name node-1"
    try:
        # cat ends when the last holder of its input closes it; so does the reader of descriptor 3
        pipe = subprocess.run(
            ["sh", "-c", f"{{ {KNARR} up --detach {flags} 3>&1 | cat; }}"], capture_output=True, text=True, timeout=90
        )
        assert pipe.returncode == 0 and pipe.stdout == ""
        lines = pipe.stderr.splitlines()
        assert lines[0] == f"API server answers on https://{ADDRESS}:{made.port}"
        assert lines[-1] == "node node-1 is Ready"
        # what --detach promises is true now, without another wait
        assert made.http("GET", "/readyz") == (200, "ok")
        assert made.http("GET", "/api/v1/namespaces/default/serviceaccounts/default")[0] == 200
        assert made.status()["node"]["ready"] is True
        for role, found in made.status()["roles"].items():
            command = Path(f"/proc/{found['pid']}/cmdline").read_bytes().split(b"\0")
            verb = b"up" if role == "supervisor" else role.encode()
            assert command[1].endswith(b"/knarr") and command[2:5] == [verb, b"--data-dir", os.fsencode(made.data_dir)]
    finally:
        assert made.down("--purge").code == 0


def test_up_again_is_quick_and_keeps_the_processes(own: Cluster) -> None:
    pids = {role: own.pid(role) for role in (*ROLES, "supervisor")}
    begin = time.monotonic()
    done = run(KNARR, "up", "--detach", "--data-dir", own.data_dir)  # the directory remembers the flags
    assert done.code == 0 and time.monotonic() - begin < 5
    assert {role: own.pid(role) for role in (*ROLES, "supervisor")} == pids


def test_other_settings_are_refused_while_it_runs(own: Cluster) -> None:
    before = (own.data_dir / "config.json").read_bytes()
    for flag, value in (("--port", "7443"), ("--tls-san", "other.example"), ("--node-name", "other")):
        done = run(KNARR, "up", "--detach", "--data-dir", own.data_dir, flag, value)
        assert done.code == 1 and flag in done.err.splitlines()[0] and "knarr down" in done.err, done
    done = run(KNARR, "server", "--data-dir", own.data_dir, "--port", "7443")
    assert done.code == 1 and "a server already runs" in done.err
    assert (own.data_dir / "config.json").read_bytes() == before


def test_status_prints_nothing_but_json(own: Cluster) -> None:
    done = run(KNARR, "status", "--data-dir", own.data_dir, "-o", "json")
    found = json.loads(done.out)
    assert done.code == 0 and done.err == ""
    assert found["ready"] is True and found["server"] == f"https://{ADDRESS}:{own.port}"
    assert found["node"] == {"name": "node-1", "address": ADDRESS, "ready": True}
    assert found["kubeconfig"] == str(own.kubeconfig) and found["dataDir"] == str(own.data_dir)
    assert set(found["roles"]) == {"supervisor", *ROLES}
    for role in found["roles"].values():
        assert role["running"] and role["pid"] and role["memoryBytes"] > 1 << 20 and role["restarts"] == 0
    text = run(KNARR, "status", "--data-dir", own.data_dir).out
    assert all(str(role["pid"]) in text for role in found["roles"].values()) and found["server"] in text
    done = run(KNARR, "status", "--data-dir", own.data_dir / "none", "-o", "json")
    assert done.code == 1 and done.out == "" and done.err.startswith("error: ")


def test_down_keeps_the_data_and_purge_deletes_it(tmp_path: Path) -> None:
    copy = tmp_path / "copy.conf"
    with cluster(tmp_path, ADDRESS, "hollow", "--kubeconfig", str(copy)) as made:
        assert copy.read_bytes() == made.kubeconfig.read_bytes()
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600
        made.ok("create", "configmap", "kept", "--from-literal=a=b")
        pids = [made.pid(role) for role in (*ROLES, "supervisor")]
        assert made.down().code == 0
        assert not any(Process.of(pid) for pid in pids)
        stopped = made.status()
        assert stopped["ready"] is False and not any(role["running"] for role in stopped["roles"].values())
        assert made.down().code == 0, "nothing runs: nothing to do"
        assert run(KNARR, "up", "--detach", "--data-dir", made.data_dir).code == 0
        assert made.json("get", "configmap", "kept")["data"] == {"a": "b"}
        copy.write_text("somebody else's by now")
        assert made.down("--purge").code == 0
        assert not made.data_dir.exists() and copy.exists()
        done = made.down("--purge")
        assert done.code == 1 and "holds no cluster" in done.err
        # the fixture ends what it made
        assert made.up().code == 0
    assert not copy.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_up_in_the_foreground(tmp_path: Path, number: signal.Signals) -> None:
    made = Cluster(tmp_path / "data", ADDRESS, free_port("127.0.0.1"), "hollow")
    command = [
        KNARR,
        "up",
        "--data-dir",
        made.data_dir,
        "--node-ip",
        ADDRESS,
        "--port",
        str(made.port),
        "--runtime",
        "hollow",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None and process.stdout is not None
        assert process.stderr.readline() == f"serving on https://{ADDRESS}:{made.port}\n"
        pids = [made.pid(role) for role in ROLES]
        process.send_signal(number)
        assert process.wait(40) == 0
        assert process.stdout.read() == "" and "Traceback" not in process.stderr.read()
        assert not any(Process.of(pid) for pid in pids)
    finally:
        process.kill()
        assert made.down("--purge").code == 0


def test_a_signal_while_it_starts_ends_it_too(tmp_path: Path) -> None:
    made = Cluster(tmp_path / "data", ADDRESS, free_port("127.0.0.1"), "hollow")
    command = [
        KNARR,
        "up",
        "--data-dir",
        made.data_dir,
        "--node-ip",
        ADDRESS,
        "--port",
        str(made.port),
        "--runtime",
        "hollow",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        eventually(lambda: (made.data_dir / "run" / "state.json").exists(), 20, 0.01)
        process.send_signal(signal.SIGTERM)
        assert process.wait(40) == 0
        assert not (made.data_dir / "logs" / "agent.log").exists(), "no role is started after the signal"
    finally:
        process.kill()
        assert made.down("--purge").code == 0


def test_an_interrupted_down_says_what_to_do(own: Cluster) -> None:
    """Interrupted while it waits for a server that does not end; called again, it ends all."""
    server = own.pid("server")
    os.kill(server, signal.SIGSTOP)
    process = subprocess.Popen(
        [KNARR, "down", "--data-dir", own.data_dir],
        stderr=subprocess.PIPE,
        text=True,
        # a shell's background jobs, these tests perhaps among them, ignore interrupts, and so would what they start
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        eventually(lambda: not json_alive(own, "agent"), 20, 0.05)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=20)[1]
        assert process.returncode == 1, said
        assert said == "error: interrupted\nhint: call it again: it takes up, or ends, what was begun\n"
    finally:
        process.kill()
        os.kill(server, signal.SIGCONT)
    assert own.down().code == 0
    assert Process.of(server) is None


def test_up_finds_everything_again_after_all_are_killed(own: Cluster) -> None:
    own.ok("create", "configmap", "kept", "--from-literal=a=b")
    before = {role: own.pid(role) for role in ("supervisor", *ROLES)}
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)
    done = own.up()
    assert done.code == 0, done.err
    after = {role: own.pid(role) for role in ("supervisor", *ROLES)}
    assert not set(before.values()) & set(after.values())
    assert own.json("get", "configmap", "kept")["data"] == {"a": "b"}


@pytest.mark.parametrize("content", [None, "", "null", '{"roles": []}', '{"roles": {"server": 3}}'])
def test_a_lost_state_file_loses_no_process(own: Cluster, content: str | None) -> None:
    """What runs is found by its command line: `down` must not say that all is well and leave it running."""
    pids = {role: own.pid(role) for role in (*ROLES, "supervisor")}
    path = own.data_dir / "run" / "state.json"
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    assert {role: own.pid(role) for role in pids} == pids
    done = own.up()
    assert done.code == 1 and "already runs" in done.err and "knarr down" in done.err, done
    done = own.down()
    assert (done.code, done.err) == (0, "servers ended\n")
    assert not any(Process.of(pid) for pid in pids.values())


def test_a_role_that_no_supervisor_knows_is_ended_by_the_next(own: Cluster) -> None:
    """The supervisor was killed between starting a role and writing it down."""
    pids = {role: own.pid(role) for role in ROLES}
    os.kill(own.pid("supervisor"), signal.SIGKILL)
    path = own.data_dir / "run" / "state.json"
    state = json.loads(path.read_bytes())
    del state["roles"]["server"], state["roles"]["agent"]
    path.write_text(json.dumps(state))
    done = own.up()
    assert done.code == 0, done.err
    assert own.pid("controllers") == pids["controllers"]
    assert Process.of(pids["server"]) is None and Process.of(pids["agent"]) is None


def test_two_starts_at_once_make_one_cluster(tmp_path: Path) -> None:
    made = Cluster(tmp_path / "data", ADDRESS, free_port("127.0.0.1"), "hollow")
    try:
        with ThreadPoolExecutor(3) as pool:
            done = list(pool.map(lambda _: made.up(), range(3)))
        assert any(each.code == 0 for each in done), done
        assert all("already runs" in each.err or "is in use by knarr" in each.err for each in done if each.code), done
        assert made.ok("get", "nodes", "-o", "name") == "node/node-1\n"
    finally:
        assert made.down("--purge").code == 0


@pytest.mark.parametrize("closed", ["<&-", "<&- >&-", "<&- 2>&-", "<&- >&- 2>&-"])
def test_closed_standard_files(tmp_path: Path, closed: str) -> None:
    """What is opened next gets the number of a closed one, and would be taken for it."""
    made = Cluster(tmp_path / "data", ADDRESS, free_port("127.0.0.1"), "hollow")
    flags = f"--data-dir {made.data_dir} --node-ip {ADDRESS} --port {made.port} --runtime hollow --node-name node-1"
    try:
        done = run("sh", "-c", f"{KNARR} up --detach {flags} {closed}")
        assert done.code == 0 and done.out == "", done
        assert made.status()["node"]["ready"] is True
        for name in ("supervisor", *ROLES):
            files = [os.readlink(f"/proc/{made.pid(name)}/fd/{number}") for number in range(3)]
            log = str(made.data_dir / "logs" / f"{name}.log")
            assert files == ["/dev/null", log, log]
    finally:
        assert made.down("--purge").code == 0


def test_no_proxy_stands_before_a_server_of_this_machine(tmp_path: Path) -> None:
    made = Cluster(tmp_path / "data", ADDRESS, free_port("127.0.0.1"), "hollow")
    flags = ("--data-dir", made.data_dir, "--node-ip", ADDRESS, "--port", str(made.port), "--runtime", "hollow")
    nobody = {"HTTPS_PROXY": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "NO_PROXY": ""}
    try:
        assert run(KNARR, "up", "--detach", *flags, timeout=60, **nobody).code == 0
        assert json.loads(run(KNARR, "status", "-o", "json", "--data-dir", made.data_dir, **nobody).out)["ready"]
    finally:
        assert made.down("--purge").code == 0


def test_a_role_that_was_still_starting_is_started_anew(own: Cluster) -> None:
    """Its ready line went to a supervisor that is dead; the next one must not wait for it forever."""
    os.kill(own.pid("supervisor"), signal.SIGKILL)
    path = own.data_dir / "run" / "state.json"
    state = json.loads(path.read_bytes())
    old = state["roles"]["controllers"]["pid"]
    state["roles"]["controllers"]["ready"] = False
    path.write_text(json.dumps(state))
    done = own.up()
    assert done.code == 0, done.err
    assert own.pid("controllers") != old and Process.of(old) is None


def test_detach_waits_for_the_agent_itself(own: Cluster) -> None:
    """After a crash the Node object still says Ready: `up --detach` must not believe it."""
    for role in ("supervisor", *ROLES):
        os.kill(own.pid(role) if role == "supervisor" else json_pid(own, role), signal.SIGKILL)
    assert own.up().code == 0
    with socket.create_connection((ADDRESS, 10250), timeout=2):
        pass  # the node's own server listens


def json_alive(made: Cluster, role: str) -> bool:
    state = json.loads((made.data_dir / "run" / "state.json").read_bytes())
    return Process.from_json(state["roles"].get(role)) is not None


def json_pid(made: Cluster, role: str) -> int:
    """A role's pid from the state file: `knarr status` may ask a server that is gone."""
    return int(json.loads((made.data_dir / "run" / "state.json").read_bytes())["roles"][role]["pid"])


def test_a_role_that_dies_later_never_ends_the_others(own: Cluster) -> None:
    """The agent cannot start again while its port is taken: it is tried again, and the server serves."""
    server = own.pid("server")
    agent = own.pid("agent")
    os.kill(agent, signal.SIGKILL)
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

        def taken() -> bool:
            try:
                holder.bind((ADDRESS, 10250))
            except OSError:
                return False
            return True

        eventually(taken, 10, 0.002)
        holder.listen()
        eventually(lambda: "agent cannot start" in (own.data_dir / "logs" / "supervisor.log").read_text(), 20)
        assert own.pid("server") == server and own.http("GET", "/readyz") == (200, "ok")
    eventually(lambda: own.status()["roles"]["agent"]["running"] and own.status()["node"]["ready"], 40)
    assert own.pid("server") == server


def test_without_root_a_hollow_cluster_needs_nothing(tmp_path: Path) -> None:
    """Started as another user, in that user's XDG state folder."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    home = Path("/tmp") / f"knarr-test-{os.getpid()}"
    home.mkdir(mode=0o755)
    os.chown(home, 65534, 65534)
    as_nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "env", f"XDG_STATE_HOME={home}")
    try:
        done = run(
            *as_nobody,
            KNARR,
            "up",
            "--detach",
            "--runtime",
            "hollow",
            "--node-ip",
            ADDRESS,
            "--port",
            str(free_port("127.0.0.1")),
        )
        if "Permission denied" in done.err and not (home / "knarr").exists():
            pytest.skip("this checkout cannot be read by other users")
        assert done.code == 0, done.err
        found = json.loads(run(*as_nobody, KNARR, "status", "-o", "json").out)
        assert found["ready"] and found["dataDir"] == str(home / "knarr")
        assert (home / "knarr").stat().st_uid == 65534
    finally:
        run(*as_nobody, KNARR, "down", "--purge")
        run("rm", "-rf", home)
