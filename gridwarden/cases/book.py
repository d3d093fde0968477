"""The open cases: alarms join the open event of their incident key, else open one; a later case may adopt earlier ones.

Pure: facts and times in, changed events out. Nothing here knows a store or a clock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import reduce
from hashlib import blake2b
from zoneinfo import ZoneInfo

from gridwarden.errors import Refused
from gridwarden.model import Alarm, Device, EventState, GridEvent, Severity

LETTERS = {"fire": "F", "rescue": "R", "water": "W", "fault": "E", "tamper": "T", "usage": "U", "maintenance": "M",
           "outage": "O"}  # fmt: skip
"""First letter of a case number by category; others get X."""

SKIPPED = 5_000
"""Numbers of a day that are left out after a restore; with four digits there are 9,999."""


def skipped(counters: Mapping[str, int], days: Iterable[date]) -> dict[str, int]:
    """The counters of these days, moved on: numbers that were given and forgotten are not given to other cases."""
    names = [f"case:{letter}{day:%Y%m%d}" for day in days for letter in (*LETTERS.values(), "X")]
    return {name: counters.get(name, 0) + SKIPPED for name in names}


@dataclass(frozen=True, slots=True)
class Incident:
    """What an alarm's rule says of the case it belongs to."""

    category: str
    by: str
    """``device`` or ``building``: what makes two alarms one incident."""


def incident_key(alarm: Alarm, incident: Incident, device: Device | None) -> str:
    """The key under which alarms become one case.

    Alarms nobody can place or trust (unverified) share one case per gateway, so that a flood of them
    stays one case on the screen while each alarm is still listed.
    """
    if alarm.unverified:
        return f"{incident.category}/unverified:{alarm.evidence.get('gateway', '')}"
    if incident.by == "building" and device is not None and device.building:
        return f"{incident.category}/building:{device.building}"
    return f"{incident.category}/device:{alarm.device_id}"


def group_key(category: str, rule_id: str, scope: str) -> str:
    """The key of the case that a correlation opens: one for each group."""
    return f"{category}/{rule_id}/{scope}"


class CaseBook:
    """The open grid events by incident key with what they have adopted, and the day's case numbers.

    ``events``: the open ones, and those merged into one of them.
    """

    def __init__(
        self, time_zone: str, events: Iterable[GridEvent] = (), counters: dict[str, int] | None = None
    ) -> None:
        self._zone = ZoneInfo(time_zone)
        every = list(events)
        self._by_id = {event.event_id: event for event in every if event.state is EventState.OPEN}
        self._by_key = {event.incident_key: event for event in self._by_id.values()}
        self._adopted = {event.event_id: event for event in every if event.merged_into in self._by_id}
        self._counters = dict(counters or {})

    def open_event(self, event_id: str) -> GridEvent | None:
        """The open event of this id."""
        return self._by_id.get(event_id)

    def open_by_key(self, key: str) -> GridEvent | None:
        """The open event of this incident key."""
        return self._by_key.get(key)

    def home(self, event_id: str | None) -> GridEvent | None:
        """The open event in which the alarms of this one are handled: itself, or the one that has adopted it."""
        child = self._adopted.get(event_id or "")
        return self._by_id.get((child.merged_into if child else event_id) or "")

    def family(self, event_id: str) -> tuple[str, ...]:
        """An event and those that it has adopted, if it is open."""
        return event_id, *(child.event_id for child in self._adopted.values() if child.merged_into == event_id)

    def parent_of_all(self, event_ids: Collection[str]) -> GridEvent | None:
        """The case that has adopted others and in which all of these are handled already."""
        homes = {home.event_id: home for home in map(self.home, event_ids) if home}
        found = next(iter(homes.values())) if len(homes) == 1 else None
        return found if found and len(self.family(found.event_id)) > 1 else None

    @property
    def open_count(self) -> int:
        """How many events are open."""
        return len(self._by_id)

    def fired(
        self, alarm: Alarm, key: str, category: str, at_ms: int, into: GridEvent | None = None
    ) -> tuple[Alarm, GridEvent, dict[str, int]]:
        """Put a newly firing alarm into its case; ``into``: an open one that it belongs to whatever its key.

        Returns the alarm with its event, the event as it stands now, and the counters that changed.
        """
        event = into or self._by_key.get(key)
        counters: dict[str, int] = {}
        if event is None:
            event, counters = self._open(alarm, key, category, at_ms)
        else:
            event = replace(
                event,
                severity=_worse(event.severity, alarm.severity),
                updated_at_ms=at_ms,
                alarm_count=event.alarm_count + 1,
                firing_count=event.firing_count + 1,
                unacknowledged_count=event.unacknowledged_count + 1,
                unverified=event.unverified and alarm.unverified,
                revision=event.revision + 1,
            )
        self._keep(event)
        return replace(alarm, event_id=event.event_id), event, counters

    def adopt(self, parent_id: str, event_ids: Iterable[str], at_ms: int) -> tuple[GridEvent, list[GridEvent]]:
        """Let the case of ``parent_id`` take over the open cases of these events, with all that they have adopted.

        Returns the parent, which counts their alarms as its own from now on, and those merged into it: their numbers
        are kept, their clocks stand still. Adopting again changes nothing.

        Raises:
            Refused: the parent is not open.
        """
        parent = self.home(parent_id)
        if parent is None:
            raise Refused("not_open", parent_id)
        homes = {home.event_id: home for home in map(self.home, event_ids) if home and home.event_id != parent.event_id}
        merged = [one for child in homes.values() for one in self._merge(child, parent.event_id, at_ms)]
        if merged:
            parent = _with_counts_of(parent, homes.values(), at_ms)
            self._keep(parent)
        return parent, merged

    def _merge(self, child: GridEvent, parent_id: str, at_ms: int) -> list[GridEvent]:
        moving = [child, *(one for one in self._adopted.values() if one.merged_into == child.event_id)]
        del self._by_id[child.event_id], self._by_key[child.incident_key]
        merged = [
            replace(one, state=EventState.MERGED, merged_into=parent_id, updated_at_ms=at_ms, revision=one.revision + 1)
            for one in moving
        ]
        self._adopted |= {one.event_id: one for one in merged}
        return merged

    def changed(
        self, alarm: Alarm, at_ms: int, *, resolved: bool = False, acknowledged: bool = False
    ) -> GridEvent | None:
        """The event of an alarm that changed; ``None`` if it has none open. Its severity is the worst there was.

        Args:
            resolved: this change ended it.
            acknowledged: this change was its first acknowledgement.
        """
        event = self.home(alarm.event_id)
        if event is None:
            return None
        event = replace(
            event,
            severity=_worse(event.severity, alarm.severity),
            updated_at_ms=at_ms,
            firing_count=event.firing_count - resolved,
            unacknowledged_count=event.unacknowledged_count - acknowledged,
            revision=event.revision + 1,
        )
        self._keep(event)
        return event

    def left(self, alarm: Alarm, at_ms: int) -> GridEvent | None:
        """The open case that a firing alarm has left for another one; ``None`` if it was in none."""
        event = self.home(alarm.event_id)
        if event is None:
            return None
        event = replace(
            event,
            updated_at_ms=at_ms,
            alarm_count=event.alarm_count - 1,
            firing_count=event.firing_count - 1,
            unacknowledged_count=event.unacknowledged_count - (alarm.acknowledged_at_ms is None),
            revision=event.revision + 1,
        )
        self._keep(event)
        return event

    def close(self, event_id: str, alarms: Iterable[Alarm], by: str, note: str, at_ms: int) -> GridEvent:
        """Close a case, and with it what it has adopted: that stays merged, and its end is this one.

        Raises:
            Refused: it is not open; or an alarm of fire or entrapment in it was never confirmed; or no note.
        """
        event = self._by_id.get(event_id)
        if event is None:
            raise Refused("not_open", event_id)
        if not note.strip():
            raise Refused("note_required", event_id)
        unconfirmed = [alarm.alarm_id for alarm in alarms if alarm.life_safety and alarm.outcome is None]
        if unconfirmed:
            raise Refused("unconfirmed_alarms", ", ".join(unconfirmed[:5]))
        closed = replace(
            event, state=EventState.CLOSED, closed_at_ms=at_ms, closed_by=by, closing_note=note.strip(),
            updated_at_ms=at_ms, revision=event.revision + 1,
        )  # fmt: skip
        del self._by_id[event_id], self._by_key[event.incident_key]
        self._adopted = {name: one for name, one in self._adopted.items() if one.merged_into != event_id}
        return closed

    def _open(self, alarm: Alarm, key: str, category: str, at_ms: int) -> tuple[GridEvent, dict[str, int]]:
        opened_at_ms = alarm.fired_at_ms if alarm.fired_at_ms is not None else at_ms
        day = datetime.fromtimestamp(opened_at_ms / 1000, self._zone).strftime("%Y%m%d")
        prefix = LETTERS.get(category, "X") + day
        number = self._counters.get(f"case:{prefix}", 0) + 1
        self._counters[f"case:{prefix}"] = number
        event = GridEvent(
            event_id=blake2b(f"{key}|{alarm.alarm_id}".encode(), digest_size=10).hexdigest(),
            case_no=f"{prefix}-{number:04d}",
            incident_key=key,
            category=category,
            rule_id=alarm.rule_id,
            severity=alarm.severity,
            state=EventState.OPEN,
            area=alarm.area,
            device_id=alarm.device_id,
            kind=alarm.kind,
            opened_at_ms=opened_at_ms,
            updated_at_ms=at_ms,
            unverified=alarm.unverified,
        )
        return event, {f"case:{prefix}": number}

    def _keep(self, event: GridEvent) -> None:
        self._by_key[event.incident_key] = event
        self._by_id[event.event_id] = event


def _worse(one: Severity, other: Severity) -> Severity:
    return min(one, other, key=lambda severity: severity.rank)


def _with_counts_of(parent: GridEvent, children: Collection[GridEvent], at_ms: int) -> GridEvent:
    return replace(
        parent,
        severity=reduce(_worse, (child.severity for child in children), parent.severity),
        updated_at_ms=at_ms,
        alarm_count=parent.alarm_count + sum(child.alarm_count for child in children),
        firing_count=parent.firing_count + sum(child.firing_count for child in children),
        unacknowledged_count=parent.unacknowledged_count + sum(child.unacknowledged_count for child in children),
        revision=parent.revision + 1,
    )
