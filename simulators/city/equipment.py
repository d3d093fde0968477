"""What stands in the district: hydrants along the roads, lifts and smoke detectors in buildings, and those who help.

Pure; the generator decides.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import hypot
from random import Random

from gridwarden import areas
from gridwarden.areas import Level
from gridwarden.model import Area, Device, Resource
from simulators.behaviour import INTERVAL_S
from simulators.city import terrain
from simulators.city.buildings import Building
from simulators.city.geometry import Point, Ring, centroid, clearance, length
from simulators.city.layout import Layout, Property, Region, Road

COUNTS = {"hydrant": 3_000, "lift": 7_000, "smoke": 20_000}
"""Devices at scale 1."""
MICRO_STATIONS = 54
_KERB_M = {"trunk": 19.0, "primary": 15.0, "secondary": 11.0, "residential": 7.0}
"""From the middle of a road to its hydrants."""
_CLEAR_M = 5.0
"""A hydrant is never nearer to a border of its grid, so that its place tells its grid."""
_APART_M = 30.0
"""Nor nearer to the next one, where two roads meet."""
_MAIN_M = 1_000.0
"""A water main is cut into sections of this length by its valves."""
_WALL_M = 2.0
_ROOMS = (("走廊", "corridor"), ("电梯厅", "lift_lobby"), ("楼梯间", "stairwell"), ("配电间", "switch_room"))
_GATE_M = 34.0
"""From a property's corner to its gate, so that it stands clear of roads and buildings."""


@dataclass(frozen=True, slots=True)
class _Kerb:
    """Where a hydrant may stand."""

    road: Road
    road_number: int
    distance_m: float
    """From the road's beginning."""
    point: Point
    grid: Region


def hydrants(rng: Random, layout: Layout, count: int) -> list[Device]:
    """``count`` hydrants, evenly along all roads, now on one side and now on the other."""
    found: list[Device] = []
    numbers: dict[int, int] = {}
    for kerb in _kerbs(layout, count):
        numbers[kerb.road_number] = numbers.get(kerb.road_number, 0) + 1
        lon, lat = terrain.to_degrees(terrain.bend(kerb.point))
        section = int(kerb.distance_m / _MAIN_M) + 1
        found.append(
            Device(
                device_id=f"HYD-{len(found) + 1:06}",
                kind="hydrant",
                area=kerb.grid.code,
                name=f"{kerb.road.name.zh}{numbers[kerb.road_number]}号消火栓",
                gateway=f"GW-HYD-{kerb.grid.code[6:9]}",
                water_main=f"WM-{kerb.road_number:03}-{section:02}",
                lon=lon,
                lat=lat,
                # A sensor in the outlet's cap sees pressure only while the valve is open, one on the riser always.
                attributes={
                    "mount": rng.choices(("riser", "cap"), (85, 15))[0],
                    "diameter_mm": 150 if kerb.road.road_class in {"trunk", "primary"} else 100,
                    "interval_s": INTERVAL_S["hydrant"],
                },
            )
        )
    return found


def _kerbs(layout: Layout, count: int) -> Iterator[_Kerb]:
    whole = sum(length(road.path) for road in layout.roads)
    spacing_m = whole / max(1, count)
    apart_m = min(_APART_M, spacing_m * 0.3)
    stood: dict[tuple[int, int], list[Point]] = defaultdict(list)
    done, placed = 0.0, 0
    for number, road in enumerate(layout.roads, 1):
        own = length(road.path)
        while placed < count and (placed + 0.5) * spacing_m < done + own:
            sites = _sites(layout, road, number, (placed + 0.5) * spacing_m - done, 1 if placed % 2 else -1)
            kerb = _chosen(sites, stood, apart_m)
            stood[_cell(kerb.point)].append(kerb.point)
            yield kerb
            placed += 1
        done += own


def _sites(layout: Layout, road: Road, number: int, distance_m: float, side: int) -> Iterator[_Kerb]:
    """Places near ``distance_m`` of a road, the nearest first and on ``side`` (1: right, -1: left) first."""
    for shift in (0, 10, -10, 20, -20, 30, -30, 45, -45):
        for turn in (side, -side):
            place = min(max(distance_m + shift, 1.0), length(road.path) - 1.0)
            point = _beside(road.path, place, turn * _KERB_M[road.road_class])
            yield _Kerb(road, number, place, point, layout.root.locate(point))


def _chosen(sites: Iterable[_Kerb], stood: Mapping[tuple[int, int], list[Point]], apart_m: float) -> _Kerb:
    """The first site away from crossings and other hydrants; where there is none the one farthest from a crossing."""
    refused: list[_Kerb] = []
    for site in sites:
        column, row = _cell(site.point)
        cells = [(column + c, row + r) for c in (-1, 0, 1) for r in (-1, 0, 1)]
        others = (other for cell in cells if cell in stood for other in stood[cell])
        if clearance(site.grid.ring, site.point) >= _CLEAR_M and all(
            hypot(x - site.point[0], y - site.point[1]) >= apart_m for x, y in others
        ):
            return site
        refused.append(site)
    return max(refused, key=lambda site: clearance(site.grid.ring, site.point))


def _cell(point: Point) -> tuple[int, int]:
    return int(point[0] // _APART_M), int(point[1] // _APART_M)


def _beside(path: Sequence[Point], distance_m: float, aside_m: float) -> Point:
    """The point ``distance_m`` along the path and ``aside_m`` to its right."""
    for (x0, y0), (x1, y1) in pairwise(path):
        step = hypot(x1 - x0, y1 - y0)
        if distance_m <= step:
            break
        distance_m -= step
    u, v = (x1 - x0) / step, (y1 - y0) / step
    return x0 + u * distance_m + v * aside_m, y0 + v * distance_m - u * aside_m


def lifts(rng: Random, buildings: Sequence[Building], count: int) -> list[Device]:
    """``count`` lifts, dealt out as buildings of their kind have them."""
    found: list[Device] = []
    for building, own in _dealt(buildings, [building.lifts for building in buildings], count):
        for number in range(1, own + 1):
            across = building.depth_m * 0.1
            place = building.at((number / (own + 1) - 0.5) * building.width_m * 0.7, across)
            attributes = {
                "floors": building.floors,
                "load_kg": rng.choice((800, 1000, 1050)),
                "team": f"LT-{building.area.code[6:9]}",
            }
            name = f"{building.estate.name}{building.area.name}{number}号电梯"
            found.append(_indoors("lift", f"LIFT-{len(found) + 1:06}", name, building, place, attributes))
    return found


def smokes(rng: Random, buildings: Sequence[Building], count: int) -> list[Device]:
    """``count`` smoke detectors, dealt out by the number of floors and spread over them."""
    found: list[Device] = []
    for building, own in _dealt(buildings, [building.floors for building in buildings], count):
        for number in range(own):
            floor = 1 + number * building.floors // own
            room, room_en = _ROOMS[number % len(_ROOMS)]
            reach_u, reach_v = building.width_m / 2 - _WALL_M, building.depth_m / 2 - _WALL_M
            place = building.at(rng.uniform(-reach_u, reach_u), rng.uniform(-reach_v, reach_v))
            attributes = {"floor": floor, "room": room_en, "mount": "ceiling"}
            name = f"{building.estate.name}{building.area.name}{floor}层{room}烟感"
            found.append(_indoors("smoke", f"SMK-{len(found) + 1:06}", name, building, place, attributes))
    return found


def _dealt(buildings: Sequence[Building], weights: Sequence[int], count: int) -> Iterator[tuple[Building, int]]:
    """``count`` shared out by weight, to the last one."""
    whole, done = sum(weights), 0
    for building, weight in zip(buildings, weights, strict=True):
        before = done * count // whole
        done += weight
        yield building, done * count // whole - before


def _indoors(
    kind: str, device_id: str, name: str, building: Building, place: Point, attributes: Mapping[str, object]
) -> Device:
    code = building.area.code
    community = areas.at_level(code, Level.COMMUNITY)
    lon, lat = terrain.to_degrees(place)
    return Device(
        device_id=device_id,
        kind=kind,
        area=code,
        name=name,
        gateway=f"GW-{device_id.partition('-')[0]}-{community[6:]}",
        building=code,
        power_feeder=f"PF-{areas.at_level(code, Level.GRID)[6:]}",
        lon=lon,
        lat=lat,
        attributes={**attributes, "interval_s": INTERVAL_S[kind]},
    )


def resources(layout: Layout) -> list[Resource]:
    """54 micro fire stations, street by street, and a lift maintenance team for each street."""
    named = {area.code: area for area, _ in layout.areas}
    first: dict[str, Property] = {}
    for estate in layout.properties:
        first.setdefault(areas.at_level(estate.area.code, Level.COMMUNITY), estate)
    # One of each street in turn, so that no street is left out.
    communities = sorted(first, key=lambda code: (code[9:], code))[:MICRO_STATIONS]
    stations = [
        _resource(
            f"MS-{n:03}", "micro_station", named[code], first[code], layout.dry, "微型消防站", "Micro Fire Station", 6
        )
        for n, code in enumerate(communities, 1)
    ]
    teams = []
    for code in sorted({areas.at_level(code, Level.STREET) for code in first}):
        estate = first[max(community for community in first if community.startswith(code))]
        teams.append(
            _resource(
                f"LT-{code[6:9]}",
                "lift_team",
                named[code],
                estate,
                layout.dry,
                "电梯维保班组",
                "Lift Maintenance Team",
                4,
            )
        )
    return stations + teams


def _resource(
    resource_id: str, kind: str, area: Area, estate: Property, dry: Ring, name: str, name_en: str, crew: int
) -> Resource:
    """At the gate of a property, inside its first corner that is dry."""
    gates = [_gate(estate, corner) for corner in estate.ring]
    gate = next((gate for gate in gates if clearance(dry, gate) > 0), gates[0])
    lon, lat = terrain.to_degrees(terrain.bend(gate))
    return Resource(
        resource_id,
        kind,
        f"{area.name}{name}",
        areas.at_level(estate.area.code, Level.GRID),
        lon,
        lat,
        {"crew": crew, "name_en": f"{area.name_en} {name_en}"},
    )


def _gate(estate: Property, corner: Point) -> Point:
    middle = centroid(estate.ring)
    share = _GATE_M / hypot(middle[0] - corner[0], middle[1] - corner[1])
    return corner[0] + (middle[0] - corner[0]) * share, corner[1] + (middle[1] - corner[1]) * share
