"""What a pending alarm waits for, as scripts of what is seen when: counts, sequences, hours, and holds by readings."""

from dataclasses import replace
from datetime import time
from zoneinfo import ZoneInfo

import pytest

from gridwarden.model import Alarm, AlarmState, Severity
from rules.alarm import deadline_ms, step
from rules.pending import Flapping, LevelSeen, Look, Terms
from rules.schedule import Schedule

INACTIVE = Alarm("a", "r.r", "v", "D", "D", "lift", "", Severity.HIGH, AlarmState.INACTIVE, pending_at_ms=0, revision=0)
SIGHTS: dict[str, tuple[bool | None, bool | None, bool | None]] = {
    "breach": (True, False, True),
    "quiet": (False, True, False),
    "unknown": (None, None, None),
    "first": (False, True, True),
    "then": (True, False, False),
}
"""breached, over, begins"""


def play(script: str, terms: Terms) -> tuple[Alarm, str]:
    """Run ``0 breach / 30 quiet / 40 timer``; the alarm at the end, and everything that happened with its time."""
    alarm, happened = INACTIVE, []
    for part in script.split(" / "):
        at, sight = part.split()
        if sight == "timer":
            due = deadline_ms(alarm, terms)
            if due is None or due > int(at):
                continue
            transitions = step(alarm, Look(None, None, due, int(at)), terms)
        else:
            breached, over, begins = SIGHTS[sight]
            transitions = step(alarm, Look(breached, over, int(at), int(at), begins), terms)
        for transition in transitions:
            alarm = INACTIVE if transition.forgotten else transition.alarm
            if transition.forgotten:
                happened.append("forgotten")
            elif transition.operation:
                times = {"fired": alarm.fired_at_ms, "resolved": alarm.resolved_at_ms}
                what = transition.operation.value.removeprefix("alarm.")
                happened.append(f"{what}@{times.get(what)}")
    return alarm, " ".join(happened)


IN_A_ROW = Terms(count=3)
WITHIN = Terms(count=3, within_ms=100)
SEQUENCE = Terms(is_sequence=True, within_ms=100)
BY_READINGS = Terms(fire_ms=50, by_readings=True)


@pytest.mark.parametrize(
    ("terms", "script", "state", "happened"),
    [
        (IN_A_ROW, "0 breach / 10 breach", "pending", ""),
        (IN_A_ROW, "0 breach / 10 breach / 20 breach", "firing", "fired@20"),
        (IN_A_ROW, "0 breach / 10 quiet / 20 breach / 30 breach", "pending", "forgotten"),
        (IN_A_ROW, "0 breach / 10 unknown / 20 breach / 30 breach", "firing", "fired@30"),
        (IN_A_ROW, "0 breach / 10 breach / 9000 timer", "pending", ""),
        (replace(IN_A_ROW, fire_ms=50), "0 breach / 10 breach / 20 breach", "pending", ""),
        (replace(IN_A_ROW, fire_ms=50), "0 breach / 10 breach / 20 breach / 60 timer", "firing", "fired@50"),
        (replace(IN_A_ROW, fire_ms=50), "0 breach / 60 breach / 70 breach", "firing", "fired@70"),
        (WITHIN, "0 breach / 50 quiet / 60 breach / 100 breach", "firing", "fired@100"),
        (WITHIN, "0 breach / 60 breach / 101 breach", "pending", ""),
        (WITHIN, "0 breach / 60 breach / 101 breach / 160 breach", "firing", "fired@160"),
        (WITHIN, "0 breach / 101 timer", "inactive", "forgotten"),
        (WITHIN, "0 breach / 100 timer", "pending", ""),
        (WITHIN, "0 breach / 201 breach", "inactive", "forgotten"),
        (SEQUENCE, "0 then", "inactive", ""),
        (SEQUENCE, "0 first / 100 then", "firing", "fired@100"),
        (SEQUENCE, "0 first / 101 then", "inactive", "forgotten"),
        (SEQUENCE, "0 first / 60 first / 150 then", "firing", "fired@150"),
        (SEQUENCE, "0 first / 50 unknown / 101 timer", "inactive", "forgotten"),
        (SEQUENCE, "0 breach", "firing", "fired@0"),
        (replace(SEQUENCE, fire_ms=50), "0 first / 90 then / 120 then / 140 timer", "firing", "fired@140"),
        (replace(SEQUENCE, fire_ms=50), "0 first / 20 then / 40 quiet / 80 then / 110 timer", "pending", ""),
        (BY_READINGS, "0 breach / 9000 timer", "pending", ""),
        (BY_READINGS, "0 breach / 40 breach / 9000 breach", "firing", "fired@50"),
        (BY_READINGS, "0 breach / 60 quiet", "inactive", "forgotten"),
        (BY_READINGS, "0 breach / 60 unknown / 70 breach", "firing", "fired@50"),
        (Terms(min_firing_ms=100), "0 breach / 10 quiet / 99 timer", "firing", "fired@0"),
        (Terms(min_firing_ms=100), "0 breach / 10 quiet / 100 timer", "resolved", "fired@0 resolved@100"),
        (Terms(min_firing_ms=100), "0 breach / 10 quiet / 50 breach / 120 quiet", "resolved", "fired@0 resolved@120"),
    ],
)  # fmt: skip
def test_what_comes_of_it(terms: Terms, script: str, state: str, happened: str) -> None:
    alarm, told = play(script, terms)
    assert (alarm.state, told) == (state, happened)


def test_a_rule_fires_when_its_hours_begin_if_the_condition_still_holds_then() -> None:
    night = Terms(fire_ms=50, schedule=Schedule(ZoneInfo("UTC"), frozenset(range(7)), time(22), time(6)))
    evening, ten = 12 * 3_600_000, 22 * 3_600_000
    assert play(f"{evening} breach / {ten - 1} timer", night) == (play(f"{evening} breach", night)[0], "")
    assert play(f"{evening} breach / {ten} timer", night)[1] == f"fired@{ten}"
    assert play(f"{evening} breach / {evening + 100} quiet / {ten} timer", night)[1] == "forgotten"
    assert play(f"{ten} breach / {ten + 50} timer", night)[1] == f"fired@{ten + 50}"


def test_an_alarm_that_fires_too_often_becomes_one_that_stays_until_it_is_quiet() -> None:
    terms = Terms(flapping=Flapping(count=3, within_ms=100, quiet_ms=50))
    alarm = replace(INACTIVE, memory={"fires": [10, 40]})
    (fired,) = step(alarm, Look(True, False, 60, 60, True), terms)
    assert (fired.alarm.flapping, fired.alarm.memory["fires"]) == (True, [10, 40, 60])
    (waits,) = step(fired.alarm, Look(False, True, 70, 70, False), terms)
    (broken,) = step(waits.alarm, Look(True, False, 100, 100, True), terms)
    (waits,) = step(broken.alarm, Look(False, True, 110, 110, False), terms)
    (resolved,) = step(waits.alarm, Look(None, None, 160, 160), terms)
    assert (waits.operation, broken.operation, resolved.alarm.resolved_at_ms) == (None, None, 160)


def test_firing_of_long_ago_does_not_count_as_flapping() -> None:
    terms = Terms(flapping=Flapping(count=3, within_ms=100, quiet_ms=50))
    (fired,) = step(replace(INACTIVE, memory={"fires": [10, 40]}), Look(True, False, 111, 111, True), terms)
    assert (fired.alarm.flapping, fired.alarm.memory["fires"]) == (False, [40, 111])


@pytest.mark.parametrize("at_a_time", [True, False])
def test_severity_rises_at_once_and_falls_only_by_its_reset(at_a_time: bool) -> None:
    """The table of Kapacitor's documentation of reset expressions."""
    after = {61: "low", 73: "medium", 64: "medium", 85: "high", 62: "low", 56: "low", 47: "low"}
    alarm = INACTIVE
    for number, (value, severity) in enumerate(after.items()):
        levels = (
            LevelSeen(Severity.MEDIUM, value > 70, value < 60 or value == 62),
            LevelSeen(Severity.HIGH, value > 80, value < 70),
        )
        look = Look(True, False, number, number, True, severity=Severity.LOW, levels=levels)
        transitions = step(alarm if at_a_time else replace(alarm), look, Terms())
        alarm = transitions[-1].alarm if transitions else alarm
        assert alarm.severity == severity, value


def test_a_severity_that_changes_is_told_and_an_alarm_may_begin_with_the_worst() -> None:
    levels = (LevelSeen(Severity.CRITICAL, True, False),)
    (fired,) = step(INACTIVE, Look(True, False, 0, 0, True, severity=Severity.HIGH, levels=levels), Terms())
    assert (fired.operation, fired.alarm.severity) == ("alarm.fired", "critical")
    levels = (LevelSeen(Severity.CRITICAL, False, True),)
    (fallen,) = step(fired.alarm, Look(True, False, 1, 1, True, severity=Severity.HIGH, levels=levels), Terms())
    assert (fallen.operation, fallen.alarm.severity) == ("alarm.severity", "high")


def test_a_suppression_ends_while_the_alarm_stands_and_not_because_it_is_over() -> None:
    (fired,) = step(INACTIVE, Look(True, False, 0, 0, suppressed=True), Terms())
    assert fired.alarm.suppressed
    (resolved,) = step(fired.alarm, Look(False, True, 1, 1, suppressed=False), Terms())
    assert resolved.alarm.suppressed
    (told,) = step(fired.alarm, Look(True, False, 1, 1, suppressed=False), Terms())
    assert (told.operation, told.alarm.suppressed) == (None, False)
