"""A copy of the living records, as core is asked for it."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from gridwarden.core.committer import Committer
from gridwarden.core.copies import copy_records
from gridwarden.errors import RecordsUnavailable, Refused
from gridwarden.records import copying, database
from gridwarden.records.transaction import Transaction
from gridwarden.records.writer import Writer
from tests.conftest import Until


@pytest.fixture
async def committer(tmp_path: Path) -> AsyncIterator[Committer]:
    database.migrate(tmp_path)
    writer = Writer(tmp_path)
    writer.start()
    for _ in range(50):
        writer.commit(Transaction(1, rows=os.urandom(100_000), reading_count=1))
    committer = Committer(writer, lambda _changes: None, lambda _transaction, _committed: None)
    yield committer
    committer.close()
    writer.close()


async def test_it_is_whole_when_it_is_answered(committer: Committer, tmp_path: Path) -> None:
    assert await copy_records(committer, committer._writer, {"path": str(tmp_path / "copy")}) == {}
    with closing(sqlite3.connect(tmp_path / "copy")) as copied:
        assert copied.execute("SELECT count(*) FROM intake_block").fetchone() == (50,)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that something can happen in the middle."""
    monkeypatch.setattr(copying, "PAUSE_S", 0.05)


@pytest.mark.usefixtures("slow")
async def test_it_ends_when_whoever_asked_is_gone(committer: Committer, tmp_path: Path, until: Until) -> None:
    path = tmp_path / "copy"
    copy = asyncio.create_task(copy_records(committer, committer._writer, {"path": str(path)}))
    await until(path.exists)
    copy.cancel()
    with pytest.raises(asyncio.CancelledError):
        await copy
    assert path.stat().st_size < (tmp_path / database.FILE).stat().st_size, "it went on to the end"


@pytest.mark.usefixtures("slow")
async def test_it_ends_when_the_file_is_taken_away(committer: Committer, tmp_path: Path, until: Until) -> None:
    path = tmp_path / "copy"
    copy = asyncio.create_task(copy_records(committer, committer._writer, {"path": str(path)}))
    await until(path.exists)
    path.unlink()
    with pytest.raises(Refused, match="broken_off"):
        await copy


async def test_a_place_that_cannot_be_written_is_told(committer: Committer, tmp_path: Path) -> None:
    with pytest.raises(RecordsUnavailable, match="No such file"):
        await copy_records(committer, committer._writer, {"path": str(tmp_path / "nowhere" / "copy")})
    with pytest.raises(Refused, match="bad_parameters"):
        await copy_records(committer, committer._writer, {})
