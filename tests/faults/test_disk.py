"""The failing disk itself: what it promises the fault tests."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import disk as faulty
from tests.faults.disk import FaultyDisk

pytestmark = [pytest.mark.process, pytest.mark.skipif(bool(faulty.why_not()), reason=faulty.why_not() or "")]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[FaultyDisk]:
    with FaultyDisk(tmp_path / "mount") as mounted:
        yield mounted


def write(path: Path, data: bytes, *, force: bool) -> None:
    with path.open("ab") as file:
        file.write(data)
        file.flush()
        if force:
            os.fsync(file.fileno())


def test_what_was_forced_survives_a_power_cut_and_nothing_else_does(disk: FaultyDisk) -> None:
    write(disk.mount / "never", b"gone", force=False)
    write(disk.mount / "kept", b"forced", force=True)
    write(disk.mount / "kept", b", not forced", force=False)
    write(disk.mount / "later", b"gone with its name", force=False)
    assert (disk.mount / "kept").read_bytes() == b"forced, not forced"

    disk.cut_power()

    assert (disk.mount / "kept").read_bytes() == b"forced"
    # Its name was in the journal that the other file's fsync committed; its bytes never left the memory.
    assert (disk.mount / "never").read_bytes() == b""
    assert not (disk.mount / "later").exists()


def test_a_new_file_in_the_place_of_an_old_one_is_one_of_them(disk: FaultyDisk) -> None:
    write(disk.mount / "books", b"old", force=True)
    write(disk.mount / "books.new", b"new", force=True)
    (disk.mount / "books.new").replace(disk.mount / "books")

    disk.cut_power()

    assert {path.name: path.read_bytes() for path in disk.mount.iterdir()} == {"books": b"old", "books.new": b"new"}


def test_with_a_seed_some_of_what_was_not_forced_survives(disk: FaultyDisk) -> None:
    with (disk.mount / "log").open("wb", buffering=0) as file:
        os.fsync(file.fileno())
        for number in range(64):
            os.pwrite(file.fileno(), bytes([number + 1]), number)

    disk.cut_power(seed=1)

    body = (disk.mount / "log").read_bytes()
    assert 0 < sum(map(bool, body)) < 64
    assert all(byte in (0, place + 1) for place, byte in enumerate(body))


@pytest.mark.parametrize(
    ("illness", "number"),
    [({"capacity_bytes": 4}, errno.ENOSPC), ({"errors": ["write"], "matching": "lo*"}, errno.EIO),
     ({"errors": ["fsync"]}, errno.EIO), ({"read_only": True}, errno.EROFS)],
)  # fmt: skip
def test_it_is_ill_until_it_is_well(disk: FaultyDisk, illness: dict[str, object], number: int) -> None:
    path = disk.mount / "log"
    write(path, b"1234", force=True)
    with disk.being(**illness), pytest.raises(OSError, match=os.strerror(number)):
        write(path, b"5", force=True)
    write(path, b"6", force=True)
    assert path.read_bytes().startswith(b"1234")
    assert path.read_bytes().endswith(b"6")
