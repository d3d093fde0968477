"""What people may tell core to do. Each command is judged against how things stand and becomes one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from gridwarden.core import quieting
from gridwarden.core.judge import Judge
from gridwarden.core.retrying import (
    KeptLetter,
    KeptReading,
    retry_letters,
    retry_quarantined,
    wanted,
)
from gridwarden.errors import NotFound, Refused
from gridwarden.model import Alarm, AlarmState, Change, GridEvent, Operation, Outcome
from gridwarden.records import rows
from gridwarden.records.aside import RETRIED_BYTES
from gridwarden.records.transaction import Transaction
from gridwarden.records.writer import Writer
from rules import alarm as life

NOTE_LIMIT = 2_000
Params = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """What the records hold on what a command is about, as of ``offset``."""

    offset: int
    answer: Params | None
    """The answer this command got when it was carried out before."""
    alarms: tuple[Alarm, ...] = ()
    events: tuple[GridEvent, ...] = ()
    letters: tuple[KeptLetter, ...] = ()
    quarantined: tuple[KeptReading, ...] = ()


def look_up(records: Writer, command_id: str, params: Params, family: Iterable[str] = ()) -> Found:
    """Read what a command is about; in the records' own thread, so that no alarm waits for it.

    ``family``: the event of the command and those that it has adopted, as the judge knows them.

    Raises:
        RecordsUnavailable: the records cannot be read.
        Refused: it is about what nothing can be about.
    """
    alarm_id, event_id = params.get("alarm_id"), params.get("event_id")
    alarm = records.alarm(alarm_id) if isinstance(alarm_id, str) else None
    event = records.event(event_id) if isinstance(event_id, str) else None
    names = dict.fromkeys([*family, *([event.event_id] if event else [])])
    alarms = [one for name in names for one in records.alarms_of(name)]
    if alarm:
        alarms.append(alarm)
    letters = records.letters(wanted(params, "letters"), RETRIED_BYTES)
    quarantined = records.quarantined(wanted(params, "quarantined"))
    return Found(
        records.offset, records.answer(command_id), tuple(alarms), (event,) if event else (),
        tuple(KeptLetter(*one) for one in letters), tuple(KeptReading(*one) for one in quarantined),
    )  # fmt: skip


class Desk:
    """What a command works on: the judge, and how things stand by now.

    That is what the records held, with the transactions over it that have been judged and are not yet durable.
    """

    def __init__(self, judge: Judge, found: Found, pending: Iterable[Transaction]) -> None:
        self.judge = judge
        self._alarms = {alarm.alarm_id: alarm for alarm in found.alarms}
        self._events = {event.event_id: event for event in found.events}
        self.letters = {one.number: one for one in found.letters}
        self.quarantined = {one.number: one for one in found.quarantined}
        self.retried: dict[int, str] = {}
        """What retries that are not yet durable have made of dead letters."""
        self.released: dict[int, str] = {}
        """The same of quarantined readings."""
        for transaction in pending:
            self._alarms |= transaction.alarms
            self._events |= transaction.events
            self.retried |= transaction.retried
            self.released |= transaction.released

    def alarm(self, alarm_id: str) -> Alarm:
        """An alarm that fired, whatever became of it; raises :class:`NotFound`."""
        alarm = self.judge.active(alarm_id) or self._alarms.get(alarm_id)
        if alarm is None or alarm.fired_at_ms is None:
            raise NotFound("no_such_alarm", alarm_id)
        return self.judge.quieter.book.stamped(alarm)

    def event(self, event_id: str) -> GridEvent:
        """A case, open or closed; raises :class:`NotFound`."""
        event = self.judge.cases.open_event(event_id) or self._events.get(event_id)
        if event is None:
            raise NotFound("no_such_event", event_id)
        return event

    def alarms_of(self, event_id: str) -> list[Alarm]:
        """The alarms that joined a case, or one that it has adopted."""
        family = self.judge.cases.family(event_id)
        return [alarm for alarm in self._alarms.values() if alarm.event_id in family]


@dataclass(frozen=True, slots=True)
class By:
    """Who acts, and what they wrote."""

    actor: str
    note: str

    @classmethod
    def of(cls, params: Params) -> By:
        """From the parameters of a command."""
        note = params.get("note", "")
        if not isinstance(note, str) or len(note) > NOTE_LIMIT:
            raise Refused("bad_note", f"text of at most {NOTE_LIMIT} characters")
        return cls(str(params["actor"]), note)


def acknowledge(desk: Desk, params: Params) -> tuple[Transaction, Params]:
    """I have seen this alarm. A second acknowledgement changes nothing."""
    by = By.of(params)
    alarm = desk.alarm(params["alarm_id"])
    transaction = Transaction(desk.judge.clock.now_ms())
    alarm = _acknowledge(desk, alarm, by, transaction)
    return transaction, {"alarm": rows.alarm_row(alarm)}


def acknowledge_event(desk: Desk, params: Params) -> tuple[Transaction, Params]:
    """I have seen every alarm of this case."""
    by = By.of(params)
    event = desk.event(params["event_id"])
    transaction = Transaction(desk.judge.clock.now_ms())
    for alarm in desk.alarms_of(event.event_id):
        _acknowledge(desk, alarm, by, transaction)
    event = desk.judge.cases.open_event(event.event_id) or event
    return transaction, {"event": rows.event_row(event)}


def confirm(desk: Desk, params: Params) -> tuple[Transaction, Params]:
    """This alarm is true, false, a test. A latched one whose condition is over is thereby resolved."""
    by = By.of(params)
    outcome = Outcome(params["outcome"])
    judge = desk.judge
    alarm = desk.alarm(params["alarm_id"])
    transaction = Transaction(judge.clock.now_ms())
    transition = judge.confirm(alarm.alarm_id, by.actor, transaction.at_ms, outcome, by.note)
    if transition is None:
        transition = life.confirm(alarm, by.actor, transaction.at_ms, outcome, by.note)
        alarm = _still_resolved(alarm, transition.alarm)
        judge.tell(Operation.ALARM_CONFIRMED, alarm, transaction, by.actor)
    else:
        alarm = transition.alarm
        resolved = alarm.state is AlarmState.RESOLVED
        judge.tell(Operation.ALARM_CONFIRMED, alarm, transaction, by.actor, resolved=resolved)
    return transaction, {"alarm": rows.alarm_row(alarm)}


def close(desk: Desk, params: Params) -> tuple[Transaction, Params]:
    """This case is done."""
    by = By.of(params)
    event = desk.event(params["event_id"])
    transaction = Transaction(desk.judge.clock.now_ms())
    alarms = desk.alarms_of(event.event_id)
    event = desk.judge.cases.close(event.event_id, alarms, by.actor, by.note, transaction.at_ms)
    transaction.events[event.event_id] = event
    change = Change(Operation.EVENT_CLOSED, transaction.at_ms, event.area, event=event, actor=by.actor)
    transaction.changes.append(change)
    return transaction, {"event": rows.event_row(event)}


def data_lost(desk: Desk, params: Params) -> tuple[Transaction, Params]:
    """State what web has found lost: a damaged block, or readings of the history."""
    transaction = Transaction(desk.judge.clock.now_ms())
    readings = int(params["readings"])
    if params["what"] == "block":
        desk.judge.losses.block(int(params["offset"]), readings, str(params["reason"]), transaction)
    else:
        detail = {name: params[name] for name in ("from_offset", "through_offset")}
        desk.judge.losses.history(detail, readings, transaction)
    return transaction, {}


COMMANDS: dict[str, Callable[[Desk, Params], tuple[Transaction | None, Params]]] = {
    "acknowledge": acknowledge,
    "acknowledge_event": acknowledge_event,
    "confirm": confirm,
    "close": close,
    "data_lost": data_lost,
    "quiet": quieting.quiet,
    "shelve": quieting.shelve,
    "approve_quieting": quieting.approve,
    "end_quieting": quieting.end,
    "retry_letters": retry_letters,
    "retry_quarantined": retry_quarantined,
}
"""What becomes of a command, and its answer; without a transaction nothing is done, and it is answered at once."""


def _acknowledge(desk: Desk, alarm: Alarm, by: By, transaction: Transaction) -> Alarm:
    if alarm.acknowledged_at_ms is not None or alarm.fired_at_ms is None:
        return alarm
    judge = desk.judge
    transition = judge.acknowledge(alarm.alarm_id, by.actor, transaction.at_ms, by.note)
    if transition is None:
        transition = life.acknowledge(alarm, by.actor, transaction.at_ms, by.note)
    judge.tell(Operation.ALARM_ACKNOWLEDGED, transition.alarm, transaction, by.actor)
    return transition.alarm


def _still_resolved(before: Alarm, after: Alarm) -> Alarm:
    """A confirmation after the end leaves the times of the end as they were."""
    if before.state is AlarmState.RESOLVED:
        after = replace(
            after, state=before.state, resolved_at_ms=before.resolved_at_ms, cleared_at_ms=before.cleared_at_ms
        )
    return after
