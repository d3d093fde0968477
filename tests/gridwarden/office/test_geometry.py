"""Outlines: what is taken, what is refused and where, and that any JSON at all gives one or the other."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridwarden.office.coordinates import Crs, distance_m, wgs84_to_gcj02
from gridwarden.office.geometry import AREA_VERTICES, LINES, OUTLINES, checked, moved, outline

RING = [[120, 30], [120.1, 30], [120.1, 30.1], [120, 30]]
HOLE = [[120.05, 30.01], [120.06, 30.01], [120.06, 30.02], [120.05, 30.01]]


def polygon(*rings: Any) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": list(rings)}


def test_outlines_are_kept_as_one_text() -> None:
    assert outline(polygon(RING)) == '{"type":"Polygon","coordinates":[[[120,30],[120.1,30],[120.1,30.1],[120,30]]]}'
    many = {"type": "MultiPolygon", "coordinates": [[RING, HOLE], [RING]]}
    assert json.loads(outline(many) or "") == many
    assert outline(json.dumps(many)) == outline(many)
    assert outline(None) is outline("") is None


def test_degrees_are_rounded_and_altitudes_left_out() -> None:
    ring = [[120.12345678, 30, 4.5], *RING[1:3], [120.12345678, 30, 4.5]]
    assert json.loads(outline(polygon(ring)) or "")["coordinates"][0][0] == [120.123457, 30]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ({"type": "Point", "coordinates": [1, 2]}, "'Point': Polygon or MultiPolygon is expected"),
        ([1], r"\[1\]: Polygon"),
        ({}, "None: Polygon"),
        ({"type": []}, r"\[\]: Polygon"),
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        (polygon(), "rings: a list that is not empty"),
        ({"type": "Polygon"}, "rings: a list that is not empty is expected, not None"),
        (polygon(RING[:3]), "ring 1: 3 positions, at least 4"),
        (polygon(RING, [*HOLE[:3], [120, 30]]), "ring 2: is not closed"),
        ({"type": "MultiPolygon", "coordinates": [[RING], [RING, "x"]]}, "polygon 2, ring 2: a list"),
        (polygon([*RING[:2], [1], RING[3]]), r"ring 1, position 3: longitude and latitude are expected, not \[1\]"),
        (polygon([*RING[:2], [1, True], RING[3]]), "position 3: longitude"),
        (polygon([*RING[:2], [1, "2"], RING[3]]), "position 3: longitude"),
        (polygon([*RING[:2], [1, float("nan")], RING[3]]), "position 3: longitude"),
        (polygon([*RING[:2], [1, float("inf")], RING[3]]), "position 3: longitude"),
        (polygon([*RING[:2], [10**400, 1], RING[3]]), r"position 3: \[10+ lies outside the Earth"),
        (polygon([*RING[:2], [181, 1], RING[3]]), r"\[181, 1\] lies outside the Earth$"),
        (polygon([*RING[:2], [30, 120], RING[3]]), r"\[30, 120\] lies outside the Earth; longitude comes first"),
        (polygon(RING * (AREA_VERTICES // 4), HOLE), f"more than {AREA_VERTICES} positions"),
    ],
)
def test_what_is_no_outline(raw: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        outline(raw)


def test_the_largest_outline() -> None:
    ring = [[120 + n / AREA_VERTICES, 30] for n in range(AREA_VERTICES - 1)]
    assert outline(polygon([*ring, ring[0]]))


def test_lines() -> None:
    line = {"type": "LineString", "coordinates": RING[:2]}
    lines = {"type": "MultiLineString", "coordinates": [RING[:2], HOLE]}
    assert json.loads(checked(line, LINES, None)) == line
    assert json.loads(checked(lines, LINES, None)) == lines
    with pytest.raises(ValueError, match="line 2: 1 positions, at least 2"):
        checked({"type": "MultiLineString", "coordinates": [RING, RING[:1]]}, LINES, None)
    with pytest.raises(ValueError, match="'LineString': Polygon"):
        checked(line, OUTLINES, None)


def test_every_position_becomes_wgs84_and_rings_stay_closed() -> None:
    there = [list(wgs84_to_gcj02((lon, lat))) for lon, lat in RING]
    text = moved(checked(polygon(there), OUTLINES, None), Crs.GCJ02)
    ring = json.loads(text)["coordinates"][0]
    assert all(distance_m(tuple(a), tuple(b)) < 0.2 for a, b in zip(ring, RING, strict=True))
    assert ring[0] == ring[-1]


numbers = st.integers(-200, 200) | st.floats() | st.sampled_from([10**400, True, None, "1"])
coordinates = st.recursive(numbers, lambda inner: st.lists(inner, max_size=5), max_leaves=40)


@given(st.sampled_from(OUTLINES), coordinates | st.lists(st.lists(st.lists(numbers, min_size=2, max_size=3))))
def test_any_coordinates_are_kept_or_refused(kind: str, raw: Any) -> None:
    try:
        text = outline({"type": kind, "coordinates": raw})
    except ValueError:
        return
    assert text is not None
    assert outline(text) == text
