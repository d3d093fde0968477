from typing import Literal

import pytest

from simulators.world.truth import SLACK_MS, Fired, Truth, score


def truth(must: Literal["found", "allowed", "absent"], *rules: str) -> Truth:
    return Truth(rules, ("D-1",), 1_000, 61_000, must)


def test_found_missed_false_and_how_late() -> None:
    truths = [truth("found", "smoke.fire"), truth("found", "smoke.removed"), truth("allowed", "smoke.fault")]
    fired = [
        Fired("smoke.fire", "D-1", 11_000),
        Fired("smoke.fire", "D-1", 31_000),
        Fired("smoke.fault", "D-1", 2_000),
        Fired("smoke.fault", "D-2", 2_000),
        Fired("smoke.fault", "ELSEWHERE", 2_000),
    ]
    result = score("x", truths, ["D-1", "D-2"], fired)
    assert (result.found, result.delays_s) == (1, [10.0])
    assert result.missed == [truths[1]]
    assert result.false == [fired[3]]
    assert result.missed_life_safety == 0
    facts = result.facts()
    assert (facts["expected"], facts["missed_on"], facts["false_alarms"]) == (2, ["D-1"], ["smoke.fault D-2"])


@pytest.mark.parametrize("at_ms", [999, 61_001 + SLACK_MS])
def test_an_alarm_of_another_time_finds_nothing(at_ms: int) -> None:
    result = score("x", [truth("found", "smoke.fire")], ["D-1"], [Fired("smoke.fire", "D-1", at_ms)])
    assert (len(result.missed), len(result.false), result.missed_life_safety) == (1, 1, 1)


def test_what_must_be_absent_is_false_even_where_it_is_allowed() -> None:
    fired = [Fired("smoke.fire", "D-1", 2_000)]
    assert score("x", [truth("allowed", "smoke.fire")], ["D-1"], fired).false == []
    assert score("x", [truth("allowed", "smoke.fire"), truth("absent", "smoke.fire")], ["D-1"], fired).false == fired
    assert score("x", [], [], []).facts()["delay_max_s"] is None
