"""The alarms that correlations have raised: what becomes of them by time and by people. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence, ValuesView
from dataclasses import dataclass, replace

from gridwarden.model import Alarm, AlarmState, Outcome
from rules.alarm import Look, Transition, acknowledge, confirm, deadline_ms, step
from rules.members import Group, Member


@dataclass(frozen=True, slots=True)
class Correlated(Transition):
    """A change of a correlation's alarm."""

    news: tuple[Alarm, ...] = ()
    """The alarms that count from now on, as they were when they were heard of."""


class Standing:
    """Those that fire, each with its group; ``ended`` hears of a group whose alarm is over."""

    def __init__(self, ended: Callable[[Group], None]) -> None:
        self._ended = ended
        self._groups: dict[str, Group] = {}
        """By alarm."""
        self._waking: dict[str, int] = {}
        """Alarms whose clear hold runs, and until when on our clock."""

    @property
    def groups(self) -> ValuesView[Group]:
        """Groups with an alarm."""
        return self._groups.values()

    def take(self, group: Group, transitions: Sequence[Transition], news: Iterable[Member] = ()) -> list[Correlated]:
        """Make the last state of an alarm the group's; ``news``: those who count from now on."""
        if not transitions:
            return []
        alarm = transitions[-1].alarm
        self._waking.pop(alarm.alarm_id, None)
        if alarm.state is AlarmState.RESOLVED:
            group.alarm = None
            self._groups.pop(alarm.alarm_id, None)
            self._ended(group)
        else:
            group.alarm = alarm
            self._groups[alarm.alarm_id] = group
            if alarm.wake_at_ms is not None:
                self._waking[alarm.alarm_id] = alarm.wake_at_ms
        alarms = tuple(member.alarm for member in news)
        return [Correlated(one.alarm, one.operation, one.forgotten, alarms) for one in transitions]

    def advance(self, now_ms: int) -> list[Transition]:
        """What the passing of time changes: clear holds that ran out by ``now_ms`` of our own clock."""
        transitions: list[Transition] = []
        for alarm_id in sorted(name for name, wake_at_ms in self._waking.items() if wake_at_ms <= now_ms):
            group = self._groups[alarm_id]
            if group.alarm is not None:
                due_ms = deadline_ms(group.alarm, group.rule.terms) or now_ms
                transitions += self.take(group, step(group.alarm, Look(None, None, due_ms, now_ms), group.rule.terms))
        return transitions

    def next_wake_ms(self) -> int | None:
        """When :meth:`advance` has something to do, on our own clock; ``None``: nothing waits."""
        return min(self._waking.values(), default=None)

    def active(self, alarm_id: str) -> Alarm | None:
        """The firing alarm of this id."""
        group = self._groups.get(alarm_id)
        return group.alarm if group else None

    def members_of(self, alarm_id: str) -> list[Alarm]:
        """The alarms that count for this one, as they were when they were heard of."""
        group = self._groups.get(alarm_id)
        return [member.alarm for member in group.counting] if group else []

    def replace(self, alarm: Alarm) -> None:
        """Core has put an alarm into its case, or quieted it; the newer state of it here stays."""
        group = self._groups.get(alarm.alarm_id)
        if group is not None and group.alarm is not None:
            revision = max(group.alarm.revision, alarm.revision)
            group.alarm = replace(group.alarm, event_id=alarm.event_id, quieted_by=alarm.quieted_by, revision=revision)

    def confirm(self, alarm_id: str, by: str, at_ms: int, outcome: Outcome, note: str) -> Transition | None:
        """A person says what an alarm was; ``None`` where no such alarm is firing."""
        alarm = self.active(alarm_id)
        if alarm is None:
            return None
        return self.take(self._groups[alarm_id], [confirm(alarm, by, at_ms, outcome, note)])[0]

    def acknowledge(self, alarm_id: str, by: str, at_ms: int, note: str) -> Transition | None:
        """A person has seen an alarm; ``None`` where no such alarm is firing or somebody was first."""
        alarm = self.active(alarm_id)
        if alarm is None or alarm.acknowledged_at_ms is not None:
            return None
        return self.take(self._groups[alarm_id], [acknowledge(alarm, by, at_ms, note)])[0]
