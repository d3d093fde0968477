"""The life of one alarm: inactive → pending → firing → resolved. Pure: times come in, changes come out.

Two times run here and are not mixed. Rule time (the device's clock, or ours, as the rule says) decides when
something was: an alarm fires at ``pending_at + for`` exactly, whenever that is noticed. Our own clock decides only
when to stop waiting for more readings (``wake_at``): it runs from when a reading was received, so that a backlog of
old readings does not fire by timer before the newer ones are read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from gridwarden.model import Alarm, AlarmState, Operation, Outcome


@dataclass(frozen=True, slots=True)
class Transition:
    """One change of an alarm, to be stored and perhaps told."""

    alarm: Alarm
    """As it stands now."""
    operation: Operation | None
    """``None``: stored but not told (pending began, the clear hold began or broke, a cleared alarm came back)."""
    forgotten: bool = False
    """A pending alarm that never fired: its row is deleted."""


@dataclass(frozen=True, slots=True)
class Holds:
    """How long a rule waits, in milliseconds."""

    fire_ms: int
    """``for``: how long the condition must have held."""
    clear_ms: int
    """``clear_for``: how long the clear condition must have held."""


@dataclass(frozen=True, slots=True)
class Look:
    """What one reading, or the passing of time, says about an alarm."""

    breached: bool | None
    """Whether the condition holds; ``None`` is unknown."""
    over: bool | None
    """Whether the clear condition holds; ``None`` is unknown."""
    at_ms: int
    """Rule time."""
    received_at_ms: int
    """Our own clock."""


def deadline_ms(alarm: Alarm, holds: Holds) -> int | None:
    """The rule time at which the running hold is over; ``None`` when none runs."""
    if alarm.state is AlarmState.PENDING:
        return alarm.pending_at_ms + holds.fire_ms
    if alarm.state is AlarmState.FIRING and alarm.clear_since_ms is not None and alarm.cleared_at_ms is None:
        return alarm.clear_since_ms + holds.clear_ms
    return None


def step(alarm: Alarm, look: Look, holds: Holds) -> list[Transition]:
    """What becomes of ``alarm`` after ``look``: first the hold that ran out before it, then what it says itself.

    A hold that ran out counts even where the look itself says the contrary: nothing before it broke the hold.
    """
    transitions: list[Transition] = []
    due = deadline_ms(alarm, holds)
    if due is not None and look.at_ms >= due:
        transitions.append(_fire(alarm, due) if alarm.state is AlarmState.PENDING else _clear(alarm, due))
        alarm = transitions[-1].alarm
    match alarm.state:
        case AlarmState.INACTIVE if look.breached:
            transitions.append(_begin(alarm, look, holds))
        case AlarmState.PENDING if look.breached is False:
            transitions.append(Transition(_next(alarm, state=AlarmState.INACTIVE, wake_at_ms=None), None, True))
        case AlarmState.FIRING if look.breached:
            transitions += _go_on(alarm)
        case AlarmState.FIRING if look.over and alarm.clear_since_ms is None:
            transitions.append(_begin_to_clear(alarm, look, holds))
    return transitions


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


def retire(alarm: Alarm, at_ms: int) -> Transition:
    """End an alarm whose rule no longer exists."""
    if alarm.state is AlarmState.PENDING:
        return Transition(_next(alarm, state=AlarmState.INACTIVE, wake_at_ms=None), None, True)
    return _resolve(_next(alarm), at_ms)


def _next(alarm: Alarm, **changes: object) -> Alarm:
    return replace(alarm, revision=alarm.revision + 1, **changes)  # type: ignore[arg-type]


def _begin(alarm: Alarm, look: Look, holds: Holds) -> Transition:
    alarm = replace(alarm, pending_at_ms=look.at_ms)
    if holds.fire_ms == 0:
        return _fire(alarm, look.at_ms)
    wake_at_ms = look.received_at_ms + holds.fire_ms
    return Transition(_next(alarm, state=AlarmState.PENDING, wake_at_ms=wake_at_ms), None)


def _fire(alarm: Alarm, at_ms: int) -> Transition:
    return Transition(_next(alarm, state=AlarmState.FIRING, fired_at_ms=at_ms, wake_at_ms=None), Operation.ALARM_FIRED)


def _go_on(alarm: Alarm) -> list[Transition]:
    """In breach again: a clear hold is broken, a latched alarm that was over is no longer over."""
    if alarm.clear_since_ms is None:
        return []
    return [Transition(_next(alarm, clear_since_ms=None, cleared_at_ms=None, wake_at_ms=None), None)]


def _begin_to_clear(alarm: Alarm, look: Look, holds: Holds) -> Transition:
    # A reading from before the due time can come after the timer fired; nothing ends before it began.
    since_ms = max(look.at_ms, alarm.fired_at_ms or look.at_ms)
    if holds.clear_ms == 0:
        return _clear(replace(alarm, clear_since_ms=since_ms), since_ms)
    wake_at_ms = look.received_at_ms + holds.clear_ms
    return Transition(_next(alarm, clear_since_ms=since_ms, wake_at_ms=wake_at_ms), None)


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
