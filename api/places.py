"""Areas and what helps near a place."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from api import wire
from api.auth import Asker
from api.services import Given
from gridwarden.access import scopes

router = APIRouter(tags=["places"])


@router.get("/areas")
def areas(asker: Asker, services: Given) -> dict[str, Any]:
    """The areas the asker may see."""
    return {"areas": [wire.area_of(area) for area in services.office.areas(scopes(asker))]}


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
