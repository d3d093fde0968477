"""Correlations over the changes of alarms: k of n in one building, on one main, near one another. Pure.

Which alarms count: those that fire, of a rule named in ``of``, of a registered device whose gateway may speak for it
(an unverified alarm never confirms a fire), not suppressed, that nobody has confirmed as false or a test. An alarm of a
rule on trial counts for correlations on trial only. A latched alarm fires until somebody has confirmed it, and counts
as long.

The only state is the alarms that fire, so that what the records keep is all it takes to go on after a restart. What
counts depends on when alarms fired, not on when they were heard of; see :class:`rules.members.Group`. Circles (``by:
radius``) are the exception: an alarm belongs to one circle at a time, the one it was first near to.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from math import ceil
from typing import Any

from gridwarden.model import Alarm, AlarmState, Device, Outcome
from rules.alarm import Look, Transition, retire, rewake, step
from rules.circles import Circles
from rules.correlation import By, Correlation
from rules.groups import Population
from rules.members import Group, Member
from rules.rule import RuleSet
from rules.standing import Correlated, Standing
from rules.written import Incident

_ROUNDING = 1e-9
"""A tenth of thirty is three, not four."""


class Correlator:
    """Counts firing alarms and raises alarms of its own. The rules not enabled are left out."""

    def __init__(self, rules: RuleSet, population: Population | None = None) -> None:
        self.population = population or Population()
        self._rules = {rule.id: rule for rule in rules.of(Correlation) if rule.enabled}
        self._of: defaultdict[str, list[Correlation]] = defaultdict(list)
        for rule in self._rules.values():
            for name in rule.of:
                self._of[name].append(rule)
        self._circles = {rule.id: Circles(rule) for rule in self._rules.values() if rule.by is By.RADIUS}
        self._groups: dict[tuple[str, str], Group] = {}
        """By rule and scope."""
        self._members: dict[str, tuple[Member, dict[str, Group | None]]] = {}
        """By alarm: what counts, and its group by rule; ``None``: in no circle."""
        self._out: set[str] = set()
        """Alarms that fire and count no more."""
        self.standing = Standing(self._end)
        self._strays: list[Group] = []
        """Restored groups whose rule is another by now; :meth:`advance` settles them."""
        self._recounted: list[Group] = []
        """Restored groups that have not as many members as they had, since the registry has changed."""

    def owns(self, alarm: Alarm) -> bool:
        """Whether an alarm is one of ours."""
        return alarm.rule_id in self._rules

    def counted(self) -> list[Alarm]:
        """The firing alarms that count, or may, as they were when they were heard of, and those of ours."""
        ours = [group.alarm for group in self.standing.groups if group.alarm is not None]
        return [*(member.alarm for member, _ in self._members.values()), *ours]

    def retire_all_but(self, rules: RuleSet, now_ms: int) -> list[Correlated]:
        """End the alarms of correlations that are not in force with ``rules``."""
        enabled = {rule.id for rule in rules.of(Correlation) if rule.enabled}
        gone = [group for group in self.standing.groups if group.rule.id not in enabled]
        return [
            one for group in gone if group.alarm for one in self.standing.take(group, [retire(group.alarm, now_ms)])
        ]

    def restore(self, alarms: Iterable[Alarm], devices: Mapping[str, Device]) -> None:
        """Go on with the pending and firing alarms of the records, of every rule."""
        ordered = sorted(alarms, key=lambda alarm: (alarm.fired_at_ms or alarm.pending_at_ms, alarm.alarm_id))
        for alarm in ordered:
            if self.owns(alarm):
                self._restore(alarm)
        for alarm in ordered:
            device = devices.get(alarm.device_id)
            if alarm.rule_id in self._of and device is not None and _counts(alarm):
                member = self._enter(alarm, device)
                for rule in self._asked(alarm):
                    self._place(rule, member)
        for group in self.standing.groups:
            if group.alarm is not None and group.count != group.alarm.evidence["count"]:
                self._recounted.append(group)

    def take(self, alarm: Alarm, device: Device | None, now_ms: int) -> list[Correlated]:
        """What a change of an alarm, as it stands now, changes in the correlations it counts for."""
        if alarm.rule_id not in self._of:
            return []
        known = alarm.alarm_id in self._members
        if not _counts(alarm):
            if alarm.state is AlarmState.RESOLVED:
                self._out.discard(alarm.alarm_id)
            return self._leave(alarm, now_ms) if known else []
        if known or device is None:
            return []
        member = self._enter(alarm, device)
        return [one for rule in self._asked(alarm) for one in self._join(rule, member, now_ms)]

    def scopes_of(self, alarm: Alarm, device: Device | None) -> Iterator[tuple[Correlation, str]]:
        """The correlations that have a case of their own, and the scopes in which a newly firing alarm counts for them.

        A circle there is only as long as its alarm fires.
        """
        if device is None or alarm.shadow or not _counts(alarm):
            return
        member = Member.of(alarm, device)
        for rule in self._of.get(alarm.rule_id, ()):
            group = None if rule.shadow or rule.incident is Incident.NONE else self._find(rule, member)
            if group and (group.alarm is None or member.fired_at_ms >= group.since_ms - rule.within_ms):
                yield rule, group.scope

    def advance(self, now_ms: int) -> list[Transition]:
        """What the passing of time changes: clear holds that ran out by ``now_ms`` of our own clock."""
        transitions: list[Transition] = [one for group in self._strays for one in self._settle(group, now_ms)]
        self._strays.clear()
        for group in self._recounted:
            transitions += self._changed(group, [], now_ms, now_ms)
        self._recounted.clear()
        return transitions + self.standing.advance(now_ms)

    def next_wake_ms(self) -> int | None:
        """When :meth:`advance` has something to do, on our own clock; ``None``: nothing waits, 0: at once."""
        return 0 if self._strays or self._recounted else self.standing.next_wake_ms()

    # --- members ------------------------------------------------------------------------------------------------

    def _enter(self, alarm: Alarm, device: Device) -> Member:
        has_returned = alarm.alarm_id in self._out or alarm.outcome is not None
        member = Member.of(alarm, device, alarm.revision if has_returned else 0)
        self._members[alarm.alarm_id] = member, {}
        self._out.discard(alarm.alarm_id)
        return member

    def _asked(self, alarm: Alarm) -> Iterator[Correlation]:
        """The correlations that ``alarm`` counts for."""
        return (rule for rule in self._of[alarm.rule_id] if rule.shadow or not alarm.shadow)

    def _find(self, rule: Correlation, member: Member) -> Group | None:
        """The group a member belongs to; a new one is not among :attr:`_groups` yet."""
        if rule.by is By.RADIUS:
            return self._circles[rule.id].find(member.point) if member.point else None
        name = member.group(rule.by)
        return (self._groups.get((rule.id, f"{rule.by.value}:{name}")) or Group(rule, name)) if name else None

    def _place(self, rule: Correlation, member: Member) -> tuple[Group | None, list[Member]]:
        """Put a member where it belongs; the group, and who counts for its alarm from now on."""
        places = self._members[member.alarm_id][1]
        group = self._find(rule, member)
        if group is not None:
            self._groups[rule.id, group.scope] = places[rule.id] = group
            return group, group.add(member)
        if rule.by is By.RADIUS and member.point is not None:
            places[rule.id] = None
            self._circles[rule.id].keep(member)
        return None, []

    def _join(self, rule: Correlation, member: Member, now_ms: int) -> list[Correlated]:
        group, news = self._place(rule, member)
        transitions: list[Correlated] = []
        if group is not None and group.alarm is not None:
            transitions = self._changed(group, news, member.fired_at_ms, now_ms, member)
            if group.alarm is not None:
                return transitions
        found = self._core(rule, member)
        return transitions + self._fire(*found, member, now_ms) if found else transitions

    def _leave(self, alarm: Alarm, now_ms: int) -> list[Correlated]:
        member, places = self._members.pop(alarm.alarm_id)
        if alarm.state is AlarmState.FIRING:
            self._out.add(alarm.alarm_id)
        at_ms = next((at for at in (alarm.resolved_at_ms, alarm.confirmed_at_ms) if at is not None), now_ms)
        transitions: list[Correlated] = []
        for rule_id, group in places.items():
            if group is None:
                self._circles[rule_id].drop(member)
                continue
            group.remove(member)
            if group.alarm is not None:
                transitions += self._changed(group, [], at_ms, now_ms)
            if group.alarm is None and not group.firing:
                self._groups.pop((rule_id, group.scope), None)
        return transitions

    def _core(self, rule: Correlation, member: Member) -> tuple[Group, Sequence[Member]] | None:
        """A group of which ``member`` makes enough, and those who do."""
        places = self._members[member.alarm_id][1]
        if rule.id not in places:
            return None
        group = places[rule.id]
        if group is None:
            return self._circles[rule.id].completed(member, self._need)
        core = group.window(member, self._need(group))
        return (group, core) if core else None

    def _need(self, group: Group) -> int:
        """How many devices it takes."""
        rule = group.rule
        n = self.population.count(rule, group.name, group.centre) if rule.share else 0
        return max(rule.at_least, ceil(rule.share * n - _ROUNDING))

    # --- alarms of ours -----------------------------------------------------------------------------------------

    def _fire(self, group: Group, core: Sequence[Member], member: Member, now_ms: int) -> list[Correlated]:
        """An alarm begins: ``member`` has made the number full."""
        rule = group.rule
        if rule.by is By.RADIUS:
            self._draw(group)
        need, n = self._need(group), self.population.count(rule, group.name, group.centre)
        news = group.count_from(core[0].fired_at_ms)
        fired_at_ms = max(core[-1].fired_at_ms, member.fired_at_ms)
        evidence = group.first_evidence(news, need, n)
        alarm = Alarm(
            alarm_id=_alarm_id(group, core, member),
            rule_id=rule.id, rule_version=rule.version, rule_shape=rule.shape,
            scope=group.scope,
            device_id=core[0].device.device_id,
            kind=rule.kind,
            area=group.area(),
            severity=rule.severity,
            state=AlarmState.INACTIVE, pending_at_ms=fired_at_ms,
            latched=rule.latched, life_safety=rule.life_safety, shadow=rule.shadow,
            evidence=evidence, memory=_memory(group),
            revision=0,
        )  # fmt: skip
        return self.standing.take(group, step(alarm, Look(True, False, fired_at_ms, now_ms), rule.terms), news)

    def _changed(
        self, group: Group, news: list[Member], at_ms: int, now_ms: int, member: Member | None = None
    ) -> list[Correlated]:
        """What it means for a group's alarm that ``news`` count now, or that somebody does no longer.

        One whose clear hold runs, or that is over and waits for a person, goes on only where enough fired within the
        rule's time again, ``member`` among them.
        """
        alarm, rule = group.alarm, group.rule
        if alarm is None:
            return []
        breached = group.count >= rule.at_least
        if breached and alarm.clear_since_ms is not None:
            breached = member is not None and group.window(member, rule.at_least) is not None
        now = replace(alarm, evidence=group.evidence(alarm, news), memory={**alarm.memory, **_memory(group)})
        transitions = step(now, Look(breached, group.count < rule.clear_below, at_ms, now_ms), rule.terms)
        if not transitions and now != alarm:
            transitions = [Transition(replace(now, revision=now.revision + 1), None)]
        return self.standing.take(group, transitions, news)

    def _end(self, group: Group) -> None:
        """The alarm of ``group`` is over; a circle is there no longer than that."""
        if group.rule.by is By.RADIUS:
            del self._groups[group.rule.id, group.scope]
            self._circles[group.rule.id].erase(group)
            for member in group.firing:
                self._members[member.alarm_id][1][group.rule.id] = None

    def _draw(self, circle: Group) -> None:
        self._groups[circle.rule.id, circle.scope] = circle
        self._circles[circle.rule.id].draw(circle)
        for member in circle.firing:
            self._members[member.alarm_id][1][circle.rule.id] = circle

    def _restore(self, alarm: Alarm) -> None:
        rule = self._rules[alarm.rule_id]
        centre = alarm.memory.get("centre")
        group = Group(rule, alarm.scope.partition(":")[2], tuple(centre) if centre else None)
        group.since_ms = alarm.memory["since_ms"]
        self._groups[rule.id, group.scope] = group
        self.standing.take(group, [Transition(alarm, None)])
        if rule.by is By.RADIUS:
            self._circles[rule.id].draw(group)
        if rule.version != alarm.rule_version:
            self._strays.append(group)

    def _settle(self, group: Group, now_ms: int) -> list[Correlated]:
        """An alarm whose rule has changed goes on or ends."""
        alarm, rule = group.alarm, group.rule
        if alarm is None:
            return []
        if alarm.rule_shape != rule.shape and not alarm.life_safety:
            return self.standing.take(group, [retire(alarm, now_ms, "rule_changed")])
        alarm = replace(
            alarm, rule_version=rule.version, rule_shape=rule.shape, latched=rule.latched, revision=alarm.revision + 1
        )
        return self.standing.take(group, [Transition(rewake(alarm, rule.terms, now_ms), None)])


def _counts(alarm: Alarm) -> bool:
    refuted = alarm.outcome in {Outcome.FALSE, Outcome.TEST}
    return alarm.state is AlarmState.FIRING and not (alarm.unverified or alarm.suppressed or refuted)


def _memory(group: Group) -> dict[str, Any]:
    """What it takes to go on with a group after a restart, besides those who fire."""
    return {"since_ms": group.since_ms} | ({"centre": list(group.centre)} if group.centre else {})


def _alarm_id(group: Group, core: Sequence[Member], last: Member) -> str:
    """The same whenever the same alarms make the number full; never that of an earlier alarm of the group.

    No alarm makes the number full twice, unless it did not count for a while, and then that is known of it.
    """
    members = "|".join(member.alarm_id for member in sorted({*core, last}))
    key = f"{group.rule.id}|{group.scope}|{members}|{last.returned}"
    return blake2b(key.encode(), digest_size=10).hexdigest()
