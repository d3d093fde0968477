"""How long the journal is kept: what is over goes, in bounded steps; what is open stays, with all that was said of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gridwarden.model import Alarm, AlarmState, Change, EventState, GridEvent, Operation, Severity
from gridwarden.records import retention
from gridwarden.records.aside import Limits
from gridwarden.records.reader import Reader
from gridwarden.records.transaction import Transaction
from gridwarden.records.writer import Writer

DAY_MS = 86_400_000
NOW_MS = 1_000 * DAY_MS
OLD_MS = NOW_MS - 20 * DAY_MS
LIMITS = Limits(journal_ms=10 * DAY_MS)


@pytest.fixture
def writer(data: Path) -> Any:
    writer = Writer(data, LIMITS)
    writer.start()
    yield writer
    writer.close()


def alarm(name: str, event: str | None, fired_ms: int, resolved_ms: int | None = None) -> Alarm:
    state = AlarmState.FIRING if resolved_ms is None else AlarmState.RESOLVED
    return Alarm(name, "r", "1", name, name, "smoke", "3301", Severity.HIGH, state, fired_ms, fired_at_ms=fired_ms,
                 resolved_at_ms=resolved_ms, event_id=event)  # fmt: skip


def event(name: str, opened_ms: int, closed_ms: int | None = None) -> GridEvent:
    state = EventState.OPEN if closed_ms is None else EventState.CLOSED
    return GridEvent(name, f"no-{name}", f"key-{name}", "fire", "r", Severity.HIGH, state, "3301", name, "smoke", opened_ms,
                     opened_ms, closed_at_ms=closed_ms)  # fmt: skip


def say(writer: Writer, at_ms: int, one: Alarm | None = None, case: GridEvent | None = None, times: int = 1) -> None:
    change = Change(Operation.ALARM_FIRED, at_ms, "3301", one, case)
    transaction = Transaction(at_ms, changes=[change] * times)
    if one:
        transaction.alarms[one.alarm_id] = one
    if case:
        transaction.events[case.event_id] = case
    writer.commit(transaction)


def keep_house(writer: Writer, times: int = 1, at_ms: int = NOW_MS) -> None:
    for _ in range(times):
        writer.commit(Transaction(at_ms, keeps_house=True))


def left(data: Path) -> tuple[list[int], set[str], set[str]]:
    """Journal numbers, alarms, events."""
    reader = Reader(data)
    try:
        return (
            [entry.seq for entry in reader.journal(0)],
            {one.alarm_id for one in reader.alarms(limit=1000)},
            {one.event_id for one in reader.events()},
        )
    finally:
        reader.close()


def test_what_is_over_goes_and_what_is_open_stays_with_its_whole_journal(writer: Writer, data: Path) -> None:
    say(writer, OLD_MS, alarm("A", "closed", OLD_MS, OLD_MS + 5), event("closed", OLD_MS, OLD_MS + 9))
    say(writer, OLD_MS, alarm("B", "open", OLD_MS, OLD_MS + 5), event("open", OLD_MS))
    say(writer, OLD_MS, alarm("C", None, OLD_MS))
    say(writer, OLD_MS, alarm("D", None, OLD_MS, OLD_MS + 7))
    say(writer, OLD_MS, alarm("E", "late", OLD_MS, OLD_MS + 5), event("late", OLD_MS, NOW_MS))
    say(writer, NOW_MS, alarm("F", None, NOW_MS))
    keep_house(writer)
    assert left(data) == ([2, 3, 6], {"B", "C", "E", "F"}, {"open", "late"})
    reader = Reader(data)
    assert reader.journal_trimmed() == 5
    reader.close()


def test_what_is_over_at_last_takes_along_what_was_left_of_it(writer: Writer, data: Path) -> None:
    say(writer, OLD_MS, alarm("B", "open", OLD_MS, OLD_MS + 5), event("open", OLD_MS))
    say(writer, OLD_MS, alarm("C", None, OLD_MS))
    say(writer, NOW_MS)
    keep_house(writer)
    say(writer, NOW_MS, case=event("open", OLD_MS, NOW_MS))
    say(writer, NOW_MS, alarm("C", None, OLD_MS, NOW_MS))
    keep_house(writer, at_ms=NOW_MS + 9 * DAY_MS)
    assert left(data)[0] == [1, 2, 3, 4, 5]
    keep_house(writer, at_ms=NOW_MS + 11 * DAY_MS)
    assert left(data) == ([5], set(), set())


def test_the_newest_number_stays_so_that_none_is_given_twice(writer: Writer, data: Path) -> None:
    for _ in range(3):
        say(writer, OLD_MS)
    keep_house(writer, 3)
    assert left(data)[0] == [3]
    say(writer, NOW_MS)
    assert left(data)[0] == [3, 4]


def test_it_goes_in_steps(writer: Writer, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    say(writer, OLD_MS, times=3 * retention.STEP)
    say(writer, NOW_MS)
    for step in range(1, 4):
        keep_house(writer)
        assert left(data)[0][0] == step * retention.STEP + 1
    keep_house(writer)
    assert left(data)[0] == [3 * retention.STEP + 1]


def test_an_event_of_many_alarms_goes_in_steps_and_last_of_all(writer: Writer, data: Path) -> None:
    transaction = Transaction(OLD_MS)
    count = 2 * retention.STEP + 50
    for number in range(count):
        transaction.alarms[f"A{number}"] = alarm(f"A{number}", "E" if number % 2 else "child", OLD_MS, OLD_MS + 5)
    transaction.events["E"] = event("E", OLD_MS, OLD_MS + 9)
    transaction.events["child"] = replace(event("child", OLD_MS), state=EventState.MERGED, merged_into="E")
    writer.commit(transaction)
    for kept in (count - retention.STEP, count - 2 * retention.STEP):
        keep_house(writer)
        _, alarms, events = left(data)
        assert (len(alarms), events) == (kept, {"E", "child"})
    keep_house(writer)
    assert left(data)[1:] == (set(), set())


def test_what_an_open_event_has_adopted_stays(writer: Writer, data: Path) -> None:
    say(writer, OLD_MS, case=event("parent", OLD_MS))
    say(writer, OLD_MS, alarm("A", "child", OLD_MS, OLD_MS + 5),
        replace(event("child", OLD_MS), state=EventState.MERGED, merged_into="parent"))  # fmt: skip
    say(writer, NOW_MS)
    keep_house(writer, 2)
    assert left(data) == ([1, 2, 3], {"A"}, {"parent", "child"})


def test_an_event_with_an_alarm_that_still_fires_stays(writer: Writer, data: Path) -> None:
    say(writer, OLD_MS, alarm("A", "E", OLD_MS), event("E", OLD_MS, OLD_MS + 9))
    say(writer, NOW_MS)
    keep_house(writer, 2)
    assert left(data)[1:] == ({"A"}, {"E"})


def test_a_younger_entry_before_an_older_one_stays(writer: Writer, data: Path) -> None:
    say(writer, NOW_MS)
    say(writer, OLD_MS)
    say(writer, NOW_MS)
    keep_house(writer, 2)
    assert left(data)[0] == [1, 2, 3]


def test_without_housekeeping_nothing_goes(writer: Writer, data: Path) -> None:
    say(writer, OLD_MS)
    say(writer, NOW_MS)
    writer.commit(Transaction(NOW_MS))
    assert left(data)[0] == [1, 2]
