"""The office is what was last written, or the difference is told, or it is refused."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from gridwarden import app
from gridwarden.errors import Damaged
from gridwarden.model import Area
from gridwarden.office import mark
from gridwarden.office.registry import Office
from gridwarden.records.reader import Reader

AREAS = 12


def areas(path: Path) -> int:
    with Office.open(path) as office:
        return len(office.areas())


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What kill -9 leaves: each area is a change of its own."""
    data = tmp_path_factory.mktemp("office")
    app.prepare(data, first_user=False)
    with Office.open(data / "office.db") as office:
        for number in range(AREAS):
            office.upsert_area(Area(f"3301060{number + 10}", f"name {number}"))
        return Path(shutil.copytree(data, data.with_name("killed")))


def copy(killed: Path, to: Path) -> Path:
    shutil.rmtree(to, ignore_errors=True)
    return Path(shutil.copytree(killed, to))


def test_what_a_kill_leaves_is_whole(killed: Path, tmp_path: Path) -> None:
    data = copy(killed, tmp_path / "data")
    assert mark.examine(data / "office.db") == 0
    assert areas(data / "office.db") == AREAS


@given(share=st.floats(0, 1), flip=st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_torn_log_is_told_to_the_change(
    killed: Path, share: float, *, flip: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = copy(killed, tmp_path_factory.getbasetemp() / "torn")
    log = data / "office.db-wal"
    size = log.stat().st_size
    if flip:
        content = bytearray(log.read_bytes())
        content[min(size - 1, int(size * share))] ^= 1
        log.write_bytes(content)
    else:
        os.truncate(log, int(size * share))
    lost = mark.examine(data / "office.db")
    assert areas(data / "office.db") + lost == AREAS


def test_the_loss_stands_in_the_journal_once(killed: Path, tmp_path: Path) -> None:
    data = copy(killed, tmp_path / "data")
    os.truncate(data / "office.db-wal", (data / "office.db-wal").stat().st_size - 4_000)
    for _ in range(2):
        app.prepare(data, first_user=False)
    with closing(Reader(data)) as reader:
        told = [entry.body["detail"] for entry in reader.journal(0) if entry.operation == "data.lost"]
        assert told == [{"what": "office", "changes": 1}]
        assert reader.losses().told()["office_changes"] == 1
    assert areas(data / "office.db") == AREAS - 1


@pytest.mark.parametrize("gone", [True, False])
def test_an_office_that_is_gone_is_not_silently_begun_anew(killed: Path, tmp_path: Path, *, gone: bool) -> None:
    data = copy(killed, tmp_path / "data")
    path = data / "office.db"
    path.unlink() if gone else path.write_bytes(b"")
    (data / "office.db-wal").unlink()
    for _ in range(2):
        with pytest.raises(Damaged, match=f"it is {'gone' if gone else 'empty'}.*remove office.mark"):
            app.prepare(data)
    (data / "office.mark").unlink()
    assert app.prepare(data) is not None  # on purpose: with a first account


@pytest.mark.parametrize("content", [b"hello" * 2_000, b"SQLite format 3\0" + b"\0" * 5_000])
def test_what_is_no_database_is_refused_and_left_as_it_is(killed: Path, tmp_path: Path, content: bytes) -> None:
    data = copy(killed, tmp_path / "data")
    (data / "office.db-wal").unlink()
    (data / "office.db").write_bytes(content)
    with pytest.raises(Damaged, match="not a database"):
        mark.examine(data / "office.db")
    assert (data / "office.db").read_bytes() == content


def test_a_malformed_page_is_refused(killed: Path, tmp_path: Path) -> None:
    data = copy(killed, tmp_path / "data")
    Office.open(data / "office.db").close()
    with closing(sqlite3.connect(data / "office.db")) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'area'").fetchone()
    with (data / "office.db").open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 64)
    with pytest.raises(Damaged):
        mark.examine(data / "office.db")


@pytest.mark.parametrize("content", [b"", b"x", b"?" * 16])
def test_a_damaged_mark_claims_nothing_and_says_so(killed: Path, tmp_path: Path, content: bytes) -> None:
    data = copy(killed, tmp_path / "data")
    (data / "office.mark").write_bytes(content)
    with capture_logs() as logs:
        assert mark.examine(data / "office.db") == 0
    assert [log["event"] for log in logs] == ["office.mark is damaged: whether changes were lost cannot be told"]


def test_a_mark_that_cannot_be_written_stops_no_change(tmp_path: Path) -> None:
    (tmp_path / "office.mark").mkdir()
    with capture_logs() as logs:
        assert areas(tmp_path / "office.db") == 0
    assert {log["event"] for log in logs} == {"office.mark cannot be written: a loss of changes could go unnoticed"}
