"""What a transaction counts."""

from __future__ import annotations

from dataclasses import fields

from gridwarden.quieting import Matchers, Quieting, QuietingKind
from gridwarden.records.schema import ledger
from gridwarden.records.transaction import LINE_COLUMNS, Tally, Transaction


def test_the_ledger_s_columns_are_the_tally_s_fields_in_order() -> None:
    assert tuple(field.name for field in fields(Tally)) == LINE_COLUMNS
    names = [column.name for column in ledger.columns]
    assert names == ["broker", "lane", "gateway", *LINE_COLUMNS]


def test_tallies_add_up_and_what_was_received_is_a_count_of_its_own() -> None:
    tally = Tally(1, 2, 3, 4, 5, 6, 70)
    tally.add(Tally(10, 20, 30, 40, 50, 60, 700, 9))
    tally.add(Tally(last_received_at_ms=8))
    assert tally == Tally(11, 22, 33, 44, 55, 66, 770, 9)
    assert tally.accounted == 110
    assert tally.values() == (*tally.counts().values(), 9)


def test_one_tally_a_broker_lane_and_gateway() -> None:
    transaction = Transaction(1)
    assert transaction.empty
    assert transaction.tally("b", "alarm") is transaction.tally("b", "alarm")
    assert transaction.tally("b", "alarm") is not transaction.tally("b", "telemetry")
    assert transaction.tally("b", "alarm", "g") is not transaction.tally("b", "alarm")
    assert not transaction.empty


def test_a_quieting_alone_is_something_to_write() -> None:
    transaction = Transaction(1)
    transaction.quietings[1] = Quieting(1, QuietingKind.SILENCE, "", Matchers(), False, 1, 2, "op", "u1", "x", 1)
    assert not transaction.empty


def test_something_to_remember_alone_is_something_to_write() -> None:
    assert not Transaction(1, remembered={"a": "1"}).empty
