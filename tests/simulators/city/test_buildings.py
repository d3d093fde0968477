from random import Random

import pytest

from gridwarden.areas import check
from gridwarden.model import Area
from simulators.city.buildings import Building, build
from simulators.city.geometry import Ring, area, contains
from simulators.city.layout import Property, lay_out
from simulators.city.names import SORTS
from simulators.city.terrain import bend

WIDE: Ring = [(0.0, 0.0), (260.0, 0.0), (260.0, 260.0), (0.0, 260.0)]


@pytest.mark.parametrize("sort", SORTS)
def test_each_sort_of_property_gets_buildings(sort: str) -> None:
    estate = Property(Area("999103001001001P001", "锦溪苑"), sort, WIDE, 0.3)
    found = build(Random(1), estate)
    assert 1 <= len(found) <= 6
    assert [building.area.name for building in found] == [f"{n}号楼" for n in range(1, len(found) + 1)]
    assert all(check(building.area.code).startswith(estate.area.code) for building in found)
    assert all(building.floors > 1 for building in found)


def test_a_sliver_gets_none() -> None:
    sliver: Ring = [(0.0, 0.0), (260.0, 0.0), (260.0, 40.0), (0.0, 40.0)]
    assert build(Random(1), Property(Area("999103001001001P001", "锦溪苑"), "slab", sliver, 0.0)) == []


def test_buildings_stand_in_their_property_and_not_in_each_other() -> None:
    for estate in lay_out(Random(2)).properties:
        ground = [bend(point) for point in estate.ring]
        found = build(Random(1), estate)
        for building in found:
            assert all(contains(ground, corner) for corner in building.ring(margin_m=6.0))
            others = (other for other in found if other is not building)
            assert not any(contains(other.ring(), corner) for other in others for corner in building.ring(margin_m=2.0))


def test_a_ring_has_the_size_of_the_walls() -> None:
    own = Area("999103001001001P001B001", "1号楼")
    building = Building(own, own, "slab", (10.0, 20.0), 0.5, 40.0, 13.0, 6, 0)
    assert area(building.ring()) == pytest.approx(40 * 13)
    assert building.at(0, 0) == (10.0, 20.0)
