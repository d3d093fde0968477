"""Lines of a timeline: made from alarms and events, held against what is expected."""

from dataclasses import replace
from typing import Any

import pytest

from gridwarden.model import FOREIGN, Alarm, AlarmState, EventState, GridEvent, Severity
from rules.timeline import Entry, compare, of_alarm, of_event, who, write_duration

PENDING = Alarm("a", "r.one", "v", "LIFT-1", "LIFT-1", "lift", "", Severity.LOW, AlarmState.PENDING, 1_000)
FIRING = replace(PENDING, state=AlarmState.FIRING, fired_at_ms=5_000)
CLEARED = replace(FIRING, cleared_at_ms=9_000)
RESOLVED = replace(FIRING, state=AlarmState.RESOLVED, cleared_at_ms=9_000, resolved_at_ms=9_500)
EVENT = GridEvent("e", "F1", "fire/device:A", "fire", "r.one", Severity.LOW, EventState.OPEN, "", "A", "smoke", 0, 0)


def told(before: Alarm | None, after: Alarm) -> list[tuple[int, str]]:
    return [(at_ms, what) for at_ms, what, _ in of_alarm(before, after, 20_000)]


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        (None, PENDING, [(1_000, "pending")]),
        (PENDING, replace(PENDING, revision=2), []),
        (PENDING, FIRING, [(5_000, "fired")]),
        (None, FIRING, [(1_000, "pending"), (5_000, "fired")]),
        (None, replace(FIRING, fired_at_ms=1_000), [(1_000, "fired")]),
        (None, replace(FIRING, evidence={"group": {}}), [(5_000, "fired")]),
        (None, replace(FIRING, evidence={"values": {"heard_at": "…"}}), [(5_000, "fired")]),
        (FIRING, replace(FIRING, severity=Severity.HIGH), [(20_000, "severity")]),
        (FIRING, replace(FIRING, quieted_by="silence:1"), [(20_000, "quieted")]),
        (replace(FIRING, quieted_by="silence:1"), FIRING, [(20_000, "told")]),
        (FIRING, CLEARED, [(9_000, "cleared")]),
        (CLEARED, FIRING, [(20_000, "returned")]),
        (CLEARED, RESOLVED, [(9_500, "resolved")]),
        (PENDING, RESOLVED, [(5_000, "fired"), (9_500, "resolved")]),
    ],
)
def test_what_becomes_of_an_alarm(before: Alarm | None, after: Alarm, lines: list[tuple[int, str]]) -> None:
    assert told(before, after) == lines


def test_details_say_how_an_alarm_fired_and_why_it_ended() -> None:
    quiet = replace(FIRING, quieted_by="suppressed", evidence={"count": 2})
    ((_, _, fired),) = of_alarm(PENDING, quiet, 0)
    assert (fired["severity"], fired["quieted_by"], fired["count"], fired["flapping"]) == (
        "low",
        "suppressed",
        2,
        False,
    )
    retired = replace(RESOLVED, evidence={"ended_by": "rule_gone"})
    assert [details for _, _, details in of_alarm(FIRING, retired, 0)] == [{"ended_by": "rule_gone"}]


def test_what_becomes_of_an_event() -> None:
    assert of_event(None, EVENT) == ""
    assert of_event(EVENT, replace(EVENT, alarm_count=2)) == ""
    assert of_event(EVENT, replace(EVENT, state=EventState.CLOSED)) == "event closed"
    assert of_event(EVENT, replace(EVENT, state=EventState.MERGED)) == "event merged"


def test_an_alarm_of_a_stranger_is_about_the_device_it_names() -> None:
    assert who(PENDING) == "LIFT-1"
    assert who(replace(PENDING, scope="building:B1")) == "building:B1"
    assert who(replace(PENDING, scope=f"{FOREIGN}stranger/LIFT-1")) == "LIFT-1"


def line(what: str = "fired", at_ms: int = 0, **details: Any) -> Entry:
    return Entry(at_ms, "r.one", what, "", details)


@pytest.mark.parametrize(
    ("expected", "got", "met"),
    [
        (line(), line(severity="high"), True),
        (line(severity="high"), line(severity="high"), True),
        (line(severity="high"), line(severity="low"), False),
        (line(flapping=True), line(flapping=False), False),
        (line(), line(quieted_by="suppressed"), False),
        (line(quieted_by="silence:1"), line(quieted_by="silence:1"), True),
        (line(quieted_by="silence:1"), line(quieted_by="silence:12"), False),
        (line(quieted_by="inhibited:r.two"), line(quieted_by="inhibited:r.two@A"), True),
        (line(quieted_by="inhibited:r.two"), line(), False),
        (line(), line("pending"), False),
    ],
)
def test_details_may_be_left_out_but_not_reasons(expected: Entry, got: Entry, met: bool) -> None:
    assert expected.is_met_by(got) is met


def test_both_timelines_become_one_in_order_of_time() -> None:
    expected = [line("pending"), line("fired", 5), line("resolved", 9)]
    got = [line("resolved", 8), line("fired", 5), line("pending")]
    marks = [(mark, entry.what, entry.at_ms) for mark, entry in compare(expected, got)]
    assert marks == [(" ", "pending", 0), (" ", "fired", 5), ("+", "resolved", 8), ("-", "resolved", 9)]


def test_one_line_meets_one_line() -> None:
    assert [mark for mark, _ in compare([line(), line()], [line()])] == ["-", " "]


def test_a_line_reads_as_it_is_written() -> None:
    entry = Entry(90_000, "r.one", "event joined", "A", {"severity": "high", "quieted_by": "suppressed"})
    assert str(entry) == "[90s, A, r.one, joined, {quieted_by: suppressed}]"
    assert entry.text({"flapping": True}) == "[90s, A, r.one, joined, {flapping: true}]"


@pytest.mark.parametrize(
    ("ms", "text"), [(0, "0s"), (250, "250ms"), (90_000, "90s"), (300_000, "5m"), (7_200_000, "2h")]
)
def test_durations_are_written_in_the_largest_whole_unit(ms: int, text: str) -> None:
    assert write_duration(ms) == text
