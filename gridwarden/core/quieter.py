"""Quieting in core: what :mod:`rules.quiet` decides becomes part of transactions, and people are told why.

An alarm that fires and is quiet is stored and journalled as ``alarm.quieted``; no grid event opens. Once nothing
quiets it any more and it still fires, it is told as any other, with the time at which it fired.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from gridwarden.model import Alarm, Change, Operation
from gridwarden.quieting import Quieting
from gridwarden.records import rows
from gridwarden.records.transaction import Transaction
from gridwarden.records.writer import Start
from rules.quiet import QuietBook, Verdict
from rules.rule import RuleSet

if TYPE_CHECKING:
    from gridwarden.core.judge import Judge

CHECKED_AT_ONCE = 200
"""Alarms looked at again in one transaction: the end of a large silence must not hold up a fire."""
_NOT_JOURNALLED = frozenset({"comment", "author_id", "approved_by_id"})
"""What a person wrote stands in the table of quietings alone, where it can be erased."""
COUNTER = "quieting"
"""The number of the newest decision, among the records' counters."""


class Past(Protocol):
    """What the records are asked of alarms that have ended."""

    def over_since(self, rule_ids: Collection[str], since_ms: int) -> list[Alarm]:
        """Alarms of these rules that were over at some time after ``since_ms`` and have ended."""
        ...


def restored(rules: RuleSet, start: Start, past: Past, now_ms: int) -> QuietBook:
    """What quiets alarms, and the alarms, as the records have them."""
    book = QuietBook(rules.by_id, start.quietings, start.counters.get(COUNTER, 0))
    after_ms = {rule.id: max((one.after_ms for one in rule.inhibits), default=0) for rule in rules.all}
    lasting = {rule_id for rule_id, more_ms in after_ms.items() if more_ms}
    book.restore(start.alarms, past.over_since(lasting, now_ms - max(after_ms.values(), default=0)))
    return book


class Quieter:
    """Keeps alarms from being told, and sees to it that they are once nothing quiets them."""

    def __init__(self, book: QuietBook, judge: Judge) -> None:
        self.book = book
        self._judge = judge

    def hushes(self, alarm: Alarm, transaction: Transaction) -> bool:
        """Whether ``alarm``, which fires just now, is told to nobody; it is recorded then."""
        verdict = self.book.decide(alarm, self._judge.devices, self._judge.clock.now_ms())
        if verdict is None:
            return False
        self._hush(alarm, verdict, transaction)
        return True

    def settle(self, transaction: Transaction) -> None:
        """What time has changed, and what was decided since: some alarms at a time, the others wait for the next call."""
        for quieting in self.book.run_out(self._judge.clock.now_ms()):
            self.record(quieting, Operation.QUIETING_ENDED, transaction)
        for alarm in self.book.next_to_check(CHECKED_AT_ONCE):
            self._check(alarm, transaction)

    def look_again(self, alarm_id: str, transaction: Transaction) -> None:
        """At once at an alarm that changed, and not when there is time: else what is told would depend on that."""
        alarm = self.book.take_to_check(alarm_id)
        if alarm is not None:
            self._check(alarm, transaction)

    def record(
        self, quieting: Quieting, operation: Operation, transaction: Transaction, actor: str | None = None
    ) -> None:
        """A decision that is new, approved or ended."""
        now_ms = self._judge.clock.now_ms()
        self.book.put(quieting, self._judge.devices, now_ms)
        transaction.counters[COUNTER] = self.book.last_id
        transaction.quietings[quieting.quieting_id] = quieting
        change = Change(operation, now_ms, quieting.area, actor=actor, detail={"quieting": journalled(quieting)})
        transaction.changes.append(change)

    def _check(self, alarm: Alarm, transaction: Transaction) -> None:
        verdict = self.book.decide(alarm, self._judge.devices, self._judge.clock.now_ms())
        if verdict is not None and verdict.reason != alarm.quieted_by:
            self._hush(replace(alarm, revision=alarm.revision + 1), verdict, transaction)
        elif verdict is not None:
            self.book.heard(alarm, verdict)
        elif alarm.quieted_by:
            self._tell(alarm, transaction)

    def _hush(self, alarm: Alarm, verdict: Verdict, transaction: Transaction) -> None:
        alarm = replace(alarm, quieted_by=verdict.reason)
        self._put(alarm, Operation.ALARM_QUIETED, transaction, {"until_at_ms": verdict.until_ms})
        self.book.heard(alarm, verdict)

    def _tell(self, alarm: Alarm, transaction: Transaction) -> None:
        detail = {"quieted_by": alarm.quieted_by}
        alarm = replace(alarm, quieted_by="", revision=alarm.revision + 1)
        if alarm.event_id is None:
            self._judge.announce(alarm, transaction, detail)
        else:
            self._put(alarm, Operation.ALARM_UNQUIETED, transaction, detail)
            self.book.heard(alarm)

    def _put(self, alarm: Alarm, operation: Operation, transaction: Transaction, detail: dict[str, Any]) -> None:
        judge = self._judge
        judge.keep(alarm, transaction)
        event = judge.cases.home(alarm.event_id)
        change = Change(operation, judge.clock.now_ms(), alarm.area, alarm, event, detail=detail)
        transaction.changes.append(change)


def journalled(quieting: Quieting) -> dict[str, Any]:
    """What the journal says of a decision."""
    return {name: value for name, value in rows.quieting_row(quieting).items() if name not in _NOT_JOURNALLED}
