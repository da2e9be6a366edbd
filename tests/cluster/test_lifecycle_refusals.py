"""What cannot be: one line `error:` that names it, one line `hint:` that says what to do, code 1, nothing half-done.

Everything goes through `knarr up --detach`, so that a refusal found by a role reaches the person at the terminal."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from clusters import KNARR, Cluster, Done, cluster, eventually, free_port, run

ADDRESS = "127.77.0.42"
PORT = free_port("127.0.0.1")
HOLLOW = ("--runtime", "hollow", "--node-ip", ADDRESS, "--port", str(PORT))


def refused(done: Done, *parts: str) -> str:
    """The lines of a refusal; `parts` must stand in it."""
    lines = done.err.splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    assert done.code == 1 and done.out == "", done
    assert len(errors) == 1 and lines[-1].startswith("hint: ") and lines[-2] == errors[0], done.err
    assert "Traceback" not in done.err
    for part in parts:
        assert part in done.err, (part, done.err)
    return done.err


def up(data_dir: Path, *flags: str, **environment: str) -> Done:
    return run(KNARR, "up", "--detach", "--data-dir", data_dir, *flags, **environment)


@pytest.mark.parametrize(
    ("flags", "part"),
    [
        (("--node-ip", "192.0.2.77"), "192.0.2.77 is no address of this host"),
        (("--node-ip", "nowhere"), "--node-ip 'nowhere' is no IP address"),
        (("--node-ip", "0.0.0.0"), "--node-ip 0.0.0.0 is no address of one host"),
        (("--node-ip", "224.0.0.1"), "--node-ip 224.0.0.1 is no address of one host"),
        (("--node-ip", "255.255.255.255"), "--node-ip 255.255.255.255 is no address of one host"),
        (("--port", "0"), "--port 0 is no port"),
        (("--port", "10250"), "--port 10250 is the node's own port"),
        (("--port", "65536"), "--port 65536 is no port"),
        (("--node-name", "Upper_Case"), "is no node name"),
        (("--cluster-cidr", "10.0.0.0/33"), "--cluster-cidr '10.0.0.0/33' is no network"),
        (("--cluster-cidr", "10.96.4.0/22"), "overlap"),
        (("--cluster-cidr", "fd00::/48"), "different address families"),
        (("--cluster-cidr", "fd00::/48", "--service-cidr", "fd01::/112"), "--service-cidr fd01::/112 is of IPv6"),
        (("--cluster-cidr", "10.0.0.0/31"), "--cluster-cidr 10.0.0.0/31 is too small"),
        (("--service-cidr", "10.96.0.1/16"), "has host bits set"),
        (("--service-cidr", "10.1.0.0/29"), "is too small"),
        (("--service-cidr", "224.0.0.0/7", "--cluster-cidr", "10.0.0.0/16"), "--service-cidr 224.0.0.0/7 is too large"),
        (("--service-cidr", "127.0.0.0/8"), "--service-cidr 127.0.0.0/8 holds this node's own address, 127."),
        (("--cluster-cidr", "127.0.0.0/8"), "--cluster-cidr 127.0.0.0/8 holds this node's own address, 127."),
        (("--kubeconfig", ""), "--kubeconfig '' is no path"),
        (("--tls-san", "two words"), "--tls-san 'two words' is neither a DNS name nor an IP address"),
        (("--tls-san", ""), "--tls-san ''"),
        (("--cri", "unix:///run/x.sock"), "exclude each other"),
        (("--kubeconfig", "/proc/no/such"), "/proc/no/such"),
        (("--kubeconfig", "/tmp"), "/tmp cannot be written: Is a directory"),
    ],
)
def test_a_flag_that_cannot_be(tmp_path: Path, flags: tuple[str, ...], part: str) -> None:
    data_dir = tmp_path / "data"
    refused(up(data_dir, "--runtime", "hollow", *(HOLLOW[4:] if flags[0] == "--node-ip" else HOLLOW[2:]), *flags), part)
    assert not data_dir.exists(), list(data_dir.rglob("*"))


@pytest.mark.parametrize("flag", ["--port", "--runtime"])
def test_a_flag_of_the_wrong_form_is_a_usage_error(tmp_path: Path, flag: str) -> None:
    done = up(tmp_path / "data", flag, "x")
    assert done.code == 2 and flag in done.err and not (tmp_path / "data").exists()


@pytest.mark.parametrize(("address", "port"), [(ADDRESS, PORT), ("0.0.0.0", PORT), (ADDRESS, 10250)])
def test_a_port_in_use_names_who_has_it(tmp_path: Path, address: str, port: int) -> None:
    with socket.socket() as holder:
        holder.bind((address, port))
        holder.listen()
        said = refused(up(tmp_path / "data", *HOLLOW), f"{ADDRESS}:{port} is in use by ", f"(pid {os.getpid()})")
        assert "--port" in said or "--node-ip" in said
    assert not (tmp_path / "data").exists()


def test_a_server_by_hand_names_the_port_too(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind((ADDRESS, PORT))
        holder.listen()
        done = run(KNARR, "server", "--data-dir", tmp_path / "data", *HOLLOW)
    assert done.code == 1 and f"error: {ADDRESS}:{PORT} " in done.err and "\nhint: " in done.err
    assert "Traceback" not in done.err


# Data directories


def test_a_data_dir_that_is_none(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    refused(up(file, *HOLLOW), f"{file} is not a directory")
    refused(up(file / "below", *HOLLOW), "is not a directory")
    refused(up(Path("/proc/none"), *HOLLOW), "/proc/none cannot be made")
    assert file.read_text() == "x"


@pytest.mark.parametrize("verb", ["up", "down", "status", "server", "controllers", "agent"])
@pytest.mark.parametrize("path", ["", "/tmp/two\nlines", b"/tmp/\xff"])
def test_a_data_dir_that_is_no_path(verb: str, path: str | bytes) -> None:
    """An empty one is a variable that is not set: `down --purge` must not take the default one for it."""
    done = run(KNARR, verb, "--data-dir", os.fsdecode(path))
    assert done.code == 1 and "error: --data-dir " in done.err and "hint: " in done.err, done
    assert "Traceback" not in done.err


@pytest.mark.parametrize("kubeconfig", ["/no/such/file", "/etc/passwd", "/tmp", ""])
def test_controllers_of_a_kubeconfig_that_is_none(kubeconfig: str) -> None:
    done = run(KNARR, "controllers", "--kubeconfig", kubeconfig)
    lines = done.err.splitlines()
    assert done.code == 1 and lines[-2].startswith("error: ") and lines[-1].startswith("hint: "), done
    assert "Traceback" not in done.err


def test_a_full_disk_is_named_and_what_serves_goes_on(tmp_path: Path) -> None:
    """A file system of a size: too small to begin on; filled up later, when a role's end must be written down."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount one")

    def mounted(size: str) -> None:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", tmp_path], check=True)

    data_dir = tmp_path / "data"
    for size in ("64k", "300k", "20m"):
        mounted(size)
        try:
            assert "o space left on device" in refused(up(data_dir, *HOLLOW), str(data_dir))
        finally:
            if data_dir.exists():
                assert run(KNARR, "down", "--purge", "--data-dir", data_dir).code == 0
            subprocess.run(["umount", tmp_path], check=True)
    mounted("200m")
    try:
        with cluster(tmp_path, ADDRESS) as made:
            before = made.pid("server")
            agent = made.pid("agent")
            fill = tmp_path / "fill"
            subprocess.run(["dd", "if=/dev/zero", f"of={fill}", "bs=1M"], check=False, capture_output=True)
            os.kill(agent, signal.SIGKILL)
            eventually(lambda: "state.json cannot be written" in (data_dir / "logs" / "supervisor.log").read_text())
            assert made.pid("server") == before and made.http("GET", "/readyz") == (200, "ok")
            os.kill(made.pid("supervisor"), signal.SIGKILL)
            refused(made.up(), f"{data_dir}: No space left on device", "free space")
            fill.unlink()
            assert made.up().code == 0
            found = run("pgrep", "-f", f"knarr agent --data-dir {data_dir}").out.split()
            assert found == [str(made.pid("agent"))], "one that no file named was left"
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_a_data_dir_with_something_else_in_it(tmp_path: Path) -> None:
    (tmp_path / "letter").write_text("x")
    mode = tmp_path.stat().st_mode
    refused(up(tmp_path, *HOLLOW), f"{tmp_path} is not empty and holds no cluster")
    assert [path.name for path in tmp_path.iterdir()] == ["letter"] and tmp_path.stat().st_mode == mode
    for verb in ("down", "status", "controllers", "agent"):
        done = run(KNARR, verb, "--data-dir", tmp_path)
        assert done.code == 1 and f"error: {tmp_path} holds no cluster" in done.err, done


def test_a_data_dir_that_this_user_cannot_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process: another user may not be able to read the interpreter."""
    from knarr.cluster.config import load
    from knarr.cluster.refusal import Refusal

    def denied(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", denied)
    with pytest.raises(Refusal) as raised:
        load(str(tmp_path))
    assert raised.value.message == f"{tmp_path} cannot be read by this user"
    assert raised.value.hint == "run as the user that it belongs to, or name another with --data-dir"


def test_a_data_dir_of_another_user(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make one")
    (tmp_path / "config.json").write_text("{}")
    os.chown(tmp_path, 65534, 65534)
    refused(up(tmp_path, *HOLLOW), f"{tmp_path} belongs to nobody")
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{", "is damaged: "),
        ("[]", "is damaged: not an object"),
        ('{"port": "many"}', 'is damaged: port is "many"'),
        ('{"tls_san": "a"}', 'is damaged: tls_san is "a"'),
        ("\xff", "is damaged: "),
    ],
)
def test_a_damaged_config(stopped: Cluster, content: str, why: str) -> None:
    path = stopped.data_dir / "config.json"
    kept = path.read_bytes()
    path.write_bytes(content.encode("latin-1"))
    try:
        for verb in ("up", "down", "status", "agent"):
            refused(run(KNARR, verb, "--data-dir", stopped.data_dir), f"{path} {why}")
        assert path.read_bytes() == content.encode("latin-1")
        path.unlink()  # what the hint says
        done = stopped.up()
        assert done.code == 0, done.err
        assert stopped.json("get", "configmap", "kept")["data"] == {"a": "b"}
    finally:
        path.write_bytes(kept)
        stopped.down()


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster with data in it that does not run."""
    with cluster(tmp_path_factory.mktemp("stopped"), ADDRESS) as made:
        made.ok("create", "configmap", "kept", "--from-literal=a=b")
        assert made.down().code == 0
        yield made


def test_a_flipped_byte_in_the_store_names_file_and_offset(stopped: Cluster) -> None:
    path = next((stopped.data_dir / "store").glob("log-*.seg"))
    at = len(path.read_bytes().rstrip(b"\0")) // 2
    flip(path, at)
    try:
        said = refused(stopped.up(), path.name)
        offset = re.search(r"offset (\d+)", said)
        assert offset is not None and abs(int(offset[1]) - at) < 1 << 20, said
        assert not any(role["running"] for role in stopped.status()["roles"].values())
    finally:
        flip(path, at)
    assert stopped.up().code == 0
    assert stopped.json("get", "configmap", "kept")["data"] == {"a": "b"}
    assert stopped.down().code == 0


def flip(path: Path, at: int) -> None:
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes((byte ^ 0x10,)))


@pytest.mark.parametrize("name", ["ca.crt", "ca.key", "sa.key"])
@pytest.mark.parametrize("how", ["damaged", "missing", "another"])
def test_a_damaged_authority_is_refused(stopped: Cluster, name: str, how: str) -> None:
    """What was handed out depends on these: they are never made again silently."""
    if (name, how) == ("sa.key", "another"):
        pytest.skip("a key alone cannot tell")
    path = stopped.data_dir / "pki" / name
    kept = path.read_bytes()
    if how == "damaged":
        path.write_bytes(kept[: len(kept) // 2])
    elif how == "missing":
        path.unlink()
    else:
        other = "sa.key" if name == "ca.key" else "admin.crt"
        path.write_bytes((stopped.data_dir / "pki" / other).read_bytes())
    try:
        refused(stopped.up(), str(stopped.data_dir / "pki"), "put it back")
    finally:
        path.write_bytes(kept)
        path.chmod(0o600)


def test_a_refused_setting_is_not_remembered(stopped: Cluster) -> None:
    before = (stopped.data_dir / "config.json").read_bytes()
    refused(up(stopped.data_dir, "--kubeconfig", "/proc/no/such"))
    refused(up(stopped.data_dir, "--node-ip", "192.0.2.77"))
    assert (stopped.data_dir / "config.json").read_bytes() == before


# Real containers


def test_missing_programs_are_named(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("without root that is what is said first")
    for missing, present in (("containerd", ()), ("runc", ("containerd",)), ("ip", ("containerd", "runc"))):
        folder = tmp_path / f"bin-{missing}"
        folder.mkdir()
        for name in present:
            (folder / name).symlink_to("/bin/true")
        done = up(tmp_path / "data", *HOLLOW[2:], PATH=str(folder))
        refused(done, f"{missing} is not installed", "apt-get install")
    refused(up(tmp_path / "data", *HOLLOW[2:], "--cri", "unix:///no/such.sock"), "unix:///no/such.sock")
    assert not (tmp_path / "data").exists()


def test_real_containers_need_root(tmp_path: Path) -> None:
    prefix = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups") if os.geteuid() == 0 else ()
    data_dir = Path("/tmp") / f"knarr-refused-{os.getpid()}"
    done = run(*prefix, KNARR, "up", "--detach", "--data-dir", data_dir, *HOLLOW[2:])
    if "Permission denied" in done.err and "error:" not in done.err:
        pytest.skip("this checkout cannot be read by other users")
    refused(done, "needs root", "--runtime hollow")
    assert not data_dir.exists()


def test_a_role_that_crashes_at_start_is_told_with_its_last_line(tmp_path: Path) -> None:
    """A server that ends without a word of its own is not waited for in vain."""
    data_dir = tmp_path / "data"
    table = tmp_path / "sitecustomize.py"
    table.write_text(
        "import sys\nif 'server' in sys.argv[1:2] or 'server' in sys.orig_argv[2:3]: raise SystemExit('out of order')\n"
    )
    done = up(data_dir, *HOLLOW, PYTHONPATH=str(tmp_path))
    refused(
        done, "server ended 3 times before it served: SystemExit: out of order", str(data_dir / "logs" / "server.log")
    )
    assert json.loads(run(KNARR, "status", "-o", "json", "--data-dir", data_dir).out)["ready"] is False
    assert subprocess.run(["pgrep", "-f", str(data_dir)], check=False, capture_output=True).stdout == b""
