"""Correlations in a back-test are those of the live correlator."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gridwarden.model import Device, Reading
from rules.afterwards import Afterwards
from rules.alarm import Transition
from rules.backtest import Backtest, fields_of
from rules.correlate import Correlator
from rules.episodes import Collector, Episode
from rules.groups import Population
from rules.load import read_rules
from rules.readings import Texts
from rules.rule import RuleSet
from tests.rules.past import DAY_MS, Live, chunks

START_MS = 1_800_000_000_000 // DAY_MS * DAY_MS
MINUTE_MS = 60_000
COMMON = {"name": {"zh": "名", "en": "Name"}, "source": "ours", "severity": "high", "category": "water"}
RULES = RuleSet(
    tuple(
        read_rules(
            {
                "kind": "hydrant",
                "rules": [
                    {**COMMON, "id": "own.low", "when": "pressure_mpa < 0.14", "for": "1m"},
                    {**COMMON, "id": "own.leak", "when": "leak"},
                ],
                "correlations": [
                    {**COMMON, "id": "own.burst", "of": ["own.low"], "by": "water_main", "at_least": 3, "within": "10m"},
                    {**COMMON, "id": "own.two", "of": ["own.low", "own.leak"], "by": "water_main", "at_least": 2,
                     "within": "30m", "clear_for": "5m"},
                ],
            }
        )
    )
)  # fmt: skip
DEVICES = {
    name: Device(name, "hydrant", water_main="M" if name < "H-5" else "N") for name in (f"H-{n}" for n in range(1, 7))
}


class Heard(Collector):
    """The live correlator behind the plain engine."""

    def __init__(self) -> None:
        super().__init__()
        self.correlator = Correlator(RULES, Population(RULES, DEVICES))

    def hear(self, now_ms: int, transition: Transition) -> None:
        self.pass_time(now_ms)
        super().hear(now_ms, transition)
        alarm = transition.alarm
        for one in self.correlator.take(alarm, DEVICES[alarm.device_id], now_ms) if not transition.forgotten else []:
            super().hear(now_ms, one)

    def pass_time(self, now_ms: int) -> None:
        while (wake_at_ms := self.correlator.next_wake_ms()) is not None and wake_at_ms <= now_ms:
            for transition in self.correlator.advance(wake_at_ms):
                super().hear(wake_at_ms, transition)


def reading(number: int, device_id: str, at_ms: int, **values: Any) -> Reading:
    at_ms += START_MS
    return Reading(device_id, "hydrant", "gw", at_ms, at_ms, number, number, True, values)


def backtested(readings: Sequence[Reading], end_ms: int) -> list[Episode]:
    texts, told = Texts({}, {0: "gw"}), Collector()
    afterwards = Afterwards(RULES, DEVICES, told.hear)
    backtest = Backtest(RULES, DEVICES, texts, afterwards.hear)
    for chunk in chunks(readings, fields_of([RULES]), texts):
        backtest.take(chunk)
    backtest.finish(end_ms)
    afterwards.finish(end_ms)
    return told.episodes()


_steps = st.lists(
    st.tuples(
        st.sampled_from(list(DEVICES)),
        st.sampled_from([1_000, 40_000, 3 * MINUTE_MS, 20 * MINUTE_MS, DAY_MS]),
        st.fixed_dictionaries({}, optional={"pressure_mpa": st.sampled_from([0.1, 0.1, 0.3]), "leak": st.booleans()}),
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(_steps)
def test_they_are_those_of_the_live_correlator(steps: Sequence[Any]) -> None:
    times = accumulate(gap_ms for _, gap_ms, _ in steps)
    readings = [
        reading(number, device_id, at_ms + number, **values)
        for number, (at_ms, (device_id, _, values)) in enumerate(zip(times, steps, strict=True))
    ]
    end_ms = START_MS + 50 * DAY_MS
    live, heard = Live(RULES, DEVICES), Heard()
    live.told = heard
    live.run(readings, end_ms)
    heard.pass_time(end_ms)
    assert backtested(readings, end_ms) == heard.episodes()


def test_three_low_hydrants_on_one_main_are_one_burst() -> None:
    low = [reading(n, f"H-{n}", n * MINUTE_MS, pressure_mpa=0.05) for n in (1, 2, 3)]
    others = [reading(9, "H-5", 2 * MINUTE_MS, pressure_mpa=0.05)]
    back = [reading(10 + n, f"H-{n}", 20 * MINUTE_MS, pressure_mpa=0.3) for n in (1, 2, 3)]
    (burst,) = [one for one in backtested([*low, *others, *back], START_MS + DAY_MS) if one.rule_id == "own.burst"]
    assert burst.scope == "water_main:M"
    assert burst.fired_at_ms == START_MS + 4 * MINUTE_MS
    assert burst.resolved_at_ms == START_MS + 20 * MINUTE_MS
