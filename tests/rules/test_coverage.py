"""Which branches of which rules were touched."""

from typing import Any

import pytest

from rules.coverage import Watch, untouched
from rules.load import read_rules
from rules.rule import Rule, RuleSet

RULE = {
    "id": "lift.high", "name": {"zh": "高", "en": "High"}, "source": "ours", "severity": "low", "category": "fault",
    "when": "floor > 3 and not (door == 'open' or occupied)",
}  # fmt: skip


def watched(**changes: Any) -> tuple[Watch, Rule]:
    watch = Watch()
    (rule,) = watch.watched(RuleSet(tuple(read_rules({"kind": "lift", "rules": [{**RULE, **changes}]}))))
    return watch, rule


def names(watch: Watch) -> set[str]:
    return {str(branch) for branch in untouched(watch.coverage())}


def test_every_part_of_a_condition_has_two_outcomes() -> None:
    watch, _ = watched()
    parts = ["floor > 3", "door == 'open'", "occupied", "door == 'open' or occupied",
             "floor > 3 and (not (door == 'open' or occupied))"]  # fmt: skip
    assert names(watch) == {
        "never fires", "never is over",
        *(f"when: {part} is never {outcome}" for part in parts for outcome in ("true", "false")),
    }  # fmt: skip


def test_what_another_part_decides_is_not_reached() -> None:
    watch, rule = watched()
    assert rule.breached({"floor": 1, "door": "open"}, {}, {}) is False
    assert "when: floor > 3 is never false" not in names(watch)
    assert "when: door == 'open' is never true" in names(watch)
    assert rule.begins({"floor": 9, "door": "closed", "occupied": False}, {}, {}) is True
    assert "when: occupied is never true" in names(watch)
    assert "when: occupied is never false" not in names(watch)


def test_unknown_touches_nothing() -> None:
    watch, rule = watched(when="floor > 3")
    assert rule.when.evaluate({}, {}, {}) is None
    assert len(names(watch)) == 4


@pytest.mark.parametrize(
    ("changes", "places"),
    [
        ({"clear": "floor < 2"}, {"when", "clear"}),
        ({"first": "floor == 1", "within": "1m"}, {"when", "first"}),
        ({"suppressed_when": "mode == 'inspection'"}, {"when", "suppressed_when"}),
        ({"levels": [{"severity": "high", "when": "floor > 9"}]}, {"when", "levels.1.when"}),
        (
            {"levels": [{"severity": "high", "when": "floor > 9", "reset": "floor < 5"}]},
            {"when", "levels.1.when", "levels.1.reset"},
        ),
    ],
)
def test_every_condition_that_is_written_counts(changes: dict[str, Any], places: set[str]) -> None:
    watch, _ = watched(**changes)
    (rule,) = watch.coverage().rules
    assert {branch.place for branch in rule.untouched} - {""} == places


@pytest.mark.parametrize(
    ("on_missing", "breached", "over"), [("keep", None, None), ("alarm", True, False), ("clear", False, True)]
)
def test_a_watched_rule_judges_as_before(on_missing: str, breached: bool | None, over: bool | None) -> None:
    _, rule = watched(on_missing=on_missing, clear="floor < 2")
    assert (rule.breached({}, {}, {}), rule.over({}, {}, {})) == (breached, over)
    assert rule.begins({"floor": 9, "door": "closed", "occupied": False}, {}, {}) is True
    assert rule.over({"floor": 1}, {}, {}) is True


def test_the_sum_counts_rules_of_every_type_that_are_enabled() -> None:
    watch, _ = watched(when="floor > 3")
    watch.fired("lift.high")
    watch.over("lift.high")
    coverage = watch.coverage()
    assert (coverage.branches, coverage.touched, coverage.percent) == (4, 2, 50.0)
    assert coverage.never_fired == ()
    off = Watch()
    off.watched(RuleSet(tuple(read_rules({"kind": "lift", "rules": [{**RULE, "enabled": False}]}))))
    assert (off.coverage().rules, off.coverage().percent) == ((), 100.0)


def test_silence_is_a_rule_that_fires_and_is_over() -> None:
    absence = {**RULE, "id": "lift.silent", "of": "device", "after": "1h"}
    del absence["when"]
    watch = Watch()
    watch.watched(RuleSet(tuple(read_rules({"kind": "lift", "absences": [absence]}))))
    assert names(watch) == {"never fires", "never is over"}
    assert watch.coverage().never_fired == ("lift.silent",)
