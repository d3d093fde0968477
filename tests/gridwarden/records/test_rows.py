"""Domain values come out of their rows as they went in."""

from __future__ import annotations

from dataclasses import replace

from pydantic_core import from_json, to_json

from gridwarden.model import Alarm, AlarmState, Change, EventState, GridEvent, Operation, Outcome, Severity
from gridwarden.quieting import Matchers, Quieting, QuietingKind, Weekly
from gridwarden.records import rows

ALARM = Alarm("A", "smoke.fire", "1", "S", "S", "smoke", "3301", Severity.CRITICAL, AlarmState.FIRING, 1,
              fired_at_ms=2, evidence={"values": {"state": "alarm"}})  # fmt: skip
EVENT = GridEvent("E", "F20270115-0001", "fire/device:S", "fire", "smoke.fire", Severity.HIGH, EventState.OPEN, "3301",
                  "S", "smoke", 2, 3)  # fmt: skip


def test_an_alarm_comes_back() -> None:
    for alarm in (ALARM, replace(ALARM, outcome=Outcome.FALSE, state=AlarmState.RESOLVED, note="老人吸烟")):
        again = rows.to_alarm(from_json(to_json(rows.alarm_row(alarm))))
        assert again == alarm
        assert [type(again.severity), type(again.state)] == [Severity, AlarmState]
        assert again.outcome is alarm.outcome


def test_an_event_comes_back() -> None:
    again = rows.to_event(from_json(to_json(rows.event_row(EVENT))))
    assert again == EVENT
    assert type(again.state) is EventState


def test_a_quieting_comes_back() -> None:
    matchers = Matchers(rules=("smoke.*", "lift.doors"), devices=("SMK-1",))
    plain = Quieting(7, QuietingKind.SILENCE, "3301", matchers, False, 1, 9, "张三", "u1", "检修", 1)
    weekly = Weekly((0, 4), "22:00", "06:00", "Asia/Shanghai")
    for quieting in (plain, replace(plain, kind=QuietingKind.MAINTENANCE, weekly=weekly, until_at_ms=None)):
        again = rows.to_quieting(from_json(to_json(rows.quieting_row(quieting))))
        assert again == quieting
        assert type(again.kind) is QuietingKind


def test_a_change_is_what_the_journal_says() -> None:
    change = Change(Operation.ALARM_FIRED, 1, alarm=ALARM, event=EVENT, detail={"x": 1})
    body = rows.change_body(change)
    assert (rows.to_alarm(body["alarm"]), rows.to_event(body["event"]), body["detail"]) == (ALARM, EVENT, {"x": 1})
    assert rows.change_body(Change(Operation.RULES_LOADED, 1)) == {"alarm": None, "event": None, "detail": {}}
