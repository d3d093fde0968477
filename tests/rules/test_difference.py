"""What takes the place of what: each change by its name, its keys, and what it means for alarms that fire."""

from typing import Any

import pytest

from rules.difference import difference
from rules.load import read_rules
from rules.rule import RuleSet

PLAIN: dict[str, Any] = {
    "id": "lift.r", "name": {"zh": "a", "en": "a"}, "source": "ours", "severity": "medium", "category": "fault",
    "when": "floor > 3", "for": "5s",
}  # fmt: skip


def one(**keys: Any) -> RuleSet:
    return RuleSet(tuple(read_rules({"kind": "lift", "rules": [{**PLAIN, **keys}]})))


def test_what_stays_is_not_told() -> None:
    assert difference(one(), one()) == []
    assert difference(RuleSet(), RuleSet()) == []


def test_a_rule_comes_and_goes() -> None:
    assert [change.facts() for change in difference(RuleSet(), one())] == [
        {"rule": "lift.r", "what": "added", "goes_on": True, "keys": {}}
    ]
    assert [change.facts() for change in difference(one(), RuleSet())] == [
        {"rule": "lift.r", "what": "removed", "goes_on": False, "keys": {}}
    ]


@pytest.mark.parametrize(
    ("keys", "what", "goes_on", "told"),
    [
        ({"when": "floor > 4"}, "changed", True, {"when": {"before": "floor > 3", "after": "floor > 4"}}),
        ({"when": "occupied"}, "changed", False, {"when": {"before": "floor > 3", "after": "occupied"}}),
        ({"for": "9s"}, "changed", True, {"for": {"before": 5000, "after": 9000}}),
        ({"enabled": False}, "switched_off", False, {"enabled": {"before": True, "after": False}}),
        ({"shadow": True}, "on_trial", True, {"shadow": {"before": False, "after": True}}),
    ],
)
def test_a_change_names_its_keys(keys: dict[str, Any], what: str, goes_on: bool, told: dict[str, Any]) -> None:
    (change,) = difference(one(), one(**keys))
    assert change.facts() == {"rule": "lift.r", "what": what, "goes_on": goes_on, "keys": told}


def test_a_trial_ends_with_a_promotion_and_a_rule_is_switched_on_again() -> None:
    assert [change.kind for change in difference(one(shadow=True), one())] == ["promoted"]
    assert [change.kind for change in difference(one(enabled=False), one())] == ["switched_on"]
