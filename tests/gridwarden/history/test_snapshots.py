"""A part of the history frozen for another process."""

from __future__ import annotations

import os
import time
from pathlib import Path

import duckdb
import pytest

from gridwarden.history import HistoryUnavailable, snapshots
from gridwarden.history.duckdb import DuckDBHistory
from gridwarden.model import Reading

DAY_MS = 86_400_000
START_MS = 1_800_000_000_000 // DAY_MS * DAY_MS


def readings(day: int, kind: str = "hydrant", devices: int = 3) -> list[Reading]:
    at_ms = START_MS + day * DAY_MS
    return [
        Reading(f"{kind}-{n}", kind, "gw", at_ms + n, at_ms + n + 5, n, n, True, {"battery_pct": 50.5}) for n in range(devices)
    ]  # fmt: skip


@pytest.fixture
def history(tmp_path: Path) -> DuckDBHistory:
    """Two sealed days and a hot one of hydrants, a hot one of lifts."""
    opened = DuckDBHistory(tmp_path / "history")
    opened.begin("here")
    for offset, day in enumerate((0, 1, 2), start=1):
        opened.append(readings(day), offset, START_MS + day * DAY_MS)
        if day < 2:
            opened.seal(START_MS + (day + 1) * DAY_MS)
    opened.append(readings(2, "lift"), 9, START_MS + 3 * DAY_MS)
    return opened


def rows(snapshot: snapshots.Snapshot) -> int:
    files = [str(snapshot.directory / file) for part in snapshot.parts for file in part.files]
    found = duckdb.sql("SELECT count(*) FROM read_parquet($files, union_by_name = true)", params={"files": files})
    return int(found.fetchall()[0][0])


def test_sealed_and_hot_readings_of_the_interval_are_in_it(history: DuckDBHistory) -> None:
    snapshot = history.snapshot(["hydrant"], START_MS + DAY_MS, START_MS + 3 * DAY_MS)
    assert {(part.table, part.day) for part in snapshot.parts} == {("hydrant", "2027-01-16"), ("hydrant", "2027-01-17")}
    assert snapshot.rows == rows(snapshot) == 6
    assert snapshot.complete_until_ms == START_MS + 3 * DAY_MS
    history.close()


def test_it_is_the_same_when_it_is_loaded(history: DuckDBHistory) -> None:
    snapshot = history.snapshot(["hydrant", "lift"], START_MS, START_MS + 3 * DAY_MS)
    assert snapshots.load(snapshot.directory) == snapshot
    assert {part.table for part in snapshot.parts} == {"hydrant", "lift"}
    history.close()


def test_it_outlives_sealing_retention_and_the_history_itself(history: DuckDBHistory) -> None:
    snapshot = history.snapshot(["hydrant"], START_MS, START_MS + 3 * DAY_MS)
    history.append(readings(0), 10, START_MS)  # late ones: the sealed files are written anew
    history.seal(START_MS + 3 * DAY_MS)
    history.retain(START_MS + 3 * DAY_MS)
    history.close()
    assert rows(snapshot) == 9


def test_what_is_removed_leaves_the_history_as_it_is(history: DuckDBHistory) -> None:
    snapshot = history.snapshot(["hydrant"], START_MS, START_MS + 3 * DAY_MS)
    snapshot.remove()
    assert not snapshot.directory.exists()
    assert history.count() == 12
    history.close()


def test_a_day_that_is_sealed_and_hot_is_one_part(history: DuckDBHistory) -> None:
    history.append(readings(0), 10, START_MS)
    snapshot = history.snapshot(["hydrant"], START_MS, START_MS + DAY_MS)
    assert sorted(len(part.files) for part in snapshot.parts) == [2, 2, 2]
    assert snapshot.rows == rows(snapshot) == 6
    history.close()


def test_where_nothing_was_there_is_nothing(history: DuckDBHistory) -> None:
    snapshot = history.snapshot(["smoke"], START_MS, START_MS + DAY_MS)
    assert (snapshot.parts, snapshot.rows) == ((), 0)
    history.close()


def test_a_disk_without_links_gets_copies(history: DuckDBHistory, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(1, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    assert rows(history.snapshot(["hydrant"], START_MS, START_MS + DAY_MS)) == 3
    history.close()


def test_a_snapshot_that_fails_leaves_nothing_behind(history: DuckDBHistory, tmp_path: Path) -> None:
    for file in (tmp_path / "history" / "sealed" / "hydrant").iterdir():
        file.unlink()
    with pytest.raises(HistoryUnavailable):
        history.snapshot(["hydrant"], START_MS, START_MS + DAY_MS)
    assert list((tmp_path / "history" / "snapshots").iterdir()) == []
    history.close()


def test_what_somebody_left_behind_goes_with_the_next_one(tmp_path: Path) -> None:
    old, young = snapshots.new_directory(tmp_path), snapshots.new_directory(tmp_path)
    long_ago = time.time() - snapshots.LIFE_S - 60
    os.utime(old, (long_ago, long_ago))
    new = snapshots.new_directory(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([young, new])
