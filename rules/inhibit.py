"""One alarm quiets others: what a rule's ``inhibits`` says. Pure.

While an alarm of the rule fires, alarms of the rules it names that stand in the same relation (the same gateway, say)
are told to nobody: when a gateway is silent, nobody needs to hear that each of its devices is. An alarm never
inhibits one of its own rule, and rules that inhibit each other are refused, so that of every group at least one
alarm is told. Fire and entrapment are never inhibited.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from gridwarden.errors import ConfigError
from gridwarden.model import Alarm, AlarmState, Device

if TYPE_CHECKING:
    from rules.rule import Head


class Relation(StrEnum):
    """What two alarms must have in common for one to inhibit the other."""

    DEVICE = "device"
    GATEWAY = "gateway"
    BUILDING = "building"
    WATER_MAIN = "water_main"
    POWER_FEEDER = "power_feeder"


@dataclass(frozen=True, slots=True)
class Inhibit:
    """Which alarms an alarm of the rule quiets."""

    rules: tuple[str, ...]
    """Ids of rules; ``*`` stands for any characters."""
    by: Relation
    after_ms: int = 0
    """How much longer once it is over: what it has held up needs time to come back."""

    def names(self, rule_id: str) -> bool:
        """Whether alarms of this rule are meant."""
        return matches_any(rule_id, self.rules)


def matches_any(rule_id: str, patterns: Iterable[str]) -> bool:
    """Whether one of the patterns, in which ``*`` stands for any characters, is this rule's id."""
    return any(fnmatchcase(rule_id, pattern) for pattern in patterns)


def related(alarm: Alarm, relation: Relation, devices: Mapping[str, Device]) -> str:
    """The gateway, building … an alarm is about; ``""``: none, and so nothing in common with any other.

    An alarm that stands for such a thing itself has it as its scope (``gateway:gw1``).
    """
    head, parted, name = alarm.scope.partition(":")
    if parted and head == relation and alarm.scope != alarm.device_id:
        return name
    if relation is Relation.DEVICE:
        return alarm.device_id
    device = devices.get(alarm.device_id)
    if relation is Relation.GATEWAY:
        heard_from = str(alarm.evidence.get("gateway", ""))
        return heard_from or (device.gateway or "" if device else "")
    return str(getattr(device, relation)) if device else ""


def check(rules: Iterable[Head]) -> None:
    """Refuse rules that inhibit each other, whatever the way round: all of them would be quiet.

    Raises:
        ConfigError: they do; the place names them.
    """
    enabled = [rule for rule in rules if rule.enabled]
    targets = [rule.id for rule in enabled if not rule.life_safety]
    graph = {
        rule.id: {target for target in targets if target != rule.id and any(one.names(target) for one in rule.inhibits)}
        for rule in enabled
        if rule.inhibits
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = " → ".join(reversed(error.args[1]))
        raise ConfigError(f"they inhibit each other, and nobody would be told: {circle}", place="inhibits") from error


class Inhibitors:
    """The alarms that inhibit others: those that fire, and those over for less than their rule's ``after``."""

    def __init__(self) -> None:
        self._sources: dict[str, tuple[Alarm, tuple[Inhibit, ...]]] = {}
        self._ends_ms: dict[str, int] = {}
        """When those that are over inhibit nothing any more."""
        self._found: dict[tuple[Relation, str], dict[str, list[Inhibit]]] = {}
        """By what they are about: the alarms' ids, and what they say of it."""
        self._devices: Mapping[str, Device] = {}

    def take(self, alarm: Alarm, inhibits: tuple[Inhibit, ...]) -> None:
        """Hear how an alarm stands whose rule inhibits. What nobody can trust, or is on trial, inhibits nothing."""
        if alarm.unverified or alarm.shadow:
            return
        self._drop(alarm.alarm_id)
        if is_on(alarm) or any(one.after_ms for one in inhibits):
            self._sources[alarm.alarm_id] = alarm, inhibits
            self._file(alarm, inhibits)
            ends_ms = [end_ms for inhibit in inhibits if (end_ms := _until_ms(alarm, inhibit)) is not None]
            if ends_ms:
                self._ends_ms[alarm.alarm_id] = max(ends_ms)

    def of(self, alarm: Alarm, devices: Mapping[str, Device], at_ms: int) -> tuple[Alarm, int | None] | None:
        """What inhibits ``alarm`` at this time, and until when (``None``: as long as that fires)."""
        if not self._sources or alarm.life_safety:
            return None
        self._look_at(devices)
        for relation in Relation:
            for source_id, inhibits in self._found.get((relation, related(alarm, relation, devices)), {}).items():
                source = self._sources[source_id][0]
                for inhibit in inhibits if source.rule_id != alarm.rule_id else ():
                    until_ms = _until_ms(source, inhibit)
                    if (until_ms is None or at_ms < until_ms) and inhibit.names(alarm.rule_id):
                        return source, until_ms
        return None

    def over(self) -> list[Alarm]:
        """Those that are over and may still inhibit for a while."""
        return [self._sources[source_id][0] for source_id in self._ends_ms]

    def forget(self, at_ms: int) -> None:
        """Let go of those that have been over for long enough."""
        for source_id in [source_id for source_id, end_ms in self._ends_ms.items() if end_ms <= at_ms]:
            self._drop(source_id)

    def _look_at(self, devices: Mapping[str, Device]) -> None:
        """Follow a registry that has changed: gateways and buildings may be other ones."""
        if devices is not self._devices:
            self._devices = devices
            self._found.clear()
            for source, inhibits in self._sources.values():
                self._file(source, inhibits)

    def _file(self, source: Alarm, inhibits: tuple[Inhibit, ...]) -> None:
        for inhibit in inhibits:
            value = related(source, inhibit.by, self._devices)
            if value:
                by_source = self._found.setdefault((inhibit.by, value), {})
                by_source.setdefault(source.alarm_id, []).append(inhibit)

    def _drop(self, source_id: str) -> None:
        if source_id not in self._sources:
            return
        source, inhibits = self._sources.pop(source_id)
        self._ends_ms.pop(source_id, None)
        for inhibit in inhibits:
            key = inhibit.by, related(source, inhibit.by, self._devices)
            self._found.get(key, {}).pop(source_id, None)
            if not self._found.get(key, True):
                del self._found[key]


def is_on(alarm: Alarm) -> bool:
    """Whether what the alarm is about is going on: it fires, and its condition is not over."""
    return alarm.state is AlarmState.FIRING and alarm.cleared_at_ms is None


def _until_ms(source: Alarm, inhibit: Inhibit) -> int | None:
    if is_on(source):
        return None
    over_at_ms = source.resolved_at_ms if source.cleared_at_ms is None else source.cleared_at_ms
    return (over_at_ms or 0) + inhibit.after_ms
