"""A back-test gives the episodes of the plain engine that is shown every reading."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridwarden.model import Device, Reading
from rules.backtest import Backtest, fields_of
from rules.episodes import Collector, Episode
from rules.load import PACKS, load
from rules.readings import Texts
from rules.rule import RuleSet, make_rule
from rules.written import WrittenRule
from tests.rules.expressions import conditions, odd_values
from tests.rules.past import DAY_MS, Live, chunks

START_MS = 1_800_000_000_000 // DAY_MS * DAY_MS
GATEWAYS = {0: "gw-0", 1: "gw-1"}


def rule(number: int = 0, **written: Any) -> Any:
    return make_rule(
        "lift",
        WrittenRule.model_validate(
            {"id": f"own.rule{number}", "name": {"zh": "名", "en": "Name"}, "source": "ours", "severity": "low",
             "category": "fault", **written}
        ),
    )  # fmt: skip


def reading(device_id: str = "L-1", at_ms: int = 0, delay_ms: int = 0, seq: int | None = None, **more: Any) -> Reading:
    flags = {name: more.pop(name) for name in ("registered", "entitled", "key") if name in more}
    occurred_at_ms = START_MS + at_ms
    return Reading(
        device_id, "lift", "gw-0", occurred_at_ms, occurred_at_ms + delay_ms, seq, flags.pop("key", at_ms * 10 + delay_ms), True,
        more, {}, **flags,
    )  # fmt: skip


def backtested(
    rules: RuleSet,
    readings: Sequence[Reading],
    end_ms: int,
    devices: dict[str, Device] | None = None,
    *,
    confirms: bool = False,
) -> tuple[list[Episode], Backtest]:
    texts, told = Texts({}, GATEWAYS), Collector()
    backtest = Backtest(rules, devices or {}, texts, told.hear, confirms=confirms)
    for chunk in chunks(readings, fields_of([rules]), texts):
        backtest.take(chunk)
    backtest.finish(end_ms)
    return told.episodes(), backtest


def both(
    rules: RuleSet, readings: Sequence[Reading], end_ms: int, devices: dict[str, Device] | None = None
) -> tuple[list[Episode], list[Episode], Backtest]:
    """Episodes of the back-test and of the plain engine."""
    live = Live(rules, devices or {})
    plain = live.run(readings, end_ms)
    episodes, backtest = backtested(rules, live.judged, end_ms, devices)
    return episodes, plain, backtest


_pool = st.one_of(
    st.sampled_from(
        [
            {"when": "floor > 1", "for": "5m"},
            {"when": "floor > 1", "clear": "floor < 0", "clear_for": "10m"},
            {"when": "occupied and door == 'closed'", "for": "2m", "latched": True},
            {"when": "entrapment", "life_safety": True, "latched": True},
            {"when": "occupied and motion == 'stopped'", "for": "90s", "life_safety": True},
            {"when": "changed(door)", "count": 3, "within": "30m"},
            {"when": "floor >= 1", "count": 2},
            {"when": "abs(change(floor)) > 2", "clear": "abs(change(floor)) < 1"},
            {"when": "rate_per_min(load_pct) > 0.5", "clear": "rate_per_min(load_pct) < 0"},
            {"first": "door == 'open'", "when": "floor > 0", "within": "20m"},
            {"when": "floor > 1", "flapping": {"count": 2, "within": "12h", "quiet": "20m"}},
            {"when": "floor > 1", "on_missing": "alarm", "for": "1m"},
            {"when": "floor > 1", "on_missing": "clear", "clear_for": "1m"},
            {"when": "floor > 1", "late": "evaluate", "for": "3m"},
            {"when": "floor > 1", "clock": "received", "for": "3m", "min_firing": "1h"},
            {"when": "previous.door == 'open' and door == 'closed'", "for": "30m", "hold_by": "readings"},
            {"when": "floor > 0", "levels": [{"severity": "high", "when": "floor > 2", "reset": "floor < 2"}]},
            {"when": "not known(device.mount) and floor > 1"},
            {"when": "floor > device.limit", "for": "1m"},
            {"when": "floor > 1", "schedule": {"from": "08:00", "to": "18:00", "zone": "Asia/Shanghai"}},
        ]
    ),
    st.tuples(conditions, st.sampled_from(["0s", "5m"])).map(
        lambda pair: {"when": f"known(floor) and ({pair[0]})", "for": pair[1]}
    ),
)
_fields = st.fixed_dictionaries(
    {},
    optional={
        "floor": st.one_of(st.none(), st.integers(-1, 4), st.integers(-1, 4)),
        "door": st.sampled_from(["open", "closed"]),
        "occupied": st.booleans(),
        "motion": st.sampled_from(["stopped", "running"]),
        "entrapment": st.booleans(),
        "load_pct": st.one_of(st.none(), st.integers(0, 9)),
    },
)
_step = st.tuples(
    st.sampled_from(["L-1", "L-1", "L-2", "L-3"]),
    st.sampled_from(
        [1_000, 60_000, 240_000, 600_000, 5 * 3_600_000, 15 * 3_600_000]
    ),  # since the last one of any device
    st.sampled_from([0, 0, 0, 0, 30_000, 700_000, 30 * 3_600_000]),  # so late
    st.sampled_from([{}, {}, {}, {}, {}, {"registered": False}, {"entitled": False}]),
    st.booleans(),
    _fields,
)


def _readings(steps: Sequence[Any]) -> list[Reading]:
    times = accumulate(gap_ms for _, gap_ms, *_ in steps)
    found: list[Reading] = []  # no two are received at once: which comes first would be a matter of luck
    for number, (at_ms, (device_id, _, delay_ms, flags, is_numbered, values)) in enumerate(
        zip(times, steps, strict=True)
    ):
        found.append(
            reading(device_id, at_ms + number, delay_ms, number if is_numbered else None, key=number, **flags, **values)
        )
    return found


@settings(max_examples=150, deadline=None)
@given(st.lists(_pool, min_size=1, max_size=3), st.lists(_step, min_size=1, max_size=25))
def test_screened_and_unscreened_give_the_same_episodes(written: list[dict[str, Any]], steps: list[Any]) -> None:
    rules = RuleSet(tuple(rule(number, **one) for number, one in enumerate(written)))
    devices = {
        "L-1": Device("L-1", "lift", attributes={"limit": 1}),
        "L-2": Device("L-2", "lift", attributes={"mount": "x"}),
    }
    end_ms = START_MS + 40 * DAY_MS
    episodes, plain, _ = both(rules, _readings(steps), end_ms, devices)
    assert episodes == plain


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 10**7), st.one_of(odd_values, st.integers(0, 4))), min_size=1, max_size=12))
def test_values_of_another_type_are_judged_as_they_are(steps: list[tuple[int, Any]]) -> None:
    rules = RuleSet((rule(when="floor > 1", **{"for": "1m"}), rule(1, when="floor == 1 or known(previous.floor)")))
    times = accumulate(gap_ms for gap_ms, _ in steps)
    readings = [reading(at_ms=at_ms, floor=value) for at_ms, (_, value) in zip(times, steps, strict=True)]
    episodes, plain, _ = both(rules, readings, START_MS + 2 * DAY_MS)
    assert episodes == plain


def test_an_idle_device_is_not_shown_to_the_engine() -> None:
    rules = RuleSet((rule(when="floor > 3", **{"for": "5m"}),))
    readings = [reading(at_ms=minute * 60_000, floor=minute // 60 % 5) for minute in range(600)]
    episodes, plain, backtest = both(rules, readings, START_MS + DAY_MS)
    assert episodes == plain
    assert len(episodes) == 2
    assert backtest.shown == 61 + 60  # the hours on the fourth floor, and the reading that ends the first one


def test_a_timer_fires_without_another_reading() -> None:
    rules = RuleSet((rule(when="floor > 1", **{"for": "5m"}),))
    (episode,), _ = backtested(rules, [reading(floor=2)], START_MS + DAY_MS)
    assert (episode.pending_at_ms, episode.fired_at_ms) == (START_MS, START_MS + 300_000)


def test_what_is_pending_at_the_end_has_not_fired() -> None:
    rules = RuleSet((rule(when="floor > 1", **{"for": "5m"}),))
    assert backtested(rules, [reading(floor=2)], START_MS + 299_999)[0] == []


def test_an_alarm_goes_on_over_midnight_in_another_chunk() -> None:
    rules = RuleSet((rule(when="floor > 1 and door == 'open'", **{"for": "5m"}),))
    before = DAY_MS - 60_000
    readings = [reading(at_ms=before, floor=2, door="open"), reading(at_ms=before + 400_000, floor=0)]
    episodes, plain, _ = both(rules, readings, START_MS + 2 * DAY_MS)
    assert episodes == plain
    assert [(one.fired_at_ms, one.cleared_at_ms) for one in episodes] == [
        (START_MS + before + 300_000, START_MS + before + 400_000)
    ]


def test_a_late_fire_is_judged_when_it_was_received() -> None:
    rules = RuleSet((rule(when="entrapment", life_safety=True),))
    late = reading(at_ms=0, delay_ms=3 * DAY_MS, entrapment=True)
    readings = [reading(at_ms=60_000 + day * DAY_MS, entrapment=False) for day in range(5)]
    episodes, plain, _ = both(rules, [late, *readings], START_MS + 9 * DAY_MS)
    assert episodes == plain
    assert [one.cleared_at_ms for one in episodes] == [START_MS + 3 * DAY_MS + 60_000]


@pytest.mark.parametrize(("confirms", "fired_at_ms"), [(False, [0]), (True, [0, 120_000])])
def test_a_latched_alarm_is_confirmed_when_it_is_over_if_so_wished(confirms: bool, fired_at_ms: list[int]) -> None:
    rules = RuleSet((rule(when="entrapment", life_safety=True, latched=True),))
    readings = [reading(at_ms=minute * 60_000, entrapment=minute % 2 == 0) for minute in range(4)]
    episodes, _ = backtested(rules, readings, START_MS + DAY_MS, confirms=confirms)
    assert [one.fired_at_ms - START_MS for one in episodes] == fired_at_ms
    assert all((one.resolved_at_ms is not None) is confirms for one in episodes)


def test_rules_that_are_switched_off_and_other_kinds_need_nothing_read() -> None:
    rules = RuleSet((rule(when="floor > 1", enabled=False), rule(1, when="door == 'open'", clear="occupied")))
    assert fields_of([rules]) == {"lift": ("door", "occupied")}


@pytest.mark.parametrize("when", ["floor > 1", "entrapment"])
def test_nothing_comes_of_nothing(when: str) -> None:
    episodes, backtest = backtested(RuleSet((rule(when=when),)), [], START_MS)
    assert (episodes, backtest.shown) == ([], 0)


def test_the_shipped_rules_are_read_for_all_their_kinds() -> None:
    assert set(fields_of([load([PACKS])])) == {"hydrant", "lift", "platform", "public_lift", "smoke"}
