"""The ground of the made-up district: a peninsula in the bend of a river. Pure.

Everything is laid out on a flat plan first, where the district is convex and roads are straight; ``bend`` then gives
the ground its curves. The bend is smooth and turns nothing inside out, so what lies inside stays inside.
"""

from __future__ import annotations

from math import atan2, copysign, cos, hypot, pi, radians, sin
from random import Random

from simulators.city.geometry import STEP_M, Line, Point, Ring, clip

LON, LAT = 120.2, 30.3
"""Degrees of the plan's centre: invented land."""
HALF_WIDTH_M, HALF_HEIGHT_M = 5_000.0, 2_950.0
FRAME_M = (6_900.0, 4_700.0)
"""Half the width and height of the land that is drawn."""
_NORTH = 0.86
"""The landward side is flatter than the bank."""
_EXPONENT = 2.7
"""Of the superellipse: between an ellipse (2) and a rectangle."""
_METRES_PER_DEGREE = 111_195.0
"""Of a great circle of the Earth's mean radius (IUGG R1)."""
_WAVES = ((330.0, 7_900.0, 0.9), (75.0, 3_100.0, 2.2))
"""Amplitude and wavelength in metres, and phase, of the bends."""
BELT_M = 45.0
"""Green strip between the district's edge and the water."""
_RIVER_M = 440.0
"""Width of the river where it is narrow."""
_BANK_FROM, _BANK_TO = radians(158), radians(382)
"""Where the river comes and where it leaves, angle from east: it flows round the west, the south and the east."""


def outline() -> Ring:
    """The district on the plan, a point every ``STEP_M`` or so."""
    rough = [_on_edge(2 * pi * n / 2_000) for n in range(2_000)]
    ring: Ring = [rough[0]]
    for point in rough[1:]:
        if hypot(point[0] - ring[-1][0], point[1] - ring[-1][1]) >= STEP_M:
            ring.append(point)
    return ring


def _on_edge(angle: float, out_m: float = 0.0) -> Point:
    """A point ``out_m`` outside the district's edge."""
    c, s = cos(angle), sin(angle)
    height = HALF_HEIGHT_M * (_NORTH if s > 0 else 1.0) + out_m
    x = copysign(abs(c) ** (2 / _EXPONENT), c) * (HALF_WIDTH_M + out_m)
    return x, copysign(abs(s) ** (2 / _EXPONENT), s) * height


def _bank(out_m: float, widening_m: float = 0.0) -> list[Point]:
    """A line along the bank on the plan, ``out_m`` outside the edge, ``widening_m`` more in the middle of the bend."""
    angles = [_BANK_FROM + (_BANK_TO - _BANK_FROM) * n / 400 for n in range(401)]
    return [_on_edge(angle, out_m + widening_m * sin(pi * n / 400) ** 2) for n, angle in enumerate(angles)]


def belt() -> Ring:
    """The green strip along the bank on the plan."""
    return _bank(BELT_M + 5.0) + _bank(0.0)[::-1]


def river() -> Ring:
    """The water round the peninsula on the plan; its ends leave the frame."""
    near, far = _bank(BELT_M), _bank(_RIVER_M + BELT_M, _RIVER_M / 2)
    upstream = _curve(far[1], far[0], (-9_400.0, 2_900.0))[::-1], _curve(near[1], near[0], (-9_400.0, 3_700.0))
    downstream = _curve(far[-2], far[-1], (6_300.0, 7_400.0)), _curve(near[-2], near[-1], (5_600.0, 7_400.0))[::-1]
    return [*upstream[0], *far[1:-1], *downstream[0], *downstream[1], *near[-2:0:-1], *upstream[1]]


def _curve(before: Point, start: Point, end: Point) -> list[Point]:
    """On from ``start`` in the direction from ``before``, curving to ``end`` (Bézier, cubic)."""
    reach = hypot(end[0] - start[0], end[1] - start[1]) / 3
    step = hypot(start[0] - before[0], start[1] - before[1])
    on = [start[n] + (start[n] - before[n]) / step * reach for n in (0, 1)]
    # It leaves the frame the way the end lies: straight west or straight north.
    back = (end[0] + reach, end[1]) if abs(end[0] - start[0]) > abs(end[1] - start[1]) else (end[0], end[1] - reach)
    found: list[Point] = []
    for t in (n / 40 for n in range(41)):
        a, b, c, d = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3
        found.append(
            (
                a * start[0] + b * on[0] + c * back[0] + d * end[0],
                a * start[1] + b * on[1] + c * back[1] + d * end[1],
            )
        )
    return found


def bend(point: Point) -> Point:
    """From the plan to the ground."""
    x, y = point
    for amplitude, wavelength, phase in _WAVES:
        turn = 2 * pi / wavelength
        x, y = x + amplitude * sin(turn * y + phase), y + amplitude * sin(turn * x * 0.8 + 2 * phase)
    return x, y


def heading(point: Point, angle: float) -> float:
    """The direction on the ground of what runs in the direction ``angle`` at ``point`` of the plan, radians."""
    x0, y0 = bend(point)
    x1, y1 = bend((point[0] + cos(angle), point[1] + sin(angle)))
    return atan2(y1 - y0, x1 - x0)


def to_degrees(point: Point) -> Point:
    """Longitude and latitude (WGS-84, six digits: a tenth of a metre) of a point of the ground."""
    lon = LON + point[0] / (_METRES_PER_DEGREE * cos(radians(LAT)))
    return round(lon, 6), round(LAT + point[1] / _METRES_PER_DEGREE, 6)


def framed(ring: Ring) -> Ring:
    """What of a ring of the ground lies inside the frame."""
    for normal, reach in (((1, 0), 0), ((-1, 0), 0), ((0, 1), 1), ((0, -1), 1)):
        ring = clip(ring, Line(normal, -FRAME_M[reach]))
    return ring


def frame() -> Ring:
    """The land that is drawn, on the ground."""
    width, height = FRAME_M
    return [(-width, -height), (width, -height), (width, height), (-width, height)]


def blob(rng: Random, centre: Point, radius_m: Point, wobble: float = 0.12) -> Ring:
    """A round thing with an uneven edge, such as a lake or a wood: never further out than ``radius_m``."""
    phases = [rng.uniform(0, 2 * pi) for _ in range(4)]
    ring: Ring = []
    for n in range(48):
        angle = 2 * pi * n / 48
        waves = sum(sin((k + 2) * angle + phase) / (k + 2) for k, phase in enumerate(phases))
        reach = (1 + wobble * waves) / (1 + 1.3 * wobble)
        ring.append((centre[0] + radius_m[0] * reach * cos(angle), centre[1] + radius_m[1] * reach * sin(angle)))
    return ring


def woods(rng: Random) -> list[Ring]:
    """Green hills beyond the river and the northern border, on the plan."""
    found: list[Ring] = []
    for angle in (0.55, 1.1, 1.5, 2.05, 3.35, 3.75, 4.3, 4.9, 5.4, 5.95):
        x, y = _on_edge(angle + rng.uniform(-0.1, 0.1), rng.uniform(1_500, 1_900))
        found.append(blob(rng, (x, y), (rng.uniform(300, 800), rng.uniform(200, 420)), 0.35))
    return found


def in_frame(point: Point) -> bool:
    """Whether a point of the ground is drawn."""
    return abs(point[0]) <= FRAME_M[0] and abs(point[1]) <= FRAME_M[1]
