"""A copy of records that go on being written."""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from gridwarden.records import database
from gridwarden.records.copying import copy
from gridwarden.records.transaction import Transaction
from gridwarden.records.writer import Writer


def commit(writer: Writer, at_ms: int = 1) -> int:
    return writer.commit(
        Transaction(at_ms, rows=os.urandom(20_000), reading_count=1, remembered={"at": str(at_ms)})
    ).offset


def _spoil_and_take_back(writer: Writer) -> None:
    with writer._engine.begin() as connection:
        connection.exec_driver_sql("PRAGMA cache_size = 5")  # so that it is written before it is taken back
        connection.exec_driver_sql("UPDATE intake_block SET body = zeroblob(100000)")
        raise ZeroDivisionError


def offsets(path: Path) -> tuple[int, int]:
    with closing(sqlite3.connect(path)) as copied:
        assert copied.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return tuple(copied.execute('SELECT max("offset"), count(*) FROM intake_block').fetchone())


def test_what_commits_meanwhile_is_in_it_and_it_is_whole(data: Path, writer: Writer) -> None:
    for _ in range(100):
        commit(writer)
    passed: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        assert not passed or done >= passed[-1][0], "it began anew"
        passed.append((done, total))
        commit(writer, len(passed))

    copy(writer.connection(), data / "copy", progress, pages=16)
    assert len(passed) > 10
    last, count = offsets(data / "copy")
    assert last == count
    # The very last commit came after the last step; all others are in it.
    assert last >= writer.offset - 1
    assert (data / "copy").stat().st_mode & 0o777 == 0o600
    assert not list(data.glob("copy-*"))


def test_commits_of_another_thread_go_on(data: Path, writer: Writer) -> None:
    for _ in range(50):
        commit(writer)
    over = threading.Event()
    connection = writer.connection()

    def work() -> None:
        while not over.is_set():
            commit(writer)

    working = threading.Thread(target=work)
    working.start()
    before = writer.offset
    copy(connection, data / "copy")
    over.set()
    working.join()
    assert offsets(data / "copy")[0] >= before


def test_a_commit_that_is_rolled_back_is_not_in_it(data: Path, writer: Writer) -> None:
    for _ in range(20):
        commit(writer)
    failed = []

    def progress(_done: int, _total: int) -> None:
        if not failed:
            failed.append(True)
            with pytest.raises(ZeroDivisionError):
                _spoil_and_take_back(writer)

    copy(writer.connection(), data / "copy", progress, pages=16)
    with closing(sqlite3.connect(data / "copy")) as copied:
        (spoilt,) = copied.execute("SELECT count(*) FROM intake_block WHERE body = zeroblob(100000)").fetchone()
    assert spoilt == 0
    assert offsets(data / "copy") == (20, 20)


def test_what_progress_raises_breaks_it_off_and_the_writer_goes_on(data: Path, writer: Writer) -> None:
    for _ in range(20):
        commit(writer)

    def progress(_done: int, _total: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        copy(writer.connection(), data / "copy", progress, pages=16)
    assert commit(writer) == 21


def test_a_file_that_is_there_is_left_alone(data: Path, writer: Writer) -> None:
    with pytest.raises(FileExistsError):
        copy(writer.connection(), data / database.FILE)


def test_the_writer_has_one_connection(data: Path, writer: Writer) -> None:
    """Were there two, what one commits would make the copy on the other begin anew, again and again."""
    one = writer.connection()
    commit(writer)
    list(writer.blocks_after(0))
    assert writer.connection() is one
