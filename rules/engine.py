"""All rules over all devices: readings and times in, transitions of alarms out. Pure: no clock, store or log.

The only state is the alarms that are pending or firing, so that what the records keep is all it takes to go on
after a restart. Which readings are judged, and how:

- a reading of a registered device: every rule of its kind, on the device's window
- of an unregistered one (kind guessed): its life-safety rules only; alarms are ``unverified``
- a late one: the rules that say ``late: evaluate`` (life-safety rules always do), on the reading's own values alone;
  it can start and fire an alarm and never clears one
- one that was settled: the rules that say ``late: correct``, and only they, on the device as it was then
- one whose gateway is not entitled: life-safety rules only, in the same way, with a scope of its own
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from gridwarden.model import FOREIGN, Alarm, AlarmState, Device, Operation, Outcome, Reading
from gridwarden.window import Window
from rules.alarm import Look, Transition, acknowledge, confirm, deadline_ms, retire, rewake, step, stepped
from rules.facts import NOTHING_BEFORE, Facts
from rules.pending import begins
from rules.rule import Rule, RuleSet
from rules.written import Late

UNVERIFIED_LIMIT = 50
"""Unverified alarms of one gateway at a time: a mistaken or hostile one must not fill the room with fires."""
_SPARE_TIMERS = 1000
"""Timers that no longer count may pile up to this many before they are swept out."""


class Engine:
    """Judges readings one by one, in the order core gives them.

    Args:
        rules: the rules in force; those not enabled are left out.
        unverified_limit: most unverified alarms of one gateway at a time; above it no new one starts.
    """

    def __init__(self, rules: RuleSet, *, unverified_limit: int = UNVERIFIED_LIMIT) -> None:
        self._unverified_limit = unverified_limit
        self._use(rules)
        self._alarms: dict[str, Alarm] = {}
        self._of_scope: defaultdict[str, dict[str, str]] = defaultdict(dict)
        """Scope to rule id to alarm id."""
        self._timers: list[tuple[int, str]] = []
        self._strays: dict[str, Alarm] = {}
        """Restored alarms whose rule is gone or another by now; :meth:`advance` settles them."""
        self._fires: dict[tuple[str, str], list[int]] = {}
        """By scope and rule that knows flapping: when its last alarms fired."""
        self._unverified: Counter[str] = Counter()
        self.evaluations = 0
        """Evaluations of a rule on a reading done so far."""
        self.unverified_suppressed = 0
        """Unverified alarms that did not start because their gateway had too many."""

    def _use(self, rules: RuleSet) -> None:
        self._rules = {rule.id: rule for rule in rules if rule.enabled}
        self._of_kind = _by_kind(rule for rule in self._rules.values() if rule.late is not Late.CORRECT)
        self._of_settled = _by_kind(rule for rule in self._rules.values() if rule.late is Late.CORRECT)
        self._lateness = rules.lateness
        self._life_safety = _by_kind(rule for rule in self._rules.values() if rule.life_safety)
        self._of_late = _by_kind(rule for rule in self._rules.values() if rule.late is Late.EVALUATE)

    def restore(self, alarms: Iterable[Alarm]) -> None:
        """Go on with the alarms of the records: the pending and firing ones, and how often the resolved ones fired."""
        for alarm in sorted(alarms, key=lambda alarm: alarm.pending_at_ms):
            rule = self._rules.get(alarm.rule_id)
            if alarm.state is AlarmState.RESOLVED:
                self._remember_fires(alarm)
                continue
            if rule is None or rule.version != alarm.rule_version:
                self._strays[alarm.alarm_id] = alarm
            if rule is not None and _goes_on(alarm, rule):
                self._keep(alarm)

    def reload(self, rules: RuleSet, now_ms: int) -> list[Transition]:
        """Go on with other rules.

        An alarm whose rule kept its shape (other thresholds, times, names) goes on under the new version. One that fires
        and is latched or life-safety does so whatever its rule became: a fire is not edited away. Others end visibly.
        """
        self._use(rules)
        active = list(self._alarms.values())
        return self._settle((alarm for alarm in active if not self._is_current(alarm)), now_ms)

    def _is_current(self, alarm: Alarm) -> bool:
        rule = self._rules.get(alarm.rule_id)
        return rule is not None and rule.version == alarm.rule_version

    def _settle(self, alarms: Iterable[Alarm], now_ms: int) -> list[Transition]:
        """Alarms of rules that are gone or changed: each goes on or ends."""
        transitions: list[Transition] = []
        for alarm in alarms:
            rule = self._rules.get(alarm.rule_id)
            if rule is not None and _goes_on(alarm, rule):
                transitions.append(_under(rule, alarm, now_ms))
            else:
                transitions.append(retire(alarm, now_ms, "rule_changed" if rule else "rule_gone"))
            self._take(transitions[-1:])
        return transitions

    def decide(self, reading: Reading, window: Window, device: Device | None) -> list[Transition]:
        """What ``reading`` changes; ``window`` has observed it already."""
        if reading.late or not reading.entitled:
            return self._decide_alone(reading, window, device)
        rules = (self._of_kind if reading.registered else self._life_safety).get(reading.kind)
        return self._judge(rules, reading, window, device) if rules else []

    def decide_settled(self, reading: Reading, window: Window, device: Device | None) -> list[Transition]:
        """What ``reading`` changes by the rules that see readings in the order of the device's clock.

        ``window`` has taken in everything up to it. A timer set by it waits for twice the lateness: so long at most it
        takes until another reading of the same time has come, and has been settled.
        """
        rules = self._of_settled.get(reading.kind, ())
        return self._judge(rules, reading, window, device, 2 * self._lateness.get(reading.kind, 0))

    def _judge(
        self, rules: Sequence[Rule], reading: Reading, window: Window, device: Device | None, waits_ms: int = 0
    ) -> list[Transition]:
        values, previous = window.values, window.previous
        attributes: Mapping[str, Any] = device.attributes if device is not None else {}
        active = self._of_scope.get(reading.device_id)
        self.evaluations += len(rules)
        transitions: list[Transition] = []
        for rule in rules:
            news = rule.begins(values, previous, attributes)
            if active is not None and rule.id in active:
                facts = Facts(reading, values, previous, device, waits_ms)
                transitions += self._go_on(self._alarms[active[rule.id]], rule, facts)
            elif news:
                transitions += self._start(rule, Facts(reading, values, previous, device, waits_ms))
        return transitions

    def settle_strays(self, now_ms: int) -> list[Transition]:
        """What becomes of restored alarms whose rule is gone or another by now; :meth:`advance` begins with it."""
        strays = [self._alarms.get(alarm_id, alarm) for alarm_id, alarm in self._strays.items()]
        self._strays.clear()
        return self._settle(strays, now_ms)

    def advance(self, now_ms: int) -> list[Transition]:
        """What the passing of time changes: holds that ran out by ``now_ms`` of our own clock."""
        transitions = self.settle_strays(now_ms)
        while self._timers and self._timers[0][0] <= now_ms:
            wake_at_ms, alarm_id = heapq.heappop(self._timers)
            alarm = self._alarms.get(alarm_id)
            if alarm is None or alarm.wake_at_ms != wake_at_ms:
                continue
            terms = self._rules[alarm.rule_id].terms
            due_ms = deadline_ms(alarm, terms)
            if due_ms is not None:
                transitions += self._take(step(alarm, Look(None, None, due_ms, now_ms), terms))
        return transitions

    def clock_stepped(self, step_ms: int) -> None:
        """Our own clock was set, by so much: what waits goes on waiting as long as it would have."""
        for alarm in list(self._alarms.values()):
            if alarm.wake_at_ms is not None:
                self._keep(stepped(alarm, step_ms))

    def next_wake_ms(self) -> int | None:
        """When :meth:`advance` has something to do, on our own clock; ``None``: nothing waits, 0: at once."""
        if self._strays:
            return 0
        while self._timers:
            wake_at_ms, alarm_id = self._timers[0]
            alarm = self._alarms.get(alarm_id)
            if alarm is not None and alarm.wake_at_ms == wake_at_ms:
                return wake_at_ms
            heapq.heappop(self._timers)
        return None

    def confirm(self, alarm_id: str, by: str, at_ms: int, outcome: Outcome, note: str) -> Transition | None:
        """A person says what a firing alarm was; ``None`` where no such alarm is firing.

        It resolves a latched alarm whose condition is over, and any alarm of an unentitled source, whose condition no
        reading can ever end.
        """
        alarm = self._firing(alarm_id)
        if alarm is None:
            return None
        can_clear = not alarm.scope.startswith(FOREIGN)
        return self._take([confirm(alarm, by, at_ms, outcome, note, can_clear=can_clear)])[0]

    def acknowledge(self, alarm_id: str, by: str, at_ms: int, note: str) -> Transition | None:
        """A person has seen a firing alarm; ``None`` where none such is firing or somebody was first."""
        alarm = self._firing(alarm_id)
        if alarm is None or alarm.acknowledged_at_ms is not None:
            return None
        return self._take([acknowledge(alarm, by, at_ms, note)])[0]

    def replace(self, alarm: Alarm) -> None:
        """Core has put an alarm into its case, or quieted it; the engine's own newer state of it stays."""
        current = self._alarms.get(alarm.alarm_id)
        if current is not None:
            revision = max(current.revision, alarm.revision)
            self._alarms[alarm.alarm_id] = replace(
                current, event_id=alarm.event_id, quieted_by=alarm.quieted_by, revision=revision
            )

    def discard(self, alarm_id: str) -> None:
        """Core knows that this alarm has had its life already: its reading was a repeat nobody could recognise."""
        alarm = self._alarms.get(alarm_id)
        if alarm is not None:
            self._drop(alarm)

    def active_of(self, scope: str) -> frozenset[str]:
        """Ids of the pending and firing alarms of a scope."""
        return frozenset(self._of_scope.get(scope, {}).values())

    def verify(self, device: Device, is_entitled: Callable[[str], bool]) -> list[Alarm]:
        """A device is registered: its unverified alarms that began with a gateway which may speak for it, as they are now.

        They are verified, and lie where the device does.
        """
        verified = []
        for alarm_id in self.active_of(device.device_id):
            alarm = self._alarms[alarm_id]
            if alarm.unverified and is_entitled(_gateway(alarm)):
                self._drop(alarm)
                alarm = replace(alarm, unverified=False, area=device.area, revision=alarm.revision + 1)
                self._keep(alarm)
                verified.append(alarm)
        return sorted(verified, key=lambda alarm: alarm.pending_at_ms)

    def active(self, alarm_id: str) -> Alarm | None:
        """The pending or firing alarm of this id."""
        return self._alarms.get(alarm_id)

    def _decide_alone(self, reading: Reading, window: Window, device: Device | None) -> list[Transition]:
        of_kind = self._of_late if reading.verified else self._life_safety
        rules = of_kind.get(reading.kind, ())
        self.evaluations += len(rules)
        facts = Facts(reading, reading.values, NOTHING_BEFORE, device)
        transitions: list[Transition] = []
        for rule in rules:
            breached = rule.when.evaluate(facts.values, facts.previous, facts.attributes)
            alarm_id = self._of_scope.get(reading.scope, {}).get(rule.id)
            if alarm_id is not None:
                transitions += self._go_on_alone(self._alarms[alarm_id], rule, breached, facts)
            elif breached and not facts.denies(rule, window.values, window.previous):
                transitions += self._start(rule, facts)
        return transitions

    def _go_on_alone(self, alarm: Alarm, rule: Rule, breached: bool | None, facts: Facts) -> list[Transition]:
        """Only a hold can go on: a firing alarm stays as it is, and only an own claim can be taken back."""
        may_forget = not facts.reading.late and not facts.reading.entitled
        if alarm.state is not AlarmState.PENDING or (not breached and not may_forget):
            return []
        return self._look(alarm, rule, facts.look(rule, breached, None), facts)

    def _go_on(self, alarm: Alarm, rule: Rule, facts: Facts) -> list[Transition]:
        seen = facts.seen
        look = facts.look(rule, rule.breached(*seen), rule.over(*seen))
        transitions = self._look(alarm, rule, look, facts)
        ended = transitions and transitions[-1].alarm.state in (AlarmState.RESOLVED, AlarmState.INACTIVE)
        if ended and begins(look, rule.terms):
            transitions += self._start(rule, facts)  # it was over before this reading, which is news
        return transitions

    def _look(self, alarm: Alarm, rule: Rule, look: Look, facts: Facts) -> list[Transition]:
        transitions = step(alarm, look, rule.terms)
        if look.breached:
            transitions = [_refreshed(transition, rule, facts) for transition in transitions]
        return self._take(transitions)

    def _start(self, rule: Rule, facts: Facts) -> list[Transition]:
        reading = facts.reading
        if not reading.verified and self._unverified[reading.gateway] >= self._unverified_limit:
            self.unverified_suppressed += 1
            return []
        look = facts.look(rule, rule.breached(*facts.seen), None)
        alarm = facts.inactive(rule, self._fires.get((reading.scope, rule.id), ()))
        return self._take(step(alarm, look, rule.terms))

    def _firing(self, alarm_id: str) -> Alarm | None:
        alarm = self._alarms.get(alarm_id)
        return alarm if alarm is not None and alarm.state is AlarmState.FIRING else None

    def _take(self, transitions: list[Transition]) -> list[Transition]:
        """Make the last state of an alarm ours; then as they came."""
        if transitions:
            alarm = transitions[-1].alarm
            if alarm.state in (AlarmState.PENDING, AlarmState.FIRING):
                self._keep(alarm)
            else:
                self._drop(alarm)
                self._remember_fires(alarm)
        return transitions

    def _remember_fires(self, alarm: Alarm) -> None:
        if alarm.memory.get("fires"):
            self._fires[alarm.scope, alarm.rule_id] = alarm.memory["fires"]

    def _keep(self, alarm: Alarm) -> None:
        before = self._alarms.get(alarm.alarm_id)
        self._alarms[alarm.alarm_id] = alarm
        if before is None:
            self._of_scope[alarm.scope][alarm.rule_id] = alarm.alarm_id
            if alarm.unverified:
                self._unverified[_gateway(alarm)] += 1
        if alarm.wake_at_ms is not None and (before is None or before.wake_at_ms != alarm.wake_at_ms):
            heapq.heappush(self._timers, (alarm.wake_at_ms, alarm.alarm_id))
            self._sweep_timers()

    def _drop(self, alarm: Alarm) -> None:
        if self._alarms.pop(alarm.alarm_id, None) is None:
            return
        of_scope = self._of_scope[alarm.scope]
        del of_scope[alarm.rule_id]
        if not of_scope:
            del self._of_scope[alarm.scope]
        if alarm.unverified:
            gateway = _gateway(alarm)
            self._unverified[gateway] -= 1
            if not self._unverified[gateway]:
                del self._unverified[gateway]

    def _sweep_timers(self) -> None:
        if len(self._timers) <= 2 * len(self._alarms) + _SPARE_TIMERS:
            return
        waiting = ((alarm.wake_at_ms, alarm.alarm_id) for alarm in self._alarms.values())
        self._timers = [(wake_at_ms, alarm_id) for wake_at_ms, alarm_id in waiting if wake_at_ms is not None]
        heapq.heapify(self._timers)


def _by_kind(rules: Iterable[Rule]) -> dict[str, tuple[Rule, ...]]:
    by_kind: defaultdict[str, list[Rule]] = defaultdict(list)
    for rule in rules:
        by_kind[rule.kind].append(rule)
    return {kind: tuple(of_kind) for kind, of_kind in by_kind.items()}


def _goes_on(alarm: Alarm, rule: Rule) -> bool:
    is_kept = alarm.state is AlarmState.FIRING and (alarm.life_safety or alarm.latched)
    return alarm.rule_shape in {rule.shape, ""} or is_kept


def _under(rule: Rule, alarm: Alarm, now_ms: int) -> Transition:
    """``alarm`` under a new version of its rule."""
    alarm = replace(
        alarm, rule_version=rule.version, rule_shape=rule.shape, latched=rule.latched, revision=alarm.revision + 1
    )
    return Transition(rewake(alarm, rule.terms, now_ms), None)


def _refreshed(transition: Transition, rule: Rule, facts: Facts) -> Transition:
    """Evidence as it is at firing. The gateway stays the one it began with, which is whose limit it counts towards."""
    if transition.operation is not Operation.ALARM_FIRED:
        return transition
    evidence = {**facts.evidence(rule), "gateway": _gateway(transition.alarm)}
    return replace(transition, alarm=replace(transition.alarm, evidence=evidence))


def _gateway(alarm: Alarm) -> str:
    return str(alarm.evidence.get("gateway", ""))
