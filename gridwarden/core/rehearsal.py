"""Core on virtual time, without broker, file or process: the judge itself, and in memory what the records would keep.

What comes out is what a running instance would have written. For tests of rules and for scores.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from math import inf
from typing import Any

from pydantic_core import from_json, to_json

from gridwarden.cases.book import CaseBook
from gridwarden.config import Ingest
from gridwarden.core.commands import COMMANDS, Desk, Found
from gridwarden.core.judge import Judge
from gridwarden.core.quieter import restored
from gridwarden.core.sources import Sources
from gridwarden.core.windows import Windows
from gridwarden.model import Alarm, AlarmState, Device, EventState, GridEvent
from gridwarden.quieting import Quieting
from gridwarden.records import block, rows
from gridwarden.records.transaction import Transaction
from gridwarden.records.writer import Start
from ingest.intake import Bounds
from ingest.session import Lane, Message
from rules.absence import Absence
from rules.engine import Engine
from rules.groups import Population
from rules.rule import RuleSet

LOOK_EVERY_MS = 60_000
"""So often core looks who is silent, at least; after a longer while without a look it counts as blind."""
BROKER = "broker"
ZONE = "Asia/Shanghai"
Told = Callable[[Transaction], None]


class SetClock:
    """A clock that goes when it is told to."""

    def __init__(self, at_ms: int) -> None:
        self.at_ms = at_ms

    def now_ms(self) -> int:
        """See :class:`gridwarden.clock.Clock`."""
        return self.at_ms

    def observe(self, occurred_at_ms: int) -> None:
        """Nothing: the input does not move it."""


class _Door:
    """The session through which messages come; it is empty whenever anybody looks."""

    name, broker, lane = f"{BROKER}/#", BROKER, Lane.TELEMETRY
    connection = redelivered = received = not_covered = waiting = 0
    holding = False

    def __init__(self) -> None:
        self.connected = True

    def take(self, limit: int) -> list[Message]:  # noqa: ARG002 - the protocol's
        """Nothing waits here."""
        return []

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """Nobody is there to be told."""

    async def run(self) -> None:
        """There is nothing to connect to."""


class Kept:
    """What the records would keep, written and read back as they would."""

    def __init__(self, *, readings: bool = True) -> None:
        """``readings``: whether to keep those, too; without them nothing can be restarted."""
        self._keeps_readings = readings
        self._alarms: dict[str, bytes] = {}
        self._events: dict[str, bytes] = {}
        self._quietings: dict[int, Quieting] = {}
        self._counters: dict[str, int] = {}
        self._remembered: dict[str, str] = {}
        self.blocks: list[tuple[int, bytes]] = []

    def commit(self, transaction: Transaction) -> None:
        """Take in all of it."""
        self._alarms |= {key: to_json(rows.alarm_row(alarm)) for key, alarm in transaction.alarms.items()}
        for alarm_id in transaction.forgotten:
            self._alarms.pop(alarm_id, None)
        self._events |= {key: to_json(rows.event_row(event)) for key, event in transaction.events.items()}
        self._quietings |= transaction.quietings
        self._counters |= transaction.counters
        self._remembered |= transaction.remembered
        if transaction.rows and self._keeps_readings:
            self.blocks.append((len(self.blocks) + 1, block.seal(transaction.rows)))

    def start(self) -> Start:
        """What core needs to go on."""
        alarms = self.alarms()
        over = [alarm for alarm in alarms if alarm.state is AlarmState.RESOLVED and "fires" in alarm.memory]
        return Start(
            "", len(self.blocks), [alarm for alarm in alarms if alarm.state is not AlarmState.RESOLVED], over,
            [event for event in self.events() if event.state is not EventState.CLOSED], dict(self._counters), {}, {}, 0, 0,
            [one for one in self._quietings.values() if one.ended_at_ms is None], dict(self._remembered),
        )  # fmt: skip

    @property
    def last_quieting_id(self) -> int:
        """The number of the newest decision to quiet."""
        return max(self._quietings, default=0)

    def over_since(self, rule_ids: Collection[str], since_ms: int) -> list[Alarm]:
        """Alarms of these rules that were over at some time after ``since_ms`` and have ended."""
        ended = (alarm for alarm in self.alarms() if alarm.state is AlarmState.RESOLVED and alarm.rule_id in rule_ids)
        return [alarm for alarm in ended if alarm.cleared_at_ms is not None and alarm.cleared_at_ms > since_ms]

    def alarm(self, alarm_id: str) -> Alarm | None:
        """One alarm, whatever its state."""
        kept = self._alarms.get(alarm_id)
        return rows.to_alarm(from_json(kept)) if kept else None

    def alarms(self) -> list[Alarm]:
        """All of them, oldest first."""
        return [rows.to_alarm(from_json(kept)) for kept in self._alarms.values()]

    def event(self, event_id: str) -> GridEvent | None:
        """One grid event, open or closed."""
        kept = self._events.get(event_id)
        return rows.to_event(from_json(kept)) if kept else None

    def events(self) -> list[GridEvent]:
        """All of them, oldest first."""
        return [rows.to_event(from_json(kept)) for kept in self._events.values()]


class Rehearsal:
    """A judge whose time goes as it is told.

    Args:
        rules: those in force.
        devices: the registry.
        at_ms: when it begins.
        told: hears of every transaction before it is kept.
        restarts: whether it may be stopped and started; it keeps every reading then.
    """

    def __init__(
        self, rules: RuleSet, devices: Mapping[str, Device], at_ms: int, told: Told, *, restarts: bool = True
    ) -> None:
        self.clock = SetClock(at_ms)
        self.kept = Kept(readings=restarts)
        self._rules = rules
        self._devices = devices
        self._told = told
        self._door = _Door()
        self._looked_at_ms = at_ms
        self._judge = self._begin()
        self._advance(at_ms)

    @property
    def devices(self) -> Mapping[str, Device]:
        """The registry; another object where it has changed."""
        return self._devices

    @devices.setter
    def devices(self, devices: Mapping[str, Device]) -> None:
        self._devices = self._judge.devices = devices
        self._judge.parents.correlator.population = Population(self._rules, devices)
        self._advance(self.clock.at_ms)

    def _begin(self) -> Judge:
        start, windows, ingest = self.kept.start(), Windows(), Ingest()
        windows.use(self._rules)
        windows.replay(self.kept.blocks)
        bounds = Bounds(ingest.max_payload_bytes, ingest.max_ahead_s * 1000, None, ingest.unbound_devices)
        judge = Judge(
            self._rules, Engine(self._rules), CaseBook(ZONE, start.events, start.counters), windows, self.clock, bounds,
            lambda alarm_id: self.kept.alarm(alarm_id) is not None,
            restored(self._rules, start, self.kept, self.clock.now_ms()),
        )  # fmt: skip
        judge.devices = self._devices
        judge.restore([*start.alarms, *start.resolved], start.remembered)
        judge.parents.restore(start.alarms, self._devices, Population(self._rules, self._devices))
        judge.sources = Sources([self._door], (), 1)
        return judge

    def until(self, at_ms: int) -> None:
        """Let the time pass: what is due on the way happens when it is due."""
        while (next_ms := self._next_ms()) <= at_ms:
            self._advance(next_ms)
        self.clock.at_ms = at_ms

    def _next_ms(self) -> float:
        judge = self._judge
        if judge.listener.busy:
            return self.clock.at_ms
        wake_ms = judge.next_wake_ms()
        look_ms = self._looked_at_ms + LOOK_EVERY_MS if self._rules.of(Absence) else inf
        return max(self.clock.at_ms, min(look_ms, inf if wake_ms is None else wake_ms))

    def _advance(self, at_ms: float) -> None:
        self.clock.at_ms = self._looked_at_ms = int(at_ms)
        transaction = self._judge.advance()
        if transaction is not None:
            self._take(transaction)

    def hear(self, gateway: str, readings: Sequence[Mapping[str, Any]]) -> None:
        """A message with these readings in native words comes now."""
        topic = f"gridwarden/v1/{gateway}/up"
        message = Message(topic, to_json(list(readings)), self.clock.at_ms, 1, 1, 1, self._door)
        self._take(self._judge.batch([message]))
        self.until(self.clock.at_ms)

    def connected(self, is_up: bool) -> None:
        """Whether the broker can be reached from now on."""
        self._door.connected = is_up
        self._advance(self.clock.at_ms)

    def order(self, name: str, params: Mapping[str, Any]) -> None:
        """Carry out a person's command, as web sends it.

        Raises:
            Refused, NotFound, Forbidden: it cannot be done.
        """
        alarms = tuple(alarm for alarm in self.kept.alarms() if self._is_of(alarm, params))
        found = Found(0, None, alarms, tuple(self.kept.events()))
        transaction, _ = COMMANDS[name](Desk(self._judge, found, ()), dict(params))
        if transaction is not None:
            self._take(transaction)
        self._advance(self.clock.at_ms)

    def _is_of(self, alarm: Alarm, params: Mapping[str, Any]) -> bool:
        family = self._judge.cases.family(str(params.get("event_id", "")))
        return alarm.alarm_id == params.get("alarm_id") or (alarm.event_id or "-") in family

    def reload(self, rules: RuleSet) -> None:
        """Go on with other rules."""
        self._take(self._judge.reload(rules, [], "operator"))
        self._rules = rules
        self._advance(self.clock.at_ms)

    def restart(self, back_at_ms: int | None = None) -> None:
        """Stop, and go on from what is kept, now or later."""
        self.clock.at_ms = max(self.clock.at_ms, back_at_ms or 0)
        self._judge = self._begin()
        self._advance(self.clock.at_ms)

    def _take(self, transaction: Transaction) -> None:
        self._told(transaction)
        self.kept.commit(transaction)
