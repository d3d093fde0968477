"""Reading beside the writer: pages, scopes, counts, and never a lock in its way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gridwarden.errors import NotFound, RecordsUnavailable
from gridwarden.model import (
    Alarm,
    AlarmState,
    Change,
    DeadLetter,
    EventState,
    GridEvent,
    Operation,
    Reading,
    Severity,
)
from gridwarden.quieting import Matchers, Quieting, QuietingKind
from gridwarden.records.block import decode, rows_json
from gridwarden.records.reader import Reader
from gridwarden.records.transaction import Transaction
from gridwarden.records.writer import Writer

NOW_MS = 1_800_000_000_000


def alarm(number: int, **changes: object) -> Alarm:
    plain = Alarm(f"A{number}", "smoke.fire", "1", f"S{number}", f"S{number}", "smoke", f"33{number % 2}0",
                  Severity.CRITICAL, AlarmState.FIRING, NOW_MS + number, fired_at_ms=NOW_MS + number, event_id="E0")  # fmt: skip
    return replace(plain, **changes)  # type: ignore[arg-type]


def event(number: int, **changes: object) -> GridEvent:
    plain = GridEvent(f"E{number}", f"F-{number}", f"fire/device:S{number}", "fire", "smoke.fire", Severity.HIGH,
                      EventState.OPEN, f"33{number % 2}0", f"S{number}", "smoke", NOW_MS + number, NOW_MS)  # fmt: skip
    return replace(plain, **changes)  # type: ignore[arg-type]


@pytest.fixture
def filled(writer: Writer) -> Writer:
    transaction = Transaction(NOW_MS)
    for number in range(6):
        one = alarm(number)
        transaction.alarms[one.alarm_id] = one
        transaction.events[f"E{number}"] = event(number)
        transaction.changes.append(Change(Operation.ALARM_FIRED, NOW_MS, one.area, one, event(number), "op"))
        transaction.dead_letters.append(DeadLetter(NOW_MS, "b", "t", f"c{number}", "", b""))
    transaction.alarms["A1"] = alarm(1, state=AlarmState.RESOLVED, resolved_at_ms=NOW_MS + 50)
    transaction.alarms["P"] = alarm(9, alarm_id="P", state=AlarmState.PENDING, fired_at_ms=None)
    transaction.events["E1"] = event(1, state=EventState.CLOSED, unacknowledged_count=0)
    transaction.events["E2"] = event(2, unacknowledged_count=0)
    writer.commit(transaction)
    return writer


def test_alarms_in_pages_newest_first_and_none_that_never_fired(filled: Writer, reader: Reader) -> None:
    first = reader.alarms(limit=4)
    last = first[-1]
    assert last.fired_at_ms
    second = reader.alarms(after=(last.fired_at_ms, last.alarm_id), limit=4)
    assert [one.alarm_id for one in first + second] == ["A5", "A4", "A3", "A2", "A1", "A0"]


def test_alarms_are_chosen(filled: Writer, reader: Reader) -> None:
    def ids(**choice: object) -> list[str]:
        return [one.alarm_id for one in reader.alarms(**choice)]  # type: ignore[arg-type]

    assert ids(state="resolved") == ["A1"]
    assert ids(device="S3") == ["A3"]
    assert ids(rule="lift.entrapment") == []
    assert ids(scopes=("331",)) == ["A5", "A3", "A1"]
    assert ids(scopes=()) == []
    assert ids(scopes=("33%", "_")) == []
    assert ids(event="E0", limit=1) == ["A5"]
    assert ids(span_ms=(NOW_MS + 51, NOW_MS + 3)) == ["A2", "A0"]
    with pytest.raises(NotFound):
        reader.alarm("nobody")


def test_events_and_the_open_situation(filled: Writer, reader: Reader) -> None:
    assert [one.event_id for one in reader.events(state="closed")] == ["E1"]
    assert [one.event_id for one in reader.events(severity="high", limit=2)] == ["E5", "E4"]
    seq, events, alarms = reader.open_situation(("330",), 100)
    assert seq == reader.last_seq() == 6
    assert [one.event_id for one in events] == ["E4", "E2", "E0"]
    assert [one.alarm_id for one in alarms] == ["A4", "A2", "A0"]
    assert reader.counts(("",)) == {
        "open_events": {"high": 5},
        "unacknowledged_events": 4,
        "firing_alarms": 5,
        "quieted_alarms": 0,
    }
    assert reader.counts(()) == {"open_events": {}, "unacknowledged_events": 0, "firing_alarms": 0, "quieted_alarms": 0}
    assert reader.event("E1").state is EventState.CLOSED
    with pytest.raises(NotFound):
        reader.event("nobody")


def test_an_event_has_the_alarms_of_those_it_has_adopted(filled: Writer, reader: Reader) -> None:
    adopted = event(4, state=EventState.MERGED, merged_into="E2")
    elsewhere = event(3, state=EventState.MERGED, merged_into="E1")
    transaction = Transaction(NOW_MS, events={"E4": adopted, "E3": elsewhere})
    transaction.alarms = {"A2": alarm(2, event_id="E2"), "A4": alarm(4, event_id="E4"), "A3": alarm(3, event_id="E3")}
    filled.commit(transaction)
    assert [one.alarm_id for one in reader.alarms(event="E2")] == ["A4", "A2"]
    assert [one.alarm_id for one in reader.alarms(event="E4")] == ["A4"]
    assert reader.events(merged_into="E2") == [adopted]
    _, events, _ = reader.open_situation(("",), 100)
    assert [one.event_id for one in events] == ["E5", "E2", "E0", "E4"]  # E3 was adopted by one that is closed
    assert [one.event_id for one in reader.open_situation(("331",), 100)[1]] == ["E5"]
    assert [one.event_id for one in reader.open_situation(("",), 1)[1]] == ["E5"]
    assert reader.counts(("",))["open_events"] == {"high": 3}
    assert {one.event_id for one in filled.start().events} == {"E0", "E2", "E4", "E5"}


def test_the_journal_and_what_was_set_aside_come_in_pages(filled: Writer, reader: Reader) -> None:
    entries = reader.journal(2, limit=3)
    assert [(entry.seq, entry.operation, entry.actor) for entry in entries] == [
        (seq, "alarm.fired", "op") for seq in (3, 4, 5)
    ]
    assert entries[0].body["alarm"]["alarm_id"] == "A2"
    first = reader.aside.letters(limit=4)
    second = reader.aside.letters(before=first[-1]["dead_letter_id"])
    assert [letter["code"] for letter in first + second] == ["c5", "c4", "c3", "c2", "c1", "c0"]
    assert reader.aside.quarantined() == []
    assert reader.aside.recount() == {"dead_lettered": 6, "quarantined": 0}


def test_blocks_come_in_order_until_the_limit_and_one_at_least(writer: Writer, reader: Reader) -> None:
    one = rows_json([Reading("S", "smoke", "g", 1, 1, 1, 1, True, {})])
    for number in range(5):
        writer.commit(Transaction(NOW_MS, one if number != 2 else b"", 1))
    assert [found.offset for found in reader.blocks(0, 1)] == [1]
    found = reader.blocks(1, 10_000)
    assert [block.offset for block in found] == [2, 3, 4, 5]
    assert found[1].body == b""
    assert [reading.device_id for reading in decode(found[0].body)] == ["S"]
    assert reader.blocks(5, 10) == []
    assert reader.head() == 5


def quieting(number: int, area: str, **changes: object) -> Quieting:
    plain = Quieting(number, QuietingKind.SILENCE, area, Matchers(), False, NOW_MS, None, "op", "u1", "", NOW_MS)
    return replace(plain, **changes)  # type: ignore[arg-type]


def test_quietings_that_touch_what_one_sees_newest_first(writer: Writer, reader: Reader) -> None:
    transaction = Transaction(NOW_MS)
    for one in (
        quieting(1, ""), quieting(2, "330106", kind=QuietingKind.MAINTENANCE), quieting(3, "330106001"),
        quieting(4, "330106002"), quieting(5, "330106001", ended_at_ms=NOW_MS),
    ):  # fmt: skip
        transaction.quietings[one.quieting_id] = one
    writer.commit(transaction)

    def ids(**choice: object) -> list[int]:
        return [one.quieting_id for one in reader.quietings(**choice)]  # type: ignore[arg-type]

    assert ids() == [5, 4, 3, 2, 1]
    assert ids(scopes=("330106001",)) == [5, 3, 2, 1]
    assert ids(scopes=("330106001",), ended=False) == [3, 2, 1]
    assert ids(scopes=()) == []
    assert ids(kind="maintenance") == [2]
    assert ids(before=3, limit=1) == [2]
    assert reader.quieting(4) == quieting(4, "330106002")
    with pytest.raises(NotFound, match="no_such_quieting"):
        reader.quieting(9)


def test_quieted_alarms_are_counted_and_chosen(writer: Writer, reader: Reader) -> None:
    transaction = Transaction(NOW_MS)
    for number, reason in enumerate(("", "silence:1", "silence:1", "shelved:2")):
        transaction.alarms[f"A{number}"] = alarm(number, quieted_by=reason)
    transaction.alarms["A9"] = alarm(9, quieted_by="silence:1", state=AlarmState.RESOLVED)
    writer.commit(transaction)
    assert reader.quieted_counts() == {"silence:1": 2, "shelved:2": 1}
    assert reader.quieted_counts(("331",)) == {"silence:1": 1, "shelved:2": 1}
    assert [one.alarm_id for one in reader.alarms(quieted=True, state="firing")] == ["A3", "A2", "A1"]
    assert [one.alarm_id for one in reader.alarms(quieted=False)] == ["A0"]
    assert reader.counts(("",))["quieted_alarms"] == 3


def test_an_empty_file_has_nothing(reader: Reader) -> None:
    assert (reader.head(), reader.last_seq(), reader.alarms(), reader.unregistered()) == (0, 0, [], [])
    assert reader.ledger()["received"] == 0
    assert len(reader.epoch()) == 16


def test_a_file_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    absent = Reader(tmp_path)
    with pytest.raises(RecordsUnavailable):
        absent.head()
    absent.close()
