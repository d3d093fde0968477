"""Watched time: what spells do to a deadline, against a count second by second."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.blind import EVERYWHERE, GRACE_MS, SPELLS_KEPT, Blindness, broker, gateway

HOUR = 3_600_000
PLACES = (EVERYWHERE, broker("b"), gateway("g"))


@pytest.mark.parametrize(
    ("spells", "due_ms"),
    [
        ([], 10 * HOUR),
        ([(0, HOUR)], 10 * HOUR),
        ([(2 * HOUR, 3 * HOUR)], 11 * HOUR),
        ([(2 * HOUR, 3 * HOUR), (4 * HOUR, 6 * HOUR)], 13 * HOUR),
        ([(10 * HOUR, 12 * HOUR)], 10 * HOUR),
        ([(10 * HOUR - 1, 12 * HOUR)], 12 * HOUR + GRACE_MS),
        ([(0, 5 * HOUR)], 14 * HOUR),
    ],
    ids=["none", "before", "one", "two", "after it was due", "a grace after the spell", "heard in the midst of it"],
)
def test_blind_time_does_not_count(spells: list[tuple[int, int]], due_ms: int) -> None:
    blindness = Blindness()
    for spell in spells:
        blindness.add(EVERYWHERE, *spell)
    assert blindness.due_ms(HOUR, 9 * HOUR, PLACES, 99 * HOUR) == due_ms
    assert blindness.due_ms(HOUR, 9 * HOUR, (broker("c"),), 99 * HOUR) == 10 * HOUR


def test_the_grace_is_never_longer_than_the_limit() -> None:
    blindness = Blindness()
    blindness.add(EVERYWHERE, 59_000, HOUR)
    assert blindness.due_ms(0, 60_000, PLACES, HOUR) == HOUR + 60_000


def test_a_spell_that_lasts_puts_every_deadline_off() -> None:
    blindness = Blindness()
    blindness.begin(broker("b"), HOUR)
    blindness.begin(broker("b"), 2 * HOUR)
    assert blindness.since_ms(broker("b")) == HOUR
    for now_ms in (3 * HOUR, 30 * HOUR):
        assert blindness.due_ms(0, 2 * HOUR, PLACES, now_ms) > now_ms
    blindness.end(broker("b"), 30 * HOUR)
    blindness.end(broker("b"), 40 * HOUR)
    assert blindness.since_ms(broker("b")) is None
    assert blindness.due_ms(0, 2 * HOUR, PLACES, 31 * HOUR) == 31 * HOUR


SPELLS = st.lists(
    st.tuples(st.sampled_from(PLACES), st.integers(0, 400), st.integers(1, 60)), max_size=8
)  # place, begin, length in seconds


@given(SPELLS, st.integers(0, 300), st.integers(1, 200))
def test_it_is_a_count_of_the_seconds_in_which_nobody_is_blind(
    spells: list[tuple[str, int, int]], heard_s: int, limit_s: int
) -> None:
    blindness, blind = Blindness(), set()
    for place, begin, length in sorted(spells, key=lambda spell: spell[1]):
        blindness.add(place, begin * 1000, (begin + length) * 1000)
        blind |= set(range(begin, begin + length))
    now_s, left, floor_s = heard_s, limit_s, 0
    while left or now_s < floor_s:
        if now_s in blind:
            floor_s = now_s + 1 + min(limit_s, GRACE_MS // 1000)
        left = max(0, left - (now_s not in blind))
        now_s += 1
    assert blindness.due_ms(heard_s * 1000, limit_s * 1000, PLACES, 10**9) == now_s * 1000


def test_a_clock_set_back_takes_along_what_lay_ahead() -> None:
    blindness = Blindness()
    blindness.add(EVERYWHERE, 1_000, 5_000)
    blindness.add(EVERYWHERE, 8_000, 9_000)
    blindness.begin(broker("b"), 7_000)
    blindness.cut(3_000)
    assert blindness.due_ms(0, 10_000, (EVERYWHERE,), 3_000) == 13_000
    assert blindness.since_ms(broker("b")) == 3_000


def test_what_is_kept_is_bounded_and_survives() -> None:
    blindness = Blindness()
    assert not blindness.changed
    for number in range(3 * SPELLS_KEPT):
        blindness.add(gateway("g"), number * 1000, number * 1000 + 1)
    blindness.begin(broker("b"), 5)
    assert blindness.changed
    dumped = blindness.dump()
    assert not blindness.changed
    assert len(dumped["over"][gateway("g")]) == SPELLS_KEPT
    again = Blindness.load(dumped)
    assert again.dump() == dumped
    # What was merged lies before anything that is still to be told apart; nobody is called silent sooner for it.
    assert again.due_ms(0, 10**6, (gateway("g"),), 0) >= blindness.due_ms(0, 10**6, (), 0)
    again.forget(gateway(""), 3 * SPELLS_KEPT * 1000 - 1)
    assert again.dump()["over"] == {}
