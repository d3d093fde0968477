"""Whether a decision is in force, and that the right ones are found among many."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gridwarden.model import Alarm, AlarmState, Severity
from gridwarden.quieting import Matchers, Quieting, QuietingKind, Weekly
from rules.decisions import Decision, Decisions, Stage, Subject, stage_of

NOW_MS = 1_800_000_000_000  # Friday 2027-01-15, 16:00 in Shanghai
HOUR_MS = 3_600_000
PLAIN = Quieting(1, QuietingKind.SILENCE, "3301", Matchers(), False, NOW_MS, NOW_MS + HOUR_MS, "op", "u", "x", NOW_MS)


def quieting(**changes: Any) -> Quieting:
    return replace(PLAIN, **changes)


def test_the_stages_of_a_decision() -> None:
    later = quieting(from_at_ms=NOW_MS + 10)
    assert [stage_of(later, NOW_MS + after) for after in (9, 10, HOUR_MS - 1, HOUR_MS)] == [
        Stage.SCHEDULED, Stage.IN_FORCE, Stage.IN_FORCE, Stage.ENDED]  # fmt: skip
    assert stage_of(quieting(until_at_ms=None), NOW_MS * 2) is Stage.IN_FORCE
    assert stage_of(quieting(protected=True), NOW_MS) is Stage.PROPOSED
    assert stage_of(quieting(protected=True), NOW_MS + HOUR_MS) is Stage.ENDED
    assert stage_of(quieting(ended_at_ms=NOW_MS), NOW_MS) is Stage.ENDED


def test_a_weekly_window_rests_between_its_ranges() -> None:
    friday = Weekly((4,), "17:00", "01:00", "Asia/Shanghai")
    window = quieting(kind=QuietingKind.MAINTENANCE, weekly=friday, until_at_ms=NOW_MS + 5 * HOUR_MS)
    assert stage_of(window, NOW_MS) is Stage.SCHEDULED
    assert stage_of(window, NOW_MS + HOUR_MS) is Stage.IN_FORCE
    assert Decision(window).closes_ms(NOW_MS + HOUR_MS) == NOW_MS + 5 * HOUR_MS
    assert Decision(replace(window, until_at_ms=None)).closes_ms(NOW_MS + HOUR_MS) == NOW_MS + 9 * HOUR_MS
    assert stage_of(replace(window, until_at_ms=None), NOW_MS + 9 * HOUR_MS) is Stage.SCHEDULED
    assert stage_of(replace(window, weekly=replace(friday, days=())), NOW_MS + HOUR_MS) is Stage.IN_FORCE


def test_the_hours_are_known_for_any_order_of_questions() -> None:
    weekly = Weekly((0, 4), "22:00", "02:00", "Europe/Berlin")
    asked = Decision(quieting(weekly=weekly, from_at_ms=0, until_at_ms=None))
    dice = random.Random(1)
    for _ in range(300):
        at_ms = NOW_MS + dice.randrange(14 * 24) * HOUR_MS + dice.randrange(-1, 2)
        fresh = Decision(asked.quieting)
        assert asked.stage(at_ms) is fresh.stage(at_ms)
        if asked.stage(at_ms) is Stage.IN_FORCE:
            assert asked.closes_ms(at_ms) == fresh.closes_ms(at_ms)


def subject(dice: random.Random) -> Subject:
    device = dice.choice(["H1", "H2"])
    alarm = Alarm("A", dice.choice(["a.b", "a.c"]), "1", device, device, dice.choice(["hydrant", "lift"]),
                  dice.choice(["", "3301", "330106", "330107001"]), Severity.LOW, AlarmState.FIRING, 1)  # fmt: skip
    return Subject(alarm, dice.choice(["water", "fault"]), dice.choice(["", "B1"]), dice.choice(["gw1", "gw2"]))


def made(number: int, dice: random.Random) -> Quieting:
    def some(*values: str) -> tuple[str, ...]:
        return tuple(dice.sample(values, dice.choice([0, 0, 1, len(values)])))

    matchers = Matchers(rules=some("a.b", "a.*", "x.y"), kinds=some("hydrant"), devices=some("H1", "H3"),
                        buildings=some("B1"), gateways=some("gw2"), categories=some("fault"), scopes=some("H2"))  # fmt: skip
    area = dice.choice(["", "33", "330106", "330107"])
    return quieting(quieting_id=number, kind=dice.choice(list(QuietingKind)), matchers=matchers, area=area)


@given(seed=st.integers(0, 2**32))
def test_what_is_filed_is_found_as_if_all_were_asked(seed: int) -> None:
    dice = random.Random(seed)
    filed = Decisions()
    for number in range(1, 40):
        filed.keep(made(number, dice))
    for number in dice.sample(range(1, 50), 15):
        if dice.random() < 0.5:
            filed.drop(number)
        else:
            filed.keep(made(number, dice))  # another one of this number
    for _ in range(5):
        one = subject(dice)
        expected = sorted((each for each in filed if each.covers(one)), key=lambda each: each.order)
        assert filed.covering(one) == expected


def test_nothing_is_left_of_what_is_dropped() -> None:
    filed = Decisions()
    filed.keep(quieting(matchers=Matchers(devices=("H1", "H2", "H1"))))
    filed.keep(quieting(quieting_id=2))
    for number in (1, 2, 2, 9):
        filed.drop(number)
    assert (len(filed), filed._filed, filed.get(1)) == (0, {}, None)
