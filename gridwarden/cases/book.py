"""The open cases: alarms join the open event of their incident key, else open one.

Pure: facts and times in, changed events out. Nothing here knows a store or a clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import blake2b
from zoneinfo import ZoneInfo

from gridwarden.errors import Refused
from gridwarden.model import Alarm, Device, EventState, GridEvent

LETTERS = {"fire": "F", "rescue": "R", "water": "W", "fault": "E", "tamper": "T", "usage": "U", "maintenance": "M",
           "outage": "O"}  # fmt: skip
"""First letter of a case number by category; others get X."""


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


class CaseBook:
    """The open grid events by incident key, and the day's case numbers."""

    def __init__(
        self, time_zone: str, events: Iterable[GridEvent] = (), counters: dict[str, int] | None = None
    ) -> None:
        self._zone = ZoneInfo(time_zone)
        self._by_key = {event.incident_key: event for event in events}
        self._by_id = {event.event_id: event for event in self._by_key.values()}
        self._counters = dict(counters or {})

    def open_event(self, event_id: str) -> GridEvent | None:
        """The open event of this id."""
        return self._by_id.get(event_id)

    @property
    def open_count(self) -> int:
        """How many events are open."""
        return len(self._by_id)

    def fired(self, alarm: Alarm, key: str, category: str, at_ms: int) -> tuple[Alarm, GridEvent, dict[str, int]]:
        """Put a newly firing alarm into its case.

        Returns the alarm with its event, the event as it stands now, and the counters that changed.
        """
        event = self._by_key.get(key)
        counters: dict[str, int] = {}
        if event is None:
            event, counters = self._open(alarm, key, category, at_ms)
        else:
            event = replace(
                event,
                severity=min(event.severity, alarm.severity, key=lambda severity: severity.rank),
                updated_at_ms=at_ms,
                alarm_count=event.alarm_count + 1,
                firing_count=event.firing_count + 1,
                unacknowledged_count=event.unacknowledged_count + 1,
                unverified=event.unverified and alarm.unverified,
                revision=event.revision + 1,
            )
        self._keep(event)
        return replace(alarm, event_id=event.event_id), event, counters

    def changed(
        self, alarm: Alarm, at_ms: int, *, resolved: bool = False, acknowledged: bool = False
    ) -> GridEvent | None:
        """The event of an alarm that changed; ``None`` if it has none open. Its severity is the worst there was.

        Args:
            resolved: this change ended it.
            acknowledged: this change was its first acknowledgement.
        """
        event = self._by_id.get(alarm.event_id or "")
        if event is None:
            return None
        event = replace(
            event,
            severity=min(event.severity, alarm.severity, key=lambda severity: severity.rank),
            updated_at_ms=at_ms,
            firing_count=event.firing_count - resolved,
            unacknowledged_count=event.unacknowledged_count - acknowledged,
            revision=event.revision + 1,
        )
        self._keep(event)
        return event

    def close(self, event_id: str, alarms: Iterable[Alarm], by: str, note: str, at_ms: int) -> GridEvent:
        """Close a case.

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
