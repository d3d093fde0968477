"""The alarms of absence: begun, over, changed by others, retired."""

from __future__ import annotations

from dataclasses import replace

from gridwarden.model import AlarmState, Operation
from rules.absence import Absence
from rules.gaps import Gap, Gaps
from rules.load import read_rules

(RULE,) = read_rules({"kind": "smoke", "absences": [{
    "id": "smoke.silent", "name": {"zh": "静默", "en": "Silent"}, "source": "ours", "severity": "low",
    "category": "maintenance", "incident": "none", "of": "device", "after": "1h"}]})  # fmt: skip
assert isinstance(RULE, Absence)
GAP = Gap(RULE, "SMK-1", "SMK-1", 5_000, 3_600_000, "330106", "gw1")


def test_an_alarm_of_absence_begins_fires_and_is_over_by_what_is_heard() -> None:
    gaps = Gaps()
    gaps.end(RULE, "SMK-1", 1)
    assert gaps.take() == []
    gaps.begin(GAP, 3_605_000)
    assert "SMK-1" in gaps.by_scope
    assert gaps.waiting == 1
    (fired,) = gaps.take()
    alarm = fired.alarm
    assert fired.operation is Operation.ALARM_FIRED
    assert (alarm.state, alarm.pending_at_ms, alarm.fired_at_ms) == (AlarmState.FIRING, 5_000, 3_605_000)
    assert (alarm.device_id, alarm.kind, alarm.area, alarm.severity) == ("SMK-1", "smoke", "330106", RULE.severity)
    assert alarm.evidence == {
        "values": {"heard_at": "1970-01-01T00:00:05.000Z", "limit_s": 3600}, "gateway": "gw1"
    }  # fmt: skip
    seen = replace(alarm, acknowledged_by="op", event_id="E1")
    gaps.replace(seen)
    gaps.replace(replace(seen, alarm_id="another", acknowledged_by="nobody"))
    assert list(gaps) == [seen]
    gaps.end(RULE, "SMK-1", 4_000_000)
    (over,) = gaps.take()
    assert over.operation is Operation.ALARM_RESOLVED
    assert (over.alarm.resolved_at_ms, over.alarm.acknowledged_by) == (4_000_000, "op")
    assert "SMK-1" not in gaps.by_scope


def test_its_identity_is_rule_scope_and_when_it_was_last_heard() -> None:
    alarm = GAP.alarm(9)
    assert GAP.alarm(10).alarm_id == alarm.alarm_id
    assert replace(GAP, since_ms=5_001).alarm(9).alarm_id != alarm.alarm_id
    assert replace(GAP, scope="SMK-2").alarm(9).alarm_id != alarm.alarm_id


def test_a_span_has_an_alarm_if_it_was_over_its_limit() -> None:
    gaps = Gaps()
    assert not gaps.span(GAP, 3_605_000, 3_605_000)
    assert gaps.span(GAP, 3_605_000, 3_605_001)
    assert [change.operation for change in gaps.take()] == [Operation.ALARM_FIRED, Operation.ALARM_RESOLVED]


def test_nothing_ends_before_it_began() -> None:
    gaps = Gaps()
    gaps.begin(GAP, 3_605_000)
    gaps.end(RULE, "SMK-1", 7_000)
    assert gaps.take()[-1].alarm.resolved_at_ms == 3_605_000


def test_it_goes_on_under_another_version_or_is_retired_with_a_reason() -> None:
    gaps = Gaps()
    gaps.begin(GAP, 3_605_000)
    (alarm,) = gaps.of_places("SMK")
    assert gaps.of_places("SMK", {"SMK-1"}) == []
    changed = gaps.go_on_under(replace(RULE, version="v2"), alarm, 7_200_000)
    assert (changed.rule_version, changed.memory, changed.revision) == ("v2", {"limit_ms": 7_200_000}, 2)
    gaps.retire(changed, 9_000_000, "device_gone")
    transitions = gaps.take()
    assert transitions[1].operation is None
    assert transitions[-1].operation is Operation.ALARM_RESOLVED
    assert transitions[-1].alarm.evidence["ended_by"] == "device_gone"
    assert gaps.of(RULE, "SMK-1") is None
