from dataclasses import replace
from typing import Any

from gridwarden.core.measures import SECONDS, Histogram, Measures
from gridwarden.model import Alarm, AlarmState, Change, Operation, Severity
from gridwarden.records.transaction import Transaction
from ingest.session import Lane

NOW_MS = 1_800_000_000_000
ALARM = Alarm("a", "r", "1", "D", "D", "smoke", "", Severity.HIGH, AlarmState.FIRING, NOW_MS)


def test_a_duration_falls_into_the_bucket_that_holds_it() -> None:
    histogram = Histogram()
    for seconds in (0.0, 0.001, 0.0011, 60.0, 61.0):
        histogram.add(seconds)
    counts = histogram.state()["counts"]
    assert len(counts) == len(SECONDS) + 1
    assert (counts[0], counts[1], counts[-2], counts[-1], sum(counts)) == (2, 1, 1, 1, 5)
    assert round(histogram.state()["sum_s"], 4) == 121.0021


def test_the_worst_of_an_interval_is_told_once(source: Any) -> None:
    measures, up, alarm = Measures(), source(Lane.TELEMETRY), source(Lane.ALARM)
    measures.judged([up.message({}, at_ms=NOW_MS - 5000), up.message({}, at_ms=NOW_MS)], NOW_MS, 0.01)
    measures.judged([up.message({}, at_ms=NOW_MS - 1000)], NOW_MS, 0.01)
    measures.judged([alarm.message({}, at_ms=NOW_MS - 20)], NOW_MS, 0.01)
    measures.committed(Transaction(NOW_MS), NOW_MS, 0.3)
    measures.committed(Transaction(NOW_MS), NOW_MS, 0.1)
    assert measures.interval() == {"commit_slowest_s": 0.3, "telemetry_delay_s": 5.0, "alarm_delay_s": 0.02}
    assert measures.interval() == {"commit_slowest_s": 0, "telemetry_delay_s": 0, "alarm_delay_s": 0}
    assert measures.state()["batches"] == {"telemetry": 2, "alarm": 1}
    assert sum(measures.state()["batch"]["counts"]) == 3


def test_the_delay_of_an_alarm_ends_with_its_commit(source: Any) -> None:
    measures, up, alarm = Measures(), source(Lane.TELEMETRY), source(Lane.ALARM)
    messages = [alarm.message({}, at_ms=NOW_MS - 30), alarm.message({}, at_ms=NOW_MS + 5), up.message({}, at_ms=0)]
    measures.committed(Transaction(NOW_MS, messages=messages), NOW_MS, 0.001)
    delays = measures.state()["alarm_delay"]
    assert sum(delays["counts"]) == 2
    assert delays["sum_s"] == 0.03


def test_alarms_are_counted_by_what_became_of_them() -> None:
    measures = Measures()
    changes = [
        Change(Operation.ALARM_FIRED, NOW_MS, alarm=ALARM),
        Change(Operation.ALARM_FIRED, NOW_MS, alarm=replace(ALARM, severity=Severity.LOW)),
        Change(Operation.ALARM_ACKNOWLEDGED, NOW_MS, alarm=ALARM),
        Change(Operation.ALARM_RESOLVED, NOW_MS, alarm=ALARM),
        Change(Operation.RULES_LOADED, NOW_MS),
    ]
    measures.committed(Transaction(NOW_MS, changes=changes), NOW_MS, 0.001)
    measures.committed(Transaction(NOW_MS, changes=changes[:1]), NOW_MS, 0.001)
    assert measures.state()["alarms"] == [
        {"what": "fired", "severity": "high", "count": 2},
        {"what": "fired", "severity": "low", "count": 1},
        {"what": "resolved", "severity": "high", "count": 1},
    ]
