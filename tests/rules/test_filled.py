"""Columns hold at every row what the window of the live engine holds there."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gridwarden.kinds import KINDS
from gridwarden.model import Reading, Value
from gridwarden.window import Window, rate_name
from rules.filled import Filled, Held
from rules.readings import Readings, Texts, plain
from tests.rules.past import DAY_MS, chunks

NAMES = ("floor", "door", "occupied", "load_pct")
RATED = frozenset({"load_pct"})
_said = st.fixed_dictionaries(
    {},
    optional={
        "floor": st.one_of(st.none(), st.integers(0, 3)),
        "door": st.sampled_from(["open", "closed"]),
        "occupied": st.booleans(),
        "load_pct": st.one_of(st.none(), st.integers(0, 90)),
    },
)
_steps = st.lists(
    st.tuples(st.sampled_from(["L-1", "L-2"]), st.sampled_from([0, 60_000, 9 * 3_600_000]), _said),
    min_size=1,
    max_size=20,
)


def _reading(number: int, device_id: str, at_ms: int, values: dict[str, Any]) -> Reading:
    return Reading(device_id, "lift", "gw", at_ms, at_ms + number, number, number, True, values)


def _held() -> Held:
    return Held({name: KINDS["lift"].fields[name] for name in NAMES}, RATED)


def _known(values: dict[str, Value]) -> dict[str, Value]:
    return {name: value for name, value in values.items() if value is not None}


def _same(one: Window, other: Window) -> bool:
    """Whether both tell every condition the same."""
    names = [*NAMES, *map(rate_name, RATED)]
    return (
        _known(one.values) == _known(other.values)
        and all(one.before(name) == other.before(name) for name in names)
        and (one.occurred_at_ms, one.seq) == (other.occurred_at_ms, other.seq)
        and {name: list(pair) for name, pair in one.known.items()}
        == {name: list(pair) for name, pair in other.known.items()}
    )


@settings(max_examples=150, deadline=None)
@given(_steps)
def test_columns_hold_what_the_windows_hold(steps: Sequence[Any]) -> None:
    times = accumulate(gap_ms for _, gap_ms, _ in steps)
    readings = [
        _reading(number, device_id, at_ms, values)
        for number, (at_ms, (device_id, _, values)) in enumerate(zip(times, steps, strict=True))
    ]
    texts, held = Texts({}, {0: "gw"}), _held()
    windows: dict[str, Window] = {}
    for chunk in chunks(readings, {"lift": NAMES}, texts):
        filled = Filled(Readings.of(chunk), held, {}, texts)
        for place, device_id in enumerate(chunk.device_ids):
            window = windows.setdefault(device_id, Window())
            for row in range(chunk.starts[place], chunk.starts[place + 1]):
                assert _same(filled.window_before(place, row), window)
                said = filled.readings.reading(row, device_id, texts, texts.words(), row)
                window.observe(said, RATED)
                words = texts.words()
                assert {name: plain(filled.latest(name)[row], words) for name in NAMES} == {
                    name: window.values.get(name) for name in NAMES
                }
                assert {name: plain(filled.before(name)[row], words) for name in NAMES} == {
                    name: window.before(name) for name in NAMES
                }
                assert plain(filled.rate("load_pct")[row], words) == window.before(rate_name("load_pct"))
            assert _same(filled.window_before(place, chunk.starts[place + 1]), window)
    key_of = {device_id: key for key, device_id in enumerate(sorted({one.device_id for one in readings}))}
    assert all(_same(held.window(key_of[device_id], texts), window) for device_id, window in windows.items())


def test_a_device_with_a_value_of_another_type_is_remembered_as_odd() -> None:
    held, texts = _held(), Texts({}, {0: "gw"})
    readings = [_reading(0, "L-1", DAY_MS, {"floor": "3"}), _reading(1, "L-2", DAY_MS, {"floor": None})]
    for chunk in chunks(readings, {"lift": NAMES}, texts):
        Filled(Readings.of(chunk), held, {}, texts)
    assert held.odd == {0}


def test_a_device_never_heard_has_an_empty_window() -> None:
    held = _held()
    held.reach(3)
    assert _same(held.window(3, Texts({}, {})), Window())
