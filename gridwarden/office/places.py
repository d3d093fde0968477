"""Where rows lie: area prefixes as a condition, and the rows nearest to a place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import nsmallest
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, Table, and_, false, or_, select, true

from gridwarden.office.coordinates import Point, box_around, distance_m
from gridwarden.office.rows import Entity

RADII_M = (60.0, 250.0, 1_000.0, 4_000.0, 16_000.0, 64_000.0, 256_000.0)
"""Growing circles around a place, so that a search in a city neither measures the city nor sorts the country."""
_AFTER_CODES = "\x7f"
"""Sorts after every character of an area code."""


def in_scopes(column: ColumnElement[str], scopes: Iterable[str]) -> ColumnElement[bool]:
    """Area prefixes as ranges, which an index serves; a row without an area is in ``""`` only."""
    parts = [true() if scope == "" else and_(column >= scope, column < scope + _AFTER_CODES) for scope in scopes]
    return or_(false(), *parts)


def nearest(
    connection: Connection, entity: Entity, here: Point, *, limit: int, kind: str, scopes: Sequence[str]
) -> list[tuple[RowMapping, float]]:
    """The rows nearest to ``here`` (WGS-84) with their great-circle distance in metres; none beyond 256 km."""
    columns = entity.table.c
    query = select(columns[entity.key], columns.lon, columns.lat).where(in_scopes(columns.area, scopes))
    if kind:
        query = query.where(columns.kind == kind)
    found: list[tuple[float, str]] = []
    for radius_m in RADII_M:
        found = _within_circle(connection, query, entity.table, here, radius_m)
        if len(found) >= limit:
            break
    chosen = nsmallest(max(0, limit), found)
    wanted = select(entity.table).where(columns[entity.key].in_([key for _, key in chosen]))
    rows = {row[entity.key]: row for row in connection.execute(wanted).mappings()}
    return [(rows[key], metres) for metres, key in chosen]


def _within_circle(
    connection: Connection, query: Select[Any], table: Table, here: Point, radius_m: float
) -> list[tuple[float, str]]:
    south, north, ranges = box_around(here, radius_m)
    box = and_(table.c.lat.between(south, north), or_(*(table.c.lon.between(west, east) for west, east in ranges)))
    measured = ((distance_m(here, (lon, lat)), key) for key, lon, lat in connection.execute(query.where(box)))
    # The corners of the box lie outside the circle: something nearer may lie outside the box.
    return [pair for pair in measured if pair[0] <= radius_m]
