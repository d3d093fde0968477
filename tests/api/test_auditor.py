"""Records and history held against each other while web runs."""

from __future__ import annotations

from typing import Any

import pytest

from api import auditor
from gridwarden.model import DeadLetter, Reading
from gridwarden.records.transaction import Tally
from tests.api.conftest import NOW_MS, Site, reading


def stored(site: Site, *readings: Reading, counted: int | None = None) -> None:
    """A block of ``readings`` that the ledger counts."""
    count = len(readings) if counted is None else counted
    site.book.commit(readings=list(readings), tallies={("b", "telemetry", "g"): Tally(stored=count, received=count)})


def looked(site: Site) -> tuple[int, int, int]:
    site.services.auditor.audit()
    found = site.services.auditor.found
    assert found is not None
    assert found.well == (found.missing == found.lines == found.aside == 0)
    return found.missing, found.lines, found.aside


def follow(site: Site, *readings: Reading, offset: int = 0) -> None:
    history, head = site.services.history, site.services.reader.head()
    if not history.counts_itself():
        history.begin_account(0, NOW_MS)
    history.append(readings, offset or head, NOW_MS)


async def test_all_is_well_while_every_reading_is_there_or_on_its_way(site: Site) -> None:
    one, two, three = reading("A"), reading("B"), reading("C")
    stored(site, one)
    follow(site, one)
    assert looked(site) == (0, 0, 0)
    stored(site, two, three)
    assert looked(site) == (0, 0, 0)
    follow(site, two, three)
    assert looked(site) == (0, 0, 0)
    async with site.client("operator") as client:
        told = (await client.get("/api/v1/ledger")).json()["history"]
    assert {name: told[name] for name in ("expected", "written", "held", "dropped", "missing")} == {
        "expected": 3, "written": 3, "held": 3, "dropped": 0, "missing": 0,
    }  # fmt: skip


async def test_a_reading_that_never_came_there_is_missing(site: Site) -> None:
    one, two = reading("A"), reading("B")
    stored(site, one, two)
    follow(site, one)
    assert looked(site) == (1, 0, 0)


async def test_lines_and_what_was_set_aside_are_looked_at_too(site: Site) -> None:
    site.book.commit(tallies={("b", "telemetry", "g"): Tally(received=1), ("b", "telemetry", "h"): Tally(stored=1)})
    assert looked(site)[1] == 2
    letter = DeadLetter(NOW_MS, "b", "t", "not_json", "", b"x")
    site.book.commit(dead_letters=[letter], tallies={("b", "telemetry", "g"): Tally(dead_lettered=3, received=3)})
    assert looked(site)[2] == 2
    site.book.commit(tallies={("b", "telemetry", "g"): Tally(quarantined=1, received=1)})
    assert looked(site)[2] == 3


async def test_what_went_with_its_age_is_not_missed(site: Site) -> None:
    site.book.commit(
        tallies={("b", "telemetry", "g"): Tally(dead_lettered=3, received=3)},
        remembered={"dead_letters_dropped": "1", "dead_letters_expired": "2"},
    )
    assert looked(site)[2] == 0


async def test_a_history_far_behind_is_looked_at_when_it_has_caught_up(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = reading("A")
    stored(site, one)
    follow(site)
    assert looked(site)[0] == 1
    monkeypatch.setattr(auditor, "BEHIND_LIMIT", 1)
    for number in range(2):
        stored(site, reading(f"B{number}"))
    checked: Any = site.services.auditor.found
    assert looked(site)[0] == 1
    assert site.services.auditor.found.history is checked.history  # type: ignore[union-attr]


async def test_a_history_that_is_not_there_leaves_the_findings_as_they_are(site: Site) -> None:
    site.services.history.close()
    site.services.auditor.audit()
    assert site.services.auditor.found is None
    async with site.client("operator") as client:
        assert (await client.get("/api/v1/ledger")).json()["history"] is None
