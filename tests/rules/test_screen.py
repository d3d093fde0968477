"""Which rows may begin an alarm."""

from typing import Any

import pytest

from gridwarden.kinds import KINDS
from gridwarden.model import Reading
from rules.device_rows import Alone
from rules.filled import Filled, Held
from rules.readings import Readings, Texts
from rules.screen import Screen
from tests.rules.past import chunks
from tests.rules.test_backtest import rule

NAMES = ("floor", "door", "occupied")
SAID: list[dict[str, Any]] = [{}, {"floor": 1}, {"door": "open"}, {"floor": 3}, {"floor": None}]


def rows(cls: type) -> Any:
    texts = Texts({}, {0: "gw"})
    readings = [Reading("L-1", "lift", "gw", at, at, None, at, True, values) for at, values in enumerate(SAID)]
    (chunk,) = chunks(readings, {"lift": NAMES}, texts)
    if cls is Alone:
        return Alone(Readings.of(chunk), {}, texts)
    held = Held({name: KINDS["lift"].fields[name] for name in NAMES}, frozenset())
    return Filled(Readings.of(chunk), held, {}, texts)


@pytest.mark.parametrize(
    ("written", "want"),
    [
        ({"when": "floor > 2"}, [3]),
        ({"when": "floor > 2 or door == 'open'"}, [2, 3, 4]),
        ({"when": "floor > 2", "on_missing": "alarm"}, [0, 3, 4]),
        ({"first": "door == 'open'", "when": "floor > 2", "within": "1m"}, [2, 3, 4]),
    ],
)
def test_rows_stir_where_a_starter_may_be_true(written: dict[str, Any], want: list[int]) -> None:
    screen = Screen([rule(**written)], "lift")
    assert screen.stirs(rows(Filled)).nonzero()[0].tolist() == want


def test_any_rule_is_enough() -> None:
    screen = Screen([rule(when="floor > 2"), rule(1, when="floor == 1")], "lift")
    assert screen.stirs(rows(Filled)).nonzero()[0].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("more", "want"),
    [({}, []), ({"life_safety": True}, [2]), ({"late": "evaluate"}, [2])],
)
def test_rows_by_themselves_stir_rules_that_judge_late_ones(more: dict[str, Any], want: list[int]) -> None:
    screen = Screen([rule(when="door == 'open'", **more)], "lift")
    assert screen.stirs_alone(rows(Alone)).nonzero()[0].tolist() == want


def test_what_is_in_doubt_stirs() -> None:
    screen = Screen([rule(when="floor * 9007199254740991 > 9007199254740992 and occupied")], "lift")
    assert screen.stirs(rows(Filled)).nonzero()[0].tolist() == [3]
