"""Who is heard, who is silent, and since when: what the rules of :mod:`rules.absence` are judged by. Pure.

Silent is who leaves a gap between two readings, or since the last one, that is longer than its limit of watched time
(:mod:`rules.blind`). Its alarm fires with the time at which the limit was over, whoever notices first: the reading that
ends the span, or a look at the clock. So it does not matter how readings, looks and restarts follow each other.

What is known only once everything received before some time has been judged waits for that time (``through_ms``).
A device behind a watched gateway is called silent only after its gateway has spoken without it: while nothing at all
comes from there, it is the gateway's absence, and that time does not count as the device's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any

from gridwarden.model import Alarm, Device, Reading
from rules import blind
from rules.absence import Absence, Of
from rules.alarm import Transition
from rules.gaps import Gap, Gaps
from rules.ourselves import Ourselves
from rules.roster import NEVER, HeardAt, Plan, load_unseen
from rules.rule import RuleSet

LOOKED_AT = 1_000
"""Whom to look at in one step, at most: about 5 ms."""
SPOKEN = 200
"""Whose word to take notice of in one step, at most, after a time in which they were not heard: about 10 ms. After a long
outage they all come back at once, and an alarm must not wait for thousands of them."""
BEGUN = 100
"""From so many changes on the others follow in the next step."""
SOON_MS, LATER_MS = 5_000, 300_000
"""A silent device whose gateway has not spoken since is looked at again after the first, then ever more rarely."""


class Listener:
    """Judges gap. Not safe for two threads at once.

    Args:
        rules: the rules in force; those about absence that are enabled count.
        heard_at_ms: when a registered device was last heard on our own clock.
        replaying: the clock is that of the input.
    """

    def __init__(self, rules: RuleSet, heard_at_ms: HeardAt, *, replaying: bool = False) -> None:
        self._heard_at_ms = heard_at_ms
        self.gaps = Gaps()
        self.ourselves = Ourselves(self.gaps, replaying=replaying)
        self._gateways_heard: dict[str, int] = {}
        self._silent_gateways: set[str] = set()
        self._device_notes: dict[str, list[int]] = {}
        """Devices heard in a way that may end a gap: when they were heard before, and then."""
        self._gateway_notes: dict[str, list[int]] = {}
        self._shortest_ms = 2**62
        """The shortest limit of anybody; see :class:`rules.roster.Plan`."""
        self._is_anybody_silent = False
        self._through_ms = 0
        self._left = LOOKED_AT
        self._plan = Plan({}, (), {})
        self._next: Plan | None = None
        self._steps: Iterator[None] | None = None
        self._plan_is_news = False
        self.busy = False
        """Whether there is more to look at at once."""
        self.use(rules)

    def use(self, rules: RuleSet) -> None:
        """Go on with these rules; what becomes of their alarms follows with the next looks."""
        self._all = {rule.id: rule for rule in rules.of(Absence)}
        self._rules = {rule.id: rule for rule in self._all.values() if rule.enabled}
        self._of = {of: tuple(rule for rule in self._rules.values() if rule.of is of) for of in Of}
        self._gateways_count = any(not rule.shadow for rule in self._of[Of.GATEWAY])
        self.ourselves.rules = self._of[Of.BROKER]
        self._is_planned = False

    def owns(self, alarm: Alarm) -> bool:
        """Whether ``alarm`` is one of gap."""
        return alarm.rule_id in self._all

    def restore(self, alarms: Iterable[Alarm], state: Mapping[str, Any]) -> None:
        """Go on with the firing alarms of the records and with what :meth:`news` has said of each name last."""
        self.ourselves.restore(state)
        self._plan.unseen = load_unseen(state.get("unseen", ()))
        self._is_anybody_silent = True  # until it is settled
        for alarm in alarms:
            self.gaps.keep(alarm)
            if alarm.scope.startswith(blind.gateway("")):
                self._silent_gateways.add(alarm.device_id)

    def news(self, now_ms: int, every_ms: int = 0) -> dict[str, Any]:
        """What the records must know to go on after a restart, by name, as plain values; not more often than asked."""
        news = self.ourselves.news(now_ms, every_ms)
        if news and self._plan_is_news:
            self._plan_is_news = False
            news["unseen"] = self._plan.dump_unseen()
        return news

    def heard(self, reading: Reading, before_ms: int) -> None:
        """A reading was stored whose scope had last been heard at ``before_ms``.

        Late ones count as well: whoever sends them lives. Repeats do not come here: they may be the broker's doing.
        """
        at_ms, gateway = reading.received_at_ms, reading.gateway
        last_ms = self._gateways_heard.get(gateway, NEVER)
        if at_ms > last_ms:
            self._gateways_heard[gateway] = at_ms
        long_ago_ms = at_ms - self._shortest_ms
        if before_ms < long_ago_ms or last_ms < long_ago_ms or self._is_anybody_silent:
            self._note(reading, before_ms, last_ms, long_ago_ms)

    def _note(self, reading: Reading, before_ms: int, gateway_before_ms: int, long_ago_ms: int) -> None:
        """Who may have been silent until this reading is looked at once everything before it has been judged."""
        at_ms, gateway, device = reading.received_at_ms, reading.gateway, reading.device_id
        if gateway_before_ms < long_ago_ms or gateway in self._gateway_notes or gateway in self._silent_gateways:
            self._gateway_notes.setdefault(gateway, [gateway_before_ms]).append(at_ms)
            self._is_anybody_silent = True
        noted = before_ms < long_ago_ms or device in self._device_notes or device in self.gaps.by_scope
        if noted and reading.verified:
            self._device_notes.setdefault(device, [before_ms]).append(at_ms)
            self._is_anybody_silent = True

    def look(
        self, now_ms: int, through_ms: int, devices: Mapping[str, Device], connected: Mapping[str, bool]
    ) -> list[Transition]:
        """Take notice of the clock, the sessions and the registry, and judge.

        Args:
            now_ms: our own clock.
            through_ms: all that was received before this has been judged.
            devices: the registry; another object when it has changed.
            connected: by broker, whether all its sessions are.
        """
        self._through_ms = through_ms
        self.ourselves.look(now_ms, through_ms, connected)
        self._make_plan(devices, now_ms)
        return self.settle(through_ms)

    def settle(self, through_ms: int) -> list[Transition]:
        """What absences began or ended, as far as everything received before ``through_ms`` has been judged."""
        self._through_ms = through_ms = min(through_ms, self.ourselves.known_until_ms)
        self._left = LOOKED_AT
        self.busy = self._steps is not None
        for name in _settled(self._gateway_notes, through_ms):
            self._gateway_spoke(name, _spans(self._gateway_notes.pop(name)))
        for rule in self._of[Of.GATEWAY]:
            self._look_at_each(rule)
        spoke = _settled(self._device_notes, through_ms)
        for name in spoke[:SPOKEN]:
            self._device_spoke(name, _spans(self._device_notes.pop(name)))
        self.busy |= len(spoke) > SPOKEN
        for rule in (*self._of[Of.DEVICE], *self._of[Of.NEVER_SEEN]):
            self._look_at_each(rule)
        self._is_anybody_silent = bool(
            self._device_notes or self._gateway_notes or self._silent_gateways or self.gaps.by_scope
        )
        return self.gaps.take()

    def _look_at_each(self, rule: Absence) -> None:
        """Whose time has come, a bounded number of them."""
        wheel = self._plan.wheels.get(rule.id)
        look = self._look_at_gateway if rule.of is Of.GATEWAY else self._look_at_device
        while self._left and self.gaps.waiting < BEGUN:
            names = wheel.take(self._through_ms, min(self._left, BEGUN)) if wheel is not None else ()
            if not names:
                return
            self._left -= len(names)
            for name in names:
                look(rule, name)
        self.busy = True

    def _arm(self, rule: Absence, name: str, at_ms: int) -> None:
        """Look at somebody again; the plan in the making may have gone past it already."""
        for plan in (self._plan, self._next):
            if plan is not None:
                plan.arm(rule, name, at_ms)

    # --- devices ------------------------------------------------------------------------------------------------

    def _look_at_device(self, rule: Absence, name: str) -> None:
        device = self._plan.devices.get(name)
        heard_ms = self._heard_at_ms(name)
        if device is None or (heard_ms == NEVER) != (rule.of is Of.NEVER_SEEN) or self.gaps.of(rule, name):
            return
        since_ms = self._plan.unseen.get(name, self._through_ms) if heard_ms == NEVER else heard_ms
        gap = _of_device(rule, device, since_ms)
        if gap is None:
            return
        due_ms = self._device_due_ms(gap, self._through_ms)
        again_ms = due_ms if due_ms >= self._through_ms else self._unless_gateway_spoke_ms(gap, due_ms)
        if again_ms is None:
            self.gaps.begin(gap, due_ms)
        else:
            self._arm(rule, name, again_ms)

    def _unless_gateway_spoke_ms(self, gap: Gap, due_ms: int) -> int | None:
        """When to look again, because the gateway has not spoken after ``due_ms`` either; ``None``: it has."""
        heard_ms = self._gateways_heard.get(gap.gateway, NEVER)
        is_watched = self._gateways_count and gap.gateway in self._plan.gateways
        if not is_watched or heard_ms == NEVER or heard_ms >= due_ms:
            return None
        return self._through_ms + min(LATER_MS, max(SOON_MS, self._through_ms - due_ms))

    def _device_spoke(self, name: str, spans: list[tuple[int, int]]) -> None:
        """The spans between the times at which a device was heard, in order."""
        device = self._plan.devices.get(name)
        for rule in self._plan.rules_of(device) if device else ():
            was_silent = self.gaps.of(rule, name) is not None
            for before_ms, at_ms in spans:
                is_first = before_ms == NEVER
                since_ms = self._plan.unseen.get(name, at_ms) if is_first else before_ms
                gap = _of_device(rule, device, since_ms) if device else None
                if gap and (is_first == (rule.of is Of.NEVER_SEEN) or self.gaps.of(rule, name)):
                    self.gaps.span(gap, self._device_due_ms(gap, at_ms), at_ms)
            if rule.of is Of.DEVICE and (was_silent or spans[0][0] == NEVER):
                self._arm(rule, name, spans[-1][1])  # a first look, which finds out when the next one is
        for plan in (self._plan, self._next):
            if plan is not None:
                plan.unseen.pop(name, None)

    def _device_due_ms(self, gap: Gap, at_ms: int) -> int:
        places = (*self.ourselves.places(gap.gateway), blind.gateway(gap.gateway))
        return self.ourselves.blindness.due_ms(gap.since_ms, gap.limit_ms, places, at_ms)

    # --- gateways -----------------------------------------------------------------------------------------------

    def _look_at_gateway(self, rule: Absence, name: str) -> None:
        gap = self._of_gateway(rule, name, self._gateways_heard.get(name, NEVER))
        if gap is None or self.gaps.of(rule, gap.scope):
            return
        due_ms = self._gateway_due_ms(gap, self._through_ms)
        if due_ms >= self._through_ms:
            self._arm(rule, name, due_ms)
            return
        self.gaps.begin(gap, due_ms)
        self._silent_gateways.add(name)

    def _gateway_spoke(self, name: str, spans: list[tuple[int, int]]) -> None:
        """The spans between the times at which a gateway was heard, in order."""
        self._silent_gateways.discard(name)
        for rule in self._of[Of.GATEWAY]:
            was_silent = self.gaps.of(rule, blind.gateway(name)) is not None
            for before_ms, at_ms in spans:
                gap = self._of_gateway(rule, name, before_ms)
                if gap is None:
                    continue
                if self.gaps.span(gap, self._gateway_due_ms(gap, at_ms), at_ms) and not rule.shadow:
                    self.ourselves.blindness.add(gap.scope, before_ms, at_ms)
            if was_silent or spans[0][0] == NEVER:
                self._arm(rule, name, spans[-1][1])

    def _of_gateway(self, rule: Absence, name: str, since_ms: int) -> Gap | None:
        """Its gap; ``None`` where it is not watched or was never heard."""
        gateway = self._plan.gateways.get(name)
        limit_ms = rule.after.limit_ms(gateway.interval_ms) if gateway else None
        if gateway is None or limit_ms is None or since_ms == NEVER:
            return None
        return Gap(rule, blind.gateway(name), name, since_ms, limit_ms, gateway.area, name)

    def _gateway_due_ms(self, gap: Gap, at_ms: int) -> int:
        places = self.ourselves.places(gap.name)
        return self.ourselves.blindness.due_ms(gap.since_ms, gap.limit_ms, places, at_ms)

    # --- the plan -----------------------------------------------------------------------------------------------

    def _make_plan(self, devices: Mapping[str, Device], now_ms: int) -> None:
        """A step towards the plan for this registry. The first one is made at once; later ones hold nobody up."""
        newest = self._next or self._plan
        is_first = newest is self._plan and not newest.wheels
        if not self._is_planned or newest.devices is not devices:
            self._is_planned = True
            self._next = Plan(devices, self._rules.values(), self._plan.unseen)
            self._steps = self._next.steps(self._heard_at_ms, self._is_active, now_ms)
        if self._next is None or self._steps is None:
            return
        for _ in self._steps:
            if not is_first:
                return
        self._take_over(self._next, now_ms)

    def _is_active(self, rule: Absence, scope: str) -> bool:
        return self.gaps.of(rule, scope) is not None

    def _take_over(self, plan: Plan, now_ms: int) -> None:
        self._plan, self._next, self._steps = plan, None, None
        self._shortest_ms = plan.shortest_ms
        self._plan_is_news = True
        for name, gateway in plan.gateways.items():
            self._gateways_heard[name] = max(self._gateways_heard.get(name, NEVER), gateway.heard_at_ms)
            for rule in self._of[Of.GATEWAY]:
                self._arm(rule, name, self._gateways_heard[name])
        for alarm in self.gaps:
            if not alarm.scope.startswith(blind.broker("")):
                self._check(alarm, now_ms)

    def _check(self, alarm: Alarm, now_ms: int) -> None:
        """An alarm under a new registry or other rules, or after a restart that has lost its end."""
        rule = self._rules.get(alarm.rule_id)
        if rule is None or alarm.rule_shape != rule.shape:
            self._retire(alarm, now_ms, "rule_changed" if rule else "rule_gone")
            return
        name, since_ms = alarm.device_id, alarm.pending_at_ms
        device = self._plan.devices.get(name)
        if rule.of is Of.GATEWAY:
            gap = self._of_gateway(rule, name, since_ms)
            heard_ms, notes, due = self._gateways_heard.get(name, NEVER), self._gateway_notes, self._gateway_due_ms
        else:
            gap = _of_device(rule, device, since_ms) if device else None
            heard_ms, notes, due = self._heard_at_ms(name), self._device_notes, self._device_due_ms
        if gap is None:
            self._retire(alarm, now_ms, f"{rule.of}_gone")
        elif heard_ms > since_ms:
            notes.setdefault(name, [NEVER if rule.of is Of.NEVER_SEEN else since_ms]).append(heard_ms)
        elif gap.limit_ms > alarm.memory["limit_ms"] and due(gap, now_ms) >= now_ms:
            self._retire(alarm, now_ms, "limit_changed")
            self._arm(rule, name, now_ms)
        elif rule.version != alarm.rule_version or gap.limit_ms != alarm.memory["limit_ms"]:
            self.gaps.go_on_under(rule, alarm, gap.limit_ms)

    def _retire(self, alarm: Alarm, now_ms: int, reason: str) -> None:
        self.gaps.retire(alarm, now_ms, reason)
        if alarm.scope.startswith(blind.gateway("")):
            self._silent_gateways.discard(alarm.device_id)
            self.ourselves.blindness.add(alarm.scope, alarm.pending_at_ms, now_ms)


def _of_device(rule: Absence, device: Device, since_ms: int) -> Gap | None:
    """Its gap; ``None`` where the rule is not about it."""
    limit_ms = rule.limit_of_ms(device) if device.kind == rule.kind else None
    if limit_ms is None:
        return None
    return Gap(rule, device.device_id, device.device_id, since_ms, limit_ms, device.area, device.gateway or "")


def _settled(notes: Mapping[str, list[int]], through_ms: int) -> list[str]:
    """Whose notes nothing can be added to any more."""
    return [name for name, times in notes.items() if max(times[1:]) <= through_ms] if notes else []


def _spans(times: list[int]) -> list[tuple[int, int]]:
    """From each time to the next. Where none is later than the first, the clock was set back: the last one as it is."""
    later = sorted(at_ms for at_ms in times[1:] if at_ms > times[0])
    return list(pairwise([times[0], *(later or times[-1:])]))
