"""The life of an alarm, as scripts of what is seen when."""

from dataclasses import replace

import pytest

from gridwarden.model import Alarm, AlarmState, Operation, Outcome, Severity
from rules.alarm import Look, Terms, acknowledge, confirm, deadline_ms, retire, step

INACTIVE = Alarm("a", "r.r", "v", "D", "D", "lift", "", Severity.HIGH, AlarmState.INACTIVE, pending_at_ms=0, revision=0)
SIGHT = {"breach": (True, False), "over": (False, True), "quiet": (False, False), "unknown": (None, None)}


def play(script: str, hold: int = 0, clear_hold: int = 0, latched: bool = False) -> tuple[Alarm, str]:
    """Run ``0 breach / 30 over``; the alarm at the end, and the operations told."""
    alarm, told = replace(INACTIVE, latched=latched), []
    for part in script.split(" / "):
        at, sight = part.split()
        if sight == "confirm":
            transitions = [confirm(alarm, "me", int(at), Outcome.TRUE, "")]
        else:
            transitions = step(alarm, Look(*SIGHT[sight], int(at), int(at)), Terms(hold, clear_hold))
        for transition in transitions:
            assert transition.alarm.revision == alarm.revision + 1
            alarm = transition.alarm
            told += [transition.operation.value.removeprefix("alarm.")] if transition.operation else []
    return alarm, " ".join(told)


@pytest.mark.parametrize(
    ("script", "hold", "clear_hold", "latched", "state", "told"),
    [
        ("0 quiet", 30, 0, False, "inactive", ""),
        ("0 unknown", 0, 0, False, "inactive", ""),
        ("0 breach", 0, 0, False, "firing", "fired"),
        ("0 breach", 30, 0, False, "pending", ""),
        ("0 breach / 29 breach", 30, 0, False, "pending", ""),
        ("0 breach / 30 breach", 30, 0, False, "firing", "fired"),
        ("0 breach / 10 quiet", 30, 0, False, "inactive", ""),
        ("0 breach / 10 unknown / 30 unknown", 30, 0, False, "firing", "fired"),
        ("0 breach / 10 quiet / 31 breach", 30, 0, False, "pending", ""),
        ("0 breach / 40 quiet", 30, 0, False, "firing", "fired"),
        ("0 breach / 40 over", 30, 0, False, "resolved", "fired resolved"),
        ("0 breach / 5 over", 0, 0, False, "resolved", "fired resolved"),
        ("0 breach / 5 quiet", 0, 0, False, "firing", "fired"),
        ("0 breach / 5 unknown", 0, 0, False, "firing", "fired"),
        ("0 breach / 5 over", 0, 10, False, "firing", "fired"),
        ("0 breach / 5 over / 15 over", 0, 10, False, "resolved", "fired resolved"),
        ("0 breach / 5 over / 15 breach", 0, 10, False, "resolved", "fired resolved"),
        ("0 breach / 5 over / 14 breach / 16 quiet", 0, 10, False, "firing", "fired"),
        ("0 breach / 5 over / 9 unknown / 15 unknown", 0, 10, False, "resolved", "fired resolved"),
        ("0 breach / 5 over", 0, 0, True, "firing", "fired cleared"),
        ("0 breach / 5 over / 6 over", 0, 0, True, "firing", "fired cleared"),
        ("0 breach / 5 over / 9 confirm", 0, 0, True, "resolved", "fired cleared resolved"),
        ("0 breach / 5 confirm / 9 over", 0, 0, True, "resolved", "fired confirmed resolved"),
        ("0 breach / 5 over / 7 breach", 0, 0, True, "firing", "fired cleared"),
        ("0 breach / 5 over / 7 breach / 9 over", 0, 0, True, "firing", "fired cleared cleared"),
        ("0 breach / 5 confirm", 0, 0, False, "firing", "fired confirmed"),
    ],
)
def test_an_alarm_follows_its_script(
    script: str, hold: int, clear_hold: int, latched: bool, state: str, told: str
) -> None:
    alarm, operations = play(script, hold, clear_hold, latched)
    assert (alarm.state, operations) == (state, told)


def test_times_are_those_of_the_rule_not_of_noticing() -> None:
    alarm, _ = play("100 breach / 500 over / 900 quiet", hold=30, clear_hold=50)
    assert (alarm.pending_at_ms, alarm.fired_at_ms) == (100, 130)
    assert (alarm.clear_since_ms, alarm.cleared_at_ms, alarm.resolved_at_ms) == (500, 550, 550)


def test_our_clock_runs_from_receipt() -> None:
    pending = step(INACTIVE, Look(True, None, 1000, 5000), Terms(30, 0))[0].alarm
    assert (pending.wake_at_ms, deadline_ms(pending, Terms(30, 0))) == (5030, 1030)
    firing = step(pending, Look(None, None, 1030, 5030), Terms(30, 40))[0].alarm
    assert (firing.fired_at_ms, firing.wake_at_ms, deadline_ms(firing, Terms(30, 40))) == (1030, None, None)
    clearing = step(firing, Look(False, True, 2000, 6000), Terms(30, 40))[0].alarm
    assert (clearing.wake_at_ms, deadline_ms(clearing, Terms(30, 40))) == (6040, 2040)


def test_nothing_ends_before_it_began() -> None:
    pending = step(INACTIVE, Look(True, None, 0, 0), Terms(30, 0))[0].alarm
    fired = step(pending, Look(None, None, 30, 30), Terms(30, 0))[0].alarm
    resolved = step(fired, Look(False, True, 20, 35), Terms(30, 0))[0].alarm
    assert resolved.resolved_at_ms == 30


def test_a_cleared_alarm_that_comes_back_is_stored_and_not_told() -> None:
    alarm, _ = play("0 breach / 5 over", latched=True)
    (transition,) = step(alarm, Look(True, False, 7, 7), Terms(0, 0))
    assert transition.operation is None
    assert (transition.alarm.cleared_at_ms, transition.alarm.clear_since_ms) == (None, None)


def test_a_forgotten_alarm_says_so() -> None:
    pending = step(INACTIVE, Look(True, None, 0, 0), Terms(30, 0))[0].alarm
    (transition,) = step(pending, Look(False, True, 1, 1), Terms(30, 0))
    assert transition.forgotten
    assert transition.operation is None


def test_confirm_and_acknowledge_keep_who_and_when() -> None:
    alarm, _ = play("0 breach", latched=True)
    seen = acknowledge(alarm, "li", 3, "on my way").alarm
    known = confirm(seen, "wang", 4, Outcome.FALSE, "").alarm
    assert (known.acknowledged_by, known.acknowledged_at_ms, known.note) == ("li", 3, "on my way")
    assert (known.confirmed_by, known.confirmed_at_ms, known.outcome) == ("wang", 4, Outcome.FALSE)


def test_an_alarm_that_nothing_can_clear_ends_by_a_persons_word() -> None:
    alarm, _ = play("0 breach", latched=True)
    transition = confirm(alarm, "wang", 4, Outcome.FALSE, "", can_clear=False)
    assert transition.operation is Operation.ALARM_RESOLVED
    assert (transition.alarm.cleared_at_ms, transition.alarm.resolved_at_ms) == (4, 4)


def test_retiring_forgets_what_never_fired_and_resolves_the_rest() -> None:
    pending = step(INACTIVE, Look(True, None, 0, 0), Terms(30, 0))[0].alarm
    assert retire(pending, 9).forgotten
    firing, _ = play("0 breach", latched=True)
    retired = retire(firing, 9)
    assert (retired.operation, retired.alarm.resolved_at_ms) == (Operation.ALARM_RESOLVED, 9)
    assert retired.alarm.revision == firing.revision + 1
