"""Devices of the registry, those that were heard without being in it, and their readings."""

from __future__ import annotations

import re
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from api import etag, packed, wire
from api.auth import Asker, must_see
from api.paging import Area, From, Limit, Time, read_time
from api.services import Given, Services
from gridwarden.access import Action, Principal, may, require, scopes
from gridwarden.clock import rfc3339
from gridwarden.errors import NotFound, Refused, Unavailable
from gridwarden.kinds import KINDS, PLATFORM
from gridwarden.model import Device

router = APIRouter(prefix="/devices", tags=["devices"])
POINTS_LIMIT = 20_000
NEAREST_LIMIT = 20
"""Each asks the history for its last values: some milliseconds."""
DAY_MS = 86_400_000
_JSON = "application/json"
_STEP = re.compile(r"(\d{1,6})(s|m|h|d)")
_UNIT_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": DAY_MS}


@router.get("")
def list_devices(
    asker: Asker,
    services: Given,
    q: Annotated[str, Query(max_length=128)] = "",
    kind: Annotated[str, Query(max_length=32)] = "",
    area: Area = "",
    registered: bool = True,
    after: Annotated[str, Query(max_length=128)] = "",
    limit: Limit = 100,
) -> dict[str, Any]:
    """Devices by id; ``registered=false`` lists those that were heard and are not in the registry."""
    if kind == PLATFORM:
        found = _own(services, asker, after)
        shown = [wire.device_of(device) for device in found[:limit] if q in device.device_id]
    elif registered:
        found = services.office.devices(scopes(asker), q=q, kind=kind, area=area, after=after, limit=limit)
        shown = [wire.device_of(device) for device in found]
    else:
        require(asker, Action.SEE_PLATFORM, "")
        shown = [wire.unregistered_device(row) for row in _unregistered(services, after, limit)]
    return {"devices": shown, "next": shown[-1]["device_id"] if len(shown) == limit else None}


def _own(services: Services, asker: Principal, after: str) -> list[Device]:
    """This system's own parts, where the asker may see the whole installation."""
    found = services.own_devices if may(asker, Action.SEE, "") else {}
    return [found[name] for name in sorted(found) if name > after]


def _unregistered(services: Services, after: str, limit: int) -> list[dict[str, Any]]:
    return services.reader.unregistered(after=after, limit=limit)


@router.get("/snapshot")
def snapshot(request: Request, asker: Asker, services: Given) -> Response:
    """All devices of the registry that the asker may see, in columns, for a map; kept by the browser."""
    seen = scopes(asker)
    mark = etag.registry_etag(services.office.version(), services.epoch, seen)
    if etag.is_known(request, mark):
        return etag.not_modified(mark)
    made = services.snapshots.get(seen)
    headers = etag.headers(etag.registry_etag(made.version, services.epoch, seen))
    return packed.answer(request, made.body, _JSON, headers)


@router.get("/nearest")
def nearest(
    asker: Asker,
    services: Given,
    lon: Annotated[float, Query(ge=-180, le=180)],
    lat: Annotated[float, Query(ge=-90, le=90)],
    kind: Annotated[str, Query(max_length=32)] = "",
    limit: Annotated[int, Query(ge=1, le=NEAREST_LIMIT)] = 5,
) -> dict[str, Any]:
    """The devices nearest to a place (WGS-84), with great-circle distances in metres and their last values."""
    found = services.office.nearest_devices(lon, lat, limit=limit, kind=kind, scopes=scopes(asker))
    try:
        latest, history = [services.history.latest(device.device_id) for device, _ in found], "ok"
    except Unavailable:  # where they stand is worth showing all the same
        latest, history = [None] * len(found), "unavailable"
    shown = [
        {
            **wire.device_of(device),
            "distance_m": round(metres),
            "values": last.values if last else {},
            "occurred_at": rfc3339(last.occurred_at_ms) if last else None,
        }
        for (device, metres), last in zip(found, latest, strict=True)
    ]
    return {"devices": shown, "history": history}


@router.get("/{device_id}")
def one_device(device_id: str, asker: Asker, services: Given) -> dict[str, Any]:
    """One device, with the last values the history has of it."""
    device = _device(services, asker, device_id)
    try:
        latest, history = services.history.latest(device_id), "ok"
    except Unavailable:  # what the registry knows is worth showing all the same
        latest, history = None, "unavailable"
    return {
        **device,
        "history": history,
        "values": latest.values if latest else {},
        "quality": latest.quality if latest else {},
        "occurred_at": rfc3339(latest.occurred_at_ms) if latest else None,
        "received_at": rfc3339(latest.received_at_ms) if latest else None,
        "fields": wire.fields_of(device["kind"]),
    }


@router.get("/{device_id}/readings")
def readings(
    device_id: str,
    asker: Asker,
    services: Given,
    field: Annotated[str, Query(max_length=64)],
    from_: From = None,
    to: Time = None,
    step: Annotated[str | None, Query(max_length=8)] = None,
    limit: Annotated[int, Query(ge=1, le=POINTS_LIMIT)] = POINTS_LIMIT,
) -> dict[str, Any]:
    """One field over time: raw points, or with ``step`` min, max, mean, last and count per step."""
    device = _device(services, asker, device_id)
    asked_to_ms, asked_from_ms = read_time(to), read_time(from_)
    to_ms = services.clock.now_ms() + 1 if asked_to_ms is None else asked_to_ms
    from_ms = max(0, to_ms - DAY_MS) if asked_from_ms is None else asked_from_ms
    if from_ms >= to_ms:
        raise Refused("bad_time", "from lies after to")
    kind = KINDS.get(device["kind"])
    unit = kind.fields[field].unit if kind and field in kind.fields else ""
    shown: dict[str, Any] = {
        "device_id": device_id, "field": field, "unit": unit,
        "complete_until": rfc3339(services.history.complete_until_ms()),
    }  # fmt: skip
    if step is None:
        series = services.history.series(device_id, field, from_ms, to_ms, limit)
        return {**shown, "step_ms": None, "t_ms": series.t_ms, "value": series.values, "truncated": series.truncated}
    step_ms = _step_ms(step)
    if (to_ms - from_ms) // step_ms > POINTS_LIMIT:
        raise Refused("too_many_points", f"at most {POINTS_LIMIT} steps")
    buckets = services.history.buckets(device_id, field, from_ms, to_ms, step_ms)
    return {
        **shown, "step_ms": buckets.step_ms, "t_ms": buckets.t_ms, "min": buckets.min, "max": buckets.max,
        "mean": buckets.mean, "last": buckets.last, "count": buckets.count,
    }  # fmt: skip


def _step_ms(step: str) -> int:
    found = _STEP.fullmatch(step)
    if not found or not int(found[1]):
        raise Refused("bad_step", f"{step!r}: a number and s, m, h or d is expected")
    return int(found[1]) * _UNIT_MS[found[2]]


def _device(services: Services, asker: Principal, device_id: str) -> dict[str, Any]:
    own = services.own_devices.get(device_id)
    if own is not None:
        must_see(asker, own.area, "not_found", device_id)
        return wire.device_of(own)
    try:
        device = services.office.device(device_id)
    except NotFound:
        heard = services.reader.unregistered(device_id)
        if not heard:
            raise
        if not may(asker, Action.SEE_PLATFORM, ""):
            raise
        return wire.unregistered_device(heard[0])
    must_see(asker, device.area, "not_found", device_id)
    return wire.device_of(device)
