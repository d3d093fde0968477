from collections import Counter, defaultdict
from itertools import pairwise

import pytest

from gridwarden.areas import Level, check, level_of, parent_of
from simulators.city import City, make
from simulators.city.geometry import area, contains


def test_codes_are_well_formed_and_follow_their_parents(city: City) -> None:
    seen: set[str] = set()
    for place in city.areas:
        parent = parent_of(check(place.area.code))
        assert parent is None or parent in seen
        assert place.area.code not in seen
        assert place.area.name
        assert place.area.name_en
        seen.add(place.area.code)
    levels = Counter(map(level_of, seen))
    assert levels[Level.PROPERTY] > 1_000
    assert levels[Level.BUILDING] > 4_000
    assert seen >= {"9991", "999103", "999103001", "999103011"}


def test_rings_are_valid_and_small(city: City) -> None:
    for place in city.areas:
        assert 4 <= len(place.ring) == len(set(place.ring)) < 500
        assert area(place.ring) > 0  # against the clock
    for feature in city.basemap:
        assert all(one != other for one, other in pairwise(feature.path))
        assert feature.layer == "road" or area(feature.path) > 0


def test_children_lie_in_their_parent_and_fill_it(city: City) -> None:
    rings = {place.area.code: place.ring for place in city.areas}
    sums: dict[str, float] = defaultdict(float)
    for code, ring in rings.items():
        parent = parent_of(code)
        if parent is None:
            continue
        sums[parent] += area(ring)
        middle = (sum(x for x, _ in ring) / len(ring), sum(y for _, y in ring) / len(ring))
        assert contains(rings[parent], middle), code
    tiled = {Level.DISTRICT, Level.STREET, Level.COMMUNITY}
    for code, whole in sums.items():
        if level_of(code) in tiled or (level_of(code) is Level.GRID):
            assert whole == pytest.approx(area(rings[code]), rel=0.01), code


def test_the_map_has_every_layer(city: City) -> None:
    layers = Counter(feature.layer for feature in city.basemap)
    assert layers["land"] == 1
    assert layers["water"] == 2
    assert layers["green"] > 20
    classes = Counter(feature.road_class for feature in city.basemap if feature.layer == "road")
    assert set(classes) == {"trunk", "primary", "secondary", "residential"}
    assert all(feature.name.zh and feature.name.en for feature in city.basemap if feature.layer == "road")


def test_the_seed_decides_everything(city: City) -> None:
    assert make() == city
    other = make(seed=2)
    assert other.areas != city.areas
    assert len(other.devices) == len(city.devices)
