"""What one reading is judged on, and what is kept of it as evidence. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from gridwarden.model import Alarm, AlarmState, Device, Reading, Value
from rules.alarm import LevelSeen, Look
from rules.rule import Rule
from rules.written import RuleClock


class _NothingBefore(dict[str, Value]):
    """The values before a reading that is judged alone: every one of them unknown."""

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> Value:
        return None


NOTHING_BEFORE: Mapping[str, Value] = _NothingBefore()


@dataclass(frozen=True, slots=True)
class Facts:
    """A reading with the values it is judged on: its device's window, or its own values alone."""

    reading: Reading
    values: Mapping[str, Value]
    previous: Mapping[str, Value]
    device: Device | None
    waits_ms: int = 0
    """For how long after this reading was received others may be judged that were sent at the same time."""

    @property
    def attributes(self) -> Mapping[str, Any]:
        """The device's attributes; none where it is not registered."""
        return self.device.attributes if self.device is not None else {}

    def look(self, rule: Rule, breached: bool | None, over: bool | None) -> Look:
        """What this reading says of ``rule``, on the rule's clock."""
        reading = self.reading
        at_ms = reading.occurred_at_ms if rule.clock is RuleClock.OCCURRED else reading.received_at_ms
        heard_at_ms = reading.received_at_ms + self.waits_ms
        begins = None if rule.first is None else rule.first.evaluate(*self.seen)
        suppressed = None if rule.suppressed is None else rule.suppressed.evaluate(*self.seen)
        if not rule.levels:
            return Look(breached, over, at_ms, heard_at_ms, begins, suppressed)
        levels = tuple(
            LevelSeen(level.severity, level.when.evaluate(*self.seen), level.reset.evaluate(*self.seen))
            for level in rule.levels
        )
        return Look(breached, over, at_ms, heard_at_ms, begins, suppressed, rule.severity, levels)

    @property
    def seen(self) -> tuple[Mapping[str, Value], Mapping[str, Value], Mapping[str, Any]]:
        """What conditions are evaluated on."""
        return self.values, self.previous, self.attributes

    def denies(self, rule: Rule, present: Mapping[str, Value], before: Mapping[str, Value]) -> bool:
        """Whether the device's present state contradicts a hold that this late reading would begin in the past.

        A hold cannot be proved by one old reading; where newer ones say that the condition is over, each late
        reading of a lift between two floors would else become an entrapment.
        """
        if not self.reading.entitled or rule.terms.fire_ms == 0:
            return False
        return rule.when.evaluate(present, before, self.attributes) is False

    def evidence(self, rule: Rule) -> dict[str, Any]:
        """The values that ``rule`` looked at, the ones before, and what was wrong with them."""
        values, previous, quality = self.values, self.previous, self.reading.quality
        before = {name: previous[name] if name in previous else values.get(name) for name in rule.fields}
        return {
            "values": {name: values[name] for name in rule.fields if name in values},
            "previous": {name: value for name, value in before.items() if value is not None},
            "quality": {name: why for name, why in quality.items() if name in rule.fields or name == "at"},
            "gateway": self.reading.gateway,
        }

    def inactive(self, rule: Rule, fires: Sequence[int] = ()) -> Alarm:
        """The alarm that this reading would begin, before its first step; ``fires``: when its like fired lately."""
        reading, scope = self.reading, self.reading.scope
        return Alarm(
            alarm_id=alarm_id(rule.id, scope, reading),
            rule_id=rule.id,
            rule_version=rule.version,
            scope=scope,
            device_id=reading.device_id,
            kind=reading.kind,
            area=self.device.area if self.device is not None else "",
            severity=rule.severity,
            state=AlarmState.INACTIVE,
            pending_at_ms=0,
            latched=rule.latched,
            life_safety=rule.life_safety,
            unverified=not reading.verified,
            evidence=self.evidence(rule),
            memory={"fires": list(fires)} if fires else {},
            rule_shape=rule.shape,
            shadow=rule.shadow,
            revision=0,
        )


def alarm_id(rule_id: str, scope: str, reading: Reading) -> str:
    """The identity of the alarm that ``reading`` begins: the same whenever the same history is read again.

    A source that sends neither ``at`` nor ``seq`` gives equal keys to equal readings of different days; there the time
    of receipt tells the alarms apart.
    """
    key = f"{reading.key}" if reading.keyed else f"{reading.key}@{reading.received_at_ms}"
    return blake2b(f"{rule_id}|{scope}|{key}".encode(), digest_size=10).hexdigest()
