from itertools import pairwise
from math import hypot
from random import Random

from simulators.city import terrain
from simulators.city.geometry import area, contains


def test_the_district_is_ten_by_six_kilometres_and_convex_on_the_plan() -> None:
    ring = terrain.outline()
    assert 45e6 < area(ring) < 60e6
    turns = [
        (b[0] - a[0]) * (c[1] - b[1]) - (b[1] - a[1]) * (c[0] - b[0])
        for a, b, c in zip(ring, ring[1:] + ring[:1], ring[2:] + ring[:2], strict=True)
    ]
    assert min(turns) > -1e-6


def test_the_bend_turns_nothing_inside_out() -> None:
    for x in range(-5_000, 5_001, 250):
        for y in range(-3_000, 3_001, 250):
            corners = [terrain.bend(point) for point in ((x, y), (x + 10, y), (x + 10, y + 10), (x, y + 10))]
            assert 50 < area(corners) < 200


def test_the_river_keeps_off_the_district() -> None:
    river, ring = terrain.river(), terrain.outline()
    assert not any(contains(river, point) for point in ring)
    assert not any(contains(ring, point) for point in river)


def test_the_river_flows_without_a_kink() -> None:
    river = terrain.river()
    for a, b, c in zip(river, river[1:], river[2:], strict=False):
        u, v = (b[0] - a[0], b[1] - a[1]), (c[0] - b[0], c[1] - b[1])
        if abs(b[0]) < 9_000 and b[1] < 7_000:  # its ends lie beyond the frame
            assert (u[0] * v[0] + u[1] * v[1]) / (hypot(*u) * hypot(*v)) > 0.8


def test_what_is_framed_lies_in_the_frame() -> None:
    for ring in [terrain.river(), terrain.belt(), *terrain.woods(Random(1))]:
        ground = terrain.framed([terrain.bend(point) for point in ring])
        assert all(abs(x) <= terrain.FRAME_M[0] + 1e-6 and abs(y) <= terrain.FRAME_M[1] + 1e-6 for x, y in ground)


def test_a_blob_stays_within_its_reach_and_does_not_cross_itself() -> None:
    ring = terrain.blob(Random(3), (100.0, 200.0), (50.0, 30.0), 0.35)
    assert all(hypot((x - 100) / 50, (y - 200) / 30) <= 1 for x, y in ring)
    assert area(ring) > 0


def test_degrees_are_rounded_to_a_tenth_of_a_metre() -> None:
    assert terrain.to_degrees((0.0, 0.0)) == (120.2, 30.3)
    points = [terrain.to_degrees((0.0, north)) for north in (0.0, 1_111.95)]
    assert [round(b - a, 6) for a, b in pairwise(lat for _, lat in points)] == [0.01]


def test_headings_follow_the_ground() -> None:
    assert abs(terrain.heading((0.0, 0.0), 0.0)) < 0.5
