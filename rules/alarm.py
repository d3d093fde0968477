"""The life of one alarm: inactive → pending → firing → resolved. Pure: times come in, changes come out.

Two times run here and are not mixed. Rule time (the device's clock, or ours, as the rule says) decides when
something was: an alarm fires at ``pending_at + for`` exactly, whenever that is noticed. Our own clock decides only
when to stop waiting for more readings (``wake_at``): it runs from when a reading was received, so that a backlog of
old readings does not fire by timer before the newer ones are read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from gridwarden.model import Alarm, AlarmState, Operation, Outcome, Severity
from rules import pending
from rules.pending import Flapping, LevelSeen, Look, Terms

__all__ = [
    "Flapping", "LevelSeen", "Look", "Terms", "Transition", "acknowledge", "confirm", "deadline_ms", "retire", "rewake",
    "step", "stepped",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Transition:
    """One change of an alarm, to be stored and perhaps told."""

    alarm: Alarm
    """As it stands now."""
    operation: Operation | None
    """``None``: stored but not told (pending began, the clear hold began or broke, a cleared alarm came back)."""
    forgotten: bool = False
    """A pending alarm that never fired: its row is deleted."""


def deadline_ms(alarm: Alarm, terms: Terms) -> int | None:
    """The rule time at which the passing of time alone changes something; ``None`` when it does not."""
    due = _due_ms(alarm, terms)
    if alarm.state is not AlarmState.PENDING:
        return due
    if due is not None:
        return None if terms.by_readings else due
    expiry = pending.expiry_ms(alarm, terms)
    return None if expiry is None else expiry + 1


def _due_ms(alarm: Alarm, terms: Terms) -> int | None:
    """The rule time at which the alarm fires, or its clear hold is over."""
    if alarm.state is AlarmState.PENDING:
        return pending.due_ms(alarm, terms)
    if alarm.state is AlarmState.FIRING and alarm.clear_since_ms is not None and alarm.cleared_at_ms is None:
        clear_ms = max(terms.clear_ms, terms.flapping.quiet_ms) if alarm.flapping and terms.flapping else terms.clear_ms
        return max(alarm.clear_since_ms + clear_ms, (alarm.fired_at_ms or 0) + terms.min_firing_ms)
    return None


def step(alarm: Alarm, look: Look, terms: Terms) -> list[Transition]:
    """What becomes of ``alarm`` after ``look``: first what ran out before it, then what it says itself.

    A hold that ran out counts even where the look itself says the contrary: nothing before it broke the hold.
    """
    transitions = _run_out(alarm, look, terms)
    if transitions:
        alarm = transitions[-1].alarm
    match alarm.state:
        case AlarmState.INACTIVE if pending.begins(look, terms):
            if not transitions:  # what was forgotten just now had an identity of its own
                transitions += _begin(alarm, look, terms)
        case AlarmState.PENDING:
            transitions += _wait(alarm, look, terms)
        case AlarmState.FIRING:
            transitions += _stand(alarm, look, terms)
    return transitions


def _run_out(alarm: Alarm, look: Look, terms: Terms) -> list[Transition]:
    """What the time up to ``look`` has brought about."""
    due = _due_ms(alarm, terms)
    if due is not None and look.at_ms >= due:
        if alarm.state is AlarmState.FIRING:
            return [_clear(alarm, due)]
        return [] if terms.by_readings and not look.breached else [_fire(alarm, due, terms)]
    if alarm.state is AlarmState.PENDING:
        expiry = pending.expiry_ms(alarm, terms)
        if expiry is not None and look.at_ms > expiry:
            return [_forget(alarm)]
    return []


def confirm(alarm: Alarm, by: str, at_ms: int, outcome: Outcome, note: str, *, can_clear: bool = True) -> Transition:
    """A person says what a firing alarm was; a latched one whose condition is over is thereby resolved.

    ``can_clear`` is False where no reading may ever clear this alarm (its source is not entitled): then the person's
    word ends it, since nothing else can.
    """
    alarm = _next(alarm, confirmed_by=by, confirmed_at_ms=at_ms, outcome=outcome, note=note or alarm.note)
    if alarm.cleared_at_ms is None and can_clear:
        return Transition(alarm, Operation.ALARM_CONFIRMED)
    return _resolve(alarm, at_ms)


def acknowledge(alarm: Alarm, by: str, at_ms: int, note: str) -> Transition:
    """A person has seen a firing alarm."""
    alarm = _next(alarm, acknowledged_by=by, acknowledged_at_ms=at_ms, note=note or alarm.note)
    return Transition(alarm, Operation.ALARM_ACKNOWLEDGED)


def retire(alarm: Alarm, at_ms: int, reason: str = "rule_gone") -> Transition:
    """End an alarm whose rule no longer exists, or is no longer the rule it was; ``reason`` goes into its evidence."""
    if alarm.state is AlarmState.PENDING:
        return _forget(alarm)
    return _resolve(_next(alarm, evidence={**alarm.evidence, "ended_by": reason}), at_ms)


def rewake(alarm: Alarm, terms: Terms, now_ms: int) -> Alarm:
    """``alarm`` under other terms: when to look at it again, on our own clock."""
    deadline = deadline_ms(alarm, terms)
    wake_at_ms = None if deadline is None else max(now_ms, deadline + alarm.memory.get("clock_ms", 0))
    return alarm if wake_at_ms == alarm.wake_at_ms else replace(alarm, wake_at_ms=wake_at_ms)


def stepped(alarm: Alarm, step_ms: int) -> Alarm:
    """``alarm`` after our own clock was set by ``step_ms``."""
    if alarm.wake_at_ms is None:
        return alarm
    memory = {**alarm.memory, "clock_ms": alarm.memory.get("clock_ms", 0) + step_ms}
    return replace(alarm, wake_at_ms=alarm.wake_at_ms + step_ms, memory=memory)


def _next(alarm: Alarm, **changes: Any) -> Alarm:
    return replace(alarm, revision=alarm.revision + 1, **changes)


def _waiting(alarm: Alarm, look: Look, terms: Terms) -> Alarm:
    """``alarm`` with the time to wake it; what our clock is ahead of the rule's is kept for the next rule change."""
    clock_ms = look.received_at_ms - look.at_ms
    if alarm.memory.get("clock_ms", 0) != clock_ms:
        alarm = replace(alarm, memory={**alarm.memory, "clock_ms": clock_ms})
    deadline = deadline_ms(alarm, terms)
    wake_at_ms = None if deadline is None else look.received_at_ms + max(0, deadline - look.at_ms)
    return _next(alarm, wake_at_ms=wake_at_ms)


def _begin(alarm: Alarm, look: Look, terms: Terms) -> list[Transition]:
    memory = {**alarm.memory, **pending.begin(look, terms)}
    alarm = replace(alarm, state=AlarmState.PENDING, pending_at_ms=look.at_ms, memory=memory)
    alarm = _judged(alarm, look)
    due = pending.due_ms(alarm, terms)
    if due is not None and look.at_ms >= due:
        return [_fire(alarm, due, terms)]
    return [Transition(_waiting(alarm, look, terms), None)]


def _wait(alarm: Alarm, look: Look, terms: Terms) -> list[Transition]:
    after = pending.go_on(alarm, look, terms)
    if after is None:
        return [_forget(alarm)]
    after = _judged(after, look)
    due = pending.due_ms(after, terms)
    if after is not alarm and due is not None and look.at_ms >= due:
        return [_fire(after, due, terms)]
    return [] if after is alarm or after == alarm else [Transition(_waiting(after, look, terms), None)]


def _stand(alarm: Alarm, look: Look, terms: Terms) -> list[Transition]:
    """A firing alarm: its severity, and whether it is over."""
    transitions: list[Transition] = []
    judged = _judged(alarm, look)
    if judged is not alarm:
        told = Operation.ALARM_SEVERITY if judged.severity is not alarm.severity else None
        alarm = _next(judged)
        transitions.append(Transition(alarm, told))
    if look.breached:
        transitions += _go_on(alarm)
    elif look.over and alarm.clear_since_ms is None:
        transitions.append(_begin_to_clear(alarm, look, terms))
    return transitions


def _judged(alarm: Alarm, look: Look) -> Alarm:
    """``alarm`` with the severity and the suppression of ``look``; the same one where nothing changes.

    Where it is over its suppression stays: that planned work ends with the outage is no reason to tell of it.
    """
    severity = _severity(alarm, look)
    suppressed = alarm.suppressed if look.suppressed is None or look.over else look.suppressed
    if severity is alarm.severity and suppressed is alarm.suppressed:
        return alarm
    return replace(alarm, severity=severity, suppressed=suppressed)


def _severity(alarm: Alarm, look: Look) -> Severity:
    """It rises at once to the worst level that is true, and falls only where the level it has is reset."""
    if look.severity is None:
        return alarm.severity
    worst = next((level.severity for level in reversed(look.levels) if level.when), look.severity)
    if worst.rank <= alarm.severity.rank:
        return worst
    present = next((level for level in look.levels if level.severity is alarm.severity), None)
    return worst if present is None or present.reset else alarm.severity


def _fire(alarm: Alarm, at_ms: int, terms: Terms) -> Transition:
    alarm = _next(alarm, state=AlarmState.FIRING, fired_at_ms=at_ms, wake_at_ms=None)
    if terms.flapping is not None:
        fires = [*(fired for fired in alarm.memory.get("fires", ()) if fired > at_ms - terms.flapping.within_ms), at_ms]
        is_flapping = len(fires) >= terms.flapping.count
        alarm = replace(alarm, memory={**alarm.memory, "fires": fires}, flapping=is_flapping)
    return Transition(alarm, Operation.ALARM_FIRED)


def _forget(alarm: Alarm) -> Transition:
    return Transition(_next(alarm, state=AlarmState.INACTIVE, wake_at_ms=None), None, True)


def _go_on(alarm: Alarm) -> list[Transition]:
    """In breach again: a clear hold is broken, a latched alarm that was over is no longer over."""
    if alarm.clear_since_ms is None:
        return []
    occurrences = alarm.occurrences + alarm.flapping
    return [
        Transition(
            _next(alarm, clear_since_ms=None, cleared_at_ms=None, wake_at_ms=None, occurrences=occurrences), None
        )
    ]


def _begin_to_clear(alarm: Alarm, look: Look, terms: Terms) -> Transition:
    # A reading from before the due time can come after the timer fired; nothing ends before it began.
    since_ms = max(look.at_ms, alarm.fired_at_ms or look.at_ms)
    alarm = replace(alarm, clear_since_ms=since_ms)
    due = _due_ms(alarm, terms)
    if due is not None and since_ms >= due:
        return _clear(alarm, since_ms)
    return Transition(_waiting(alarm, look, terms), None)


def _clear(alarm: Alarm, at_ms: int) -> Transition:
    alarm = _next(alarm, cleared_at_ms=at_ms, wake_at_ms=None)
    if alarm.latched and alarm.confirmed_at_ms is None:
        return Transition(alarm, Operation.ALARM_CLEARED)
    return _resolve(alarm, at_ms)


def _resolve(alarm: Alarm, at_ms: int) -> Transition:
    cleared_at_ms = at_ms if alarm.cleared_at_ms is None else alarm.cleared_at_ms
    resolved = replace(
        alarm, state=AlarmState.RESOLVED, cleared_at_ms=cleared_at_ms, resolved_at_ms=at_ms, wake_at_ms=None
    )
    return Transition(resolved, Operation.ALARM_RESOLVED)
