"""Correlations in core: an alarm that many have raised gets a case of its own, which adopts theirs.

What counts is decided by :mod:`rules.correlate`; whether an alarm is quiet makes no difference to that. A correlation
that is quiet has no case, and adopts once it is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from gridwarden.cases import book as cases
from gridwarden.cases.book import group_key, incident_key
from gridwarden.model import Alarm, Change, Device, GridEvent, Operation
from gridwarden.records.transaction import Transaction
from rules.alarm import Transition
from rules.correlate import Correlator
from rules.correlation import Correlation
from rules.groups import Population
from rules.rule import Head, RuleSet

if TYPE_CHECKING:
    from gridwarden.core.judge import Judge


class Parents:
    """The cases of correlations, and whose they have become."""

    def __init__(self, rules: RuleSet, judge: Judge) -> None:
        self.correlator = Correlator(rules)
        self._judge = judge

    def restore(self, alarms: Iterable[Alarm], devices: Mapping[str, Device], population: Population) -> None:
        """Go on with the pending and firing alarms of the records."""
        self.correlator.population = population
        self.correlator.restore(alarms, devices)

    def use(self, rules: RuleSet, population: Population | None) -> list[Transition]:
        """Go on with other rules; the alarms of those that are gone end."""
        judge, before = self._judge, self.correlator
        firing = {alarm.alarm_id: alarm for alarm in (*before.counted(), *judge.quieter.book.firing)}
        transitions = before.retire_all_but(rules, judge.clock.now_ms())
        for transition in transitions:
            firing.pop(transition.alarm.alarm_id, None)
        self.correlator = Correlator(rules, population or Population(rules, judge.devices))
        self.correlator.restore(firing.values(), judge.devices)
        return list[Transition](transitions)

    def heard(self, alarm: Alarm, transaction: Transaction) -> None:
        """What a change of ``alarm`` changes in the correlations it counts for."""
        judge = self._judge
        device = judge.devices.get(alarm.device_id)
        for one in self.correlator.take(alarm, device, judge.clock.now_ms()):
            judge.apply([one], transaction)
            if one.operation is not Operation.ALARM_FIRED:  # which has adopted already
                self._adopt(one.alarm, one.news, transaction)

    def into_case(self, alarm: Alarm, rule: Head, transaction: Transaction) -> tuple[Alarm, GridEvent, list[GridEvent]]:
        """Put a firing alarm into the case it belongs to; with the alarm and the case those that the case has adopted."""
        judge = self._judge
        now_ms = judge.clock.now_ms()
        device = judge.devices.get(alarm.device_id)
        children: list[str] = []
        if isinstance(rule, Correlation):
            children = self._events_of(self.correlator.standing.members_of(alarm.alarm_id))
            key, into = group_key(rule.category, rule.id, alarm.scope), judge.cases.parent_of_all(children)
        else:
            key = incident_key(alarm, cases.Incident(rule.category, rule.incident), device)
            into = self._open_parent(alarm, device)
        alarm, event, counters = judge.cases.fired(alarm, key, rule.category, now_ms, into)
        transaction.counters |= counters
        event, merged = judge.cases.adopt(event.event_id, children, now_ms)
        return alarm, event, merged

    def tell_merged(self, events: Iterable[GridEvent], transaction: Transaction) -> None:
        """Cases that were adopted, or have adopted some."""
        now_ms = self._judge.clock.now_ms()
        for event in events:
            transaction.events[event.event_id] = event
            transaction.changes.append(Change(Operation.EVENT_MERGED, now_ms, event.area, event=event))

    def _adopt(self, alarm: Alarm, news: Iterable[Alarm], transaction: Transaction) -> None:
        """The case of a correlation takes over the cases of those that count from now on."""
        judge = self._judge
        home = judge.cases.home(judge.quieter.book.stamped(alarm).event_id)
        if home is not None:
            parent, merged = judge.cases.adopt(home.event_id, self._events_of(news), judge.clock.now_ms())
            self.tell_merged([*merged, parent] if merged else [], transaction)

    def _events_of(self, alarms: Iterable[Alarm]) -> list[str]:
        """The cases that these alarms joined, some of them since they were counted."""
        joined = (self._judge.quieter.book.stamped(alarm).event_id for alarm in alarms)
        return list(dict.fromkeys(event_id for event_id in joined if event_id is not None))

    def _open_parent(self, alarm: Alarm, device: Device | None) -> GridEvent | None:
        """The open case of a correlation that ``alarm`` counts for."""
        scopes = self.correlator.scopes_of(alarm, device)
        keys = (group_key(rule.category, rule.id, scope) for rule, scope in scopes)
        return next((event for event in map(self._judge.cases.open_by_key, keys) if event is not None), None)
