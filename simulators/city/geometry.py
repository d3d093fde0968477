"""Polygons in a plane, metres: areas, cuts, containment. Pure Python, so that the same seed gives the same bytes everywhere.

A ring is an open list of points against the clock: the first is not repeated at the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import cos, hypot, sin

Point = tuple[float, float]
"""East and north, metres."""
Ring = list[Point]

STEP_M = 80.0
"""A straight line gets a point so often, so that it can follow the curves of the ground."""
_HALVINGS = 40
"""Steps of the search for a cut: a kilometre comes down to a billionth of a metre."""


@dataclass(frozen=True, slots=True)
class Line:
    """The points ``p`` with ``p · normal = offset``; the normal has length 1 and points to the right side."""

    normal: Point
    offset: float

    def distance(self, point: Point) -> float:
        """How far ``point`` lies on the right side (below 0: on the left), metres."""
        return point[0] * self.normal[0] + point[1] * self.normal[1] - self.offset


def area(ring: Sequence[Point]) -> float:
    """Square metres; below 0 for a ring with the clock."""
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in _edges(ring)) / 2


def centroid(ring: Sequence[Point]) -> Point:
    """Centre of gravity."""
    x = y = 0.0
    for (x0, y0), (x1, y1) in _edges(ring):
        cross = x0 * y1 - x1 * y0
        x += (x0 + x1) * cross
        y += (y0 + y1) * cross
    whole = 6 * area(ring)
    return x / whole, y / whole


def contains(ring: Sequence[Point], point: Point) -> bool:
    """Whether ``point`` lies inside (even-odd rule); on the edge either answer is possible."""
    x, y = point
    inside = False
    for (x0, y0), (x1, y1) in _edges(ring):
        if (y0 > y) != (y1 > y) and x < x0 + (y - y0) * (x1 - x0) / (y1 - y0):
            inside = not inside
    return inside


def clearance(ring: Sequence[Point], point: Point) -> float:
    """How far ``point`` lies inside a convex ring, metres: below 0 outside."""
    return min(
        ((x1 - x0) * (point[1] - y0) - (y1 - y0) * (point[0] - x0)) / hypot(x1 - x0, y1 - y0)
        for (x0, y0), (x1, y1) in _edges(ring)
    )


def overlap(ring: Sequence[Point], other: Sequence[Point]) -> Ring:
    """What a ring shares with a convex ring (Sutherland and Hodgman)."""
    kept: Ring = list(ring)
    for start, end in _edges(other):
        kept = clip(kept, _inward(start, end, 0.0))
    return kept


def inset(ring: Sequence[Point], margin_m: float) -> Ring:
    """The part of a convex ring at least ``margin_m`` from its edge; empty where nothing is left."""
    kept: Ring = list(ring)
    for start, end in _edges(ring):
        kept = clip(kept, _inward(start, end, margin_m))
    return kept


def _inward(start: Point, end: Point, margin_m: float) -> Line:
    """The line ``margin_m`` left of an edge, its right side inwards."""
    (x0, y0), (x1, y1) = start, end
    far = hypot(x1 - x0, y1 - y0)
    normal = ((y0 - y1) / far, (x1 - x0) / far)
    return Line(normal, x0 * normal[0] + y0 * normal[1] + margin_m)


def clip(ring: Sequence[Point], line: Line) -> Ring:
    """The part on the right side of ``line`` (Sutherland and Hodgman, one edge)."""
    kept: Ring = []
    for start, end in _edges(ring):
        before, after = line.distance(start), line.distance(end)
        if before >= 0:
            kept.append(start)
        if (before < 0) != (after < 0) and before != 0 and after != 0:
            share = before / (before - after)
            kept.append((start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])))
    return kept


def cut(ring: Sequence[Point], angle: float, share: float) -> tuple[Line, list[Point], Ring, Ring]:
    """Cut a convex ring along the direction ``angle`` (radians from east) so that the left part has ``share`` of it.

    Returns:
        The line, the points along the cut, and the parts left and right of it. Both parts hold the same points
        along the cut, so no gap can open between them.
    """
    normal = (sin(angle), -cos(angle))
    wanted = area(ring) * (1 - share)
    reach = [x * normal[0] + y * normal[1] for x, y in ring]
    low, high = min(reach), max(reach)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if area(clip(ring, Line(normal, middle))) > wanted else (low, middle)
    line = Line(normal, (low + high) / 2)
    return line, *_parts(ring, line)


def along(start: Point, end: Point) -> list[Point]:
    """Points on the straight way from ``start`` to ``end``, both included, no further apart than ``STEP_M``."""
    count = max(1, -int(-hypot(end[0] - start[0], end[1] - start[1]) // STEP_M))
    (x0, y0), (x1, y1) = start, end
    return [(x0 + (x1 - x0) * n / count, y0 + (y1 - y0) * n / count) for n in range(count)] + [end]


def length(path: Sequence[Point]) -> float:
    """Metres from the first point to the last, along the path."""
    return sum(hypot(x1 - x0, y1 - y0) for (x0, y0), (x1, y1) in pairwise(path))


def _edges(ring: Sequence[Point]) -> Iterator[tuple[Point, Point]]:
    return zip(ring, [*ring[1:], *ring[:1]], strict=True)


def _parts(ring: Sequence[Point], line: Line) -> tuple[list[Point], Ring, Ring]:
    left: Ring = []
    right: Ring = []
    entry = leave = ring[0]
    for start, end in _edges(ring):
        before, after = line.distance(start), line.distance(end)
        (right if before >= 0 else left).append(start)
        if (before < 0) == (after < 0):
            continue
        share = before / (before - after)
        crossing = (start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1]))
        if before < 0:
            entry = crossing
            left.append(crossing)
            mark_left = len(left)
            right.append(crossing)
        else:
            leave = crossing
            right.append(crossing)
            mark_right = len(right)
            left.append(crossing)
    path = along(leave, entry)
    # The right part is left at ``leave`` and comes back at ``entry``; the left part the other way round.
    right[mark_right:mark_right] = path[1:-1]
    left[mark_left:mark_left] = path[-2:0:-1]
    return path, left, right
