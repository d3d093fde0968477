"""Lines of the ledger and gateways, from a real file."""

from __future__ import annotations

import pytest

from gridwarden.core.ledger import OTHER
from gridwarden.errors import NotFound
from gridwarden.model import DeadLetter, Reading
from gridwarden.records import lines
from gridwarden.records import reader as records_reader
from gridwarden.records.lines import By
from gridwarden.records.reader import Reader
from gridwarden.records.transaction import Tally, Transaction
from gridwarden.records.writer import Writer

NOW_MS = 1_800_000_000_000


def counted(writer: Writer, readings: int = 0, **tallies: Tally) -> None:
    """A transaction with these lines: ``broker_lane_gateway``."""
    keys = {name: [*name.split("_"), "", ""] for name in tallies}
    given = {(key[0], key[1], key[2]): tallies[name] for name, key in keys.items()}
    writer.commit(Transaction(NOW_MS, b"[]" if readings else b"", readings, tallies=given))


@pytest.fixture(autouse=True)
def some(writer: Writer) -> None:
    one = Tally(stored=2, received=2, last_received_at_ms=5)
    counted(writer, b_alarm_g1=one, b_up_g1=one, b_up_g2=one, c_up_g2=Tally(duplicate=1, received=1), b_up=one)
    counted(writer, b_up_g1=Tally(stored=1, received=1, last_received_at_ms=9))
    counted(writer, b_up_g1=Tally(stored=1, received=1, last_received_at_ms=7))


def test_lines_by_broker_lane_and_gateway(reader: Reader) -> None:
    assert [(one["broker"], one["received"]) for one in reader.ledger_lines(By.BROKER)] == [("b", 10), ("c", 1)]
    by_lane = reader.ledger_lines(By.LANE)
    assert [(one["broker"], one["lane"], one["stored"]) for one in by_lane] == [
        ("b", "alarm", 2),
        ("b", "up", 8),
        ("c", "up", 0),
    ]
    assert [one["last_received_at_ms"] for one in by_lane] == [5, 9, 0]


def test_pages_of_lines_leave_nothing_out(reader: Reader) -> None:
    paged: list[tuple[str, ...]] = []
    while page := reader.ledger_lines(By.GATEWAY, paged[-1] if paged else (), 2):
        paged += [(one["broker"], one["lane"], one["gateway"]) for one in page]
    assert paged == [("b", "alarm", "g1"), ("b", "up", ""), ("b", "up", "g1"), ("b", "up", "g2"), ("c", "up", "g2")]


def test_gateways_by_name(writer: Writer, reader: Reader) -> None:
    letters = [DeadLetter(NOW_MS, "b", "gridwarden/v1/g1/up", "not_json", "", b"x")]
    writer.commit(Transaction(NOW_MS, dead_letters=letters, tallies={("b", "up", OTHER): Tally(stored=1, received=1)}))
    assert [(one["gateway"], one["brokers"], one["received"]) for one in reader.gateways()] == [
        ("g1", ["b"], 6), ("g2", ["b", "c"], 3), (OTHER, ["b"], 1)
    ]  # fmt: skip
    assert [one["gateway"] for one in reader.gateways(after="g1", limit=1)] == ["g2"]


def test_what_we_say_of_ourselves_has_a_line_and_is_no_gateway_s(writer: Writer, reader: Reader) -> None:
    before = reader.ledger()
    counted(writer, gridwarden_telemetry_gridwarden=Tally(stored=3, received=3))
    assert [(one["broker"], one["stored"]) for one in reader.ledger_lines(By.BROKER)][-1] == ("gridwarden", 3)
    assert "gridwarden" not in {one["gateway"] for one in reader.gateways()}
    assert reader.ledger() == before


def test_one_gateway(writer: Writer, reader: Reader) -> None:
    foreign = Reading("S", "smoke", "g1", NOW_MS, NOW_MS, 1, 1, True, {}, entitled=False)
    writer.commit(Transaction(NOW_MS, quarantined=[foreign]))
    found = reader.gateway("g1", 10)
    assert [(one["lane"], one["stored"]) for one in found["lines"]] == [("alarm", 2), ("up", 4)]
    assert [one["device_id"] for one in found["newest_quarantined"]] == ["S"]
    assert reader.gateway("g2", 10)["newest_quarantined"] == []
    with pytest.raises(NotFound):
        reader.gateway("g3", 10)


@pytest.mark.parametrize("at_once", [1, 5_000])
def test_what_the_ledger_says_was_committed_up_to_an_offset(
    writer: Writer, reader: Reader, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(records_reader, "COUNTED_AT_ONCE", at_once)
    counted(writer, 3, b_up_g1=Tally(stored=2, quarantined=1, received=3))
    counted(writer, 4, b_up_g1=Tally(stored=4, received=4))
    assert [reader.readings_through(offset) for offset in (5, 4, 3)] == [17, 13, 10]


def test_an_imbalance_is_counted_line_by_line(writer: Writer, reader: Reader) -> None:
    with reader._read() as connection:
        assert lines.imbalance(connection) == 0
    counted(writer, b_up_g1=Tally(received=1), b_up_g2=Tally(stored=1))
    with reader._read() as connection:
        assert lines.imbalance(connection) == 2
