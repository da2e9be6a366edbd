"""Bits that flip in synced data.

Goal: a server whose store is damaged does not start: it says so in one line that names the file and the offset, it
changes nothing, and serves nothing wrong (docs/decisions/0001-log-damage.md: the last batch and the unused rest of a
segment are no exception). Method: the files of a store that a real server wrote are damaged, one bit at a time, at
places drawn from a seed, emptied, and cut in half; put right again, all is served."""

from __future__ import annotations

import hashlib
import random
import re
from pathlib import Path

from server import MAPS, Server

FLIPS = 16
SECTOR_BYTES = 512
OBJECTS = 300


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def written_bytes(path: Path) -> int:
    """Where a file's last byte that is not zero ends."""
    return len(path.read_bytes().rstrip(b"\0"))


def flip(path: Path, at: int, bit: int) -> None:
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes((byte ^ (1 << bit),)))


def test_a_flipped_bit_refuses_the_start_by_file_and_offset(tmp_path: Path) -> None:
    draw = random.Random(7)
    server = Server(tmp_path, "127.0.0.27")
    server.start()
    try:
        connection = server.connect()
        for number in range(OBJECTS):
            body = {"metadata": {"name": f"m{number}"}, "data": {"text": "x" * draw.randrange(2000)}}
            assert server.request(connection, "POST", MAPS, body)[0] == 201
    finally:
        server.kill()
    store = server.data_dir / "store"
    files = [path for path in sorted(store.rglob("*")) if path.is_file() and written_bytes(path) > SECTOR_BYTES]
    assert files, list(store.rglob("*"))
    for turn in range(FLIPS):
        path = draw.choice(files)
        # the last quarter of the flips: in the very last batch
        end = written_bytes(path)
        at = draw.randrange(end) if turn < FLIPS * 3 // 4 else end - 1 - draw.randrange(64)
        bit = draw.randrange(8)
        flip(path, at, bit)
        before = {each: digest(each) for each in files}
        said = server.refused()
        assert path.name in said, (path, at, said)
        offsets = [int(each) for each in re.findall(r"offset (\d+)", said)]
        assert offsets and offsets[0] // SECTOR_BYTES == at // SECTOR_BYTES, (path, at, said)
        assert "Traceback" not in said and len(said.strip().splitlines()) <= 3, said
        assert {each: digest(each) for each in files} == before, f"{path}: the refused start changed something"
        flip(path, at, bit)
    for path in files:
        whole = path.read_bytes()
        for left in (0, len(whole.rstrip(b"\0")) // 2):
            path.write_bytes(whole[:left])
            said = server.refused()
            assert path.name in said and "offset" in said, (path, left, said)
            assert path.read_bytes() == whole[:left], f"{path}: the refused start changed something"
        path.write_bytes(whole)
    server.start()
    try:
        code, found = server.request(server.connect(), "GET", MAPS)
        assert code == 200
        assert len([item for item in found["items"] if item["metadata"]["name"].startswith("m")]) == OBJECTS
    finally:
        server.stop()
