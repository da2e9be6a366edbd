"""Goal: volumes show exactly the files asked for, change at once, and never leave their place. Method: real files in a
temporary folder, without mounts; hypothesis for the atomic writer."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from knarr.agent.env import Sources
from knarr.agent.volumes import Context, PodVolumes, Token, VolumeError, disk_usage, subpath, teardown
from knarr.agent.volumes.atomic import write
from knarr.agent.volumes.base import File


def context(tmp_path: Path, sources: Sources, *volumes: dict[str, Any], **spec: Any) -> Context:
    async def token(audience: str, seconds: int) -> Token:
        return Token(f"token-{audience}-{seconds}", 100.0)

    metadata = {"name": "p", "namespace": "ns", "uid": "u", "labels": {"k": "v"}}
    pod = {"metadata": metadata, "spec": {"containers": [{"name": "c"}], "volumes": list(volumes), **spec}}
    return Context(pod, tmp_path / "u", lambda: sources, token, mounts=False)


def tree(folder: Path) -> dict[str, tuple[bytes, int]]:
    """What a container sees: user-visible names, through the links."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), stat.S_IMODE(path.stat().st_mode))
        for name in os.listdir(folder)
        if not name.startswith("..")
        for path in ([folder / name] if (folder / name).is_file() else (folder / name).rglob("*"))
        if path.is_file()
    }


def setup(made: Context) -> tuple[PodVolumes, dict[str, str]]:
    volumes = PodVolumes(made)
    return volumes, asyncio.run(volumes.setup())


SOURCES = Sources(
    config_maps={"m": {"data": {"a": "1", "b": "2"}, "binaryData": {"c": base64.b64encode(b"\xff").decode()}}},
    secrets={"s": {"data": {"pw": base64.b64encode(b"x").decode()}}},
)


@pytest.mark.parametrize(
    ("plugin", "volume", "expected"),
    [
        ("configmap", {"configMap": {"name": "m"}}, {"a": (b"1", 0o644), "b": (b"2", 0o644), "c": (b"\xff", 0o644)}),
        (
            "configmap",
            {"configMap": {"name": "m", "defaultMode": 0o400, "items": [{"key": "a", "path": "x/y", "mode": 0o600}]}},
            {"x/y": (b"1", 0o600)},
        ),
        ("configmap", {"configMap": {"name": "none", "optional": True}}, {}),
        ("secret", {"secret": {"secretName": "s", "defaultMode": 0o400}}, {"pw": (b"x", 0o400)}),
        (
            "downward-api",
            {"downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
            {"l": (b'k="v"', 0o644)},
        ),
        (
            "projected",
            {
                "projected": {
                    "sources": [
                        {"serviceAccountToken": {"path": "token", "audience": "x", "expirationSeconds": 600}},
                        {"configMap": {"name": "m", "items": [{"key": "b", "path": "ca"}]}},
                    ]
                }
            },
            {"token": (b"token-x-600", 0o644), "ca": (b"2", 0o644)},
        ),
    ],
)
def test_files(tmp_path: Path, plugin: str, volume: dict[str, Any], expected: dict[str, Any]) -> None:
    _, errors = setup(context(tmp_path, SOURCES, {"name": "v", **volume}))
    assert errors == {}
    assert tree(tmp_path / f"u/volumes/kubernetes.io~{plugin}/v") == expected


@pytest.mark.parametrize(
    ("volume", "message"),
    [
        ({"configMap": {"name": "no"}}, 'configmap "no" not found'),
        ({"secret": {"secretName": "no"}}, 'secret "no" not found'),
        (
            {"configMap": {"name": "m", "items": [{"key": "z", "path": "z"}]}},
            "configmap references non-existent config key: z",
        ),
        ({"configMap": {"name": "m", "items": [{"key": "a", "path": "../z"}]}}, "invalid path"),
        ({"hostPath": {"path": "/proc/version", "type": "Directory"}}, "is not a directory"),
        ({"nfs": {}}, "no volume plugin matched: nfs"),
    ],
)
def test_errors(tmp_path: Path, volume: dict[str, Any], message: str) -> None:
    _, errors = setup(context(tmp_path, SOURCES, {"name": "v", **volume}))
    assert message in errors["v"]


def test_a_token_asks_to_be_renewed(tmp_path: Path) -> None:
    source = {"sources": [{"serviceAccountToken": {"path": "t"}}]}
    volumes, _ = setup(context(tmp_path, SOURCES, {"name": "v", "projected": source}))
    assert volumes.renew_at() == 100.0


def test_a_token_is_its_users_alone(tmp_path: Path) -> None:
    source = {"sources": [{"serviceAccountToken": {"path": "t"}}]}
    user = {"runAsUser": os.getuid()}
    setup(context(tmp_path, SOURCES, {"name": "v", "projected": source}, securityContext=user))
    assert tree(tmp_path / "u/volumes/kubernetes.io~projected/v")["t"][1] == 0o600


def test_fs_group_owns_and_may_read(tmp_path: Path) -> None:
    volume = {"name": "v", "configMap": {"name": "m", "defaultMode": 0o400}}
    empty = {"name": "e", "emptyDir": {}}
    setup(context(tmp_path, SOURCES, volume, empty, securityContext={"fsGroup": os.getgid()}))
    assert tree(tmp_path / "u/volumes/kubernetes.io~configmap/v")["a"][1] == 0o440
    found = (tmp_path / "u/volumes/kubernetes.io~empty-dir/e").stat()
    assert stat.S_IMODE(found.st_mode) == 0o2777 and found.st_gid == os.getgid()


def test_an_empty_dir_in_memory_keeps_the_mode_of_a_tmpfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sticky, so that users of one volume do not delete each other's files; subPaths inherit it."""
    monkeypatch.setattr("knarr.agent.mounts.mount", lambda *_, **__: None)
    made = context(tmp_path, SOURCES, {"name": "e", "emptyDir": {"medium": "Memory"}}, securityContext={"fsGroup": 0})
    setup(dataclasses.replace(made, mounts=True))
    path = tmp_path / "u/volumes/kubernetes.io~empty-dir/e"
    assert stat.S_IMODE(path.stat().st_mode) == 0o3777


@pytest.mark.parametrize(
    "volume", [{"emptyDir": {"medium": "Memory"}}, {"secret": {"secretName": "s"}}, {"projected": {"sources": []}}]
)
def test_what_belongs_in_memory_is_mounted_by_the_next_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, volume: dict[str, Any]
) -> None:
    mounted = []

    def mount(_source: str, target: str, *_: Any, **__: Any) -> None:
        mounted.append(target)
        if len(mounted) == 1:
            raise OSError("no space left on device")

    monkeypatch.setattr("knarr.agent.mounts.mount", mount)
    volumes = PodVolumes(dataclasses.replace(context(tmp_path, SOURCES, {"name": "v", **volume}), mounts=True))
    assert asyncio.run(volumes.setup()) == {"v": "no space left on device"}
    assert asyncio.run(volumes.setup()) == {}
    assert len(mounted) == 2


def test_an_empty_dir_keeps_its_content_and_tells_when_it_is_too_large(tmp_path: Path) -> None:
    made = context(tmp_path, SOURCES, {"name": "e", "emptyDir": {"sizeLimit": "8Ki"}})
    volumes, _ = setup(made)
    path = tmp_path / "u/volumes/kubernetes.io~empty-dir/e"
    assert stat.S_IMODE(path.stat().st_mode) == 0o777
    (path / "f").write_bytes(b"x" * 100)
    assert volumes.limited() and volumes.over_limit() is None
    (path / "g").write_bytes(b"x" * 20_000)
    asyncio.run(volumes.setup())
    assert volumes.over_limit() == ("e", "8Ki")
    assert disk_usage(path) >= 20_000


@pytest.mark.parametrize(("kind", "is_dir"), [("DirectoryOrCreate", True), ("FileOrCreate", False)])
def test_host_paths_are_made_on_request(tmp_path: Path, kind: str, is_dir: bool) -> None:
    path = tmp_path / "made"
    _, errors = setup(context(tmp_path, SOURCES, {"name": "v", "hostPath": {"path": str(path), "type": kind}}))
    assert errors == {} and path.is_dir() is is_dir and path.exists()


def test_teardown_removes_everything(tmp_path: Path) -> None:
    setup(context(tmp_path, SOURCES, {"name": "e", "emptyDir": {}}))
    teardown(tmp_path / "u", may_mount=False)
    assert not (tmp_path / "u").exists()


NAMES = st.sampled_from(["a", "b", "dir/c", "dir/d", "deep/er/e"])
# A pod's spec is immutable: a path keeps its mode for life.
MODES = {"a": 0o644, "b": 0o600, "dir/c": 0o440, "dir/d": 0o644, "deep/er/e": 0o400}
PAYLOADS = st.dictionaries(NAMES, st.binary(max_size=8)).map(
    lambda contents: {name: File(data, MODES[name]) for name, data in contents.items()}
)


@settings(max_examples=60, deadline=None)
@given(st.lists(PAYLOADS, min_size=1, max_size=5))
def test_the_atomic_writer_shows_exactly_the_last_payload(
    tmp_path_factory: pytest.TempPathFactory, payloads: list[dict[str, File]]
) -> None:
    folder = tmp_path_factory.mktemp("volume")
    for payload in payloads:
        write(folder, payload, lambda _: None)
        assert tree(folder) == {name: (file.data, file.mode) for name, file in payload.items()}
        assert write(folder, payload, lambda _: None) is False
        versions = [n for n in os.listdir(folder) if n.startswith("..") and n != "..data"]
        assert len(versions) == 1, "old versions are removed"


def test_an_unfinished_write_leaves_the_old_files(tmp_path: Path) -> None:
    write(tmp_path, {"a": File(b"old", 0o644)}, lambda _: None)

    def fail(_: Path) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write(tmp_path, {"a": File(b"new", 0o644)}, fail)
    assert tree(tmp_path) == {"a": (b"old", 0o644)}


def test_subpaths_never_lead_out_of_the_volume(tmp_path: Path) -> None:
    volume = tmp_path / "v"
    (volume / "in").mkdir(parents=True)
    (volume / "out").symlink_to(tmp_path)
    (volume / "link").symlink_to("in")
    assert subpath.resolve(volume, "link") == (volume / "in").resolve()
    with pytest.raises(VolumeError, match="not within volume path"):
        subpath.resolve(volume, "out")
    # A link put in place after it was resolved is found when it is opened.
    target = volume / "in" / "x"
    (volume / "in").rmdir()
    (volume / "in").symlink_to(tmp_path)
    (tmp_path / "x").mkdir()
    with pytest.raises(OSError):
        os.close(subpath.open_below(volume, target))


def test_a_subpath_is_bound_anew_when_it_leads_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of an object's volume is another one after each change; a started container gets the one of now."""
    place, bound = tmp_path / "place", set[str]()

    def mount(source: str, target: str, *_: Any, **__: Any) -> None:
        bound.add(target)
        os.unlink(target)
        os.link(os.readlink(source), target)

    def unmount_below(path: Path) -> None:
        bound.remove(str(path))
        path.unlink()
        path.touch()

    monkeypatch.setattr("knarr.agent.mounts.mount", mount)
    monkeypatch.setattr("knarr.agent.mounts.mount_points", lambda path: [str(path)] if str(path) in bound else [])
    monkeypatch.setattr("knarr.agent.mounts.unmount_below", unmount_below)
    volume = tmp_path / "v"
    volume.mkdir()
    for text in (b"old", b"new"):
        write(volume, {"a": File(text, 0o644)}, lambda _version: None)
        for _ in range(2):
            assert subpath.bind(volume, "a", place).read_bytes() == text
