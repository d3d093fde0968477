"""What truly happened, and how well it was found. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Literal

LIFE_SAFETY = frozenset({"smoke.fire", "lift.entrapment", "lift.entrapment_inferred"})
"""Rules of fire and entrapment: none of these may be missed."""
SLACK_MS = 5 * 60_000
"""An alarm may fire so long after what it tells of is over: a hold of five minutes is the longest there is."""


@dataclass(frozen=True, slots=True)
class Truth:
    """One thing that is to be found, may be found, or must not be found."""

    rule_ids: tuple[str, ...]
    """Any of these rules will do."""
    device_ids: tuple[str, ...]
    """On any of these devices."""
    from_ms: int
    """When it began, by the clock of the device, which is what an alarm's times go by."""
    to_ms: int
    must: Literal["found", "allowed", "absent"]

    @property
    def life_safety(self) -> bool:
        """Whether it is a fire or an entrapment."""
        return not LIFE_SAFETY.isdisjoint(self.rule_ids)

    def covers(self, fired: Fired) -> bool:
        """Whether this alarm tells of it."""
        return (
            fired.rule_id in self.rule_ids
            and fired.device_id in self.device_ids
            and self.from_ms <= fired.fired_at_ms <= self.to_ms + SLACK_MS
        )


@dataclass(frozen=True, slots=True)
class Fired:
    """An alarm that fired."""

    rule_id: str
    device_id: str
    fired_at_ms: int
    """By the clock of the rule, the hold included."""
    members: tuple[Fired, ...] = ()
    """Of the alarm of a group: those that count for it."""

    def is_true(self, truths: Iterable[Truth]) -> bool:
        """Whether it tells of something that happened, and of nothing that must not be told."""
        covering = {truth.must for truth in truths if truth.covers(self)}
        return bool(covering) and "absent" not in covering


@dataclass
class Score:
    """How one scenario was found."""

    name: str
    devices: int
    found: int = 0
    missed: list[Truth] = field(default_factory=list)
    false: list[Fired] = field(default_factory=list)
    """Alarms on its devices that tell of nothing that happened."""
    delays_s: list[float] = field(default_factory=list)
    """From when it began until the alarm fired, in event time: the rule's hold included, the transport not."""

    @property
    def missed_life_safety(self) -> int:
        """Fires and entrapments among the missed."""
        return sum(truth.life_safety for truth in self.missed)

    def facts(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "scenario": self.name,
            "devices": self.devices,
            "expected": self.found + len(self.missed),
            "found": self.found,
            "missed": len(self.missed),
            "missed_life_safety": self.missed_life_safety,
            "false": len(self.false),
            "delay_p50_s": round(median(self.delays_s), 1) if self.delays_s else None,
            "delay_max_s": round(max(self.delays_s), 1) if self.delays_s else None,
            "missed_on": sorted({device for truth in self.missed for device in truth.device_ids}),
            "false_alarms": sorted({f"{one.rule_id} {one.device_id}" for one in self.false}),
        }


def score(name: str, truths: Sequence[Truth], device_ids: Iterable[str], fired: Iterable[Fired]) -> Score:
    """Hold the alarms on these devices against what truly happened to them."""
    own_ids = frozenset(device_ids)
    own = [one for one in fired if one.device_id in own_ids]
    result = Score(name, len(own_ids))
    for truth in truths:
        if truth.must == "found":
            delays_ms = [one.fired_at_ms - truth.from_ms for one in own if truth.covers(one)]
            if delays_ms:
                result.found += 1
                result.delays_s.append(min(delays_ms) / 1000)
            else:
                result.missed.append(truth)
    result.false = [one for one in own if not one.is_true(truths)]
    return result
