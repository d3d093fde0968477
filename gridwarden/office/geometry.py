"""Lines and outlines as GeoJSON (RFC 7946) has them: what may stand in one, and the one text kept of it. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable
from math import inf
from typing import Any

from gridwarden.office.coordinates import Crs, Point, to_wgs84

AREA_VERTICES = 20_000
"""Most vertices of one area: a province at 1 : 50,000 has fewer; a browser still draws it at once."""
DECIMALS = 6
"""Of a stored degree: 0.1 m (RFC 7946, 11.2)."""
RING_MIN = 4
"""Positions of the smallest ring, a triangle whose first position stands there again as the last."""
LINE_MIN = 2
_POSITION = (2, 3)
"""Longitude, latitude, and an altitude that is left out."""

LINES = ("LineString", "MultiLineString")
OUTLINES = ("Polygon", "MultiPolygon")

Move = Callable[[Point], Point]


def outline(raw: Any) -> str | None:
    """The polygon or polygons of an area as text; ``None`` where it has none. Raises ValueError with the reason."""
    if raw is None or raw == "":
        return None
    if isinstance(raw, str):
        try:
            raw = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"is no JSON: {error}") from error
    return checked(raw, OUTLINES, AREA_VERTICES)


def moved(text: str, crs: Crs) -> str:
    """A checked geometry of ``crs`` in WGS-84."""
    return checked(json.loads(text), (*LINES, *OUTLINES), None, crs)


def checked(raw: Any, types: tuple[str, ...], vertices: int | None, crs: Crs = Crs.WGS84) -> str:
    """A geometry of one of ``types`` with at most ``vertices`` positions, as the one text for it.

    Raises:
        ValueError: the reason, with the number of the polygon, ring and position, each from 1.
    """
    kind = raw.get("type") if isinstance(raw, dict) else raw
    if not isinstance(raw, dict) or kind not in types:
        raise ValueError(f"{kind!r:.40}: {' or '.join(types)} is expected")
    reader = _Reader(vertices, crs)
    coordinates = _SHAPES[kind](reader, raw.get("coordinates"))
    return json.dumps({"type": kind, "coordinates": coordinates}, separators=(",", ":"))


class _Reader:
    """Coordinates from outside to lists of our own; counts positions over all parts of a geometry."""

    def __init__(self, vertices: int | None, crs: Crs) -> None:
        self._limit = vertices
        self._crs = crs
        self._read = 0

    def line(self, raw: Any, where: str = "") -> list[Any]:
        positions = self._positions(raw, where or "line")
        if len(positions) < LINE_MIN:
            raise ValueError(f"{where or 'line'}: {len(positions)} positions, at least {LINE_MIN} are expected")
        return positions

    def lines(self, raw: Any) -> list[Any]:
        return [self.line(part, f"line {number}") for number, part in enumerate(_parts(raw, "lines"), start=1)]

    def polygon(self, raw: Any, where: str = "") -> list[Any]:
        rings = enumerate(_parts(raw, f"{where}rings"), start=1)
        return [self._ring(ring, f"{where}ring {number}") for number, ring in rings]

    def polygons(self, raw: Any) -> list[Any]:
        parts = enumerate(_parts(raw, "polygons"), start=1)
        return [self.polygon(part, f"polygon {number}, ") for number, part in parts]

    def _ring(self, raw: Any, where: str) -> list[Any]:
        positions = self._positions(raw, where)
        if len(positions) < RING_MIN:
            raise ValueError(f"{where}: {len(positions)} positions, at least {RING_MIN} are expected")
        if positions[0] != positions[-1]:
            raise ValueError(f"{where}: is not closed, its last position is not its first")
        return positions

    def _positions(self, raw: Any, where: str) -> list[Any]:
        found = _parts(raw, where)
        self._read += len(found)
        if self._limit is not None and self._read > self._limit:
            raise ValueError(f"more than {self._limit} positions; simplify it")
        return [self._position(position, where, number) for number, position in enumerate(found, start=1)]

    def _position(self, raw: Any, where: str, number: int) -> list[float]:
        if not isinstance(raw, list) or len(raw) not in _POSITION or not all(map(_is_number, raw)):
            raise ValueError(f"{where}, position {number}: longitude and latitude are expected, not {raw!r:.60}")
        lon, lat = raw[0], raw[1]
        if abs(lon) > 180 or abs(lat) > 90:  # noqa: PLR2004 - degrees
            swapped = "; longitude comes first" if abs(lon) <= 90 and abs(lat) <= 180 else ""  # noqa: PLR2004
            raise ValueError(f"{where}, position {number}: {raw!r:.60} lies outside the Earth{swapped}")
        if self._crs is not Crs.WGS84:
            lon, lat = to_wgs84((lon, lat), self._crs)
        return [round(lon, DECIMALS), round(lat, DECIMALS)]


_SHAPES: dict[str, Callable[[_Reader, Any], list[Any]]] = {
    "LineString": _Reader.line,
    "MultiLineString": _Reader.lines,
    "Polygon": _Reader.polygon,
    "MultiPolygon": _Reader.polygons,
}


def _parts(raw: Any, where: str) -> list[Any]:
    if not isinstance(raw, list) or not raw:
        raise ValueError(f"{where}: a list that is not empty is expected, not {raw!r:.60}")
    return raw


def _is_number(raw: Any) -> bool:
    return isinstance(raw, (int, float)) and not isinstance(raw, bool) and abs(raw) < inf
