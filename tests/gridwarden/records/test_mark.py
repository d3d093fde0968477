"""Two slots in turn: the newest whole one counts, and one that is torn leaves the other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridwarden.records.mark import FILE, BadMark, Mark, MarkFile, Position, read

MARK = Mark("0123456789abcdef", 7, 3, (10, 5, 2, 2, 1), Position(b"12345678", 40, 20))


def written(data: Path, *offsets: int) -> Path:
    file = MarkFile(data)
    for offset in offsets:
        file.write(replace(MARK, offset=offset))
    file.sync()
    file.close()
    return data / FILE


def test_what_was_written_last_is_read(tmp_path: Path) -> None:
    assert read(tmp_path) is None
    written(tmp_path, 7)
    assert read(tmp_path) == MARK
    written(tmp_path, 8, 9, 10)
    assert read(tmp_path) == replace(MARK, offset=10)
    written(tmp_path, 11)  # opened anew, it goes on with the older slot
    assert read(tmp_path) == replace(MARK, offset=11)


def test_it_does_not_grow(tmp_path: Path) -> None:
    path = written(tmp_path, *range(50))
    assert path.stat().st_size < 1024
    assert path.stat().st_mode & 0o777 == 0o600


@given(at=st.integers(0, 104), bit=st.integers(0, 7), last=st.integers(2, 3))
def test_a_torn_slot_leaves_the_one_before(
    at: int, bit: int, last: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = written(tmp_path_factory.mktemp("mark"), *range(last + 1))
    content = bytearray(path.read_bytes())
    content[(last + 1) % 2 * 512 + at] ^= 1 << bit
    path.write_bytes(content)
    found = read(path.parent)
    assert found is not None
    assert found.offset == last - 1


@pytest.mark.parametrize("content", [b"", b"\0" * 1024, b"GWM1" * 256, b"x"])
def test_without_a_whole_slot_it_says_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(BadMark, match="neither"):
        read(tmp_path)
    written(tmp_path, 7)  # and a new one may be written over it
    assert read(tmp_path) == MARK
