"""Versions and shapes."""

from typing import Any

import pytest

from rules.rule import Rule, RuleSet, make_rule
from rules.written import WrittenRule

PLAIN: dict[str, Any] = {
    "id": "lift.r", "name": {"zh": "a", "en": "a"}, "source": "ours", "severity": "medium", "category": "fault",
    "when": "floor > 3", "for": "5s", "levels": [{"severity": "high", "when": "floor > 5"}],
}  # fmt: skip


def made(**keys: Any) -> Rule:
    return make_rule("lift", WrittenRule.model_validate({**PLAIN, **keys}))


def test_an_empty_rule_set_has_a_version() -> None:
    assert RuleSet().version
    assert len(RuleSet()) == 0


@pytest.mark.parametrize(
    ("keys", "keeps"),
    [
        ({"when": "floor > 30.5"}, True),
        ({"for": "7s", "clear_for": "1m", "min_firing": "2m"}, True),
        ({"name": {"zh": "b", "en": "b"}, "severity": "low", "enabled": False, "shadow": True}, True),
        ({"levels": [{"severity": "high", "when": "floor > 8", "reset": "not (floor > 8)"}]}, True),
        ({"when": "floor >= 3"}, False),
        ({"when": "speed_mps > 3"}, False),
        ({"clear": "floor < 2"}, False),
        ({"levels": []}, False),
        ({"clock": "received"}, False),
        ({"latched": True}, False),
        ({"count": 3}, False),
    ],
)
def test_the_shape_is_what_is_left_without_numbers_and_names(keys: dict[str, Any], keeps: bool) -> None:
    assert made(**keys).version != made().version
    assert (made(**keys).shape == made().shape) is keeps


def test_what_begins_an_alarm_is_named() -> None:
    assert [condition.text for condition in made().starters] == ["floor > 3"]
    sequence = made(first="occupied", within="1m", on_missing="alarm")
    assert [condition.text for condition in sequence.starters] == ["occupied"]
    assert (sequence.unknown_begins, made().unknown_begins) == (True, False)
    assert sequence.fields == ("floor", "occupied")


def test_readings_of_a_kind_wait_for_the_rule_that_waits_longest() -> None:
    late = {"late": "correct"}
    rules = (made(id="lift.a", **late, lateness="1m"), made(id="lift.b", **late, lateness="2m"), made(id="lift.c"))
    assert RuleSet(rules).lateness == {"lift": 120_000}
    assert RuleSet((made(**late, lateness="1m", enabled=False),)).lateness == {}
