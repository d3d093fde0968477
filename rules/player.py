"""One device in a back-test while something is active on it: an engine of its own, as the live one has it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from gridwarden.model import Alarm, AlarmState, Device, Outcome, Reading
from gridwarden.window import Window
from rules.alarm import Transition
from rules.engine import Engine
from rules.rule import RuleSet

Told = Callable[[int, Transition], None]
"""Hears our own time and what changed then."""
_NOBODY = "backtest"


class Player:
    """Judges the readings of one device.

    Args:
        rules: the rules of its kind.
        device: as the registry has it.
        told: hears every transition, in order of time.
        confirms: a latched alarm is confirmed as soon as it is over, since nobody is there to do it.
        remembered: alarms of this device that are over; the engine may ask how often it fired.
    """

    def __init__(
        self,
        rules: RuleSet,
        device: Device | None,
        told: Told,
        remembered: Iterable[Alarm] = (),
        *,
        confirms: bool = False,
    ) -> None:
        self._engine = Engine(rules)
        self._engine.restore(remembered)
        self._device = device
        self._told = told
        self._confirms = confirms
        self._active: set[str] = set()
        self.window: Window | None = None
        """``None``: it has not been kept up and must be made anew."""
        self.over: dict[str, Alarm] = {alarm.rule_id: alarm for alarm in remembered}
        """The last alarm of each rule that remembers when its alarms fired."""

    @property
    def is_active(self) -> bool:
        """Whether an alarm is pending or firing."""
        return bool(self._active)

    def pass_time(self, now_ms: int) -> None:
        """Let the timers act that run out by ``now_ms`` of our own clock."""
        while (wake_at_ms := self._engine.next_wake_ms()) is not None and wake_at_ms <= now_ms:
            self._take(wake_at_ms, self._engine.advance(wake_at_ms))

    def hear(self, now_ms: int, reading: Reading, window: Window, rated: Collection[str]) -> None:
        """Judge ``reading``, after all timers until ``now_ms``; ``window`` is that of its device before it."""
        self.pass_time(now_ms)
        self.window = window
        if reading.entitled:
            window.observe(reading, rated)
        self._take(now_ms, self._engine.decide(reading, window, self._device if reading.registered else None))

    def _take(self, now_ms: int, transitions: Iterable[Transition]) -> None:
        over: dict[str, Alarm] = {}
        for transition in transitions:
            alarm = transition.alarm
            over.pop(alarm.alarm_id, None)
            if alarm.state in (AlarmState.PENDING, AlarmState.FIRING):
                self._active.add(alarm.alarm_id)
                if self._confirms and alarm.cleared_at_ms is not None:
                    over[alarm.alarm_id] = alarm
            else:
                self._active.discard(alarm.alarm_id)
                if alarm.memory:
                    self.over[alarm.rule_id] = alarm
            self._told(now_ms, transition)
        for alarm in over.values():
            confirmed = self._engine.confirm(alarm.alarm_id, _NOBODY, alarm.cleared_at_ms or now_ms, Outcome.TRUE, "")
            self._take(now_ms, [confirmed] if confirmed else [])
