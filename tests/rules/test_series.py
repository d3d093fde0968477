"""Compact series."""

import pytest

from rules.series import LONGEST, NOTHING, values_of


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("0.3", [0.3]),
        ("0.3x2 0.12", [0.3, 0.3, 0.12]),
        ("1 -2 +3", [1, -2, 3]),
        ("true falsex2 null", [True, False, False, None]),
        ("_x2 4", [NOTHING, NOTHING, 4]),
        ("normal alarmx2", ["normal", "alarm", "alarm"]),
        ("0.30..0.10x3", [0.3, 0.2, 0.1]),
        ("1..4x4", [1.0, 2.0, 3.0, 4.0]),
        ("0..1x4", [0.0, 0.333, 0.667, 1.0]),
        ("maxx2", ["max", "max"]),
    ],
)
def test_what_a_series_stands_for(text: str, values: list[object]) -> None:
    assert values_of(text) == values


@pytest.mark.parametrize(
    ("text", "reason"),
    [("", "is expected"), (f"1x{LONGEST} 2", "more than"), ("1x99999", "more than"), ("0.3..0.1", "how many")],
)
def test_what_is_no_series(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        values_of(text)
