"""Who quiets which alarms: silences, shelved alarms, devices out of service, maintenance windows. See docs/guide/quieting.md."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field, field_validator
from starlette.concurrency import run_in_threadpool

from api import commands, wire
from api.alarms import seen
from api.auth import LOCAL, Asker, must_see
from api.commands import IdempotencyKey
from api.paging import NUMBER_MAX, Area, Limit, narrow, read_time
from api.services import Given, Services
from gridwarden.access import Action, Principal, require, scopes
from gridwarden.model import Severity
from gridwarden.quieting import Quieting, QuietingKind
from gridwarden.records import rows
from rules.written import Category

router = APIRouter(tags=["quieting"])
LISTS = ("rules", "categories", "kinds", "severities", "devices", "buildings", "gateways")
MATCHERS_LIMIT = 50
"""Values of one list."""
Key = Annotated[str, Field(min_length=1, max_length=128)]
Moment = Annotated[str, Field(max_length=40)]
QuietingId = Annotated[int, Path(ge=1, le=NUMBER_MAX)]


class Comment(BaseModel):
    """Why."""

    model_config = ConfigDict(extra="forbid")
    comment: str = Field(min_length=1, max_length=500)


class Which(Comment):
    """Which alarms: every list that is not empty must hold the alarm's value."""

    area: str | None = Field(None, max_length=32)
    """Nothing outside it is quieted. Without it: the area of the one device named, else everywhere."""
    rules: list[Annotated[str, Field(pattern=r"^[a-z0-9_.*]+$", max_length=64)]] = Field([], max_length=MATCHERS_LIMIT)
    categories: list[Category] = Field([], max_length=MATCHERS_LIMIT)
    kinds: list[Key] = Field([], max_length=MATCHERS_LIMIT)
    severities: list[Severity] = Field([], max_length=MATCHERS_LIMIT)
    devices: list[Key] = Field([], max_length=MATCHERS_LIMIT)
    buildings: list[Key] = Field([], max_length=MATCHERS_LIMIT)
    gateways: list[Key] = Field([], max_length=MATCHERS_LIMIT)
    protected: bool = False
    """Fire, entrapment and latched alarms too: waits for a second person."""


class Silence(Which):
    """For a time; without ``from`` at once."""

    from_: Moment | None = Field(None, alias="from")
    until: Moment


class Hours(BaseModel):
    """The hours of the week at which a window is open; without ``days`` every day."""

    model_config = ConfigDict(extra="forbid")
    days: list[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]] = Field([], max_length=7)
    start: str = Field(alias="from", pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")
    end: str = Field(alias="to", pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")
    zone: str | None = Field(None, max_length=64)
    """Without it: the site's."""

    @field_validator("zone")
    @classmethod
    def _is_known(cls, zone: str | None) -> str | None:
        try:
            return zone and ZoneInfo(zone).key
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError("an IANA time zone such as Asia/Shanghai is expected") from error


class Window(Silence):
    """Once, or every week until it ends."""

    weekly: Hours | None = None


class Shelf(Comment):
    """Until when an alarm is off the list."""

    until: Moment


@router.get("/quietings")
def list_quietings(
    asker: Asker,
    services: Given,
    kind: QuietingKind | None = None,
    ended: bool | None = False,
    area: Area = "",
    before: Annotated[int | None, Query(ge=1, le=NUMBER_MAX)] = None,
    limit: Limit = 100,
) -> dict[str, Any]:
    """Decisions that quiet something one sees, newest first; those that have not ended, unless asked for."""
    mine = narrow(scopes(asker), area)
    found = services.reader.quietings(scopes=mine, kind=kind, ended=ended, before=before, limit=limit)
    counts = services.reader.quieted_counts(mine)
    return {
        "quietings": [_shown(services, quieting, counts) for quieting in found],
        "next": found[-1].quieting_id if len(found) == limit else None,
    }


@router.get("/quietings/{quieting_id}")
def one_quieting(quieting_id: QuietingId, asker: Asker, services: Given) -> dict[str, Any]:
    """One decision."""
    quieting = _touching(services, asker, quieting_id)
    return _shown(services, quieting, services.reader.quieted_counts(scopes(asker)))


@router.post("/silences")
async def silence(
    body: Silence, asker: Asker, services: Given, idempotency_key: IdempotencyKey = None
) -> dict[str, Any]:
    """Quiet chosen alarms for a time; what has been told stays told."""
    times = _times(body)
    return await _make(services, asker, idempotency_key, QuietingKind.SILENCE, body, times)


@router.post("/out-of-service")
async def out_of_service(
    body: Which, asker: Asker, services: Given, idempotency_key: IdempotencyKey = None
) -> dict[str, Any]:
    """Devices are being worked on: their alarms are off the list until somebody ends it."""
    return await _make(services, asker, idempotency_key, QuietingKind.OUT_OF_SERVICE, body, {})


@router.post("/maintenance-windows")
async def maintenance(
    body: Window, asker: Asker, services: Given, idempotency_key: IdempotencyKey = None
) -> dict[str, Any]:
    """Work goes on, once or every week."""
    times = _times(body)
    if body.weekly:
        hours = body.weekly
        zone = hours.zone or services.config.site.time_zone
        days = sorted({wire.WEEKDAYS.index(day) for day in hours.days})
        times["weekly"] = {"days": days, "start": hours.start, "end": hours.end, "zone": zone}
    return await _make(services, asker, idempotency_key, QuietingKind.MAINTENANCE, body, times)


@router.post("/alarms/{alarm_id}/shelve")
async def shelve(
    alarm_id: str, body: Shelf, asker: Asker, services: Given, idempotency_key: IdempotencyKey = None
) -> dict[str, Any]:
    """Take one alarm off the list for a time; its case stays."""
    alarm = await run_in_threadpool(seen, services, asker, alarm_id)
    require(asker, Action.SILENCE, alarm.area)
    params = {"alarm_id": alarm_id, "until_at_ms": read_time(body.until), "comment": body.comment}
    return await _command(services, asker, idempotency_key, "shelve", params)


@router.post("/quietings/{quieting_id}/approve")
async def approve(
    quieting_id: QuietingId, asker: Asker, services: Given, idempotency_key: IdempotencyKey = None
) -> dict[str, Any]:
    """A second person agrees that fire, entrapment or latched alarms are quieted."""
    quieting = await run_in_threadpool(_touching, services, asker, quieting_id)
    require(asker, Action.APPROVE_QUIETING, quieting.area)
    return await _command(services, asker, idempotency_key, "approve_quieting", {"quieting_id": quieting_id})


@router.post("/quietings/{quieting_id}/end")
async def end(
    quieting_id: QuietingId, asker: Asker, services: Given, idempotency_key: IdempotencyKey = None
) -> dict[str, Any]:
    """End a decision early: what still fires is told."""
    quieting = await run_in_threadpool(_touching, services, asker, quieting_id)
    require(asker, Action.SILENCE, quieting.area)
    return await _command(services, asker, idempotency_key, "end_quieting", {"quieting_id": quieting_id})


def _times(body: Silence) -> dict[str, Any]:
    return {"from_at_ms": read_time(body.from_), "until_at_ms": read_time(body.until)}


async def _make(
    services: Services, asker: Principal, key: str | None, kind: QuietingKind, body: Which, times: dict[str, Any]
) -> dict[str, Any]:
    area = await run_in_threadpool(_area, services, asker, body)
    require(asker, Action.SILENCE, area)
    params = {
        "kind": kind, "area": area, "matchers": body.model_dump(mode="json", include=set(LISTS)),
        "protected": body.protected, "comment": body.comment, **times,
    }  # fmt: skip
    return await _command(services, asker, key, "quiet", params)


def _area(services: Services, asker: Principal, body: Which) -> str:
    if body.area is not None or len(body.devices) != 1:
        return body.area or ""
    device = services.office.device(body.devices[0])
    must_see(asker, device.area, "not_found", device.device_id)
    return device.area


async def _command(
    services: Services, asker: Principal, key: str | None, name: str, params: dict[str, Any]
) -> dict[str, Any]:
    # Whoever may open the data directory's own socket has no name, and is no second person.
    who = {"actor_id": asker.user_id, "unnamed": asker == LOCAL}
    answer = await commands.send(services, asker, key, name, {**params, **who})
    counts = await run_in_threadpool(services.reader.quieted_counts, scopes(asker))
    return _shown(services, rows.to_quieting(answer["quieting"]), counts)


def _touching(services: Services, asker: Principal, quieting_id: int) -> Quieting:
    """A decision that quiets something one sees; any other does not exist."""
    quieting = services.reader.quieting(quieting_id)
    if not narrow(scopes(asker), quieting.area):
        must_see(asker, quieting.area, "no_such_quieting", str(quieting_id))
    return quieting


def _shown(services: Services, quieting: Quieting, counts: dict[str, int]) -> dict[str, Any]:
    return wire.quieting_of(quieting, services.clock.now_ms(), counts.get(quieting.reason, 0))
