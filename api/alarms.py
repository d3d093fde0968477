"""Alarms: one rule's life on one device."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from api import commands, wire
from api.auth import Asker, must_see
from api.commands import IdempotencyKey
from api.explanation import explain
from api.paging import After, Area, From, Key, Limit, Time, mark, narrow, read_mark, read_time
from api.services import Given, Services
from gridwarden.access import Action, Principal, require, scopes
from gridwarden.errors import NotFound
from gridwarden.model import Alarm, AlarmState, Outcome

router = APIRouter(prefix="/alarms", tags=["alarms"])


class Note(BaseModel):
    """A remark."""

    model_config = ConfigDict(extra="forbid")
    note: str = Field("", max_length=2000)


class Verdict(Note):
    """What a person found."""

    outcome: Outcome


@router.get("")
def list_alarms(
    asker: Asker,
    services: Given,
    state: AlarmState | None = None,
    rule: Key = None,
    device: Key = None,
    quieted: bool | None = None,
    area: Area = "",
    from_: From = None,
    to: Time = None,
    after: After = None,
    limit: Limit = 100,
) -> dict[str, Any]:
    """Alarms that fired, newest first; with ``from`` and ``to`` those that were firing at some time between."""
    found = services.reader.alarms(
        scopes=narrow(scopes(asker), area), state=state, rule=rule, device=device,
        quieted=quieted, span_ms=(read_time(from_), read_time(to)), after=read_mark(after), limit=limit,
    )  # fmt: skip
    last = found[-1] if len(found) == limit else None
    return {
        "alarms": [wire.alarm_of(alarm, services.rules) for alarm in found],
        "next": mark(last.fired_at_ms or 0, last.alarm_id) if last else None,
    }


@router.get("/{alarm_id}")
def one_alarm(alarm_id: str, asker: Asker, services: Given) -> dict[str, Any]:
    """One alarm."""
    alarm = seen(services, asker, alarm_id)
    return wire.alarm_of(alarm, services.rules)


@router.get("/{alarm_id}/explanation")
def explanation(alarm_id: str, asker: Asker, services: Given) -> dict[str, Any]:
    """Why it fired: the rule as it stood then, what each condition saw, the readings around it."""
    return explain(services, seen(services, asker, alarm_id))


@router.post("/{alarm_id}/ack")
async def acknowledge(
    alarm_id: str, note: Note, asker: Asker, services: Given, idempotency_key: IdempotencyKey = None
) -> dict[str, Any]:
    """I have seen this alarm."""
    alarm = await run_in_threadpool(seen, services, asker, alarm_id)
    require(asker, Action.ACKNOWLEDGE, alarm.area)
    params = {"alarm_id": alarm_id, "note": note.note}
    answer = await commands.send(services, asker, idempotency_key, "acknowledge", params)
    return wire.alarm(answer["alarm"], services.rules)


@router.post("/{alarm_id}/confirm")
async def confirm(
    alarm_id: str, verdict: Verdict, asker: Asker, services: Given, idempotency_key: IdempotencyKey = None
) -> dict[str, Any]:
    """This alarm is true, false, a test."""
    alarm = await run_in_threadpool(seen, services, asker, alarm_id)
    require(asker, Action.CONFIRM, alarm.area)
    params = {"alarm_id": alarm_id, "outcome": verdict.outcome, "note": verdict.note}
    answer = await commands.send(services, asker, idempotency_key, "confirm", params)
    return wire.alarm(answer["alarm"], services.rules)


def seen(services: Services, asker: Principal, alarm_id: str) -> Alarm:
    """An alarm that fired where ``asker`` may see it; raises :class:`NotFound`."""
    alarm = services.reader.alarm(alarm_id)
    must_see(asker, alarm.area, "no_such_alarm", alarm_id)
    if alarm.fired_at_ms is None:  # pending: nobody's business until it fires
        raise NotFound("no_such_alarm", alarm_id)
    return alarm
