"""What core says of the room for what was set aside."""

from __future__ import annotations

import structlog

from gridwarden.config import Aside, load
from gridwarden.core.shelf import HOUSEKEEPING_MS, Shelf, limits_of
from gridwarden.records.aside import Fill, Limits

SETTINGS = Aside(quota_bytes=2**20, quarantine_rows=200)
MIB = 2**20


def test_the_defaults_are_those_of_the_records() -> None:
    assert limits_of(load(None, {})) == Limits()


def test_how_full_it_is_is_the_fuller_of_the_two() -> None:
    shelf = Shelf(SETTINGS)
    shelf.take(Fill(bytes=MIB // 4, rows=3, dropped=2, quarantine_rows=100))
    status = shelf.status()
    assert {name: status[name] for name in ("bytes", "quota_bytes", "rows", "dropped", "fill", "dropping")} == {
        "bytes": MIB // 4, "quota_bytes": MIB, "rows": 3, "dropped": 2, "fill": 0.5, "dropping": False,
    }  # fmt: skip


def test_the_log_is_told_once_when_letters_begin_to_be_dropped_and_once_when_there_is_room() -> None:
    shelf = Shelf(SETTINGS)
    with structlog.testing.capture_logs() as logs:
        for fill in (Fill(0, dropped=5), Fill(MIB, dropped=5), Fill(MIB, dropped=6), Fill(MIB, dropped=9),
                     Fill(MIB * 9 // 10, dropped=9), Fill(MIB // 2, dropped=9), Fill(MIB, dropped=10)):  # fmt: skip
            shelf.take(fill)
    assert [entry["event"][:18] for entry in logs] == ["dead letters are d", "dead letters have ", "dead letters are d"]


def test_old_things_go_every_few_seconds_also_when_the_clock_is_set_back() -> None:
    shelf = Shelf(SETTINGS)
    assert [shelf.is_due(at_ms) for at_ms in (10**9, 10**9 + 1, 10**9 + HOUSEKEEPING_MS, 10**8)] == [
        True,
        False,
        True,
        True,
    ]
