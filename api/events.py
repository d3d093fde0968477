"""Grid events: the cases that people handle. Verbs are provisional until the case life cycle lands."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool

from api import commands, wire
from api.alarms import Note
from api.auth import Asker, must_see
from api.commands import IdempotencyKey
from api.paging import After, Area, Limit, mark, narrow, read_mark
from api.services import Given, Services
from gridwarden.access import Action, Principal, require, scopes
from gridwarden.model import EventState, GridEvent, Severity

router = APIRouter(prefix="/events", tags=["events"])
ALARMS_LIMIT = 1000


@router.get("")
def list_events(
    asker: Asker,
    services: Given,
    state: EventState | None = None,
    severity: Severity | None = None,
    area: Area = "",
    after: After = None,
    limit: Limit = 100,
) -> dict[str, Any]:
    """Grid events, newest first."""
    found = services.reader.events(
        scopes=narrow(scopes(asker), area), state=state, severity=severity, after=read_mark(after), limit=limit
    )
    last = found[-1] if len(found) == limit else None
    return {
        "events": [wire.event_of(event, services.rules) for event in found],
        "next": mark(last.opened_at_ms, last.event_id) if last else None,
    }


@router.get("/{event_id}")
def one_event(event_id: str, asker: Asker, services: Given) -> dict[str, Any]:
    """One grid event with those it has adopted, and the alarms of all of them."""
    event = _seen(services, asker, event_id)
    alarms = services.reader.alarms(scopes=scopes(asker), event=event_id, limit=ALARMS_LIMIT)
    adopted = services.reader.events(scopes=scopes(asker), merged_into=event_id, limit=ALARMS_LIMIT)
    return {
        **wire.event_of(event, services.rules),
        "alarms": [wire.alarm_of(alarm, services.rules) for alarm in alarms],
        "adopted": [wire.event_of(one, services.rules) for one in adopted],
    }


@router.post("/{event_id}/ack")
async def acknowledge(
    event_id: str, note: Note, asker: Asker, services: Given, idempotency_key: IdempotencyKey = None
) -> dict[str, Any]:
    """I have seen every alarm of this case."""
    return await _command(services, asker, idempotency_key, "acknowledge_event", Action.ACKNOWLEDGE, event_id, note)


@router.post("/{event_id}/close")
async def close(
    event_id: str, note: Note, asker: Asker, services: Given, idempotency_key: IdempotencyKey = None
) -> dict[str, Any]:
    """This case is done; the note says how."""
    return await _command(services, asker, idempotency_key, "close", Action.CLOSE, event_id, note)


async def _command(
    services: Services, asker: Principal, key: str | None, name: str, action: Action, event_id: str, note: Note
) -> dict[str, Any]:
    event = await run_in_threadpool(_seen, services, asker, event_id)
    require(asker, action, event.area)
    answer = await commands.send(services, asker, key, name, {"event_id": event_id, "note": note.note})
    return wire.event(answer["event"], services.rules)


def _seen(services: Services, asker: Principal, event_id: str) -> GridEvent:
    event = services.reader.event(event_id)
    must_see(asker, event.area, "no_such_event", event_id)
    return event
