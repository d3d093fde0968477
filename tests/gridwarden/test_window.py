"""One device's window: repeats, lateness, the value before."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import from_json, to_json

from gridwarden.model import Reading
from gridwarden.window import KEY_LIFE_MS, KEYS_KEPT, WAITING_LIMIT, RecentKeys, Settled, Window

NOW_MS = 1_800_000_000_000


def reading(at: int = 0, seq: int | None = None, key: int = 1, received: int | None = None, **options: bool) -> Reading:
    received_at_ms = NOW_MS + (at if received is None else received)
    keyed = options.pop("keyed", True)
    return Reading("D", "lift", "g", NOW_MS + at, received_at_ms, seq, key, keyed, {"floor": at}, **options)


def test_a_repeat_is_known_for_a_day() -> None:
    window = Window()
    window.observe(reading())
    assert window.knows(reading(received=KEY_LIFE_MS))
    assert not window.knows(reading(received=KEY_LIFE_MS + 1))
    assert not window.knows(reading(key=2))


def test_a_day_that_the_clock_was_set_forward_by_is_no_age() -> None:
    window = Window()
    window.observe(reading())
    again = reading(received=2 * KEY_LIFE_MS)
    asked = []

    def leapt_ms(since_ms: int, until_ms: int) -> int:
        asked.append((since_ms - NOW_MS, until_ms - NOW_MS))
        return KEY_LIFE_MS

    assert window.knows(again, leapt_ms)
    assert not window.cannot_check(again, leapt_ms)
    assert set(asked) == {(0, 2 * KEY_LIFE_MS)}
    assert not window.knows(reading(received=2 * KEY_LIFE_MS + 1), leapt_ms)


def test_without_at_and_seq_nothing_is_a_repeat() -> None:
    window = Window()
    window.observe(reading(keyed=False))
    assert not window.knows(reading(keyed=False))
    assert not window.cannot_check(reading(keyed=False))
    assert not window.keys


def test_the_last_keys_are_kept_and_an_older_repeat_cannot_be_checked() -> None:
    window = Window()
    for number in range(KEYS_KEPT + 1):
        window.observe(reading(number, key=number))
    assert len(window.keys) == KEYS_KEPT
    assert not window.knows(reading(0, key=0))
    assert window.cannot_check(reading(0, key=0))
    assert window.knows(reading(1, key=1))
    assert not window.cannot_check(reading(1, key=1))


def test_a_key_that_is_too_old_cannot_be_checked_and_is_then_the_newest() -> None:
    window = Window()
    window.observe(reading(key=1))
    window.observe(reading(1, key=2))
    again = reading(received=KEY_LIFE_MS + 1)
    assert window.cannot_check(again)
    window.observe(again)
    assert list(window.keys) == [2, 1]
    assert window.knows(again)


@pytest.mark.parametrize(
    ("at", "seq", "late"),
    [(1, 0, False), (0, 5, False), (0, 6, False), (0, None, False), (0, 4, True), (-1, 9, True), (-1, None, True)],
)
def test_late_is_older_than_the_last_one_by_its_clock_then_its_seq(at: int, seq: int | None, late: bool) -> None:
    window = Window()
    window.observe(reading(0, 5))
    assert window.is_late(reading(at, seq)) is late


def test_a_late_one_leaves_its_key_and_nothing_else() -> None:
    window = Window()
    window.observe(reading(5, 5, key=1))
    late = reading(1, 1, key=2)
    late.late = True
    window.observe(late)
    assert (window.values, window.occurred_at_ms, window.seq, list(window.keys)) == (
        {"floor": 5},
        NOW_MS + 5,
        5,
        [1, 2],
    )


def test_before_is_the_value_before_the_last_reading() -> None:
    window = Window()
    window.observe(reading(1))
    assert window.before("floor") is None
    other = reading(2)
    other.values = {"door": "open"}
    window.observe(other)
    assert (window.before("floor"), window.before("door")) == (1, None)


@given(st.lists(st.tuples(st.integers(-5, 70), st.integers(0, 2**64 - 1), st.booleans()), max_size=90))
def test_a_snapshot_is_the_window(seen: list[tuple[int, int, bool]]) -> None:
    window = Window()
    for at, key, stranger in seen:
        window.observe(reading(at, key=key))
        window.stranger = stranger
    assert Window.load(from_json(to_json(window.dump())), bytes(window.keys)) == window


@given(
    st.lists(
        st.tuples(st.integers(0, 2**64 - 1) | st.sampled_from([0, 1, 256, 2**56]), st.integers(0, 2**41)), max_size=200
    )
)
def test_packed_keys_are_a_dictionary_that_forgets_the_oldest(puts: list[tuple[int, int]]) -> None:
    keys, model = RecentKeys(), dict[int, int]()
    for key, at_ms in puts:
        keys.put(key, at_ms, at_ms + 1)
        model.pop(key, None)
        model[key] = at_ms + 1
        if len(model) > KEYS_KEPT:
            del model[next(iter(model))]
        assert list(keys) == list(model)
        assert all(keys.received_at_ms(one) == at for one, at in model.items())
    assert RecentKeys(bytes(keys)) == keys


def test_a_rate_stands_until_the_field_is_known_again() -> None:
    window = Window()
    rates = []
    for at_ms, values in (
        (0, {"floor": 1}), (60_000, {"floor": None}), (120_000, {"floor": 5}), (130_000, {"door": "open"}),
        (130_000, {"floor": 9}), (130_000, {"floor": 10}),
    ):  # fmt: skip
        window.observe(replace(reading(at_ms), values=values), ("floor",))
        rates.append(window.previous.get("floor/min"))
    assert rates == [None, None, 2.0, 2.0, 24.0, None]
    assert Window.load(from_json(to_json(window.dump())), bytes(window.keys)) == window


def test_a_dump_of_an_older_version_is_read() -> None:
    window = Window()
    window.observe(reading(5))
    old = Window.load(window.dump()[:6], b"")
    assert (old.values, old.occurred_at_ms, old.received_at_ms) == ({"floor": 5}, NOW_MS + 5, -1)


def settle(settled: Settled, lateness_ms: int, now_ms: int = 0) -> list[int]:
    return [one.occurred_at_ms - NOW_MS for one in settled.settle(lateness_ms, now_ms)]


def test_readings_that_wait_are_in_order_and_survive_a_snapshot() -> None:
    window = Window(settled=Settled(Window()))
    assert window.settled is not None
    for number, (at, seq) in enumerate([(5, 2), (3, None), (5, 1), (9, 0)]):
        assert window.settled.put(reading(at, seq, key=2**64 - 1 - number, received=20))
    assert window.settled.first_received_at_ms() == NOW_MS + 20
    assert settle(window.settled, 5) == [3]
    loaded = Window.load(from_json(to_json(window.dump())), b"")
    assert loaded == window
    assert loaded.settled is not None
    assert [one.seq for one in loaded.settled.waiting] == [1, 2, 0]
    assert settle(loaded.settled, 100, NOW_MS + 120) == []
    assert settle(loaded.settled, 100, NOW_MS + 121) == [5, 5, 9]
    assert not loaded.settled.put(reading(9, key=1))


def test_only_so_many_wait() -> None:
    settled = Settled(Window())
    for number in range(WAITING_LIMIT + 3):
        settled.put(reading(number, key=number))
    assert settle(settled, 3_600_000) == [0, 1, 2]


def test_a_dump_without_what_waits_is_as_long_as_it_always_was() -> None:
    assert len(Window().dump()) == 8
    assert Window.load(Window().dump(), b"") == Window()
