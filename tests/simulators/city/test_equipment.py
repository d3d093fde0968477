from collections import Counter
from math import cos, hypot, radians

import pytest

from gridwarden.areas import Level, level_of
from simulators.city import City, make
from simulators.city.equipment import COUNTS, MICRO_STATIONS
from simulators.city.geometry import Point, contains

_METRES = 111_195.0


def test_counts_at_full_scale(city: City) -> None:
    assert Counter(device.kind for device in city.devices) == COUNTS
    assert len({device.device_id for device in city.devices}) == 30_000
    assert Counter(one.kind for one in city.resources) == {"micro_station": MICRO_STATIONS, "lift_team": 11}
    assert len({one.resource_id for one in city.resources}) == 65


@pytest.mark.parametrize(("scale", "counts"), [(0.01, (30, 70, 200)), (0.5, (1_500, 3_500, 10_000))])
def test_scale_multiplies_the_devices_only(city: City, scale: float, counts: tuple[int, int, int]) -> None:
    small = make(scale=scale)
    found = Counter(device.kind for device in small.devices)
    assert (found["hydrant"], found["lift"], found["smoke"]) == counts
    assert small.areas == city.areas
    assert small.basemap == city.basemap


def test_every_device_lies_in_its_area_and_in_the_district(city: City) -> None:
    rings = {place.area.code: place.ring for place in city.areas}
    for one in [*city.devices, *city.resources]:
        assert one.lon is not None
        assert one.lat is not None
        assert contains(rings[one.area], (one.lon, one.lat)), one
        assert contains(rings["999103"], (one.lon, one.lat)), one


def test_nothing_stands_in_the_water(city: City) -> None:
    waters = [feature.path for feature in city.basemap if feature.layer == "water"]
    places = {(one.lon or 0.0, one.lat or 0.0) for one in [*city.devices, *city.resources]}
    assert len(waters) == 2
    assert not any(contains(water, place) for water in waters for place in places)


def test_hydrants_stand_along_roads_on_mains_of_a_kilometre(city: City) -> None:
    hydrants = [device for device in city.devices if device.kind == "hydrant"]
    assert all(level_of(device.area) is Level.GRID and not device.building for device in hydrants)
    mains = Counter(device.water_main for device in hydrants)
    assert "" not in mains
    assert max(mains.values()) <= 15
    mounts = Counter(device.attributes["mount"] for device in hydrants)
    assert {device.attributes["interval_s"] for device in hydrants} == {900}
    assert mounts["riser"] > 4 * mounts["cap"] > 0
    # The next hydrant is about 120 m away.
    nearest = [_nearest_m(device.lon or 0, device.lat or 0, hydrants) for device in hydrants[::20]]
    assert 60 < sorted(nearest)[len(nearest) // 2] < 130
    assert min(nearest) > 15


def _nearest_m(lon: float, lat: float, hydrants: list) -> float:  # type: ignore[type-arg]
    shrink = cos(radians(lat))
    apart = (_metres((one.lon, one.lat), (lon, lat), shrink) for one in hydrants)
    return min(metres for metres in apart if metres > 0)


def _metres(one: Point, other: Point, shrink: float) -> float:
    return hypot((one[0] - other[0]) * shrink, one[1] - other[1]) * _METRES


def test_what_is_indoors_knows_building_feeder_and_floor(city: City) -> None:
    indoors = [device for device in city.devices if device.kind != "hydrant"]
    assert all(device.building == device.area and level_of(device.area) is Level.BUILDING for device in indoors)
    assert all(device.power_feeder and not device.water_main for device in indoors)
    floors = [device.attributes["floor"] for device in indoors if device.kind == "smoke"]
    assert {device.attributes["interval_s"] for device in indoors} == {1800}
    assert min(floors) == 1
    assert 20 < max(floors) <= 33
    teams = {one.resource_id for one in city.resources}
    assert {device.attributes["team"] for device in indoors if device.kind == "lift"} <= teams


def test_a_gateway_speaks_for_one_kind_and_stays_within_bounds(city: City) -> None:
    kinds = {(device.gateway, device.kind) for device in city.devices}
    assert len(kinds) == len({gateway for gateway, _ in kinds}) <= 171
