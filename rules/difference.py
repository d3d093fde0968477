"""What changes when one rule set takes the place of another, and what becomes of the alarms that fire. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from rules.rule import Head, RuleSet


class Kind(StrEnum):
    """What happens to a rule."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    SWITCHED_ON = "switched_on"
    SWITCHED_OFF = "switched_off"
    ON_TRIAL = "on_trial"
    """From now on it records and tells nobody."""
    PROMOTED = "promoted"
    """Its trial is over: from now on it tells."""


@dataclass(frozen=True, slots=True)
class RuleChange:
    """One rule that is not what it was."""

    rule_id: str
    kind: Kind
    keys: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    """Key of the rule file to its value before and after."""
    goes_on: bool = True
    """Whether its active alarms go on under the new version; those that do not are ended, and marked."""

    def facts(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        keys = {key: {"before": before, "after": after} for key, (before, after) in self.keys.items()}
        return {"rule": self.rule_id, "what": self.kind.value, "goes_on": self.goes_on, "keys": keys}


def difference(before: RuleSet, after: RuleSet) -> list[RuleChange]:
    """Rule by rule in order of their ids; nothing for a rule that stays as it is."""
    return list(_changes(before, after))


def _changes(before: RuleSet, after: RuleSet) -> Iterator[RuleChange]:
    for rule_id in sorted(before.by_id.keys() | after.by_id.keys()):
        old, new = before.by_id.get(rule_id), after.by_id.get(rule_id)
        if old is None:
            yield RuleChange(rule_id, Kind.ADDED)
        elif new is None:
            yield RuleChange(rule_id, Kind.REMOVED, goes_on=False)
        elif old.version != new.version:
            yield _change(old, new)


def _change(old: Head, new: Head) -> RuleChange:
    names = sorted(old.content.keys() | new.content.keys())
    keys = {name: (old.content.get(name), new.content.get(name)) for name in names}
    keys = {name: values for name, values in keys.items() if values[0] != values[1]}
    goes_on = old.shape == new.shape and new.enabled
    return RuleChange(new.id, _kind(old, new), keys, goes_on)


def _kind(old: Head, new: Head) -> Kind:
    if old.enabled is not new.enabled:
        return Kind.SWITCHED_ON if new.enabled else Kind.SWITCHED_OFF
    if old.shadow is not new.shadow:
        return Kind.ON_TRIAL if new.shadow else Kind.PROMOTED
    return Kind.CHANGED
