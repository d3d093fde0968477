"""Core on virtual time: what would be written is kept, and goes on after a restart."""

from __future__ import annotations

from typing import Any

import pytest

from gridwarden.core.rehearsal import LOOK_EVERY_MS, Rehearsal
from gridwarden.errors import NotFound
from gridwarden.model import AlarmState, Device, Operation
from gridwarden.records.transaction import Transaction
from rules.load import read_rules
from rules.rule import RuleSet

AT_MS = 1_800_000_000_000
HEAD = {"name": {"zh": "高", "en": "High"}, "source": "ours", "severity": "low", "category": "fault"}
DEVICES = {"LIFT-1": Device("LIFT-1", "lift", gateway="g")}


def rules(**changes: Any) -> RuleSet:
    rule = {**HEAD, "id": "lift.high", "when": "floor > 3", "for": "10s", **changes}
    return RuleSet(tuple(read_rules({"kind": "lift", "rules": [rule]})))


class Heard:
    """What was told, and the rehearsal that tells it."""

    def __init__(self, rules: RuleSet, *, restarts: bool = True) -> None:
        self.transactions: list[Transaction] = []
        self.play = Rehearsal(rules, DEVICES, AT_MS, self.transactions.append, restarts=restarts)

    def say(self, at_s: int, **values: Any) -> None:
        self.play.until(AT_MS + at_s * 1000)
        self.play.hear("g", [{"device": "LIFT-1", "at": AT_MS + at_s * 1000, "values": values}])

    @property
    def operations(self) -> list[tuple[Operation, int]]:
        return [(change.operation, change.at_ms - AT_MS) for told in self.transactions for change in told.changes]


def test_timers_act_on_the_way_when_they_are_due() -> None:
    heard = Heard(rules())
    heard.say(0, floor=9)
    heard.play.until(AT_MS + 60_000)
    assert heard.operations == [(Operation.ALARM_FIRED, 10_000)]
    (alarm,) = heard.play.kept.alarms()
    assert (alarm.state, alarm.fired_at_ms) == (AlarmState.FIRING, AT_MS + 10_000)
    assert heard.play.kept.event(alarm.event_id or "") == heard.play.kept.events()[0]


def test_a_restart_goes_on_with_alarms_windows_and_cases() -> None:
    heard = Heard(rules(when="floor > 3 and occupied"))
    heard.say(0, occupied=True)
    heard.play.restart()
    heard.say(1, floor=9)
    heard.play.restart(AT_MS + 60_000)
    heard.play.restart()
    heard.say(70, floor=1)
    assert heard.operations == [(Operation.ALARM_FIRED, 60_000), (Operation.ALARM_RESOLVED, 70_000)]
    (alarm,) = heard.play.kept.alarms()
    assert alarm.fired_at_ms == AT_MS + 11_000
    assert heard.play.kept.start().alarms == []


def test_a_repeat_is_known_after_a_restart() -> None:
    heard = Heard(rules())
    heard.say(0, floor=1)
    heard.play.restart()
    heard.say(0, floor=1)
    assert [tally.duplicate for told in heard.transactions for tally in told.tallies.values()] == [0, 1]


def test_how_often_it_fired_is_known_after_a_restart() -> None:
    flapping = {"count": 3, "within": "1h", "quiet": "5m"}
    heard = Heard(rules(**{"for": "0s"}, flapping=flapping))
    for number in range(3):
        heard.say(number * 20, floor=9)
        heard.say(number * 20 + 10, floor=1)
        heard.play.restart()
    assert [alarm.flapping for alarm in heard.play.kept.alarms()] == [False, False, True]


def test_what_is_quiet_stays_so_after_a_restart() -> None:
    heard = Heard(rules())
    lists: dict[str, list[str]] = {"rules": ["lift.*"]}
    params = {"actor": "a", "actor_id": "1", "kind": "silence", "area": "", "matchers": lists, "protected": False,
              "until_at_ms": AT_MS + 60_000, "comment": "painting"}  # fmt: skip
    heard.play.order("quiet", params)
    heard.play.restart()
    heard.say(0, floor=9)
    heard.play.until(AT_MS + 90_000)
    told = [operation for operation, _ in heard.operations]
    assert told == [
        Operation.QUIETING_ADDED, Operation.ALARM_QUIETED, Operation.QUIETING_ENDED, Operation.ALARM_FIRED,
    ]  # fmt: skip
    assert heard.play.kept.last_quieting_id == 1


def test_other_rules_and_another_registry() -> None:
    heard = Heard(rules(**{"for": "0s"}))
    heard.say(0, floor=9)
    heard.play.reload(rules(when="occupied"))
    heard.play.devices = {}
    heard.say(1, floor=9, occupied=True)
    assert [operation for operation, _ in heard.operations] == [
        Operation.ALARM_FIRED, Operation.RULES_LOADED, Operation.ALARM_RESOLVED,
    ]  # fmt: skip


def test_a_command_about_nothing_is_refused() -> None:
    with pytest.raises(NotFound):
        Heard(rules()).play.order("confirm", {"actor": "a", "alarm_id": "none", "outcome": "true"})


def test_silence_is_looked_for_though_nothing_else_happens() -> None:
    absence = {**HEAD, "id": "lift.silent", "of": "device", "after": "1h"}
    heard = Heard(RuleSet(tuple(read_rules({"kind": "lift", "absences": [absence]}))))
    heard.say(0, floor=1)
    heard.play.until(AT_MS + 3_600_000 + 2 * LOOK_EVERY_MS)
    assert [alarm.fired_at_ms for alarm in heard.play.kept.alarms()] == [AT_MS + 3_600_000]


def test_without_restarts_no_reading_is_kept() -> None:
    heard = Heard(rules(), restarts=False)
    heard.say(0, floor=9)
    assert heard.play.kept.blocks == []
