"""Sums per step, whatever the order of the values."""

from __future__ import annotations

from gridwarden.history import Buckets
from gridwarden.history.steps import Steps, Sum


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


def test_sums_and_values_of_one_step_are_one() -> None:
    steps = Steps(10)
    steps.add(("a", 19_000_000), 7.0)
    steps.add_sum(Sum("a", 10, min=1.0, max=4.0, sum=10.0, count=4, last=2.0, last_ms=15, tied=1))
    assert steps.unsure_ms() == []  # a later value is the last
    steps.add_sum(Sum("a", 20, min=1.0, max=4.0, sum=10.0, count=4, last=2.0, last_ms=25, tied=0))
    steps.add_sum(Sum("b", 20, min=0.0, max=1.0, sum=2.0, count=2, last=1.0, last_ms=25, tied=0))
    steps.add_sum(Sum("a", 30, min=1.0, max=1.0, sum=2.0, count=2, last=1.0, last_ms=31, tied=1))
    assert steps.unsure_ms() == [25, 31]
    steps.settle(25, {("a", 25_000_000): 2.0, ("b", 25_000_001): 1.0})
    steps.settle(31, {("a", 31_000_005): 1.0, ("a", 31_000_004): 9.0})
    assert steps.unsure_ms() == []
    ranks = {("a", 25_000_000): (1, 0), ("b", 25_000_001): (2, 0), ("a", 31_000_005): (1, 0), ("a", 31_000_004): (2, 0)}
    assert steps.buckets(lambda _spots: ranks) == Buckets(
        10, [10, 20, 30], [1.0, 0.0, 1.0], [7.0, 4.0, 1.0], [17 / 5, 2.0, 1.0], [7.0, 1.0, 9.0], [5, 6, 2]
    )
