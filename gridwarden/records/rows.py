"""Between domain values and rows of ``records.db``: the columns are the fields, name by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from sqlalchemy import RowMapping

from gridwarden.model import Alarm, AlarmState, Change, EventState, GridEvent, Outcome, Severity
from gridwarden.quieting import Matchers, Quieting, QuietingKind, Weekly

_ALARM_FIELDS = tuple(f.name for f in fields(Alarm))
_EVENT_FIELDS = tuple(f.name for f in fields(GridEvent))
_QUIETING_FIELDS = tuple(f.name for f in fields(Quieting))


def alarm_row(alarm: Alarm) -> dict[str, Any]:
    """The row of ``alarm``; plain values, so that it is JSON as well."""
    return {name: getattr(alarm, name) for name in _ALARM_FIELDS}


def event_row(event: GridEvent) -> dict[str, Any]:
    """The row of ``event``."""
    return {name: getattr(event, name) for name in _EVENT_FIELDS}


def to_alarm(row: Mapping[str, Any] | RowMapping) -> Alarm:
    """The alarm of a row or of a journal body; an old body lacks what alarms had not yet."""
    values = {name: row[name] for name in _ALARM_FIELDS if name in row}
    values["severity"] = Severity(values["severity"])
    values["state"] = AlarmState(values["state"])
    values["outcome"] = values["outcome"] and Outcome(values["outcome"])
    return Alarm(**values)


def to_event(row: Mapping[str, Any] | RowMapping) -> GridEvent:
    """The grid event of a row or of a journal body."""
    values = {name: row[name] for name in _EVENT_FIELDS if name in row}
    values["severity"] = Severity(values["severity"])
    values["state"] = EventState(values["state"])
    return GridEvent(**values)


def quieting_row(quieting: Quieting) -> dict[str, Any]:
    """The row of ``quieting``."""
    return asdict(quieting)


def to_quieting(row: Mapping[str, Any] | RowMapping) -> Quieting:
    """The quieting of a row or of an answer."""
    values = {name: row[name] for name in _QUIETING_FIELDS}
    values["kind"] = QuietingKind(values["kind"])
    values["matchers"] = Matchers(**{name: tuple(wanted) for name, wanted in values["matchers"].items()})
    if values["weekly"]:
        values["weekly"] = Weekly(**{**values["weekly"], "days": tuple(values["weekly"]["days"])})
    return Quieting(**values)


def change_body(change: Change) -> dict[str, Any]:
    """The journal body: alarm and event as they stood, and the detail."""
    return {
        "alarm": alarm_row(change.alarm) if change.alarm else None,
        "event": event_row(change.event) if change.event else None,
        "detail": change.detail,
    }
