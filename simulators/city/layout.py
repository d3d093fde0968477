"""The district divided: streets, communities and grids by roads, grids into properties. Pure; ``seed`` decides.

A part of the district is halved again and again. Every cut runs across the longer side and nearly along the
neighbouring roads, as blocks of a city do; the cut is the road between the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import cos, hypot, pi, sin
from random import Random

from gridwarden.model import Area
from simulators.city import terrain
from simulators.city.geometry import Line, Point, Ring, clearance, contains, cut, inset
from simulators.city.names import CITY, DISTRICT, Name, Names

CITY_CODE, DISTRICT_CODE = "9991", "999103"
STREETS, COMMUNITIES, GRIDS = 11, 80, 600
_LAKE_AT: Point = (-1_300.0, 450.0)
"""A point of the plan in the community that has the lake."""
_LAKE_WEIGHT = 9.0
"""The grid with the lake is so much larger than its neighbours."""
PARKS = 18
"""Grids that are a park, besides the one with the lake."""
BANK_ROAD_M = 25.0
"""How far inside the district's edge the bank road runs."""
BANK_STRIP_M = 48.0
"""Nothing is built so near the edge."""
_BEYOND_M = 4_000.0
"""How far trunk roads go on outside the district."""
_TRUNK_DEPTH = 2
"""The first cuts of the district are trunk roads."""
_CITY_CENTRE: Point = (900.0, -300.0)
_DOWNTOWN_M = 1_500.0


@dataclass(slots=True)
class Region:
    """A convex part of the plan, perhaps cut in two."""

    ring: Ring
    angle: float
    """Direction of its roads, radians from east."""
    line: Line | None = None
    parts: tuple[Region, ...] = ()
    """Left and right of ``line``."""
    code: str = ""
    """Of the smallest area it is, once that is known."""

    def locate(self, point: Point) -> Region:
        """The smallest part that holds ``point``."""
        region = self
        while region.line is not None:
            region = region.parts[region.line.distance(point) >= 0]
        return region


@dataclass(frozen=True, slots=True)
class Road:
    """A road of the plan."""

    name: Name
    road_class: str
    """``trunk``, ``primary``, ``secondary`` or ``residential``."""
    path: list[Point]
    """Inside the district."""
    drawn: list[Point]
    """With what lies beyond it."""


@dataclass(frozen=True, slots=True)
class Property:
    """An estate, an office, a school."""

    area: Area
    sort: str
    """One of ``names.SORTS``."""
    ring: Ring
    angle: float


@dataclass(slots=True)
class Layout:
    """What the plan holds."""

    root: Region
    areas: list[tuple[Area, Ring]]
    """City to grid with their rings on the plan (the city's on the ground), parents first."""
    roads: list[Road] = field(default_factory=list)
    parks: list[Region] = field(default_factory=list)
    lake: Region | None = None
    dry: Ring = field(default_factory=list)
    """Where one may build: all but the edge with the road along the bank."""
    properties: list[Property] = field(default_factory=list)


def lay_out(rng: Random) -> Layout:
    """Divide the district."""
    root = Region(terrain.outline(), rng.uniform(-0.06, 0.06))
    layout = Layout(root, [])
    names = Names(rng)
    layout.areas.append((Area(CITY_CODE, *CITY), terrain.frame()))
    layout.areas.append((Area(DISTRICT_CODE, *DISTRICT), root.ring))
    cuts = _Cuts(rng, names, layout)
    streets = cuts.divide(root, [rng.uniform(0.85, 1.15) for _ in range(STREETS)], 0.10, ("trunk", "primary"))
    communities = [
        community
        for number, street in enumerate(streets, 1)
        for community in _communities(cuts, street, f"{DISTRICT_CODE}{number:03}", _dealt(COMMUNITIES, STREETS, number))
    ]
    grids: list[Region] = []
    for number, community in enumerate(communities, 1):
        grids += _grids(cuts, community, _dealt(GRIDS, COMMUNITIES, number))
    bank = inset(root.ring, BANK_ROAD_M)
    bank.append(bank[0])
    layout.dry = inset(root.ring, BANK_STRIP_M)
    layout.roads.append(Road(Name("滨江大道", "Riverside Avenue"), "primary", bank, bank))
    layout.parks = [region for region in rng.sample(grids, PARKS) if region is not layout.lake]
    taken = {region.code for region in layout.parks} | {layout.lake.code if layout.lake else ""}
    layout.properties = [
        estate for region in grids if region.code not in taken for estate in _properties(rng, names, region)
    ]
    layout.areas.sort(key=lambda pair: len(pair[0].code))
    return layout


def _dealt(total: int, among: int, number: int) -> int:
    """What the ``number``-th of ``among`` gets of ``total``."""
    return total * number // among - total * (number - 1) // among


@dataclass(slots=True)
class _Cuts:
    """Cuts regions and makes the cuts roads."""

    rng: Random
    names: Names
    layout: Layout

    def divide(self, region: Region, weights: Sequence[float], jitter: float, classes: tuple[str, ...]) -> list[Region]:
        """``region`` in as many parts as there are weights; ``classes`` are the roads' (first cuts, later cuts)."""
        return self._divide(region, weights, jitter, classes, 0)

    def _divide(
        self, region: Region, weights: Sequence[float], jitter: float, classes: tuple[str, ...], depth: int
    ) -> list[Region]:
        if len(weights) == 1:
            return [region]
        half = len(weights) // 2
        path = halve(self.rng, region, sum(weights[:half]) / sum(weights), jitter)
        if classes:
            self._build(path, classes[-1 if depth >= _TRUNK_DEPTH else 0])
        left, right = region.parts
        return [
            *self._divide(left, weights[:half], jitter, classes, depth + 1),
            *self._divide(right, weights[half:], jitter, classes, depth + 1),
        ]

    def _build(self, path: list[Point], road_class: str) -> None:
        (x0, y0), (x1, y1) = path[0], path[-1]
        name = self.names.road(road_class, eastward=abs(x1 - x0) > abs(y1 - y0))
        drawn = self._beyond(path) if road_class == "trunk" else path
        self.layout.roads.append(Road(name, road_class, path, drawn))

    def _beyond(self, path: list[Point]) -> list[Point]:
        """The road with its ways over the river, where it ends at the district's edge."""
        before, after = _further(path[1], path[0]), _further(path[-2], path[-1])
        edge = self.layout.root.ring
        return [
            *(before[:0:-1] if clearance(edge, path[0]) < 1 else []),
            *path,
            *(after[1:] if clearance(edge, path[-1]) < 1 else []),
        ]


def _further(start: Point, end: Point) -> list[Point]:
    """From ``end`` straight on, a point every 80 m."""
    far = hypot(end[0] - start[0], end[1] - start[1])
    step = ((end[0] - start[0]) / far * 80, (end[1] - start[1]) / far * 80)
    return [(end[0] + step[0] * n, end[1] + step[1] * n) for n in range(int(_BEYOND_M / 80))]


def halve(rng: Random, region: Region, share: float, jitter: float) -> list[Point]:
    """Cut ``region`` across its longer side; gives the points of the cut."""
    across = region.angle + (
        pi / 2 if _extent(region.ring, region.angle) > _extent(region.ring, region.angle + pi / 2) else 0
    )
    turn = rng.gauss(0, jitter)
    line, path, left, right = cut(region.ring, across + turn, share)
    region.line = line
    region.parts = (Region(left, region.angle + turn / 2), Region(right, region.angle + turn / 2))
    return path


def _extent(ring: Ring, angle: float) -> float:
    reach = [x * cos(angle) + y * sin(angle) for x, y in ring]
    return max(reach) - min(reach)


def _communities(cuts: _Cuts, street: Region, code: str, count: int) -> list[Region]:
    cuts.layout.areas.append((Area(code, *cuts.names.street()), street.ring))
    weights = [cuts.rng.uniform(0.8, 1.2) for _ in range(count)]
    communities = cuts.divide(street, weights, 0.06, ("secondary",))
    for number, community in enumerate(communities, 1):
        community.code = f"{code}{number:03}"
        cuts.layout.areas.append((Area(community.code, *cuts.names.community()), community.ring))
    return communities


def _grids(cuts: _Cuts, community: Region, count: int) -> list[Region]:
    weights = [cuts.rng.uniform(0.75, 1.25) for _ in range(count)]
    has_lake = contains(community.ring, _LAKE_AT)
    if has_lake:
        weights[0] = _LAKE_WEIGHT
    grids = cuts.divide(community, weights, 0.035, ("residential",))
    stem = next(area for area, _ in reversed(cuts.layout.areas) if area.code == community.code)
    zh, en = stem.name.removesuffix("社区"), stem.name_en.removesuffix(" Community")
    for number, grid in enumerate(grids, 1):
        grid.code = f"{community.code}{number:03}"
        cuts.layout.areas.append((Area(grid.code, f"{zh}第{number}网格", f"{en} Grid {number}"), grid.ring))
    if has_lake:
        cuts.layout.lake = grids[0]
    return grids


def _properties(rng: Random, names: Names, grid: Region) -> list[Property]:
    """One to three properties; nothing but a wall lies between them, so no road."""
    whole = Region(grid.ring, grid.angle)
    parts = [whole]
    for _ in range(rng.choice((1, 1, 2, 2)) if len(grid.ring) else 0):
        largest = max(parts, key=lambda part: _extent(part.ring, part.angle) * _extent(part.ring, part.angle + pi / 2))
        halve(rng, largest, rng.uniform(0.42, 0.58), 0.02)
        parts.remove(largest)
        parts += largest.parts
    found: list[Property] = []
    for number, part in enumerate(parts, 1):
        sort = _sort(rng, part.ring[0])
        area = Area(f"{grid.code}P{number:03}", *names.estate(sort))
        found.append(Property(area, sort, part.ring, part.angle))
    return found


def _sort(rng: Random, place: Point) -> str:
    """What is built: offices in the centre, homes elsewhere."""
    downtown = hypot(place[0] - _CITY_CENTRE[0], place[1] - _CITY_CENTRE[1]) < _DOWNTOWN_M
    shares = (12, 34, 42, 10, 2) if downtown else (44, 40, 8, 4, 4)
    return rng.choices(("slab", "tower", "office", "mall", "school"), shares)[0]
