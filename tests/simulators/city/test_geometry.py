from math import hypot, pi

import pytest

from simulators.city.geometry import (
    STEP_M,
    Line,
    Ring,
    along,
    area,
    centroid,
    clearance,
    clip,
    contains,
    cut,
    inset,
    length,
    overlap,
)

SQUARE: Ring = [(0.0, 0.0), (400.0, 0.0), (400.0, 400.0), (0.0, 400.0)]


def test_area_and_centre_of_a_square() -> None:
    assert area(SQUARE) == 160_000
    assert area(SQUARE[::-1]) == -160_000
    assert centroid(SQUARE) == (200.0, 200.0)


def test_contains_tells_inside_from_outside() -> None:
    assert contains(SQUARE, (1.0, 399.0))
    assert not contains(SQUARE, (401.0, 200.0))
    assert clearance(SQUARE, (30.0, 200.0)) == 30.0
    assert clearance(SQUARE, (-30.0, 200.0)) == -30.0


def test_clip_keeps_the_right_side() -> None:
    assert area(clip(SQUARE, Line((1.0, 0.0), 300.0))) == pytest.approx(40_000)
    assert clip(SQUARE, Line((1.0, 0.0), 500.0)) == []


def test_inset_leaves_the_margin_and_nothing_of_what_is_too_narrow() -> None:
    assert area(inset(SQUARE, 50.0)) == pytest.approx(90_000)
    assert inset(SQUARE, 201.0) == []


@pytest.mark.parametrize("angle", [0.0, 0.3, pi / 2, 2.0, 4.0])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.7])
def test_a_cut_gives_the_share_and_leaves_no_gap(angle: float, share: float) -> None:
    line, path, left, right = cut(SQUARE, angle, share)
    assert area(left) == pytest.approx(share * 160_000)
    assert area(right) == pytest.approx((1 - share) * 160_000)
    assert set(path) <= set(left)
    assert set(path) <= set(right)
    assert all(abs(line.distance(point)) < 1e-6 for point in path)
    assert line.distance(centroid(right)) > 0 > line.distance(centroid(left))


def test_a_long_straight_way_gets_points_to_bend_at() -> None:
    path = along((0.0, 0.0), (300.0, 400.0))
    assert length(path) == pytest.approx(500)
    assert len(path) == 8
    assert hypot(*path[1]) <= STEP_M


def test_overlap_is_what_both_share() -> None:
    moved: Ring = [(x + 300.0, y + 100.0) for x, y in SQUARE]
    assert area(overlap(SQUARE, moved)) == pytest.approx(100 * 300)
    assert overlap(SQUARE, [(x + 500.0, y) for x, y in SQUARE]) == []
