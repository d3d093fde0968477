"""A whole copy of the history while it is written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gridwarden.history import HistoryUnavailable
from gridwarden.history.copying import copy_file, link_or_copy
from gridwarden.history.duckdb import DuckDBHistory
from tests.gridwarden.history.test_snapshots import DAY_MS, START_MS, readings


@pytest.fixture
def history(tmp_path: Path) -> Iterator[DuckDBHistory]:
    """A sealed day, a hot one."""
    opened = DuckDBHistory(tmp_path / "history")
    opened.begin("here")
    opened.append(readings(0), 1, START_MS)
    opened.seal(START_MS + DAY_MS)
    opened.append(readings(1), 2, START_MS + DAY_MS)
    yield opened
    opened.close()


def test_a_copy_is_a_history_of_its_own_in_the_state_of_one_moment(history: DuckDBHistory, tmp_path: Path) -> None:
    with history.frozen(tmp_path / "copy") as frozen:
        history.append(readings(0, "lift"), 3, START_MS)  # later: not in it
        history.seal(START_MS + 3 * DAY_MS)
        history.append(readings(0), 4, START_MS)
        history.seal(START_MS + 3 * DAY_MS)  # the file that belongs to the copy is superseded
        for path, name in frozen.files:
            link_or_copy(path, tmp_path / "copy" / name, lambda _bytes: None)
    assert (frozen.epoch, frozen.offset, frozen.rows, frozen.missing) == ("here", 2, 6, "")
    assert sorted(path.name for path in (tmp_path / "copy").iterdir()) == ["history.duckdb", "sealed"]
    copied = DuckDBHistory(tmp_path / "copy")
    assert (copied.epoch(), copied.offset(), copied.count()) == ("here", 2, 6)
    copied.append(readings(2), 3, START_MS)
    copied.seal(START_MS + 3 * DAY_MS)
    assert copied.count() == 9
    copied.close()
    assert history.count() == 12


def test_nothing_stays_attached_when_it_fails(history: DuckDBHistory, tmp_path: Path) -> None:
    (tmp_path / "here").touch()
    with pytest.raises(FileExistsError), history.frozen(tmp_path / "here"):
        pass
    with pytest.raises(FileNotFoundError), history.frozen(tmp_path / "nowhere" / "copy"):
        pass
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), history.frozen(tmp_path / "copy"):
            raise ZeroDivisionError
        (tmp_path / "copy" / "history.duckdb").unlink()
        (tmp_path / "copy").rmdir()
    history.append(readings(2), 3, START_MS)


def test_a_closed_history_says_so(history: DuckDBHistory, tmp_path: Path) -> None:
    history.close()
    with pytest.raises(HistoryUnavailable), history.frozen(tmp_path / "copy"):
        pass


def test_a_copied_file_is_its_owners_and_never_written_over_another(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 5_000_000)
    told: list[int] = []
    copy_file(tmp_path / "a", tmp_path / "b", told.append)
    assert (tmp_path / "b").read_bytes() == (tmp_path / "a").read_bytes()
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o600
    assert sum(told) == 5_000_000
    with pytest.raises(FileExistsError):
        copy_file(tmp_path / "a", tmp_path / "b")
