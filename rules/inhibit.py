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
from gridwarden.model import Alarm, Device

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
