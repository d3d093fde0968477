"""What the log says of decisions: every one, or their counts, and never more than that."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from gridwarden.core.logbook import AT_ONCE, LINES, WINDOW_S, Logbook
from gridwarden.model import Alarm, AlarmState, Change, EventState, GridEvent, Operation, Severity
from gridwarden.records.transaction import Tally, Transaction
from gridwarden.records.writer import Committed
from ingest.session import Lane

NOW_MS = 1_800_000_000_000
SECRETS = ("seventh floor, Mr. Wang", "13800000000")
ALARM = Alarm("a1", "smoke.fire", "1", "SMK-1", "SMK-1", "smoke", "330106001", Severity.CRITICAL, AlarmState.FIRING, NOW_MS,
              note=SECRETS[0], evidence={"values": {"fault_text": SECRETS[1]}}, unverified=True)  # fmt: skip
EVENT = GridEvent("E1", "F20261122-00001", "k", "fire", "smoke.fire", Severity.CRITICAL, EventState.OPEN, "330106001",
                  "SMK-1", "smoke", NOW_MS, NOW_MS, closing_note=SECRETS[0])  # fmt: skip


def fired(number: int = 1, severity: Severity = Severity.CRITICAL) -> Change:
    return Change(Operation.ALARM_FIRED, NOW_MS, "", replace(ALARM, alarm_id=f"a{number}", severity=severity), EVENT)


def said(changes: Sequence[Change], logbook: Logbook | None = None, **parts: Any) -> list[Any]:
    with capture_logs() as logs:
        transaction = Transaction(NOW_MS, changes=list(changes), **parts)
        (logbook or Logbook()).committed(transaction, Committed(7, 40, 0), 0.002)
    assert not any(secret in json.dumps(logs, default=str) for secret in SECRETS)
    return logs


def test_a_batch_is_one_line_at_debug(source: Any) -> None:
    up = source(Lane.TELEMETRY)
    tallies = {("b", "telemetry", "gw1"): Tally(stored=3, duplicate=1, received=4),
               ("b", "telemetry", "gw2"): Tally(dead_lettered=1, quarantined=2, received=3)}  # fmt: skip
    messages = [up.message({"device": "D", "values": {"fault_text": SECRETS[1]}}) for _ in range(2)]
    assert said([], messages=messages, tallies=tallies, judged_s=0.0015) == [
        {"event": "batch", "log_level": "debug", "offset": 7, "lane": "telemetry", "ours": False, "messages": 2,
         "readings": 7, "stored": 3, "duplicates": 1, "dead_letters": 1, "quarantined": 2, "judge_ms": 1.5, "commit_ms": 2.0}
    ]  # fmt: skip


def test_a_decision_is_one_line_at_info() -> None:
    assert said([fired()]) == [
        {"event": "alarm.fired", "log_level": "info", "rule": "smoke.fire", "scope": "SMK-1", "severity": "critical",
         "case_no": "F20261122-00001", "alarm_id": "a1", "unverified": True, "seq": 40, "offset": 7}
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (Change(Operation.ALARM_QUIETED, NOW_MS, "", replace(ALARM, quieted_by="silence:3")), {"reason": "silence:3"}),
        (Change(Operation.ALARM_RESOLVED, NOW_MS, "", replace(ALARM, evidence={"ended_by": "rule_gone"})), {"reason": "rule_gone"}),
        (Change(Operation.ALARM_CONFIRMED, NOW_MS, "", replace(ALARM, outcome="false"), EVENT, "zhang"),
         {"actor": "zhang", "outcome": "false"}),
        (Change(Operation.EVENT_CLOSED, NOW_MS, "", None, EVENT, "li"), {"actor": "li", "case_no": "F20261122-00001"}),
        (Change(Operation.QUIETING_ADDED, NOW_MS, actor="li",
                detail={"quieting": {"quieting_id": 9, "kind": "silence", "comment": SECRETS[0]}}),
         {"actor": "li", "quieting_id": 9, "kind": "silence"}),
        (Change(Operation.RULES_LOADED, NOW_MS, actor="li", detail={"version": "abc"}), {"version": "abc", "actor": "li"}),
    ],
    ids=lambda value: str(value.operation) if isinstance(value, Change) else "",
)  # fmt: skip
def test_a_line_says_who_and_why(change: Change, told: dict[str, Any]) -> None:
    (line,) = said([change])
    assert line["event"] == str(change.operation)
    assert line.items() >= told.items()


def test_of_a_storm_the_counts_are_told() -> None:
    changes = [fired(n) for n in range(AT_ONCE)] + [fired(n, Severity.LOW) for n in range(10)]
    assert said(changes) == [
        {"event": "decisions", "log_level": "info", "count": 60, "offset": 7,
         "of": {"alarm.fired critical": 50, "alarm.fired low": 10}}
    ]  # fmt: skip
    assert len(said(changes[:AT_ONCE])) == AT_ONCE


def test_a_storm_of_many_small_transactions_is_bounded_too() -> None:
    at_s = 100.0
    logbook = Logbook(lambda: at_s)
    lines = [line for number in range(LINES + 20) for line in said([fired(number)], logbook)]
    assert [line["event"] for line in lines].count("alarm.fired") == LINES
    assert {line["event"] for line in lines[LINES:]} == {"decisions"}
    at_s += WINDOW_S
    assert [line["event"] for line in said([fired()], logbook)] == ["alarm.fired"]


def test_what_is_told_before_it_is_durable_is_marked() -> None:
    change = {"operation": "alarm.fired", "at_ms": NOW_MS, "area": "", "alarm": {
        "alarm_id": "a1", "rule_id": "smoke.fire", "scope": "SMK-1", "severity": "critical", "note": SECRETS[0],
        "evidence": {"values": {"x": SECRETS[1]}}, "quieted_by": "", "unverified": False, "outcome": None,
    }, "event": {"case_no": "F1", "severity": "critical"}, "detail": {}}  # fmt: skip
    with capture_logs() as logs:
        Logbook().provisional([change])
        Logbook().provisional([])
    assert logs == [
        {"event": "alarm.fired", "log_level": "info", "rule": "smoke.fire", "scope": "SMK-1", "severity": "critical",
         "case_no": "F1", "alarm_id": "a1", "provisional": True}
    ]  # fmt: skip
