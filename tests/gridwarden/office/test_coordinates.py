from math import cos, radians

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridwarden.office.coordinates import (
    Crs,
    Point,
    box_around,
    distance_m,
    to_wgs84,
    wgs84_to_bd09,
    wgs84_to_gcj02,
)

# Computed with wandergis/coordTransform_py (MIT); the last one stands in its README.
VECTORS = [
    ((121.4737, 31.2304), (121.478223, 31.228458), (121.484781, 31.234311)),
    ((113.2644, 23.1291), (113.269730, 23.126423), (113.276151, 23.132711)),
]


@pytest.mark.parametrize(("wgs", "gcj", "bd"), VECTORS)
def test_vectors(wgs: Point, gcj: Point, bd: Point) -> None:
    assert wgs84_to_gcj02(wgs) == pytest.approx(gcj, abs=6e-7)
    assert wgs84_to_bd09(wgs) == pytest.approx(bd, abs=6e-7)
    assert distance_m(to_wgs84(gcj, Crs.GCJ02), wgs) < 0.15  # the vectors have six digits: 0.1 m
    assert distance_m(to_wgs84(bd, Crs.BD09), wgs) < 0.15


def test_vector_of_the_readme() -> None:
    assert wgs84_to_bd09((128.543, 37.065)) == pytest.approx((128.554682, 37.071683), abs=6e-7)


def test_offsets_are_of_the_known_size() -> None:
    assert distance_m(VECTORS[0][0], wgs84_to_gcj02(VECTORS[0][0])) == pytest.approx(481, abs=1)
    assert distance_m(VECTORS[1][0], wgs84_to_gcj02(VECTORS[1][0])) == pytest.approx(621, abs=1)


@given(st.floats(75, 134), st.floats(5, 53), st.sampled_from([Crs.GCJ02, Crs.BD09]))
def test_inverse_is_exact_to_a_centimetre(lon: float, lat: float, crs: Crs) -> None:
    forward = {Crs.GCJ02: wgs84_to_gcj02, Crs.BD09: wgs84_to_bd09}[crs]
    assert distance_m(to_wgs84(forward((lon, lat)), crs), (lon, lat)) < 0.01


def test_outside_china_gcj_is_wgs() -> None:
    assert wgs84_to_gcj02((6.07, 50.77)) == (6.07, 50.77)
    assert to_wgs84((6.07, 50.77), Crs.GCJ02) == (6.07, 50.77)


def test_distances() -> None:
    assert distance_m((0, 0), (1, 0)) == pytest.approx(111_195, abs=1)
    assert distance_m((0, -90), (77, 90)) == pytest.approx(20_015_115, abs=1)
    assert distance_m((179.9, 0), (-179.9, 0)) == pytest.approx(22_239, abs=1)
    assert distance_m((120, 30), (120, 30)) == 0


lons, lats = st.floats(-180, 180), st.floats(-90, 90)


@given(lons, lats, lons, lats, st.floats(1, 2e7))
def test_box_holds_the_circle(lon: float, lat: float, other_lon: float, other_lat: float, radius_m: float) -> None:
    south, north, ranges = box_around((lon, lat), radius_m)
    inside = south <= other_lat <= north and any(west <= other_lon <= east for west, east in ranges)
    assert inside or distance_m((lon, lat), (other_lon, other_lat)) > radius_m


def test_box_is_tight_in_a_city() -> None:
    south, north, [(west, east)] = box_around((120, 30), 1000)
    assert north - south == pytest.approx(2000 / 111_195, rel=1e-3)
    assert east - west == pytest.approx(2000 / 111_195 / cos(radians(30)), rel=1e-3)
