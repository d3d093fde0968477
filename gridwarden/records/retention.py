"""How long the journal is kept, and the alarms and events that are over. A few rows in each transaction, oldest first.

What belongs to an open event never goes, nor an alarm that is active; and the newest entry stays, for its number is what
the next one goes on from.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import takewhile
from typing import Any

from sqlalchemy import Connection, Table, and_, bindparam, delete, func, or_, select

from gridwarden.model import AlarmState, EventState
from gridwarden.records import schema, statements

STEP = 200
"""Journal entries looked at in one transaction; of alarms so many go at most, of events a tenth."""
TRIMMED = "journal_trimmed"
"""Name in ``meta``: of the entries up to this number only those of what was still open are left."""
_JOURNAL, _ALARM, _EVENT = schema.journal.c, schema.alarm.c, schema.grid_event.c
_OLDEST = (
    select(_JOURNAL.seq, _JOURNAL.at_ms, _JOURNAL.alarm_id, _JOURNAL.event_id)
    .where(_JOURNAL.seq > bindparam("after"), _JOURNAL.seq < select(func.max(_JOURNAL.seq)).scalar_subquery())
    .order_by(_JOURNAL.seq)
    .limit(STEP)
)
_OVER_EVENTS = (
    select(_EVENT.event_id)
    .where(_EVENT.opened_at_ms < bindparam("before_ms"), _EVENT.closed_at_ms < bindparam("before_ms"))
    .order_by(_EVENT.opened_at_ms)
    .limit(STEP // 10)
)
_OVER_ALARMS = (
    select(_ALARM.alarm_id)
    .where(
        _ALARM.fired_at_ms < bindparam("before_ms"),
        _ALARM.resolved_at_ms < bindparam("before_ms"),
        _ALARM.state == AlarmState.RESOLVED,
        _ALARM.event_id.is_(None),
    )
    .order_by(_ALARM.fired_at_ms)
    .limit(STEP)
)


def let_go(connection: Connection, before_ms: int) -> None:
    """Delete a few of what was over before ``before_ms``."""
    trimmed = _trim_journal(connection, before_ms)
    room = STEP
    for event_id in connection.execute(_OVER_EVENTS, {"before_ms": before_ms}).scalars().all():
        room -= _end_event(connection, event_id, trimmed, room)
        if room <= 0:
            return
    _drop_alarms(connection, connection.execute(_OVER_ALARMS, {"before_ms": before_ms}).scalars().all()[:room], trimmed)


def trimmed_through(connection: Connection) -> int:
    """Up to which number journal entries may be gone; 0: none are."""
    return int(connection.execute(select(schema.meta.c.value).where(schema.meta.c.name == TRIMMED)).scalar() or 0)


def _trim_journal(connection: Connection, before_ms: int) -> int:
    after = trimmed_through(connection)
    # A clock that was set back must not let a younger entry go with an older one behind it.
    found = list(takewhile(lambda row: row.at_ms < before_ms, connection.execute(_OLDEST, {"after": after})))
    if not found:
        return after
    events = _those(connection, schema.grid_event, _EVENT.event_id, (row.event_id for row in found), _is_open())
    active = _ALARM.state.in_([AlarmState.PENDING, AlarmState.FIRING])
    alarms = _those(connection, schema.alarm, _ALARM.alarm_id, (row.alarm_id for row in found), active)
    gone = [row.seq for row in found if row.event_id not in events and row.alarm_id not in alarms]
    connection.execute(delete(schema.journal).where(_JOURNAL.seq.in_(gone)))
    last: int = found[-1].seq
    connection.execute(statements.overwrite(schema.meta), [{"name": TRIMMED, "value": str(last)}])
    return last


def _is_open() -> Any:
    """An event that is open, or that an open one has adopted."""
    is_open = select(_EVENT.event_id).where(_EVENT.state == EventState.OPEN).scalar_subquery()
    return or_(_EVENT.state == EventState.OPEN, _EVENT.merged_into.in_(is_open))


def _those(connection: Connection, table: Table, key: Any, names: Iterable[str | None], term: Any) -> set[str]:
    wanted = {name for name in names if name is not None}
    return set(connection.execute(select(key).select_from(table).where(key.in_(wanted), term)).scalars())


def _end_event(connection: Connection, event_id: str, trimmed: int, room: int) -> int:
    """Take an event away with those it has adopted, once their alarms are gone; how many alarms went."""
    family = [event_id, *connection.execute(select(_EVENT.event_id).where(_EVENT.merged_into == event_id)).scalars()]
    resolved = select(_ALARM.alarm_id).where(_ALARM.event_id.in_(family), _ALARM.state == AlarmState.RESOLVED)
    over = connection.execute(resolved.limit(room)).scalars().all()
    _drop_alarms(connection, over, trimmed)
    left = select(_ALARM.alarm_id).where(_ALARM.event_id.in_(family)).limit(1)
    if connection.execute(left).first() is None:
        connection.execute(delete(schema.grid_event).where(_EVENT.event_id.in_(family)))
        _drop_entries(connection, _JOURNAL.event_id.in_(family), trimmed)
    return len(over)


def _drop_alarms(connection: Connection, alarm_ids: Collection[str], trimmed: int) -> None:
    if alarm_ids:
        connection.execute(delete(schema.alarm).where(_ALARM.alarm_id.in_(alarm_ids)))
        _drop_entries(connection, _JOURNAL.alarm_id.in_(alarm_ids), trimmed)


def _drop_entries(connection: Connection, whose: Any, trimmed: int) -> None:
    """What was left of the journal for what has gone now: few entries lie that far back."""
    newest = select(func.max(_JOURNAL.seq)).scalar_subquery()
    connection.execute(delete(schema.journal).where(and_(_JOURNAL.seq <= trimmed, _JOURNAL.seq < newest, whose)))
