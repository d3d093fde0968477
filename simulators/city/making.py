"""The whole made-up district in one piece: areas with geometry, base map, devices, resources. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from gridwarden.model import Area, Device, Resource
from simulators.city import equipment, terrain
from simulators.city.buildings import build
from simulators.city.geometry import Point, Ring, centroid, clearance, inset
from simulators.city.layout import Layout, Region, lay_out
from simulators.city.names import LAKE, RIVER, Name

_NAMELESS = Name("", "")
_PARK_MARGIN_M = 14.0
_LAKE_SHARE = 0.8
"""Of the distance from the middle of its park to the park's edge."""


@dataclass(frozen=True, slots=True)
class Place:
    """An area with its outline."""

    area: Area
    ring: Ring
    """Degrees, against the clock; the first point is not repeated."""


@dataclass(frozen=True, slots=True)
class Feature:
    """A piece of the base map."""

    layer: str
    """``land``, ``water``, ``green`` or ``road``."""
    path: list[Point]
    """Degrees: an open ring, or a road's line."""
    road_class: str = ""
    name: Name = _NAMELESS


@dataclass(frozen=True, slots=True)
class City:
    """Everything made up; see :func:`make`."""

    areas: list[Place]
    """City to building, parents before children."""
    basemap: list[Feature]
    """In the order in which it is drawn."""
    devices: list[Device]
    resources: list[Resource]


def make(seed: int = 1, scale: float = 1.0) -> City:
    """The district of ``seed``: 11 streets, 80 communities, 600 grids, properties and buildings on a peninsula.

    The same seed gives the same city. ``scale`` multiplies the devices (3,000 hydrants, 7,000 lifts, 20,000 smoke
    detectors at 1); the ground stays as it is.
    """
    rng = Random(seed)
    layout = lay_out(rng)
    buildings = [building for estate in layout.properties for building in build(rng, estate, layout.dry)]
    counts = {kind: round(count * scale) for kind, count in equipment.COUNTS.items()}
    places = [Place(area, _ground(ring)) for area, ring in layout.areas[1:]]
    places.insert(0, Place(layout.areas[0][0], _degrees(layout.areas[0][1])))
    places += [Place(estate.area, _ground(estate.ring)) for estate in layout.properties]
    places += [Place(building.area, _degrees(building.ring())) for building in buildings]
    basemap = _basemap(rng, layout)
    devices = [
        *equipment.hydrants(rng, layout, counts["hydrant"]),
        *equipment.lifts(rng, buildings, counts["lift"]),
        *equipment.smokes(rng, buildings, counts["smoke"]),
    ]
    return City(places, basemap, devices, equipment.resources(layout))


def _basemap(rng: Random, layout: Layout) -> list[Feature]:
    found = [Feature("land", _degrees(terrain.frame()))]
    found += [Feature("green", _framed(wood)) for wood in terrain.woods(rng)]
    found.append(Feature("water", _framed(terrain.river()), name=RIVER))
    found.append(Feature("green", _framed(terrain.belt())))
    found += [Feature("green", _ground(inset(park.ring, _PARK_MARGIN_M))) for park in layout.parks]
    if layout.lake is not None:
        found += _lake(rng, layout.lake)
    found += _roads(layout)
    return found


def _lake(rng: Random, grid: Region) -> Iterator[Feature]:
    park = inset(grid.ring, _PARK_MARGIN_M)
    middle = centroid(park)
    reach = clearance(park, middle) * _LAKE_SHARE
    yield Feature("green", _ground(park), name=Name(f"{LAKE.zh}公园", f"{LAKE.en} Park"))
    yield Feature("water", _ground(terrain.blob(rng, middle, (reach * 1.2, reach), 0.2)), name=LAKE)


def _roads(layout: Layout) -> Iterator[Feature]:
    """Lesser roads first, so that greater ones lie over them."""
    order = ("residential", "secondary", "primary", "trunk")
    for road in sorted(layout.roads, key=lambda road: order.index(road.road_class)):
        path = [point for point in map(terrain.bend, road.drawn) if terrain.in_frame(point)]
        yield Feature("road", _degrees(path), road.road_class, road.name)


def _ground(ring: Sequence[Point]) -> Ring:
    return _degrees([terrain.bend(point) for point in ring])


def _framed(ring: Sequence[Point]) -> Ring:
    return _degrees(terrain.framed([terrain.bend(point) for point in ring]))


def _degrees(path: Sequence[Point]) -> list[Point]:
    """As degrees, without the points that rounding made equal to the one before."""
    found: list[Point] = []
    for point in map(terrain.to_degrees, path):
        if not found or point != found[-1]:
            found.append(point)
    return found
