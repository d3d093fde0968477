"""Correlations in a back-test: they look at the alarms of many devices, which have been judged one after the other. Pure.

So the changes of the alarms they count are kept until all devices are done, and then told in order of time, by our own
clock, with the correlations' own timers in between: what the live correlator hears.
"""

from __future__ import annotations

from collections.abc import Mapping

from gridwarden.model import AlarmState, Device
from rules.alarm import Transition
from rules.correlate import Correlator
from rules.correlation import Correlation
from rules.episodes import Timeline
from rules.groups import Population
from rules.player import Told
from rules.rule import RuleSet


class Afterwards:
    """Passes on what it hears, and at the end what correlations make of it.

    Args:
        rules: of all types.
        devices: the registry.
        told: hears everything.
    """

    def __init__(self, rules: RuleSet, devices: Mapping[str, Device], told: Told) -> None:
        self._counted = {name for rule in rules.of(Correlation) if rule.enabled for name in rule.of}
        self._correlator = Correlator(rules, Population(rules, devices))
        self._devices = devices
        self._told = told
        self._timeline = Timeline()

    def hear(self, now_ms: int, transition: Transition) -> None:
        """A change of an alarm of one device."""
        self._told(now_ms, transition)
        alarm = transition.alarm
        if alarm.rule_id in self._counted and alarm.state in (AlarmState.FIRING, AlarmState.RESOLVED):
            self._timeline.hear(now_ms, transition)

    def finish(self, end_ms: int) -> None:
        """All devices have been judged until ``end_ms``."""
        for now_ms, transition in self._timeline.in_order():
            self._pass_time(now_ms)
            alarm = transition.alarm
            for one in self._correlator.take(alarm, self._devices.get(alarm.device_id), now_ms):
                self._told(now_ms, one)
        self._pass_time(end_ms)

    def _pass_time(self, now_ms: int) -> None:
        while (wake_at_ms := self._correlator.next_wake_ms()) is not None and wake_at_ms <= now_ms:
            for transition in self._correlator.advance(wake_at_ms):
                self._told(wake_at_ms, transition)
