from collections import Counter, defaultdict
from random import Random

import pytest

from gridwarden.areas import Level, level_of, parent_of
from simulators.city.geometry import area, clearance
from simulators.city.layout import COMMUNITIES, GRIDS, STREETS, Layout, lay_out
from simulators.city.names import SORTS


@pytest.fixture(scope="module", params=[1, 7])
def layout(request: pytest.FixtureRequest) -> Layout:
    return lay_out(Random(request.param))


def test_every_level_has_its_number(layout: Layout) -> None:
    found = Counter(level_of(one.code) for one, _ in layout.areas)
    assert found == {
        Level.CITY: 1, Level.DISTRICT: 1, Level.STREET: STREETS, Level.COMMUNITY: COMMUNITIES, Level.GRID: GRIDS
    }  # fmt: skip


def test_children_fill_their_parent(layout: Layout) -> None:
    rings = {one.code: ring for one, ring in layout.areas} | {one.area.code: one.ring for one in layout.properties}
    sums: dict[str, float] = defaultdict(float)
    for code, ring in rings.items():
        sums[parent_of(code) or ""] += area(ring)
    assert all(sums[code] == pytest.approx(area(rings[code])) for code in sums if code not in {"", "9991"})


def test_locate_finds_the_grid_that_holds_a_point(layout: Layout) -> None:
    rng = Random(1)
    for _ in range(200):
        point = rng.uniform(-4_000, 4_000), rng.uniform(-1_500, 1_500)
        grid = layout.root.locate(point)
        assert level_of(grid.code) is Level.GRID
        assert clearance(grid.ring, point) > -1e-6


def test_a_grid_is_a_park_or_has_properties(layout: Layout) -> None:
    parks = {park.code for park in layout.parks}
    built = {parent_of(estate.area.code) for estate in layout.properties}
    assert layout.lake is not None
    assert parks.isdisjoint(built)
    assert len(parks | built | {layout.lake.code}) == GRIDS
    assert {estate.sort for estate in layout.properties} == set(SORTS)


def test_roads_of_every_class_and_only_trunk_roads_go_on_beyond(layout: Layout) -> None:
    assert {road.road_class for road in layout.roads} == {"trunk", "primary", "secondary", "residential"}
    beyond = {road.road_class for road in layout.roads if road.drawn != road.path}
    assert beyond == {"trunk"}
    # 80 communities and 600 grids: one cut less than there are parts, and the road along the bank.
    assert len(layout.roads) == GRIDS
