"""The states of devices: only while watched, within bounds, past what is damaged."""

from __future__ import annotations

import sqlite3

import pytest

import api.states
from gridwarden.errors import RecordsUnavailable
from tests.api.conftest import NOW_MS, Site, reading
from tests.conftest import Until


async def test_unwatched_it_reads_nothing_and_keeps_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    monkeypatch.setattr(api.states, "EVERY_S", 0.01)
    states, looks = site.services.states, 0
    blocks = site.services.reader.blocks

    def counted(after: int, limit_bytes: int) -> object:
        nonlocal looks
        looks += 1
        return blocks(after, limit_bytes)

    monkeypatch.setattr(site.services.reader, "blocks", counted)
    site.book.commit(readings=[reading("SMK-1")])
    assert looks == 0
    states.watch("me", lambda: None)
    await until(lambda: len(states) == 1)
    states.leave("me")
    await until(lambda: len(states) == 0)
    rested = looks
    site.book.commit(readings=[reading("SMK-1", seq=2)])
    states.watch("me", lambda: None)
    await until(lambda: len(states) == 1)
    assert looks > rested
    assert states.version == 2


async def test_made_up_names_do_not_fill_the_memory(site: Site, monkeypatch: pytest.MonkeyPatch, until: Until) -> None:
    monkeypatch.setattr(api.states, "STRANGERS_LIMIT", 3)
    states = site.services.states
    strangers = [reading(f"NEW-{number}") for number in range(50)]
    for one in strangers:
        one.registered = False
    states.watch("me", lambda: None)
    site.book.commit(readings=[*strangers, reading("SMK-1")])
    await until(lambda: states.version == 1)
    assert len(states) == 4


async def test_a_damaged_block_is_passed_over(site: Site, until: Until) -> None:
    states = site.services.states
    for seq in (1, 2):
        site.book.commit(readings=[reading(f"SMK-{seq}", NOW_MS, seq)])
    with sqlite3.connect(site.data / "records.db") as records:
        records.execute("UPDATE intake_block SET body = x'00' WHERE offset = 1")
    records.close()
    states.watch("me", lambda: None)
    await until(lambda: states.version == 2)
    assert [state.device_id for state in states.newer(0, None)] == ["SMK-2"]


async def test_records_that_cannot_be_read_are_waited_for(
    site: Site, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    monkeypatch.setattr(api.states, "EVERY_S", 0.01)
    failing = True
    blocks = site.services.reader.blocks

    def fail(after: int, limit_bytes: int) -> object:
        if failing:
            raise RecordsUnavailable("locked")
        return blocks(after, limit_bytes)

    monkeypatch.setattr(site.services.reader, "blocks", fail)
    site.services.states.watch("me", lambda: None)
    site.book.commit(readings=[reading("SMK-1")])
    failing = False
    await until(lambda: len(site.services.states) == 1)
