"""Goal: logs are answered as kubectl asks for them, over rotation too. Method: files in the CRI's format; the plain
reading (split, filter, join) as the model."""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from knarr.agent.logs import LogOptions, last_lines, parse_line, read, rotate, tail_offset


def line(second: int, text: str, tag: str = "F") -> bytes:
    return f"2026-01-01T00:00:{second:02d}.000000001Z stdout {tag} {text}\n".encode()


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


async def ended() -> bool:
    return False


async def collect(path: Path, options: LogOptions) -> bytes:
    return b"".join([chunk async for chunk in read(path, options, ended)])


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "0.log"
    path.write_bytes(line(1, "one") + line(2, "tw", "P") + line(2, "o") + line(3, "three") + b"not a log line\n")
    return path


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, b"one\ntwo\nthree\n"),
        ({"tailLines": "2"}, b"three\n"),
        ({"tailLines": "0"}, b""),
        ({"limitBytes": "5"}, b"one\nt"),
        ({"sinceTime": "2026-01-01T00:00:02Z"}, b"two\nthree\n"),
        ({"sinceTime": "2026-01-01T01:00:03+01:00", "timestamps": "true"}, b"2026-01-01T00:00:03.000000001Z three\n"),
    ],
)
async def test_options(log: Path, query: dict[str, str], expected: bytes) -> None:
    assert await collect(log, LogOptions.parse(query, 0.0)) == expected


@pytest.mark.parametrize("query", [{"tailLines": "-1"}, {"limitBytes": "0"}, {"sinceSeconds": "x"}, {"sinceTime": "y"}])
def test_bad_options_are_refused(query: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        LogOptions.parse(query, 0.0)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(st.characters(codec="ascii", exclude_characters="\n\r"), max_size=300)), st.integers(0, 12))
def test_tail_is_the_end_of_the_whole(tmp_path_factory: pytest.TempPathFactory, texts: list[str], count: int) -> None:
    path = tmp_path_factory.mktemp("log") / "0.log"
    path.write_bytes(b"".join(line(1, text) for text in texts))
    assert last_lines(path, count) == [text.encode() + b"\n" for text in texts[len(texts) - min(count, len(texts)) :]]


async def test_follow_goes_on_over_a_rotation_until_the_container_ends(log: Path) -> None:
    alive = True

    async def running() -> bool:
        return alive

    got = bytearray()

    async def follow() -> None:
        async for chunk in read(log, LogOptions(follow=True, tail=1), running):
            got.extend(chunk)

    task = asyncio.create_task(follow())
    await asyncio.sleep(0.15)
    await asyncio.to_thread(append, log, line(4, "four"))
    rotate(log, 5, 0.0)
    await asyncio.to_thread(log.write_bytes, line(5, "five"))
    await asyncio.sleep(0.4)
    alive = False
    await asyncio.wait_for(task, 5)
    assert bytes(got) == b"four\nfive\n"


def test_rotation_compresses_and_keeps_the_newest(log: Path) -> None:
    for n in range(7):
        log.write_bytes(line(n, f"content {n}"))
        rotate(log, 4, float(n))
        log.touch()
    kept = sorted(p.name for p in log.parent.iterdir())
    assert len(kept) == 4
    compressed = [p for p in kept if p.endswith(".gz")]
    assert len(compressed) == 2
    newest = gzip.decompress((log.parent / compressed[-1]).read_bytes())
    assert parse_line(newest) == (b"2026-01-01T00:00:05.000000001Z", b"content 5\n")


def test_the_tail_is_that_of_the_log_when_it_was_asked_for(tmp_path: Path) -> None:
    log = tmp_path / "0.log"
    log.write_bytes(b"2026-01-01T00:00:00Z stdout F one\n2026-01-01T00:00:01Z stdout F two\n")
    with log.open("rb") as file:
        end = log.stat().st_size
        with log.open("ab") as writer:
            writer.write(b"2026-01-01T00:00:02Z stdout F three\n")
        file.seek(tail_offset(file, 1, end))
        assert file.read(end - file.tell()).endswith(b" two\n")
