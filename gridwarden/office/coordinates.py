"""Coordinates at the edge and distances inside. Pure. Inside is WGS-84 only, longitude before latitude, degrees.

GCJ-02 and BD-09 have no published text; the polynomials are those of the widely reproduced reverse engineering
(eviltransform; wandergis/coordTransform, MIT). Their inverse is found by iteration: one step would leave 0.5-2.1 m.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from math import asin, atan2, cos, degrees, pi, radians, sin, sqrt

Point = tuple[float, float]
"""Longitude, latitude."""

EARTH_RADIUS_M = 6_371_008.8
"""Mean radius of the Earth (IUGG R1)."""


class Crs(StrEnum):
    """The coordinate systems a file may come in. CGCS2000 (天地图) equals WGS-84 at our accuracy."""

    WGS84 = "wgs84"
    GCJ02 = "gcj02"
    BD09 = "bd09"


_A = 6_378_245.0
_EE = 0.006_693_421_622_965_943
_X_PI = pi * 3000 / 180
_CHINA = (73.66, 135.05, 3.86, 53.55)
"""West, east, south, north of where the offset applies."""


def _in_china(point: Point) -> bool:
    west, east, south, north = _CHINA
    return west < point[0] < east and south < point[1] < north


def _wave(x: float, t: float, b: float, c: float, d: float, e: float) -> float:
    """The sines of one offset: those both share, then two of amplitude ``b``, ``d`` and half-period ``c``, ``e``."""
    short = 20 * sin(6 * x * pi) + 20 * sin(2 * x * pi)
    return (short + 20 * sin(t * pi) + 40 * sin(t / 3 * pi) + b * sin(t / c * pi) + d * sin(t / e * pi)) * 2 / 3


def wgs84_to_gcj02(point: Point) -> Point:
    """WGS-84 to GCJ-02 (高德, 腾讯); unchanged outside China."""
    if not _in_china(point):
        return point
    lon, lat = point
    x, y = lon - 105, lat - 35
    north = -100 + 2 * x + 3 * y + 0.2 * y * y + 0.1 * x * y + 0.2 * sqrt(abs(x)) + _wave(x, y, 160, 12, 320, 30)
    east = 300 + x + 2 * y + 0.1 * x * x + 0.1 * x * y + 0.1 * sqrt(abs(x)) + _wave(x, x, 150, 12, 300, 30)
    root = 1 - _EE * sin(radians(lat)) ** 2
    north_deg = degrees(north * root * sqrt(root) / (_A * (1 - _EE)))
    east_deg = degrees(east * sqrt(root) / (_A * cos(radians(lat))))
    return lon + east_deg, lat + north_deg


def wgs84_to_bd09(point: Point) -> Point:
    """WGS-84 to BD-09 (百度); outside China only Baidu's own shift is applied, as its converters do."""
    lon, lat = wgs84_to_gcj02(point)
    z = sqrt(lon * lon + lat * lat) + 0.00002 * sin(lat * _X_PI)
    theta = atan2(lat, lon) + 0.000003 * cos(lon * _X_PI)
    return z * cos(theta) + 0.0065, z * sin(theta) + 0.006


_FORWARD: dict[Crs, Callable[[Point], Point]] = {Crs.GCJ02: wgs84_to_gcj02, Crs.BD09: wgs84_to_bd09}
_STEPS = 10
_CLOSE_DEG = 1e-9
"""A tenth of a millimetre."""


def to_wgs84(point: Point, crs: Crs) -> Point:
    """``point`` of ``crs`` in WGS-84, by fixed-point iteration of the forward formula (error under 1 cm)."""
    if crs is Crs.WGS84:
        return point
    forward = _FORWARD[crs]
    lon, lat = point
    for _ in range(_STEPS):
        seen_lon, seen_lat = forward((lon, lat))
        off_lon, off_lat = point[0] - seen_lon, point[1] - seen_lat
        lon, lat = lon + off_lon, lat + off_lat
        if abs(off_lon) < _CLOSE_DEG and abs(off_lat) < _CLOSE_DEG:
            break
    return lon, lat


def distance_m(a: Point, b: Point) -> float:
    """Great-circle distance in metres (haversine, spherical Earth: up to 0.5 % off the ellipsoid)."""
    (lon_a, lat_a), (lon_b, lat_b) = a, b
    half_lat, half_lon = radians(lat_b - lat_a) / 2, radians(lon_b - lon_a) / 2
    h = sin(half_lat) ** 2 + cos(radians(lat_a)) * cos(radians(lat_b)) * sin(half_lon) ** 2
    return 2 * EARTH_RADIUS_M * asin(min(1.0, sqrt(h)))


def box_around(point: Point, radius_m: float) -> tuple[float, float, list[tuple[float, float]]]:
    """South, north and the longitude ranges of a box that holds the circle of ``radius_m`` around ``point``.

    Two ranges where it crosses the antimeridian, all longitudes where it holds a pole.
    """
    lon, lat = point
    angle = min(pi, radius_m / EARTH_RADIUS_M * (1 + 1e-9))
    south, north = lat - degrees(angle), lat + degrees(angle)
    if south <= -90 or north >= 90:  # noqa: PLR2004 - the poles
        return max(south, -90.0), min(north, 90.0), [(-180.0, 180.0)]
    half = degrees(asin(min(1.0, sin(angle) / cos(radians(lat))))) + 1e-9
    west, east = lon - half, lon + half
    ranges = [(west, east)]
    if west < -180:  # noqa: PLR2004 - the antimeridian
        ranges.append((west + 360, 180.0))
    if east > 180:  # noqa: PLR2004
        ranges.append((-180.0, east - 360))
    return south, north, ranges
