"""The decisions of people that quiet alarms: whether one is in force, what it covers, and finding them quickly. Pure.

A thousand may stand while ten thousand alarms fire at once, so they are filed by area and by what they name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import time
from enum import StrEnum
from zoneinfo import ZoneInfo

from gridwarden.areas import within
from gridwarden.model import Alarm
from gridwarden.quieting import Matchers, Quieting, QuietingKind, Weekly
from rules.inhibit import matches_any
from rules.schedule import Schedule

QUIETINGS_LIMIT = 1_000
"""Decisions that may stand at one time."""
_ORDER = (QuietingKind.SHELVED, QuietingKind.OUT_OF_SERVICE, QuietingKind.MAINTENANCE, QuietingKind.SILENCE)
_NARROW = ("scopes", "devices", "buildings", "gateways")
"""Lists by which a decision is filed, the narrowest first; one without them under its rules, or under nothing."""
_Key = tuple[str, str]
_ANY: _Key = ("", "")


class Stage(StrEnum):
    """How far a decision has come."""

    PROPOSED = "proposed"
    """It waits for a second person."""
    SCHEDULED = "scheduled"
    """Its time has not come, or its next weekly range has not."""
    IN_FORCE = "in_force"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Subject:
    """An alarm with what matchers look at."""

    alarm: Alarm
    category: str
    building: str
    gateway: str


def stage_of(quieting: Quieting, at_ms: int) -> Stage:
    """How far ``quieting`` has come."""
    return Decision(quieting).stage(at_ms)


class Decision:
    """One decision, ready to be asked about many alarms."""

    def __init__(self, quieting: Quieting) -> None:
        self.quieting = quieting
        self._tests = _tests(quieting.matchers)
        self._hours = None if quieting.weekly is None else _schedule(quieting.weekly)
        self._known_from_ms, self._known_until_ms, self._is_open = 0, 0, False
        """Whether the weekly hours are open, and between which times that is so."""
        self._of_rule: dict[str, bool] = {}

    @property
    def order(self) -> tuple[int, int]:
        """Where it stands among others that cover the same alarm."""
        return _ORDER.index(self.quieting.kind), self.quieting.quieting_id

    def stage(self, at_ms: int) -> Stage:
        """How far it has come."""
        quieting = self.quieting
        ran_out = quieting.until_at_ms is not None and at_ms >= quieting.until_at_ms
        if quieting.ended_at_ms is not None or ran_out:
            return Stage.ENDED
        if quieting.awaits_approval:
            return Stage.PROPOSED
        waits = at_ms < quieting.from_at_ms or not self._within_hours(at_ms)
        return Stage.SCHEDULED if waits else Stage.IN_FORCE

    def closes_ms(self, at_ms: int) -> int | None:
        """When what is in force at ``at_ms`` is so no longer; ``None``: until further notice."""
        weekly_ms = self._known_until_ms if self._hours and self._within_hours(at_ms) else None
        ends_ms = (self.quieting.until_at_ms, weekly_ms)
        return min((end_ms for end_ms in ends_ms if end_ms is not None), default=None)

    def covers(self, subject: Subject) -> bool:
        """Whether it is about this alarm, in force or not."""
        alarm, quieting = subject.alarm, self.quieting
        if (alarm.life_safety or alarm.latched) and not quieting.protected:
            return False
        if quieting.matchers.rules and not self._names_rule(alarm.rule_id):
            return False
        return within(alarm.area, quieting.area) and all(test(subject) for test in self._tests)

    def _names_rule(self, rule_id: str) -> bool:
        names = self._of_rule.get(rule_id)
        if names is None:
            names = self._of_rule[rule_id] = matches_any(rule_id, self.quieting.matchers.rules)
        return names

    def _within_hours(self, at_ms: int) -> bool:
        if self._hours is None:
            return True
        if not self._known_from_ms <= at_ms < self._known_until_ms:
            closes_ms = self._hours.closes_ms(at_ms)
            change_ms = self._hours.next_open_ms(at_ms) if closes_ms is None else closes_ms
            self._is_open = closes_ms is not None
            self._known_from_ms, self._known_until_ms = at_ms, at_ms + 1 if change_ms is None else change_ms
        return self._is_open


class Decisions:
    """Those that stand, in the order in which they are named where several cover one alarm."""

    def __init__(self) -> None:
        self._by_id: dict[int, Decision] = {}
        self._filed: dict[str, dict[_Key, dict[int, Decision]]] = {}
        """By area, then by what they name."""
        self.first_end_ms: int | None = None
        """When the first of them runs out."""

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Decision]:
        return iter(self._by_id.values())

    def get(self, quieting_id: int) -> Decision | None:
        """The one of this id."""
        return self._by_id.get(quieting_id)

    def keep(self, quieting: Quieting) -> Decision:
        """File a new one, or one that has changed."""
        self.drop(quieting.quieting_id)
        decision = self._by_id[quieting.quieting_id] = Decision(quieting)
        filed = self._filed.setdefault(quieting.area, {})
        for key in _keys(quieting.matchers):
            filed.setdefault(key, {})[quieting.quieting_id] = decision
        self._note_first_end()
        return decision

    def drop(self, quieting_id: int) -> None:
        """It stands no longer."""
        decision = self._by_id.pop(quieting_id, None)
        if decision is None:
            return
        area, filed = decision.quieting.area, self._filed[decision.quieting.area]
        for key in _keys(decision.quieting.matchers):
            filed[key].pop(quieting_id, None)
            if not filed[key]:
                del filed[key]
        if not filed:
            del self._filed[area]
        self._note_first_end()

    def run_out(self, at_ms: int) -> list[Quieting]:
        """Those whose time is over."""
        if self.first_end_ms is None or at_ms < self.first_end_ms:
            return []
        return [
            one.quieting for one in self if one.quieting.until_at_ms is not None and one.quieting.until_at_ms <= at_ms
        ]

    def _note_first_end(self) -> None:
        ends_ms = (one.quieting.until_at_ms for one in self)
        self.first_end_ms = min((end_ms for end_ms in ends_ms if end_ms is not None), default=None)

    def covering(self, subject: Subject) -> list[Decision]:
        """Those about this alarm, in force or not, in order."""
        alarm = subject.alarm
        names = (alarm.scope, alarm.device_id, subject.building, subject.gateway)
        keys = [*zip(_NARROW, names, strict=True), ("rules", alarm.rule_id), _ANY]
        filed = [self._filed.get(alarm.area[:length], {}) for length in range(len(alarm.area) + 1)]
        named = (decision for of_area in filed for key in keys for decision in of_area.get(key, {}).values())
        return sorted((one for one in named if one.covers(subject)), key=lambda decision: decision.order)


def _keys(matchers: Matchers) -> list[_Key]:
    """Under what a decision with these matchers is filed: an alarm it covers has one of them."""
    for name in _NARROW:
        if getattr(matchers, name):
            return [(name, value) for value in dict.fromkeys(getattr(matchers, name))]
    if matchers.rules and not any("*" in pattern for pattern in matchers.rules):
        return [("rules", rule_id) for rule_id in dict.fromkeys(matchers.rules)]
    return [_ANY]


_Test = Callable[[Subject], bool]


def _tests(matchers: Matchers) -> list[_Test]:
    """One for each list that is not empty, but for the rules."""
    own: list[tuple[tuple[str, ...], Callable[[Subject, frozenset[str]], bool]]] = [
        (matchers.scopes, lambda subject, wanted: subject.alarm.scope in wanted),
        (matchers.devices, lambda subject, wanted: subject.alarm.device_id in wanted),
        (matchers.kinds, lambda subject, wanted: subject.alarm.kind in wanted),
        (matchers.severities, lambda subject, wanted: subject.alarm.severity in wanted),
        (matchers.categories, lambda subject, wanted: subject.category in wanted),
        (matchers.buildings, lambda subject, wanted: subject.building in wanted),
        (matchers.gateways, lambda subject, wanted: subject.gateway in wanted),
    ]
    return [_bound(test, frozenset(wanted)) for wanted, test in own if wanted]


def _bound(test: Callable[[Subject, frozenset[str]], bool], wanted: frozenset[str]) -> _Test:
    return lambda subject: test(subject, wanted)


def _schedule(weekly: Weekly) -> Schedule:
    days = frozenset(weekly.days or range(7))
    return Schedule(ZoneInfo(weekly.zone), days, time.fromisoformat(weekly.start), time.fromisoformat(weekly.end))
