"""What a pending alarm waits for: a hold, a number of readings, or the second part of a sequence. Pure.

What it has seen lies in ``Alarm.memory``, which is stored with the alarm:

========================== ==================================================================================
rule                       memory
========================== ==================================================================================
``for`` alone              nothing: ``pending_at_ms`` says it all
``count``                  ``count``: readings in breach in a row; ``reached_at_ms``: when there were enough
``count`` and ``within``   ``times``: of the readings in breach that still count, oldest first
``first`` and ``within``   ``first_at_ms``: when the first part was last true; ``then_at_ms``: since when the second is
========================== ==================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from gridwarden.model import Alarm, Severity
from rules.schedule import Schedule

_FOREVER_MS = 400 * 86_400_000
"""A schedule that does not open within its own horizon: asked again then."""


@dataclass(frozen=True, slots=True)
class Flapping:
    """When an alarm that comes and goes becomes one that stays."""

    count: int
    within_ms: int
    quiet_ms: int


@dataclass(frozen=True, slots=True)
class Terms:
    """How long a rule waits, and for what. Times in milliseconds."""

    fire_ms: int = 0
    """``for``: how long the condition must have held."""
    clear_ms: int = 0
    """``clear_for``: how long the clear condition must have held."""
    by_readings: bool = False
    """Only a reading in breach ends the hold; time alone does not."""
    count: int = 1
    """So many readings in breach …"""
    within_ms: int | None = None
    """… within this time (``None``: in a row); of a sequence: between its parts."""
    is_sequence: bool = False
    min_firing_ms: int = 0
    """It fires for at least so long."""
    flapping: Flapping | None = None
    schedule: Schedule | None = None


@dataclass(frozen=True, slots=True)
class LevelSeen:
    """What a reading says of one level of a rule."""

    severity: Severity
    when: bool | None
    reset: bool | None


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
    begins: bool | None = None
    """Of a sequence: whether its first part holds."""
    suppressed: bool | None = None
    """Whether the rule says that nobody needs to be told; ``None`` is unknown, or it never says so."""
    severity: Severity | None = None
    """Of the rule itself, where it has levels."""
    levels: tuple[LevelSeen, ...] = ()
    """From the mildest to the worst."""


def begins(look: Look, terms: Terms) -> bool:
    """Whether an alarm begins with ``look`` where there is none."""
    return bool(look.begins if terms.is_sequence else look.breached)


def begin(look: Look, terms: Terms) -> dict[str, Any]:
    """The memory of an alarm that begins with ``look``."""
    if terms.is_sequence:
        return _followed({"first_at_ms": look.at_ms}, look, terms)
    if terms.within_ms is not None:
        return {"times": [look.at_ms]}
    return _counted({}, look, terms) if terms.count > 1 else {}


def go_on(alarm: Alarm, look: Look, terms: Terms) -> Alarm | None:
    """A pending alarm after ``look``; ``None``: there is nothing left to wait for."""
    memory = alarm.memory
    if terms.is_sequence:
        if look.begins:
            memory = {**memory, "first_at_ms": look.at_ms}
        return _with(alarm, _followed(memory, look, terms))
    if terms.within_ms is not None:
        times = [at_ms for at_ms in memory["times"] if at_ms >= look.at_ms - terms.within_ms]
        times += [look.at_ms] if look.breached else []
        return replace(_with(alarm, {**memory, "times": times}), pending_at_ms=times[0]) if times else None
    if look.breached is False:
        return None
    return _with(alarm, _counted(memory, look, terms)) if terms.count > 1 else alarm


def due_ms(alarm: Alarm, terms: Terms) -> int | None:
    """The rule time at which a pending alarm fires if nothing contradicts; ``None``: something is still missing."""
    due = _due_ms(alarm.memory, alarm.pending_at_ms, terms)
    if due is None or terms.schedule is None:
        return due
    open_ms = terms.schedule.next_open_ms(due)
    return due + _FOREVER_MS if open_ms is None else open_ms


def expiry_ms(alarm: Alarm, terms: Terms) -> int | None:
    """The last rule time at which what is missing may still come; ``None``: there is no such limit, or nothing is."""
    if terms.within_ms is None or _due_ms(alarm.memory, alarm.pending_at_ms, terms) is not None:
        return None
    last_ms: int = alarm.memory["first_at_ms"] if terms.is_sequence else alarm.memory["times"][-1]
    return last_ms + terms.within_ms


def _due_ms(memory: Mapping[str, Any], pending_at_ms: int, terms: Terms) -> int | None:
    if terms.is_sequence:
        return None if "then_at_ms" not in memory else int(memory["then_at_ms"]) + terms.fire_ms
    if terms.within_ms is not None:
        return int(memory["times"][-1]) if len(memory["times"]) >= terms.count else None
    if terms.count > 1:
        return (
            None if "reached_at_ms" not in memory else max(int(memory["reached_at_ms"]), pending_at_ms + terms.fire_ms)
        )
    return pending_at_ms + terms.fire_ms


def _counted(memory: dict[str, Any], look: Look, terms: Terms) -> dict[str, Any]:
    if not look.breached or "reached_at_ms" in memory:
        return memory
    count = memory.get("count", 0) + 1
    return {**memory, "count": count, **({"reached_at_ms": look.at_ms} if count >= terms.count else {})}


def _followed(memory: dict[str, Any], look: Look, terms: Terms) -> dict[str, Any]:
    """A sequence after ``look``: its second part begins, goes on, or is broken."""
    if look.breached is False:
        return {name: value for name, value in memory.items() if name != "then_at_ms"}
    in_time = look.at_ms - memory["first_at_ms"] <= (terms.within_ms or 0)
    if look.breached and in_time and "then_at_ms" not in memory:
        return {**memory, "then_at_ms": look.at_ms}
    return memory


def _with(alarm: Alarm, memory: dict[str, Any]) -> Alarm:
    return alarm if memory == alarm.memory else replace(alarm, memory=memory)
