"""Columns say in each row what the scalar form says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridwarden.kinds import FieldType
from rules import columns
from rules.columns import UNKNOWN
from rules.condition import MAX_NUMBER, compile_condition, compile_with
from rules.device_rows import nothing
from tests.rules.expressions import FIELDS, KIND, NUMBERS, attributes, conditions, readings_of

Row = tuple[Mapping[str, Any], Mapping[str, Any], Mapping[str, Any]]
_WANTED = {"number": (int, float), "text": (str,), "truth": (bool,)}


class Table:
    """Rows as Python has them, in columns; what fits no column is in doubt from the beginning."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        self.size = len(rows)
        self.doubtful = np.zeros(self.size, bool)
        self._codes: dict[str, int] = {}

    def latest(self, name: str) -> Any:
        return self._column(name, [values.get(name) for values, _, _ in self.rows])

    def before(self, name: str) -> Any:
        return self._column(name, [before[name] if name in before else now.get(name) for now, before, _ in self.rows])

    def rate(self, name: str) -> Any:
        return self._column(name, [previous.get(f"{name}/min") for _, previous, _ in self.rows])

    def attribute(self, name: str, wanted: Literal["number", "text", "truth"]) -> Any:
        found = [given.get(name) for _, _, given in self.rows]
        fitting = [value if type(value) in _WANTED[wanted] else None for value in found]
        kinds = {"number": "floor", "text": "floor_label", "truth": "occupied"}
        return self._column(kinds[wanted], fitting)

    def has_attribute(self, name: str) -> Any:
        return np.array([given.get(name) is not None for _, _, given in self.rows])

    def code(self, text: str) -> int:
        return self._codes.setdefault(text, len(self._codes))

    def doubt(self, where: Any) -> None:
        self.doubtful |= where

    def _column(self, name: str, found: list[Any]) -> Any:
        column = nothing(KIND.fields[name], self.size)
        for row, value in enumerate(found):
            if value is None:
                continue
            if not _fits(name, value):
                self.doubtful[row] = True
            else:
                column[row] = self.code(value) if isinstance(value, str) else value
        return column


def _fits(name: str, value: Any) -> bool:
    match KIND.fields[name].type:
        case FieldType.BOOL:
            return isinstance(value, bool)
        case FieldType.INT | FieldType.FLOAT:
            return type(value) is float or (type(value) is int and abs(value) < MAX_NUMBER)
    return isinstance(value, str)


def judged(text: str, rows: Sequence[Row]) -> tuple[list[Any], Table]:
    """What the columns say of each row, and what they doubt."""
    table = Table(rows)
    term = compile_with(columns, compile_condition(text, KIND), KIND)
    true = np.broadcast_to(term.true(table), table.size)
    false = np.broadcast_to(term.false(table), table.size)
    assert not (true & false).any()
    return [True if yes else False if no else None for yes, no in zip(true, false, strict=True)], table


rates = st.fixed_dictionaries({}, optional={f"{name}/min": st.floats(-9, 9) for name in NUMBERS})
previous = st.tuples(readings_of(), rates).map(lambda pair: {**pair[0], **pair[1]})


@settings(max_examples=150, deadline=None)
@given(conditions, st.lists(st.tuples(readings_of(), previous, attributes), min_size=1, max_size=8))
def test_columns_and_scalars_agree_in_every_row(text: str, rows: list[Row]) -> None:
    evaluate = compile_condition(text, KIND).evaluate
    got, table = judged(text, rows)
    for row, facts in enumerate(rows):
        if not table.doubtful[row]:
            assert got[row] is evaluate(*facts), (text, facts)


@settings(max_examples=100, deadline=None)
@given(conditions, st.lists(st.tuples(readings_of(odd=True), st.just({}), attributes), min_size=1, max_size=6))
def test_they_agree_beside_values_of_other_types(text: str, rows: list[Row]) -> None:
    evaluate = compile_condition(text, KIND).evaluate
    got, table = judged(text, rows)
    for row, facts in enumerate(rows):
        if not table.doubtful[row]:
            assert got[row] is evaluate(*facts), (text, facts)


@settings(max_examples=100, deadline=None)
@given(conditions, st.lists(st.tuples(readings_of(), previous), min_size=1, max_size=6))
def test_without_large_numbers_nothing_is_in_doubt(text: str, rows: list[Any]) -> None:
    small = [({n: v for n, v in {**now}.items() if not _large(v)}, {}, {}) for now, _ in rows]
    if any(large in text for large in ("9007199254740992", "3000000", "e", "*", "/")):
        return
    _, table = judged(text, small)
    assert not table.doubtful.any()


def _large(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) > 1000


@pytest.mark.parametrize(
    ("text", "values", "want"),
    [
        ("floor != 3", [{"floor": 3}, {"floor": 4}, {}, {"floor": None}], [False, True, None, None]),
        ("mode != 'normal'", [{"mode": "vip"}, {}, {"mode": "normal"}], [True, None, False]),
        ("mode not in ('normal', 'vip')", [{"mode": "parking"}, {}, {"mode": "vip"}], [True, None, False]),
        ("not occupied", [{"occupied": False}, {}, {"occupied": True}], [True, None, False]),
        ("occupied or floor > 1", [{"floor": 2}, {"floor": 1}, {"occupied": True}], [True, None, True]),
        ("floor / trips > 1", [{"floor": 4, "trips": 2}, {"floor": 4, "trips": 0}], [True, None]),
        ("min(floor, trips) == 1", [{"floor": 1, "trips": 2}, {"floor": 1}], [True, None]),
        ("1 < 2", [{}], [True]),
        ("'a' == 'b'", [{}], [False]),
        ("known(floor)", [{}, {"floor": 0}], [False, True]),
    ],
)
def test_what_columns_say(text: str, values: list[dict[str, Any]], want: list[Any]) -> None:
    assert judged(text, [(one, {}, {}) for one in values])[0] == want


def test_numbers_beyond_what_a_float_holds_are_in_doubt() -> None:
    large = 2**27 + 1  # its square is odd, and above 2**53
    got, table = judged("trips * trips > 9007199254740991", [({"trips": large}, {}, {}), ({"trips": 3}, {}, {})])
    assert table.doubtful.tolist() == [True, False]
    assert got[1] is False


def test_unknown_texts_have_no_code() -> None:
    assert Table([({}, {}, {})]).latest("door").tolist() == [UNKNOWN]
    assert set(FIELDS) <= set(KIND.fields)
