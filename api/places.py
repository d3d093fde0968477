"""Areas and their outlines, the base map, and what helps in an incident."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic_core import to_json

from api import etag, packed, wire
from api.auth import Asker
from api.paging import Area, Limit
from api.services import Given
from gridwarden.access import scopes
from gridwarden.errors import NotFound
from gridwarden.office.basemap import FILE_NAME
from gridwarden.office.registry import Office

router = APIRouter(tags=["places"])
_GEOJSON = "application/geo+json"


class GeoJson(Response):
    """For the description: what comes is GeoJSON."""

    media_type = _GEOJSON


_DESCRIBED: dict[int | str, dict[str, Any]] = {200: {"content": {_GEOJSON: {"schema": {"type": "object"}}}}}


@router.get("/areas")
def areas(request: Request, asker: Asker, services: Given) -> Response:
    """The areas the asker may see; kept by the browser."""
    seen = scopes(asker)
    mark = etag.registry_etag(services.office.version(), services.epoch, seen)
    if etag.is_known(request, mark):
        return etag.not_modified(mark)
    body = services.shelf.get(("areas", *seen), mark, lambda: [_areas(services.office, seen)])
    return packed.answer(request, body, "application/json", etag.headers(mark))


def _areas(office: Office, seen: list[str]) -> bytes:
    return to_json({"areas": [wire.area_of(area) for area in office.areas(seen)]})


@router.get("/areas/geometry", response_class=GeoJson, responses=_DESCRIBED)
def geometry(request: Request, asker: Asker, services: Given) -> Response:
    """The outlines of the areas the asker may see, as GeoJSON; kept by the browser."""
    seen = scopes(asker)
    mark = etag.registry_etag(services.office.version(), services.epoch, seen)
    if etag.is_known(request, mark):
        return etag.not_modified(mark)
    body = services.shelf.get(("outlines", *seen), mark, lambda: _outlines(services.office, seen))
    return packed.answer(request, body, _GEOJSON, etag.headers(mark))


def _outlines(office: Office, seen: list[str]) -> Iterator[bytes]:
    """The collection, a page of areas at a time.

    A change meanwhile mixes old and new under the old mark; the version has moved on, so the mark is not met again.
    """
    yield b'{"type":"FeatureCollection","features":['
    after, separator = "", ""
    while page := office.outlines(seen, after=after):
        features = (
            f'{{"type":"Feature","properties":{to_json(wire.area_of(area)).decode()},"geometry":{text}}}'
            for area, text in page
        )
        yield f"{separator}{','.join(features)}".encode()
        after, separator = page[-1][0].code, ","
    yield b"]}"


@router.get("/basemap", response_class=GeoJson, responses=_DESCRIBED)
def basemap(request: Request, services: Given, _asker: Asker) -> Response:
    """The site's own base map, as GeoJSON; kept by the browser. It shows nothing that is anybody's own."""
    path = services.config.data / FILE_NAME
    try:
        stat = path.stat()
        mark = f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"'
        if etag.is_known(request, mark):
            return etag.not_modified(mark)
        body = services.shelf.get("basemap", mark, lambda: [path.read_bytes()])
    except FileNotFoundError as error:
        raise NotFound("no_basemap") from error
    return packed.answer(request, body, _GEOJSON, etag.headers(mark))


@router.get("/resources")
def resources(
    asker: Asker,
    services: Given,
    kind: Annotated[str, Query(max_length=32)] = "",
    area: Area = "",
    after: Annotated[str, Query(max_length=128)] = "",
    limit: Limit = 100,
) -> dict[str, Any]:
    """What helps in an incident, by id."""
    found = services.office.resources(scopes(asker), kind=kind, area=area, after=after, limit=limit)
    shown = [wire.resource_of(resource) for resource in found]
    return {"resources": shown, "next": shown[-1]["resource_id"] if len(shown) == limit else None}


@router.get("/resources/nearest")
def nearest(
    asker: Asker,
    services: Given,
    lon: Annotated[float, Query(ge=-180, le=180)],
    lat: Annotated[float, Query(ge=-90, le=90)],
    kind: Annotated[str, Query(max_length=32)] = "",
    limit: Annotated[int, Query(ge=1, le=100)] = 3,
) -> dict[str, Any]:
    """The resources nearest to a place (WGS-84), with great-circle distances in metres."""
    found = services.office.nearest_resources(lon, lat, limit=limit, kind=kind, scopes=scopes(asker))
    return {"resources": [wire.resource_of(resource, distance_m) for resource, distance_m in found]}
