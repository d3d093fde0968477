"""Durations and versions."""

import pytest

from rules.rule import RuleSet
from rules.written import parse_duration


@pytest.mark.parametrize(
    ("text", "ms"),
    [("0s", 0), ("250ms", 250), ("30s", 30_000), ("5m", 300_000), ("2h", 7_200_000), ("30d", 2_592_000_000)],
)
def test_a_duration_is_a_number_and_a_unit(text: str, ms: int) -> None:
    assert parse_duration(text) == ms


@pytest.mark.parametrize(
    "text", ["", "30", "s", "-1s", "1.5s", "1 s", "1m30s", "31d", "٣s", "9999999999s", 30, None, True]
)
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match=r"duration|30 days"):
        parse_duration(text)


def test_an_empty_rule_set_has_a_version() -> None:
    assert RuleSet().version
    assert len(RuleSet()) == 0
