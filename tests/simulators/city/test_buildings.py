from collections import defaultdict
from itertools import pairwise
from random import Random

import pytest

from gridwarden.areas import check
from gridwarden.model import Area
from simulators.city.buildings import Building, build
from simulators.city.geometry import Point, Ring, area, contains
from simulators.city.layout import Property, lay_out
from simulators.city.names import SORTS
from simulators.city.terrain import bend

LAYOUT = lay_out(Random(2))
DRY: Ring = [(-9e3, -9e3), (9e3, -9e3), (9e3, 9e3), (-9e3, 9e3)]
WIDE: Ring = [(0.0, 0.0), (260.0, 0.0), (260.0, 260.0), (0.0, 260.0)]


@pytest.mark.parametrize("sort", SORTS)
def test_each_sort_of_property_gets_buildings(sort: str) -> None:
    estate = Property(Area("999103001001001P001", "锦溪苑"), sort, WIDE, 0.3)
    found = build(Random(1), estate, DRY)
    assert 1 <= len(found) <= 6
    assert [building.area.name for building in found] == [f"{n}号楼" for n in range(1, len(found) + 1)]
    assert all(check(building.area.code).startswith(estate.area.code) for building in found)
    assert all(building.floors > 1 for building in found)


def test_a_sliver_gets_none() -> None:
    sliver: Ring = [(0.0, 0.0), (260.0, 0.0), (260.0, 40.0), (0.0, 40.0)]
    assert build(Random(1), Property(Area("999103001001001P001", "锦溪苑"), "slab", sliver, 0.0), DRY) == []


def test_buildings_stand_in_their_property_and_not_in_each_other() -> None:
    for estate in LAYOUT.properties:
        ground = [bend(point) for point in estate.ring]
        found = build(Random(1), estate, LAYOUT.dry)
        for building in found:
            assert all(contains(ground, corner) for corner in building.ring(margin_m=6.0))
            others = (other for other in found if other is not building)
            assert not any(contains(other.ring(), corner) for other in others for corner in building.ring(margin_m=2.0))


def test_a_ring_has_the_size_of_the_walls() -> None:
    own = Area("999103001001001P001B001", "1号楼")
    building = Building(own, own, "slab", (10.0, 20.0), 0.5, 40.0, 13.0, 6, 0)
    assert area(building.ring()) == pytest.approx(40 * 13)
    assert building.at(0, 0) == (10.0, 20.0)


def test_no_building_stands_on_a_road() -> None:
    found = [building for estate in LAYOUT.properties for building in build(Random(1), estate, LAYOUT.dry)]
    near: dict[tuple[int, int], list[Ring]] = defaultdict(list)
    for building in found:
        near[_cell(building.centre)].append(building.ring(margin_m=10.0))
    for road in LAYOUT.roads:
        for start, end in pairwise(road.path):
            for place in (start, ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)):
                column, row = _cell(bend(place))
                rings = (ring for c in (-1, 0, 1) for r in (-1, 0, 1) for ring in near.get((column + c, row + r), []))
                assert not any(contains(ring, bend(place)) for ring in rings), road.name


def _cell(point: Point) -> tuple[int, int]:
    return int(point[0] // 100), int(point[1] // 100)


def test_few_properties_are_empty() -> None:
    empty = [estate for estate in LAYOUT.properties if not build(Random(1), estate, LAYOUT.dry)]
    assert len(empty) < len(LAYOUT.properties) / 50
