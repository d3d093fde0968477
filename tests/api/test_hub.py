"""The hub: from the first moment on nothing is missed; unreadable records are waited for."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import api.hub
from api.hub import Change, Hub, Listener
from gridwarden.errors import RecordsUnavailable
from gridwarden.records import database
from gridwarden.records.reader import Reader
from gridwarden.records.writer import Writer
from tests.api.conftest import EAST, WEST, Book
from tests.conftest import Until


@pytest.fixture
def book(tmp_path: Path) -> Book:
    database.migrate(tmp_path)
    writer = Writer(tmp_path)
    writer.start()
    return Book(writer)


async def test_who_listens_before_the_hub_runs_misses_nothing(tmp_path: Path, book: Book, until: Until) -> None:
    book.fire(1)
    reader = Reader(tmp_path)
    hub = Hub(reader)
    listener = Listener([""])
    hub.listen(listener)
    book.fire(2)  # between listening and the start
    running = asyncio.create_task(hub.run())
    book.fire(3)
    await until(lambda: hub.seq == 3)
    assert [change.seq for change in listener.waiting] == [2, 3]
    assert listener.through == 3
    running.cancel()
    reader.close()
    book.writer.close()


async def test_the_journal_is_read_for_changes_only(
    tmp_path: Path, book: Book, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    monkeypatch.setattr(api.hub, "POLL_S", 3600)
    book.fire(1)
    reader = Reader(tmp_path)
    hub = Hub(reader)
    reads = 0
    journal = reader.journal

    def counted(since: int) -> object:
        nonlocal reads
        reads += 1
        return journal(since)

    monkeypatch.setattr(reader, "journal", counted)
    running = asyncio.create_task(hub.run())
    await until(lambda: reads == 1)
    for _ in range(50):  # readings without a change
        hub.wake(1)
        await asyncio.sleep(0)
    book.fire(2)
    hub.wake(2)
    await until(lambda: hub.seq == 2)
    await until(lambda: reads == 3)  # the beginning, the change, and that nothing follows it
    book.fire(3)
    hub.wake()  # whoever does not know the number is believed
    await until(lambda: hub.seq == 3)
    running.cancel()
    reader.close()
    book.writer.close()


async def test_records_that_cannot_be_read_are_waited_for(
    tmp_path: Path, book: Book, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    monkeypatch.setattr(api.hub, "RETRY_S", 0.01)
    reader = Reader(tmp_path)
    hub = Hub(reader)
    tries = 0
    journal = reader.journal

    def locked(since: int) -> object:
        nonlocal tries
        tries += 1
        if tries < 4:
            raise RecordsUnavailable("locked")
        return journal(since)

    monkeypatch.setattr(reader, "journal", locked)
    running = asyncio.create_task(hub.run())
    book.fire(1)
    await until(lambda: hub.seq == 1)
    running.cancel()
    reader.close()
    book.writer.close()


def test_a_full_queue_stays_as_it_is_and_claims_no_more() -> None:
    listener = Listener([WEST])
    for _ in range(api.hub.QUEUE_LIMIT + 5):
        listener.put(Change(WEST, None, {}))
    assert listener.overflowed
    assert len(listener.waiting) == api.hub.QUEUE_LIMIT
    assert not listener.wants(EAST)
    assert not listener.wants("")
