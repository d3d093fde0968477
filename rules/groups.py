"""Which devices belong together: in one building, on one main, near one another. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from math import asin, cos, floor, radians, sin, sqrt
from typing import Generic, TypeVar

from gridwarden.areas import Level, at_level
from gridwarden.model import Device
from rules.correlation import By, Correlation
from rules.rule import RuleSet

EARTH_RADIUS_M = 6_371_008.8
"""Mean radius of WGS-84 (R1 of the IUGG)."""
Point = tuple[float, float]
"""Longitude and latitude, WGS-84 degrees."""
_LEVELS = {By.GRID: Level.GRID, By.COMMUNITY: Level.COMMUNITY, By.STREET: Level.STREET}
_Item = TypeVar("_Item")
_Cell = tuple[int, int, int]


def group_of(by: By, device: Device, gateway: str = "") -> str:
    """The id of the group ``device`` is in; ``""`` where it is in none.

    ``gateway``: what spoke for it, for a device of no gateway of its own.
    """
    if by in _LEVELS:
        return at_level(device.area, _LEVELS[by])
    if by is By.GATEWAY:
        return device.gateway or gateway
    return "" if by is By.RADIUS else str(getattr(device, by.value))


def point_of(device: Device) -> Point | None:
    """Where it stands, if anybody knows."""
    return None if device.lon is None or device.lat is None else (device.lon, device.lat)


def distance_m(a: Point, b: Point) -> float:
    """Metres on the great circle: the haversine formula (R. W. Sinnott, Sky and Telescope 68, 1984, p. 159).

    On a sphere; up to 0.5 % off the ellipsoid.
    """
    (lon_a, lat_a), (lon_b, lat_b) = a, b
    half_lat, half_lon = radians(lat_b - lat_a) / 2, radians(lon_b - lon_a) / 2
    h = sin(half_lat) ** 2 + cos(radians(lat_a)) * cos(radians(lat_b)) * sin(half_lon) ** 2
    return 2 * EARTH_RADIUS_M * asin(min(1.0, sqrt(h)))


class Near(Generic[_Item]):
    """Items by where they are, so that who is within ``radius_m`` of a point is found without asking everybody.

    They lie in cubes of that edge, cut through the sphere: the chord between two points is not longer than the way
    between them, so whoever is near lies in one of 27 cubes, at the poles and the date line too.
    """

    def __init__(self, radius_m: float) -> None:
        self._radius_m = radius_m
        self._cells: defaultdict[_Cell, dict[_Item, Point]] = defaultdict(dict)

    def add(self, point: Point, item: _Item) -> None:
        """Put ``item`` there."""
        self._cells[self._cell(point)][item] = point

    def remove(self, point: Point, item: _Item) -> None:
        """Take it away again; it may be gone."""
        cell = self._cell(point)
        self._cells[cell].pop(item, None)
        if not self._cells[cell]:
            del self._cells[cell]

    def around(self, point: Point) -> Iterator[_Item]:
        """What is near ``point``."""
        x, y, z = self._cell(point)
        for cell in ((x + i, y + j, z + k) for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1)):
            for item, there in self._cells.get(cell, {}).items():
                if distance_m(point, there) <= self._radius_m:
                    yield item

    def _cell(self, point: Point) -> _Cell:
        lon, lat = radians(point[0]), radians(point[1])
        scale = EARTH_RADIUS_M / self._radius_m
        across = cos(lat) * scale
        return floor(across * cos(lon)), floor(across * sin(lon)), floor(sin(lat) * scale)


class Population:
    """How many registered devices there are in the groups of each correlation: the n of k of n.

    Made anew for each version of the registry, in a thread: it looks at every device once.
    """

    def __init__(self, rules: RuleSet | None = None, devices: Mapping[str, Device] | None = None) -> None:
        self._counts: dict[str, Counter[str]] = {}
        self._near: dict[str, Near[str]] = {}
        for rule in rules.of(Correlation) if rules else ():
            kinds = {rules.by_id[name].kind for name in rule.of if rules and name in rules.by_id}
            counted = [device for device in (devices or {}).values() if device.kind in kinds]
            if rule.by is By.RADIUS:
                self._near[rule.id] = _spread(rule.radius_m, counted)
            else:
                self._counts[rule.id] = Counter(group_of(rule.by, device) for device in counted)

    def count(self, rule: Correlation, group: str, centre: Point | None = None) -> int:
        """Devices of the kinds ``rule`` counts in this group, or around ``centre``; 0: nobody knows."""
        if centre is not None and rule.id in self._near:
            return sum(1 for _ in self._near[rule.id].around(centre))
        return self._counts.get(rule.id, Counter[str]())[group]


def _spread(radius_m: float, devices: Iterable[Device]) -> Near[str]:
    near: Near[str] = Near(radius_m)
    for device in devices:
        point = point_of(device)
        if point is not None:
            near.add(point, device.device_id)
    return near
