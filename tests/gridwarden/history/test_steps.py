"""Sums per step, whatever the order of the values."""

from __future__ import annotations

from gridwarden.history import Buckets
from gridwarden.history.steps import Steps


def test_the_last_of_a_millisecond_is_told_by_rank() -> None:
    steps = Steps(10)
    values = {("a", 12_000_001): 4.0, ("a", 1_000_000): 1.0, ("b", 12_000_000): 2.0, ("a", 11_000_000): 9.0}
    asked = []
    for spot, value in values.items():
        steps.add(spot, value)

    def ranks(spots: object) -> dict[tuple[str, int], tuple[int, int]]:
        asked.append(spots)
        return {("a", 12_000_001): (1, 0), ("b", 12_000_000): (2, 0)}

    assert steps.buckets(ranks) == Buckets(10, [0, 10], [1.0, 2.0], [1.0, 9.0], [1.0, 5.0], [1.0, 2.0], [1, 3])
    assert asked == [[("a", 12_000_001), ("b", 12_000_000)]]
