"""The alarms of absence: begun, over, retired. Pure.

They have no pending state of their own: until its limit is over a gap is nothing but a time that somebody was last
heard, which the device windows keep anyway. So a hundred thousand quiet devices are no rows in the records.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from hashlib import blake2b

from gridwarden.clock import rfc3339
from gridwarden.model import Alarm, AlarmState, Operation
from rules.absence import Absence
from rules.alarm import Transition, retire


@dataclass(frozen=True, slots=True)
class Gap:
    """Somebody's, as one rule sees it."""

    rule: Absence
    scope: str
    name: str
    """The device, gateway or broker."""
    since_ms: int
    """When it was last heard; of one never heard: since when it has been registered."""
    limit_ms: int
    area: str = ""
    gateway: str = ""

    def alarm(self, due_ms: int) -> Alarm:
        """Its alarm, which fires with the time at which the limit was over."""
        rule = self.rule
        key = f"{rule.id}|{self.scope}|{self.since_ms}"
        values = {"heard_at": rfc3339(self.since_ms), "limit_s": self.limit_ms // 1000}
        return Alarm(
            alarm_id=blake2b(key.encode(), digest_size=10).hexdigest(),
            rule_id=rule.id,
            rule_version=rule.version,
            scope=self.scope,
            device_id=self.name,
            kind=rule.kind,
            area=self.area,
            severity=rule.severity,
            state=AlarmState.FIRING,
            pending_at_ms=self.since_ms,
            fired_at_ms=due_ms,
            evidence={"values": values, "gateway": self.gateway},
            memory={"limit_ms": self.limit_ms},
            rule_shape=rule.shape,
            shadow=rule.shadow,
        )


class Gaps:
    """The firing alarms of absence by scope and rule, and what has become of them since it was last asked."""

    def __init__(self) -> None:
        self.by_scope: dict[str, dict[str, Alarm]] = {}
        """Scope to rule id to alarm; no scope is there without one."""
        self._news: list[Transition] = []

    def __iter__(self) -> Iterator[Alarm]:
        return iter([alarm for of_scope in self.by_scope.values() for alarm in of_scope.values()])

    @property
    def waiting(self) -> int:
        """How many transitions are there to be taken."""
        return len(self._news)

    def take(self) -> list[Transition]:
        """What has changed since the last time."""
        news, self._news = self._news, []
        return news

    def of(self, rule: Absence, scope: str) -> Alarm | None:
        """The firing alarm of this rule and scope."""
        return self.by_scope.get(scope, {}).get(rule.id)

    def keep(self, alarm: Alarm) -> None:
        """Go on with ``alarm`` as it is."""
        self.by_scope.setdefault(alarm.scope, {})[alarm.rule_id] = alarm

    def begin(self, gap: Gap, due_ms: int) -> None:
        """The limit was over at ``due_ms``."""
        alarm = gap.alarm(due_ms)
        self.keep(alarm)
        self._news.append(Transition(alarm, Operation.ALARM_FIRED))

    def end(self, rule: Absence, scope: str, at_ms: int) -> None:
        """Something was heard at ``at_ms``; nothing where no alarm fires."""
        alarm = self.of(rule, scope)
        if alarm is None:
            return
        self._drop(alarm)
        at_ms = max(at_ms, alarm.fired_at_ms or 0)  # the clock may have been set back
        over = replace(
            alarm, state=AlarmState.RESOLVED, cleared_at_ms=at_ms, resolved_at_ms=at_ms, revision=alarm.revision + 1
        )
        self._news.append(Transition(over, Operation.ALARM_RESOLVED))

    def span(self, gap: Gap, due_ms: int, at_ms: int) -> bool:
        """Something was heard at ``at_ms``, at the end of ``gap``; whether that had an alarm, now or before."""
        if self.of(gap.rule, gap.scope) is None:
            if due_ms >= at_ms:
                return False
            self.begin(gap, due_ms)
        self.end(gap.rule, gap.scope, at_ms)
        return True

    def retire(self, alarm: Alarm, at_ms: int, reason: str) -> None:
        """``alarm`` ends because of ``reason``, not because anything was heard."""
        self._drop(alarm)
        self._news.append(retire(alarm, max(at_ms, alarm.fired_at_ms or 0), reason))

    def go_on_under(self, rule: Absence, alarm: Alarm, limit_ms: int) -> Alarm:
        """``alarm`` under a new version of its rule, or with another limit."""
        changed = replace(
            alarm, rule_version=rule.version, rule_shape=rule.shape, memory={"limit_ms": limit_ms},
            revision=alarm.revision + 1,
        )  # fmt: skip
        self.keep(changed)
        self._news.append(Transition(changed, None))
        return changed

    def replace(self, alarm: Alarm) -> None:
        """Somebody else has changed this alarm: its event, who has seen it."""
        known = self.by_scope.get(alarm.scope, {}).get(alarm.rule_id)
        if known is not None and known.alarm_id == alarm.alarm_id:
            self.keep(alarm)

    def of_places(self, prefix: str, others_than: Collection[str] = ()) -> list[Alarm]:
        """Those whose scope begins so, without those of some scopes."""
        return [alarm for alarm in self if alarm.scope.startswith(prefix) and alarm.scope not in others_than]

    def _drop(self, alarm: Alarm) -> None:
        of_scope = self.by_scope[alarm.scope]
        del of_scope[alarm.rule_id]
        if not of_scope:
            del self.by_scope[alarm.scope]
