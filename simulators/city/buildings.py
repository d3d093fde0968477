"""Buildings on the properties: rows of houses, towers, offices, malls, schools. Pure; the generator decides."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi, sin
from random import Random

from gridwarden.model import Area
from simulators.city import terrain
from simulators.city.geometry import Point, Ring, centroid, clearance, inset, overlap
from simulators.city.layout import Property

MARGIN_M = 24.0
"""From a property's edge to its buildings: the half of a road lies there, too."""
_PER_PROPERTY = 6
_NARROW = ("tower", "slab")
"""What is built where the property's own sort does not fit."""
_NEAR_EDGE_M = 500.0
"""No property reaches further from its middle."""


@dataclass(frozen=True, slots=True)
class _Style:
    width_m: float
    depth_m: float
    apart_m: tuple[float, float]
    """From centre to centre, along and across."""
    floors: tuple[int, ...]
    lifts: tuple[int, int]
    """Lifts of a low building and of one above ``_HIGH_FLOORS``."""


_HIGH_FLOORS = 11
_STYLES = {
    "slab": _Style(48, 13, (70, 42), (6, 6, 6, 7, 11), (1, 3)),
    "tower": _Style(27, 20, (56, 56), (18, 24, 26, 28, 33), (2, 2)),
    "office": _Style(42, 32, (78, 70), (12, 16, 20, 24, 31), (2, 5)),
    "mall": _Style(66, 50, (112, 92), (4, 5, 6), (4, 4)),
    "school": _Style(56, 15, (84, 48), (4, 5), (1, 1)),
}


@dataclass(frozen=True, slots=True)
class Building:
    """One building on the ground."""

    area: Area
    estate: Area
    """The property it stands in."""
    sort: str
    centre: Point
    angle: float
    """Direction of its width, radians from east."""
    width_m: float
    depth_m: float
    floors: int
    lifts: int
    """What a building of its kind has; 0: stairs only."""

    def at(self, along_m: float, across_m: float) -> Point:
        """The point of the ground so far from its centre."""
        c, s = cos(self.angle), sin(self.angle)
        return self.centre[0] + along_m * c - across_m * s, self.centre[1] + along_m * s + across_m * c

    def ring(self, margin_m: float = 0.0) -> Ring:
        """Its walls, or the rectangle ``margin_m`` outside them."""
        u, v = self.width_m / 2 + margin_m, self.depth_m / 2 + margin_m
        return [self.at(-u, -v), self.at(u, -v), self.at(u, v), self.at(-u, v)]


def build(rng: Random, estate: Property, dry: Ring) -> list[Building]:
    """The buildings of one property inside ``dry``; none where it is too narrow."""
    room = inset(estate.ring, MARGIN_M)
    if room and clearance(dry, centroid(room)) < _NEAR_EDGE_M:
        room = overlap(room, dry)
    if not room:
        return []
    # Houses face the south: their long side runs as near to east and west as the roads allow.
    angle = min((estate.angle + turn * pi / 2 for turn in range(-2, 3)), key=abs)
    for style in (_STYLES[sort] for sort in (estate.sort, *_NARROW)):
        spots = _spots(room, angle, style)
        if spots:
            break
    if len(spots) > _PER_PROPERTY:
        spots = [spots[n] for n in sorted(rng.sample(range(len(spots)), _PER_PROPERTY))]
    return [_building(rng, estate, style, spot, angle, number) for number, spot in enumerate(spots, 1)]


def _spots(room: Ring, angle: float, style: _Style) -> list[Point]:
    """Centres in rows where a whole building fits in ``room``."""
    u, v = (cos(angle), sin(angle)), (-sin(angle), cos(angle))
    x, y = centroid(room)
    half_u, half_v = style.width_m / 2, style.depth_m / 2
    found: list[Point] = []
    for row in _steps(room, (x, y), v, style.apart_m[1], half_v):
        for step in _steps(room, (x, y), u, style.apart_m[0], half_u):
            spot = (x + step * u[0] + row * v[0], y + step * u[1] + row * v[1])
            corners = (
                (spot[0] + a * half_u * u[0] + b * half_v * v[0], spot[1] + a * half_u * u[1] + b * half_v * v[1])
                for a in (-1, 1)
                for b in (-1, 1)
            )
            if all(clearance(room, corner) >= 0 for corner in corners):
                found.append(spot)
    return found


def _steps(room: Ring, centre: Point, axis: Point, apart_m: float, half_m: float) -> list[float]:
    """Distances from the centre along ``axis`` at which a row or a house may stand, evenly spread."""
    reach = [(x - centre[0]) * axis[0] + (y - centre[1]) * axis[1] for x, y in room]
    low, high = min(reach) + half_m, max(reach) - half_m
    if high < low:
        return []
    count = int((high - low) / apart_m) + 1
    first = (low + high - (count - 1) * apart_m) / 2
    return [first + n * apart_m for n in range(count)]


def _building(rng: Random, estate: Property, style: _Style, spot: Point, angle: float, number: int) -> Building:
    floors = rng.choice(style.floors)
    lifts = style.lifts[floors >= _HIGH_FLOORS]
    if estate.sort == "slab" and floors < _HIGH_FLOORS:
        lifts = rng.choice((0, 0, 1))  # old houses with stairs; some got a lift later
    return Building(
        Area(f"{estate.area.code}B{number:03}", f"{number}号楼", f"Building {number}"),
        estate.area,
        estate.sort,
        terrain.bend(spot),
        terrain.heading(spot, angle),
        style.width_m + rng.choice((-4, 0, 0, 4)),
        style.depth_m,
        floors,
        lifts,
    )
