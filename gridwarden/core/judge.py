"""One batch, timer or command into one transaction: the whole of core's judgement, without socket or disk.

Keeps what must be remembered between batches (windows, alarms, open cases). A transaction that cannot be committed
is tried again as it is; nothing here is rolled back, because nothing was acknowledged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic_core import from_json, to_json

from gridwarden.cases.book import CaseBook
from gridwarden.clock import Clock, ReplayClock
from gridwarden.core.ledger import Gateways
from gridwarden.core.letters import KnownLetters, forget_known
from gridwarden.core.losses import LossBook
from gridwarden.core.notices import Faults, faults_of
from gridwarden.core.parents import Parents
from gridwarden.core.quieter import Quieter
from gridwarden.core.rulebook import announce
from gridwarden.core.sources import Sources
from gridwarden.core.windows import Windows
from gridwarden.model import Alarm, AlarmState, Change, Device, GridEvent, Operation, Outcome, Reading
from gridwarden.records import block
from gridwarden.records.transaction import SeenUnregistered, Tally, Transaction
from gridwarden.window import Leapt, Settled, no_leap
from ingest import intake
from ingest.session import Message
from rules.alarm import Transition
from rules.engine import Engine
from rules.groups import Population
from rules.listening import Listener
from rules.quiet import PAST, QuietBook
from rules.rule import RuleSet
from rules.written import Incident

ALIVE_EVERY_MS = 10_000
"""Together with readings it is written down so often that core is alive …"""
ALIVE_ALONE_MS = 60_000
"""… and so often where nothing else is to be written."""
_LISTENING = "listening."
_SETTLED_THROUGH = "settled.through_ms"
_HURRY_MS = 20
"""What is due and waits for messages that have not been taken is looked at again after so long."""


class Judge:
    """What core knows and decides by."""

    def __init__(
        self,
        rules: RuleSet,
        engine: Engine,
        cases: CaseBook,
        windows: Windows,
        clock: Clock,
        bounds: intake.Bounds,
        had_alarm: Callable[[str], bool] = lambda _alarm_id: False,
        quiet: QuietBook | None = None,
    ) -> None:
        """``had_alarm``: whether the records know an alarm of this id; asked only for readings too old to check."""
        self.rules = rules
        self.engine = engine
        self.cases = cases
        self.windows = windows
        self.devices: Mapping[str, Device] = {}
        self.clock = clock
        self.listener = Listener(rules, windows.heard_at_ms, replaying=isinstance(clock, ReplayClock))
        self.sources: Sources | None = None
        """Where the messages come from, so that one knows who could not be heard; ``None``: they are just there."""
        self.quieter = Quieter(QuietBook(rules.by_id) if quiet is None else quiet, self)
        self.parents = Parents(rules, self)
        self.past_ms = 300_000
        """What came and went at once, and is over for longer, is news to nobody; 0: everything is told."""
        self.losses = LossBook()
        self.bounds = bounds
        self.known_letters: KnownLetters = lambda _keys: set()
        """Which of these keys of dead letters are kept already; asked only for what a broker delivers again."""
        self.leapt_ms: Leapt = no_leap
        """How much between two times of our own clock never passed, because it was set."""
        self._had_alarm = had_alarm
        self.gateways = Gateways()

    def restore(self, alarms: Iterable[Alarm], remembered: Mapping[str, str]) -> None:
        """Go on with the alarms of the records, and with what was to be remembered."""
        alarms = list(alarms)
        owners = (self.listener, self.parents.correlator)
        self.engine.restore(alarm for alarm in alarms if not any(owner.owns(alarm) for owner in owners))
        silent = [alarm for alarm in alarms if self.listener.owns(alarm) and alarm.state is AlarmState.FIRING]
        begin = len(_LISTENING)
        state = {name[begin:]: from_json(text) for name, text in remembered.items() if name.startswith(_LISTENING)}
        self.listener.restore(silent, state)
        self.windows.settling.resume(int(remembered.get(_SETTLED_THROUGH, "0")), self.windows.each())

    def reload(
        self,
        rules: RuleSet,
        changes: Iterable[Mapping[str, Any]],
        actor: str,
        population: Population | None = None,
    ) -> Transaction:
        """Go on with other rules, all of them at once; what becomes of active alarms is part of the transaction.

        Args:
            rules: those in force from now on.
            changes: what they change, for the journal.
            actor: who wants it.
            population: of the groups of these rules' correlations, where somebody has counted it already.
        """
        transaction = Transaction(self.clock.now_ms())
        announce(rules, transaction, changes, actor)
        transitions = self.engine.reload(rules, transaction.at_ms)
        self.listener.use(rules)
        self.quieter.book.use(rules.by_id)
        self.windows.use(rules)
        self.apply(transitions, transaction, actor)
        self.apply(self.parents.use(rules, population), transaction, actor)
        self.rules = rules
        return transaction

    def batch(self, messages: Sequence[Message]) -> Transaction:
        """Judge the readings of these messages, per device in the order of its own time."""
        faults: list[Faults] = []
        transaction = Transaction(self.clock.now_ms(), messages=messages, faults=faults)
        taken: list[tuple[Reading, Tally]] = []
        doubted: list[tuple[str, Tally]] = []
        for message in messages:
            session = message.session
            taking = intake.read(message, session.broker, self.devices, self.clock, self.bounds)
            gateway = self.gateways.name(session.broker, taking.gateway)
            tally = transaction.tally(session.broker, session.lane, gateway)
            tally.received += taking.received
            tally.last_received_at_ms = message.received_at_ms
            taken += [(reading, tally) for reading in taking.readings]
            for reading in taking.readings[-1:]:
                self.listener.ourselves.came(reading.gateway, session.broker, reading.received_at_ms)
            if (faulty := faults_of(message, taking)) is not None:
                faults.append(faulty)
            if taking.dead_letters:
                transaction.dead_letters += [replace(letter, lane=session.lane) for letter in taking.dead_letters]
                tally.dead_lettered += len(taking.dead_letters)
                if message.dup:
                    doubted += [(letter.key, tally) for letter in taking.dead_letters]
        if doubted:
            forget_known(doubted, transaction, self.known_letters)
        return self.judged(taken, transaction)

    def judged(self, taken: list[tuple[Reading, Tally]], transaction: Transaction) -> Transaction:
        """``transaction`` with what becomes of these readings, each counted in its tally."""
        taken.sort(key=_by_device_time)
        news: list[Transition] = []
        stored = [reading for reading, tally in taken if self._take(reading, tally, transaction, news)]
        transaction.at_ms = self.clock.now_ms()
        self.apply_present(news, transaction)
        gaps = self.listener.settle(self._through_ms(transaction.at_ms))
        self.apply(gaps, transaction)
        self.remember(transaction, 0 if gaps else ALIVE_EVERY_MS)
        self._put(transaction, stored)
        return transaction

    def advance(self) -> Transaction | None:
        """Let the timers that ran out act; ``None`` when none did."""
        now_ms = self.clock.now_ms()
        transaction = Transaction(now_ms)
        self.apply(self.engine.settle_strays(now_ms), transaction)
        self._settle(self._through_ms(now_ms), transaction)
        self.apply(self.engine.advance(now_ms), transaction)
        connected = self.sources.connected() if self.sources else {}
        gaps = self.listener.look(now_ms, self._through_ms(now_ms), self.devices, connected)
        self.apply(gaps, transaction)
        self.remember(transaction, 0 if gaps else ALIVE_ALONE_MS)
        self.apply(self.parents.correlator.advance(now_ms), transaction)
        self.quieter.settle(transaction)
        return None if transaction.empty else transaction

    def next_wake_ms(self) -> int | None:
        """When :meth:`advance` has something to do, on our own clock; ``None``: nothing waits, 0: at once."""
        sleepers = (self.engine, self.quieter.book, self.parents.correlator)
        wakes_ms = (self._next_settle_ms(), *(sleeper.next_wake_ms() for sleeper in sleepers))
        return min((wake_ms for wake_ms in wakes_ms if wake_ms is not None), default=None)

    def active(self, alarm_id: str) -> Alarm | None:
        """The pending or firing alarm of this id."""
        return self.engine.active(alarm_id) or self.parents.correlator.standing.active(alarm_id)

    def confirm(self, alarm_id: str, by: str, at_ms: int, outcome: Outcome, note: str) -> Transition | None:
        """A person says what a firing alarm was; ``None`` where no such alarm is firing."""
        found = self.engine.confirm(alarm_id, by, at_ms, outcome, note)
        return found or self.parents.correlator.standing.confirm(alarm_id, by, at_ms, outcome, note)

    def acknowledge(self, alarm_id: str, by: str, at_ms: int, note: str) -> Transition | None:
        """A person has seen a firing alarm; ``None`` where none such is firing or somebody was first."""
        found = self.engine.acknowledge(alarm_id, by, at_ms, note)
        return found or self.parents.correlator.standing.acknowledge(alarm_id, by, at_ms, note)

    def _next_settle_ms(self) -> int | None:
        wake_ms = self.windows.settling.next_wake_ms()
        now_ms = self.clock.now_ms()
        return wake_ms if wake_ms is None or wake_ms > now_ms else now_ms + _HURRY_MS

    def _settle(self, through_ms: int, transaction: Transaction) -> None:
        """Judge the readings that have waited long enough, though nothing newer came."""
        settling, news = self.windows.settling, list[Transition]()
        before_ms = settling.through_ms
        settling.through_ms = min(before_ms, transaction.at_ms)  # our clock may have been set back
        for scope, window in self.windows.due(through_ms):
            if window.settled is not None:
                news += self._decide_settled(window.settled, settling.pass_time(scope, window.settled, through_ms))
        if news:
            self.apply_present(news, transaction)
        if settling.through_ms != before_ms:
            transaction.remembered[_SETTLED_THROUGH] = str(settling.through_ms)

    def _decide_settled(self, settled: Settled, readings: Iterable[Reading]) -> list[Transition]:
        transitions: list[Transition] = []
        for reading in readings:
            device = self.devices.get(reading.device_id)
            transitions += self.engine.decide_settled(reading, settled.window, device)
        return transitions

    def _through_ms(self, now_ms: int) -> int:
        """Everything received before this has been judged, once what was taken has been."""
        if self.sources is None or isinstance(self.clock, ReplayClock):
            return now_ms
        return self.sources.taken_through_ms(now_ms)

    def remember(self, transaction: Transaction, every_ms: int = ALIVE_EVERY_MS) -> None:
        """Write down with ``transaction`` until when core has lived and who could not be heard, if it is time to."""
        for name, value in self.listener.news(transaction.at_ms, every_ms).items():
            transaction.remembered[f"{_LISTENING}{name}"] = to_json(value).decode()

    def _put(self, transaction: Transaction, stored: list[Reading]) -> None:
        transaction.reading_count = len(stored)
        transaction.rows = block.rows_json(stored) if stored else b""

    def apply_present(self, news: list[Transition], transaction: Transaction) -> None:
        """Like :meth:`apply`; what began and ended within ``news`` some time ago is recorded and told nobody."""
        self.apply(self._of_the_present(news, transaction), transaction)

    def _of_the_present(self, news: list[Transition], transaction: Transaction) -> list[Transition]:
        """``news`` without the alarms that began and ended within it some time ago: those are recorded and told nobody.

        So comes what a device has kept for hours and sends at once, and what waited in a broker. Fire and entrapment
        are told, however long ago. On a replay clock there is no other present than the input's.
        """
        if isinstance(self.clock, ReplayClock) or not self.past_ms:
            return news
        over_before_ms = transaction.at_ms - self.past_ms
        fired = {one.alarm.alarm_id for one in news if one.operation is Operation.ALARM_FIRED}
        past = {one.alarm.alarm_id: one.alarm for one in news
                if one.alarm.alarm_id in fired and _is_past(one.alarm, over_before_ms)}  # fmt: skip
        for alarm_id, ended in past.items():
            alarm = transaction.alarms[alarm_id] = replace(ended, quieted_by=PAST)
            transaction.forgotten.discard(alarm_id)
            transaction.changes.append(Change(Operation.ALARM_QUIETED, transaction.at_ms, alarm.area, alarm))
        return [one for one in news if one.alarm.alarm_id not in past]

    def _take(self, reading: Reading, tally: Tally, transaction: Transaction, news: list[Transition]) -> bool:
        """Whether ``reading`` is to be stored; it is judged on the way, and what comes of it added to ``news``."""
        window = self.windows.get(reading)
        if window.knows(reading, self.leapt_ms):
            tally.duplicate += 1
            return False
        unchecked = window.cannot_check(reading, self.leapt_ms)
        tally.unchecked += unchecked
        reading.late = window.is_late(reading)
        if reading.entitled:
            tally.stored += 1
        else:
            tally.quarantined += 1
            transaction.quarantined.append(reading)
        if not reading.registered:
            _note_unregistered(reading, transaction)
        heard_before_ms = window.received_at_ms
        self.windows.observe(window, reading)
        self.listener.heard(reading, heard_before_ms)
        device = self.devices.get(reading.device_id)
        transitions = self.engine.decide(reading, window, device)
        if unchecked:
            transitions = [transition for transition in transitions if not self.is_over(transition.alarm)]
        news += transitions
        if window.settled is not None:
            news += self._decide_settled(window.settled, self.windows.settling.take(window.settled, reading))
        return True

    def is_over(self, alarm: Alarm) -> bool:
        """Whether this alarm has had its life already: its first reading came again, too late to be recognised."""
        over = self._had_alarm(alarm.alarm_id)
        if over:
            self.engine.discard(alarm.alarm_id)
        return over

    def apply(self, transitions: Iterable[Transition], transaction: Transaction, actor: str | None = None) -> None:
        """Write what became of alarms, and of the cases they belong to, into ``transaction``."""
        for transition in transitions:
            # In one batch the engine may go on with an alarm before it knows what became of it here.
            alarm = self.quieter.book.stamped(transition.alarm)
            if transition.forgotten:
                transaction.alarms.pop(alarm.alarm_id, None)
                transaction.forgotten.add(alarm.alarm_id)
            elif transition.operation is None or alarm.shadow:  # a rule on trial records, and tells nobody
                transaction.alarms[alarm.alarm_id] = alarm
                transaction.forgotten.discard(alarm.alarm_id)
                self.quieter.book.heard(alarm)
                self.quieter.look_again(alarm.alarm_id, transaction)
                self.parents.heard(alarm, transaction)
            elif transition.operation is Operation.ALARM_FIRED:
                self._fired(alarm, transaction)
            else:
                resolved = alarm.state is AlarmState.RESOLVED
                self.tell(transition.operation, alarm, transaction, actor, resolved=resolved)

    def _fired(self, alarm: Alarm, transaction: Transaction) -> None:
        transaction.forgotten.discard(alarm.alarm_id)
        if not self.quieter.hushes(alarm, transaction):
            self.announce(alarm, transaction)
        self.parents.heard(alarm, transaction)

    def announce(self, alarm: Alarm, transaction: Transaction, detail: dict[str, Any] | None = None) -> None:
        """Tell of a firing alarm for the first time: it joins its case, or opens one."""
        alarm, event, merged = self.in_case(alarm, transaction)
        self.keep(alarm, transaction)
        change = Change(Operation.ALARM_FIRED, self.clock.now_ms(), alarm.area, alarm, event, detail=detail or {})
        transaction.changes.append(change)
        self.parents.tell_merged(merged, transaction)
        self.quieter.book.heard(alarm)

    def keep(self, alarm: Alarm, transaction: Transaction) -> None:
        """``alarm`` was put into its case, or quieted: for the records, and for whoever goes on with it."""
        self.engine.replace(alarm)
        self.listener.gaps.replace(alarm)
        self.parents.correlator.standing.replace(alarm)
        transaction.alarms[alarm.alarm_id] = alarm

    def in_case(self, alarm: Alarm, transaction: Transaction) -> tuple[Alarm, GridEvent | None, list[GridEvent]]:
        """Put a firing alarm into the case it belongs to; with it the case, and those that the case has adopted."""
        rule = self.rules.by_id[alarm.rule_id]
        if rule.incident is Incident.NONE:
            return alarm, None, []
        alarm, event, merged = self.parents.into_case(alarm, rule, transaction)
        if alarm.acknowledged_at_ms is not None:  # somebody saw it while it was quiet
            event = self.cases.changed(alarm, self.clock.now_ms(), acknowledged=True) or event
        transaction.events[event.event_id] = event
        return alarm, event, merged

    def tell(
        self,
        operation: Operation,
        alarm: Alarm,
        transaction: Transaction,
        actor: str | None = None,
        *,
        resolved: bool = False,
    ) -> None:
        """Record a change of an alarm that has an event: cleared, resolved, acknowledged, confirmed.

        ``resolved``: this change ended it.
        """
        now_ms = self.clock.now_ms()
        alarm = self.quieter.book.stamped(alarm)
        acknowledged = operation is Operation.ALARM_ACKNOWLEDGED
        event = self.cases.changed(alarm, now_ms, resolved=resolved, acknowledged=acknowledged)
        self.listener.gaps.replace(alarm)
        transaction.alarms[alarm.alarm_id] = alarm
        if event is not None:
            transaction.events[event.event_id] = event
        transaction.changes.append(Change(operation, now_ms, alarm.area, alarm, event, actor))
        self.quieter.book.heard(alarm)
        self.parents.heard(alarm, transaction)


def _is_past(alarm: Alarm, over_before_ms: int) -> bool:
    over = alarm.resolved_at_ms is not None and alarm.resolved_at_ms < over_before_ms
    return over and not alarm.life_safety and not alarm.shadow


def _by_device_time(taken: tuple[Reading, Tally]) -> tuple[int, int]:
    # Brokers redeliver out of order; sorting the whole batch orders each device, and nothing else is compared.
    reading = taken[0]
    return reading.occurred_at_ms, -1 if reading.seq is None else reading.seq


def _note_unregistered(reading: Reading, transaction: Transaction) -> None:
    seen = transaction.unregistered.get(reading.device_id)
    if seen is None:
        seen = SeenUnregistered(reading.kind, reading.gateway, reading.received_at_ms)
        transaction.unregistered[reading.device_id] = seen
    seen.count += 1
