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

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import islice

from gridwarden.model import Alarm, AlarmState, Device
from gridwarden.quieting import Quieting
from rules.decisions import Decisions, Stage, Subject
from rules.inhibit import Inhibitors, Relation, is_on, related
from rules.rule import Head

SUPPRESSED = "suppressed"
PAST = "past"
"""It was over for some time when what it is about arrived."""
REASON_LIMIT = 200
"""Characters of a reason that the records hold."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why an alarm is quiet, and when to ask again at the latest (``None``: when something else changes)."""

    reason: str
    until_ms: int | None


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
        self._decisions = Decisions()
        self._inhibitors = Inhibitors()
        self._firing: dict[str, Alarm] = {}
        self._quiet: dict[str, dict[str, None]] = {}
        """Reason to the ids of the firing alarms that are quiet for it."""
        self._ends_ms: dict[str, int] = {}
        """When a reason ends by itself."""
        self._to_check: dict[str, None] = {}
        for quieting in quietings:
            self._decisions.keep(quieting)

    def restore(self, firing: Iterable[Alarm], over: Iterable[Alarm] = ()) -> None:
        """Go on with the alarms of the records; ``over``: those that inhibited and may still do so for a while."""
        for alarm in over:
            self._hear_source(alarm)
        for alarm in firing:
            self.heard(alarm)
        takes_off = any(one.quieting.kind.takes_off_the_list for one in self._decisions)
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
        decision = self._decisions.get(quieting_id)
        return decision.quieting if decision else None

    def put(self, quieting: Quieting, devices: Mapping[str, Device], at_ms: int) -> None:
        """A decision that is new, approved or ended; what it changes comes with :meth:`next_to_check`."""
        if quieting.ended_at_ms is not None:
            self._decisions.drop(quieting.quieting_id)
            self._check(quieting.reason)
            return
        self.last_id = max(self.last_id, quieting.quieting_id)
        decision = self._decisions.keep(quieting)
        if quieting.kind.takes_off_the_list and decision.stage(at_ms) is Stage.IN_FORCE:
            for alarm in self._firing.values():
                if decision.covers(self._subject(alarm, devices)):
                    self._to_check[alarm.alarm_id] = None

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
        for decision in self._decisions.covering(subject):
            quieting = decision.quieting
            if (not told or quieting.kind.takes_off_the_list) and decision.stage(at_ms) is Stage.IN_FORCE:
                return Verdict(quieting.reason, decision.closes_ms(at_ms))
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
        first_ms = self._decisions.first_end_ms
        return min([*self._ends_ms.values(), *([] if first_ms is None else [first_ms])], default=None)

    def run_out(self, at_ms: int) -> list[Quieting]:
        """Note what time has ended; the decisions that ran out, to be recorded and given to :meth:`put`."""
        for reason in [reason for reason, end_ms in self._ends_ms.items() if end_ms <= at_ms]:
            self._check(reason)
            del self._ends_ms[reason]
        self._inhibitors.forget(at_ms)
        return [replace(one, ended_at_ms=one.until_at_ms) for one in self._decisions.run_out(at_ms)]

    def next_to_check(self, limit: int) -> list[Alarm]:
        """Firing alarms for which the answer may be another now, at most ``limit`` at a time."""
        ids = list(islice(self._to_check, limit))
        for alarm_id in ids:
            del self._to_check[alarm_id]
        return [self._firing[alarm_id] for alarm_id in ids if alarm_id in self._firing]

    def take_to_check(self, alarm_id: str) -> Alarm | None:
        """The firing alarm of this id, if the answer for it may be another now; it need not be looked at again then."""
        if alarm_id not in self._to_check:
            return None
        del self._to_check[alarm_id]
        return self._firing.get(alarm_id)

    def _check(self, reason: str) -> None:
        self._to_check.update(self._quiet.get(reason, {}))


def _inhibited_by(source: Alarm) -> str:
    return f"inhibited:{source.rule_id}@{source.scope}"[:REASON_LIMIT]
