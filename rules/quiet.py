"""Which alarms are told to nobody, why, and until when. Pure: alarms, decisions of people and times in, verdicts out.

Whether an alarm is quiet never touches its own life: it begins, fires and ends as it would have. Reasons, the first
that holds being the one that is named:

- ``suppressed``: its rule says that nobody needs to be told as things are
- ``inhibited:<rule>@<scope>``: another alarm that fires, see :mod:`rules.inhibit`
- ``shelved:<id>``, ``out_of_service:<id>``, ``maintenance:<id>``, ``silence:<id>``: a decision of a person

Deny by default: what is unverified is never quiet; fire, entrapment and latched alarms only by a decision that says so
and that a second person has approved; what has been told stays told, but for shelving and devices out of service.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import time
from enum import StrEnum
from functools import lru_cache
from zoneinfo import ZoneInfo

from gridwarden.areas import within
from gridwarden.model import Alarm, AlarmState, Device
from gridwarden.quieting import Matchers, Quieting, QuietingKind, Weekly
from rules.inhibit import Inhibitors, Relation, is_on, matches_any, related
from rules.rule import Head
from rules.schedule import Schedule

SUPPRESSED = "suppressed"
PAST = "past"
"""It was over for some time when what it is about arrived."""
REASON_LIMIT = 200
"""Characters of a reason that the records hold."""
QUIETINGS_LIMIT = 1_000
"""Decisions that may stand at one time."""
_ORDER = (QuietingKind.SHELVED, QuietingKind.OUT_OF_SERVICE, QuietingKind.MAINTENANCE, QuietingKind.SILENCE)


class Stage(StrEnum):
    """How far a decision has come."""

    PROPOSED = "proposed"
    """It waits for a second person."""
    SCHEDULED = "scheduled"
    """Its time has not come, or its next weekly range has not."""
    IN_FORCE = "in_force"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why an alarm is quiet, and when to ask again at the latest (``None``: when something else changes)."""

    reason: str
    until_ms: int | None


@dataclass(frozen=True, slots=True)
class Subject:
    """An alarm with what matchers look at."""

    alarm: Alarm
    category: str
    building: str
    gateway: str


_Test = Callable[[Subject], bool]


def stage_of(quieting: Quieting, at_ms: int) -> Stage:
    """How far ``quieting`` has come."""
    ran_out = quieting.until_at_ms is not None and at_ms >= quieting.until_at_ms
    if quieting.ended_at_ms is not None or ran_out:
        return Stage.ENDED
    if quieting.awaits_approval:
        return Stage.PROPOSED
    waits = at_ms < quieting.from_at_ms or not (quieting.weekly is None or _hours(quieting.weekly).is_open(at_ms))
    return Stage.SCHEDULED if waits else Stage.IN_FORCE


def closes_ms(quieting: Quieting, at_ms: int) -> int | None:
    """When what is in force at ``at_ms`` is so no longer; ``None``: until further notice."""
    weekly_ms = None if quieting.weekly is None else _hours(quieting.weekly).closes_ms(at_ms)
    return min((end_ms for end_ms in (quieting.until_at_ms, weekly_ms) if end_ms is not None), default=None)


@lru_cache(QUIETINGS_LIMIT)
def _hours(weekly: Weekly) -> Schedule:
    days = frozenset(weekly.days or range(7))
    return Schedule(ZoneInfo(weekly.zone), days, time.fromisoformat(weekly.start), time.fromisoformat(weekly.end))


def _tests(matchers: Matchers) -> list[_Test]:
    """One for each list that is not empty."""
    own: list[tuple[tuple[str, ...], Callable[[Subject, frozenset[str]], bool]]] = [
        (matchers.scopes, lambda subject, wanted: subject.alarm.scope in wanted),
        (matchers.devices, lambda subject, wanted: subject.alarm.device_id in wanted),
        (matchers.kinds, lambda subject, wanted: subject.alarm.kind in wanted),
        (matchers.severities, lambda subject, wanted: subject.alarm.severity in wanted),
        (matchers.categories, lambda subject, wanted: subject.category in wanted),
        (matchers.buildings, lambda subject, wanted: subject.building in wanted),
        (matchers.gateways, lambda subject, wanted: subject.gateway in wanted),
        (matchers.rules, lambda subject, wanted: matches_any(subject.alarm.rule_id, wanted)),
    ]
    return [_bound(test, frozenset(wanted)) for wanted, test in own if wanted]


def _bound(test: Callable[[Subject, frozenset[str]], bool], wanted: frozenset[str]) -> _Test:
    return lambda subject: test(subject, wanted)


class _Ready:
    """A decision, ready to be asked about many alarms."""

    def __init__(self, quieting: Quieting) -> None:
        self.quieting = quieting
        self._tests = _tests(quieting.matchers)

    def covers(self, subject: Subject) -> bool:
        """Whether it is about this alarm, in force or not."""
        alarm, quieting = subject.alarm, self.quieting
        if (alarm.life_safety or alarm.latched) and not quieting.protected:
            return False
        return within(alarm.area, quieting.area) and all(test(subject) for test in self._tests)


class QuietBook:
    """What quiets alarms, and the firing alarms as they were last told or not told.

    Args:
        rules: by id; those in force.
        quietings: the decisions that have not ended.
        last_id: the id of the newest decision there ever was.
    """

    def __init__(self, rules: Mapping[str, Head], quietings: Iterable[Quieting] = (), last_id: int = 0) -> None:
        self._rules = rules
        self.last_id = last_id
        self._decisions: dict[int, _Ready] = {}
        self._inhibitors = Inhibitors()
        self._firing: dict[str, Alarm] = {}
        self._quiet: dict[str, dict[str, None]] = {}
        """Reason to the ids of the firing alarms that are quiet for it."""
        self._ends_ms: dict[str, int] = {}
        """When a reason ends by itself."""
        self._to_check: dict[str, None] = {}
        for quieting in quietings:
            self._keep(quieting)

    def restore(self, firing: Iterable[Alarm], over: Iterable[Alarm] = ()) -> None:
        """Go on with the alarms of the records; ``over``: those that inhibited and may still do so for a while."""
        for alarm in over:
            self._hear_source(alarm)
        for alarm in firing:
            self.heard(alarm)
        takes_off = any(one.quieting.kind.takes_off_the_list for one in self._decisions.values())
        ids = (alarm.alarm_id for alarm in self._firing.values() if alarm.quieted_by or takes_off)
        self._to_check.update(dict.fromkeys(ids))

    def use(self, rules: Mapping[str, Head]) -> None:
        """Go on with other rules: who inhibits whom may be another now, so every quiet alarm is looked at again."""
        self._rules = rules
        over = self._inhibitors.over()
        self._inhibitors = Inhibitors()
        for alarm in (*over, *self._firing.values()):
            self._hear_source(alarm)
        self._to_check.update({alarm_id: None for alarm_id, alarm in self._firing.items() if alarm.quieted_by})

    @property
    def firing(self) -> Collection[Alarm]:
        """The firing alarms as they were last told, or not told."""
        return self._firing.values()

    # --- alarms -------------------------------------------------------------------------------------------------

    def stamped(self, alarm: Alarm) -> Alarm:
        """``alarm`` as the engine has it, with its event and what quiets it, of which the engine knows nothing."""
        known = self._firing.get(alarm.alarm_id)
        if known is None or (known.quieted_by == alarm.quieted_by and alarm.event_id is not None):
            return alarm
        return replace(alarm, quieted_by=known.quieted_by, event_id=alarm.event_id or known.event_id)

    def heard(self, alarm: Alarm, verdict: Verdict | None = None) -> None:
        """``alarm`` stands so now, and has been told (or not told for ``verdict``) so."""
        before = self._firing.pop(alarm.alarm_id, None)
        if before is not None and before.quieted_by:
            self._leave(before)
        if alarm.state is AlarmState.FIRING and not alarm.shadow:
            self._firing[alarm.alarm_id] = alarm
            if alarm.quieted_by:
                self._quiet.setdefault(alarm.quieted_by, {})[alarm.alarm_id] = None
                if before is not None and (before.severity, before.suppressed) != (alarm.severity, alarm.suppressed):
                    self._to_check[alarm.alarm_id] = None
        if verdict is not None and verdict.until_ms is not None:
            self._ends_ms[verdict.reason] = verdict.until_ms
        self._hear_source(alarm)

    def _leave(self, alarm: Alarm) -> None:
        with_it = self._quiet[alarm.quieted_by]
        del with_it[alarm.alarm_id]
        if not with_it:
            del self._quiet[alarm.quieted_by]
            self._ends_ms.pop(alarm.quieted_by, None)

    def _hear_source(self, alarm: Alarm) -> None:
        rule = self._rules.get(alarm.rule_id)
        if rule is not None and rule.inhibits and alarm.state in {AlarmState.FIRING, AlarmState.RESOLVED}:
            self._inhibitors.take(alarm, rule.inhibits)
            if not is_on(alarm):
                self._check(_inhibited_by(alarm))

    # --- decisions ----------------------------------------------------------------------------------------------

    @property
    def count(self) -> int:
        """Decisions that have not ended."""
        return len(self._decisions)

    def decision(self, quieting_id: int) -> Quieting | None:
        """The decision of this id, if it has not ended."""
        ready = self._decisions.get(quieting_id)
        return ready.quieting if ready else None

    def put(self, quieting: Quieting, devices: Mapping[str, Device], at_ms: int) -> None:
        """A decision that is new, approved or ended; what it changes comes with :meth:`next_to_check`."""
        if quieting.ended_at_ms is not None:
            self._decisions.pop(quieting.quieting_id, None)
            self._check(quieting.reason)
            return
        self.last_id = max(self.last_id, quieting.quieting_id)
        ready = self._keep(quieting)
        if quieting.kind.takes_off_the_list and stage_of(quieting, at_ms) is Stage.IN_FORCE:
            for alarm in self._firing.values():
                if ready.covers(self._subject(alarm, devices)):
                    self._to_check[alarm.alarm_id] = None

    def _keep(self, quieting: Quieting) -> _Ready:
        ready = self._decisions[quieting.quieting_id] = _Ready(quieting)
        in_order = sorted(self._decisions.items(), key=lambda one: (_ORDER.index(one[1].quieting.kind), one[0]))
        self._decisions = dict(in_order)
        return ready

    # --- verdicts -----------------------------------------------------------------------------------------------

    def decide(self, alarm: Alarm, devices: Mapping[str, Device], at_ms: int) -> Verdict | None:
        """Why ``alarm`` is to be quiet at this time; ``None``: it is to be told."""
        if alarm.unverified:
            return None
        is_listed = alarm.alarm_id in self._firing and not alarm.quieted_by
        told = is_listed or alarm.event_id is not None
        if not told:
            if alarm.suppressed:
                return Verdict(SUPPRESSED, None)
            inhibitor = self._inhibitors.of(alarm, devices, at_ms)
            if inhibitor is not None:
                return Verdict(_inhibited_by(inhibitor[0]), inhibitor[1])
        return self._decided_by_people(alarm, devices, at_ms, told=told)

    def _decided_by_people(
        self, alarm: Alarm, devices: Mapping[str, Device], at_ms: int, *, told: bool
    ) -> Verdict | None:
        if not self._decisions:
            return None
        subject = self._subject(alarm, devices)
        for ready in self._decisions.values():
            quieting = ready.quieting
            if told and not quieting.kind.takes_off_the_list:
                return None  # in order: none that follows does
            if ready.covers(subject) and stage_of(quieting, at_ms) is Stage.IN_FORCE:
                return Verdict(quieting.reason, closes_ms(quieting, at_ms))
        return None

    def _subject(self, alarm: Alarm, devices: Mapping[str, Device]) -> Subject:
        rule = self._rules.get(alarm.rule_id)
        building, gateway = (related(alarm, relation, devices) for relation in (Relation.BUILDING, Relation.GATEWAY))
        return Subject(alarm, rule.category if rule else "", building, gateway)

    # --- time ---------------------------------------------------------------------------------------------------

    def next_wake_ms(self) -> int | None:
        """When something changes by time alone; 0: something waits to be looked at, ``None``: nothing ever does."""
        if self._to_check:
            return 0
        until_ms = (ready.quieting.until_at_ms for ready in self._decisions.values())
        return min([*self._ends_ms.values(), *(one for one in until_ms if one is not None)], default=None)

    def run_out(self, at_ms: int) -> list[Quieting]:
        """Note what time has ended; the decisions that ran out, to be recorded and given to :meth:`put`."""
        for reason in [reason for reason, end_ms in self._ends_ms.items() if end_ms <= at_ms]:
            self._check(reason)
            del self._ends_ms[reason]
        self._inhibitors.forget(at_ms)
        ended = [ready.quieting for ready in self._decisions.values() if _has_run_out(ready.quieting, at_ms)]
        return [replace(quieting, ended_at_ms=quieting.until_at_ms) for quieting in ended]

    def next_to_check(self, limit: int) -> list[Alarm]:
        """Firing alarms for which the answer may be another now, at most ``limit`` at a time."""
        ids = list(self._to_check)[:limit]
        for alarm_id in ids:
            del self._to_check[alarm_id]
        return [self._firing[alarm_id] for alarm_id in ids if alarm_id in self._firing]

    def _check(self, reason: str) -> None:
        self._to_check.update(self._quiet.get(reason, {}))


def _has_run_out(quieting: Quieting, at_ms: int) -> bool:
    return quieting.until_at_ms is not None and quieting.until_at_ms <= at_ms


def _inhibited_by(source: Alarm) -> str:
    return f"inhibited:{source.rule_id}@{source.scope}"[:REASON_LIMIT]
