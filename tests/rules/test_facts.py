"""Identity of alarms, scope, and what evidence keeps."""

from typing import Any

import pytest

from gridwarden.model import Reading
from rules.facts import NOTHING_BEFORE, alarm_id


def _reading(**changes: Any) -> Reading:
    return Reading("D", "lift", "g", 1, changes.pop("received_at_ms", 2), None, changes.pop("key", 7),
                   changes.pop("keyed", True), {"floor": 1}, **changes)  # fmt: skip


def test_the_id_is_a_hash_of_rule_scope_and_key() -> None:
    assert alarm_id("lift.a", "D", _reading()) == "f046d99f14c8eaccc007"
    assert alarm_id("lift.a", "D", _reading(received_at_ms=99)) == "f046d99f14c8eaccc007"


@pytest.mark.parametrize(
    ("rule_id", "scope", "reading"),
    [("lift.b", "D", _reading()), ("lift.a", "E", _reading()), ("lift.a", "D", _reading(key=8))],
)
def test_another_rule_scope_or_key_is_another_alarm(rule_id: str, scope: str, reading: Reading) -> None:
    assert alarm_id(rule_id, scope, reading) != alarm_id("lift.a", "D", _reading())


def test_without_time_and_number_the_receipt_tells_alarms_apart() -> None:
    one, other = _reading(keyed=False, received_at_ms=1), _reading(keyed=False, received_at_ms=2)
    assert alarm_id("lift.a", "D", one) != alarm_id("lift.a", "D", other)


def test_the_scope_of_an_unentitled_reading_names_its_gateway() -> None:
    assert _reading().scope == "D"
    assert _reading(entitled=False).scope == "\x1fg/D"


def test_nothing_is_before_a_reading_that_is_judged_alone() -> None:
    assert "floor" in NOTHING_BEFORE
    assert NOTHING_BEFORE["floor"] is None
