"""Times to text and back; a replay clock never goes back."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridwarden.clock import ReplayClock, Steps, SystemClock, parse_rfc3339, rfc3339


@given(st.integers(-62_135_596_800_000, 253_402_300_799_999))
def test_a_time_comes_back_as_it_was(at_ms: int) -> None:
    assert parse_rfc3339(rfc3339(at_ms)) == at_ms


@pytest.mark.parametrize(
    ("text", "at_ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-11-22T06:00:00.123Z", 1_795_327_200_123),
        ("2026-11-22T14:00:00.123+08:00", 1_795_327_200_123),
        ("2026-11-22T06:00:00.123", 1_795_327_200_123),
    ],
)
def test_rfc3339_is_read(text: str, at_ms: int) -> None:
    assert parse_rfc3339(text) == at_ms


@pytest.mark.parametrize("text", ["", "now", "2026-13-01T00:00:00Z", "1700000000"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse_rfc3339(text)


def test_a_replay_clock_stands_still_and_never_goes_back() -> None:
    clock = ReplayClock()
    seen = []
    for at_ms in (5, 3, 9, 9, 1):
        clock.observe(at_ms)
        seen.append(clock.now_ms())
    assert seen == [5, 5, 9, 9, 9]


def test_the_system_clock_is_moved_by_nothing() -> None:
    clock = SystemClock()
    clock.observe(2**60)
    assert abs(clock.now_ms() - time.time() * 1000) < 60_000


def test_a_clock_that_is_set_is_noticed_and_one_that_is_kept_in_time_is_not() -> None:
    steps = Steps()
    looks = [(1_000, 5), (2_000, 1_005), (2_900, 2_005), (3_602_900, 3_005), (3_603_900, 4_005), (3_900, 5_005)]
    assert [steps.seen(now_ms, monotonic_ms) for now_ms, monotonic_ms in looks] == [0, 0, 0, 3_599_000, 0, -3_601_000]
