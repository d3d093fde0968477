"""What each rule made of what truly happened."""

from typing import Literal

from simulators.world.by_rule import RuleScore, add_up, score_rules
from simulators.world.truth import Fired, Truth

DAYS = {"smoke.fire": 2.0, "lift.entrapment": 1.0, "lift.alarm_button": 1.0}


def truth(must: Literal["found", "allowed", "absent"], device: str, *rules: str) -> Truth:
    return Truth(rules, (device,), 1_000, 61_000, must)


def by_rule(truths: list[Truth], fired: list[Fired]) -> dict[str, RuleScore]:
    return {score.rule_id: score for score in score_rules(truths, fired, DAYS)}


def test_found_by_the_rule_itself_and_how_late() -> None:
    fired = [Fired("smoke.fire", "S", 11_000), Fired("smoke.fire", "S", 31_000)]
    fire = by_rule([truth("found", "S", "smoke.fire")], fired)["smoke.fire"].facts()
    assert fire == {
        "rule": "smoke.fire", "device_days": 2.0, "expected": 1, "found": 1, "missed": 0, "recall": 1.0, "alarms": 2,
        "false": 0, "precision": 1.0, "delay_p50_s": 10.0, "delay_max_s": 10.0, "false_per_1000_device_days": 0.0,
    }  # fmt: skip


def test_found_by_another_rule_that_will_do() -> None:
    scores = by_rule(
        [truth("found", "L", "lift.entrapment", "lift.alarm_button")], [Fired("lift.alarm_button", "L", 3_000)]
    )
    assert (scores["lift.entrapment"].expected, scores["lift.entrapment"].missed) == (1, 0)
    assert scores["lift.entrapment"].delays_s == []
    assert (scores["lift.alarm_button"].expected, scores["lift.alarm_button"].delays_s) == (0, [2.0])


def test_missed_and_false() -> None:
    truths = [
        truth("found", "S", "smoke.fire"),
        truth("absent", "T", "smoke.fire"),
        truth("allowed", "U", "smoke.fire"),
    ]
    fired = [Fired("smoke.fire", device, 2_000) for device in ("T", "U", "ELSEWHERE")]
    fire = by_rule(truths, [*fired, Fired("smoke.unknown", "S", 2_000)])["smoke.fire"]
    assert (fire.missed, fire.alarms, fire.false) == (1, 3, 2)
    assert (fire.facts()["precision"], fire.facts()["false_per_1000_device_days"]) == (0.3333, 1000.0)
    assert fire.life_safety


def test_a_group_tells_the_truth_where_each_of_its_members_does() -> None:
    truths = [truth("found", "S", "smoke.fire"), truth("found", "T", "smoke.fire")]
    members = [Fired("smoke.fire", device, 2_000) for device in ("S", "T", "ELSEWHERE")]
    groups = [Fired("lift.alarm_button", "S", 2_000, tuple(members[:count])) for count in (2, 3)]
    score = by_rule(truths, groups)["lift.alarm_button"]
    assert (score.alarms, score.false) == (2, 1)


def test_of_a_rule_about_which_nothing_happened_nothing_is_said() -> None:
    facts = by_rule([], [])["lift.alarm_button"].facts()
    assert [facts[name] for name in ("recall", "precision", "delay_p50_s", "delay_max_s")] == [None] * 4
    assert RuleScore("x.y", 0).facts()["false_per_1000_device_days"] is None


def test_runs_are_added_up() -> None:
    sums: dict[str, RuleScore] = {}
    for fired_at_ms in (2_000, 5_000):
        add_up(sums, score_rules([truth("found", "S", "smoke.fire")], [Fired("smoke.fire", "S", fired_at_ms)], DAYS))
    facts = sums["smoke.fire"].facts()
    assert (facts["device_days"], facts["expected"], facts["found"], facts["alarms"]) == (4.0, 2, 2, 2)
    assert (facts["delay_p50_s"], facts["delay_max_s"]) == (2.5, 4.0)
