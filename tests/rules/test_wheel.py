"""The wheel against a sorted list: everything comes out once, after its time, in bounded portions."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rules.wheel import SLOT_MS, Wheel

TIMES = st.integers(0, 20_000)


def test_nothing_comes_out_in_the_very_millisecond() -> None:
    wheel = Wheel()
    wheel.put(SLOT_MS - 1, "a")
    wheel.put(SLOT_MS, "b")
    assert wheel.take(SLOT_MS - 1, 9) == []
    assert wheel.take(SLOT_MS, 9) == ["a"]
    assert wheel.take(2 * SLOT_MS, 9) == ["b"]
    assert wheel.take(2**60, 9) == []


@given(st.lists(TIMES), st.lists(st.tuples(TIMES, st.integers(1, 5))))
def test_everything_comes_out_once_after_its_time(times: list[int], takes: list[tuple[int, int]]) -> None:
    wheel = Wheel()
    for number, at_ms in enumerate(times):
        wheel.put(at_ms, f"{number}")
    left = {f"{number}": at_ms for number, at_ms in enumerate(times)}
    for through_ms, limit in sorted(takes):
        taken = wheel.take(through_ms, limit)
        assert len(taken) <= limit
        for key in taken:
            assert left.pop(key) < through_ms
        if len(taken) < limit:
            assert not any(at_ms // SLOT_MS + 1 <= through_ms // SLOT_MS for at_ms in left.values())
    assert set(wheel.take(2**60, len(times) + 1)) == set(left)
