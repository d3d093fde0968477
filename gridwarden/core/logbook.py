"""What core decides, line by line in the log: one a batch at debug, one a decision at info, and of a storm its counts.

Rules, scopes, severities, numbers and codes only: no value of a reading, no note, no payload.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Any

import structlog

from gridwarden.model import Alarm, Change
from gridwarden.platform import OURSELVES
from gridwarden.records.transaction import Tally, Transaction
from gridwarden.records.writer import Committed

AT_ONCE = 50
"""Decisions of one transaction that get a line each; of more of them the counts are told."""
LINES, WINDOW_S = 500, 10.0
"""Decisions that get a line each in so many seconds."""
_log = structlog.get_logger("core")


class Logbook:
    """Tells the log what was committed, and what was told before it could be.

    Args:
        now_s: a clock that only ever runs on.
    """

    def __init__(self, now_s: Callable[[], float] = monotonic) -> None:
        self._now_s = now_s
        self._began_s = now_s()
        self._left = LINES

    def committed(self, transaction: Transaction, committed: Committed, took_s: float) -> None:
        """A transaction is durable: its batch and its decisions."""
        if transaction.messages:
            _log.debug("batch", **_batch(transaction, committed.offset, took_s))
        told = [_change(change, seq) for seq, change in enumerate(transaction.changes, start=committed.first_seq)]
        self._tell(told, {"offset": committed.offset})

    def provisional(self, changes: Sequence[Mapping[str, Any]]) -> None:
        """Decisions that were pushed before they could be committed; they are told again when they are."""
        told = [_facts(str(one["operation"]), one.get("alarm") or {}, one.get("event") or {}) for one in changes]
        self._tell(told, {"provisional": True})

    def _tell(self, told: Sequence[Mapping[str, Any]], besides: Mapping[str, Any]) -> None:
        if not told:
            return
        now_s = self._now_s()
        if now_s - self._began_s >= WINDOW_S:
            self._began_s, self._left = now_s, LINES
        if len(told) > min(AT_ONCE, self._left):
            counts = Counter(f"{one['event']} {one['severity']}".strip() for one in told)
            _log.info("decisions", count=len(told), **besides, of=dict(sorted(counts.items())))
            return
        self._left -= len(told)
        for one in told:
            _log.info(**{name: value for name, value in one.items() if value not in {"", None, False}}, **besides)


def _batch(transaction: Transaction, offset: int, took_s: float) -> dict[str, Any]:
    """The numbers of a batch."""
    total = Tally()
    for tally in transaction.tallies.values():
        total.add(tally)
    session = transaction.messages[0].session
    return {
        "offset": offset, "lane": str(session.lane), "ours": session.broker == OURSELVES,
        "messages": len(transaction.messages), "readings": total.received, "stored": total.stored,
        "duplicates": total.duplicate, "dead_letters": total.dead_lettered, "quarantined": total.quarantined,
        "judge_ms": round(transaction.judged_s * 1000, 2), "commit_ms": round(took_s * 1000, 2),
    }  # fmt: skip


def _change(change: Change, seq: int) -> dict[str, Any]:
    alarm = _told_of(change.alarm) if change.alarm else {}
    event = {"case_no": change.event.case_no, "severity": change.event.severity} if change.event else {}
    quieting = change.detail.get("quieting") or {}
    return {
        **_facts(str(change.operation), alarm, event), "actor": change.actor, "seq": seq,
        "quieting_id": quieting.get("quieting_id"), "kind": quieting.get("kind"), "version": change.detail.get("version"),
    }  # fmt: skip


def _told_of(alarm: Alarm) -> dict[str, Any]:
    """What is told of an alarm, by the names it has in the records."""
    return {
        "alarm_id": alarm.alarm_id, "rule_id": alarm.rule_id, "scope": alarm.scope, "severity": alarm.severity,
        "quieted_by": alarm.quieted_by, "unverified": alarm.unverified, "outcome": alarm.outcome,
        "evidence": alarm.evidence,
    }  # fmt: skip


def _facts(operation: str, alarm: Mapping[str, Any], event: Mapping[str, Any]) -> dict[str, Any]:
    outcome = alarm.get("outcome")
    return {
        "event": operation,
        "rule": alarm.get("rule_id"), "scope": alarm.get("scope"),
        "severity": str(alarm.get("severity") or event.get("severity") or ""),
        "case_no": event.get("case_no"), "alarm_id": alarm.get("alarm_id"),
        "reason": alarm.get("quieted_by") or (alarm.get("evidence") or {}).get("ended_by"),
        "outcome": outcome and str(outcome), "unverified": alarm.get("unverified"),
    }  # fmt: skip
