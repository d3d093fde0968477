"""Episodes: what an alarm was from its beginning to its end, without the times between; their sums and differences. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from gridwarden.model import Alarm, AlarmState, Severity
from rules.alarm import Transition


@dataclass(frozen=True, slots=True, order=True)
class Episode:
    """An alarm that fired."""

    fired_at_ms: int
    rule_id: str
    scope: str
    pending_at_ms: int
    cleared_at_ms: int | None
    """When it was over; a latched one waits for a person after that."""
    resolved_at_ms: int | None
    severity: Severity
    flapping: bool = False

    def ended_at_ms(self, now_ms: int) -> int:
        """When it was over; ``now_ms`` while it is not."""
        return now_ms if self.cleared_at_ms is None else self.cleared_at_ms


class Collector:
    """Makes episodes of transitions; of each alarm the last state is kept, not the way there."""

    def __init__(self) -> None:
        self._open: dict[str, Alarm] = {}
        self._closed: list[Episode] = []
        self.forgotten = 0
        """Alarms that were pending and never fired."""

    def hear(self, _now_ms: int, transition: Transition) -> None:
        """Take in one transition; those of one alarm come in their order."""
        alarm = transition.alarm
        if transition.forgotten:
            self.forgotten += 1
        elif alarm.state is AlarmState.RESOLVED:
            self._open.pop(alarm.alarm_id, None)
            self._closed.append(_episode(alarm))
        elif alarm.state is AlarmState.FIRING:
            self._open[alarm.alarm_id] = alarm

    def episodes(self) -> list[Episode]:
        """Everything that fired, in order of time."""
        return sorted([*self._closed, *map(_episode, self._open.values())], key=_order)


class Timeline:
    """Keeps every transition, for what looks at the alarms of many devices: they come device by device."""

    def __init__(self) -> None:
        self._heard: list[tuple[int, Transition]] = []

    def hear(self, now_ms: int, transition: Transition) -> None:
        """Take in one transition; ``now_ms`` is our own time."""
        self._heard.append((now_ms, transition))

    def in_order(self) -> list[tuple[int, Transition]]:
        """All of them in order of time; those of one alarm and one time as they came."""
        return sorted(self._heard, key=lambda heard: heard[0])


def _episode(alarm: Alarm) -> Episode:
    fired_at_ms = alarm.pending_at_ms if alarm.fired_at_ms is None else alarm.fired_at_ms
    return Episode(
        fired_at_ms, alarm.rule_id, alarm.scope, alarm.pending_at_ms, alarm.cleared_at_ms, alarm.resolved_at_ms,
        alarm.severity, alarm.flapping,
    )  # fmt: skip


def _order(episode: Episode) -> tuple[int, str, str]:
    return episode.fired_at_ms, episode.rule_id, episode.scope


@dataclass(frozen=True, slots=True)
class RuleSum:
    """What a rule would have done."""

    rule_id: str
    episodes: int
    devices: int
    """Scopes that had one."""
    total_ms: int
    median_ms: int
    """Median duration until it was over; what is still open counts until the end."""
    delay_ms: int
    """Median time from the first reading in breach to the alarm: what its hold costs."""
    per_1000_device_days: float
    open_at_end: int


def sums(
    episodes: Iterable[Episode], rule_ids: Iterable[str], device_days: dict[str, float], end_ms: int
) -> list[RuleSum]:
    """One sum for each of ``rule_ids``, in their order.

    Args:
        episodes: in any order.
        rule_ids: every rule of the set, also those that were silent.
        device_days: by rule, devices of its kind times days.
        end_ms: when the back-test ended.
    """
    of_rule: dict[str, list[Episode]] = {rule_id: [] for rule_id in rule_ids}
    for episode in episodes:
        of_rule.setdefault(episode.rule_id, []).append(episode)
    return [_sum(rule_id, mine, device_days.get(rule_id, 0.0), end_ms) for rule_id, mine in of_rule.items()]


def _sum(rule_id: str, episodes: Sequence[Episode], device_days: float, end_ms: int) -> RuleSum:
    durations = [episode.ended_at_ms(end_ms) - episode.fired_at_ms for episode in episodes]
    delays = [episode.fired_at_ms - episode.pending_at_ms for episode in episodes]
    return RuleSum(
        rule_id,
        episodes=len(episodes),
        devices=len({episode.scope for episode in episodes}),
        total_ms=sum(durations),
        median_ms=round(median(durations)) if durations else 0,
        delay_ms=round(median(delays)) if delays else 0,
        per_1000_device_days=round(1000 * len(episodes) / device_days, 3) if device_days else 0.0,
        open_at_end=sum(episode.cleared_at_ms is None for episode in episodes),
    )


@dataclass(frozen=True, slots=True)
class Difference:
    """What one rule set says that another does not, rule by rule of the same id."""

    same: int
    changed: tuple[tuple[Episode, Episode], ...]
    """Of the same rule and scope, overlapping, with other times: here, there."""
    added: tuple[Episode, ...]
    gone: tuple[Episode, ...]


def difference(here: Iterable[Episode], there: Iterable[Episode], end_ms: int) -> Difference:
    """Which of the episodes ``here`` are not ``there``, and the other way round."""
    left = _by_scope(here)
    right = _by_scope(there)
    same, changed, added, gone = 0, [], [], []
    for scope in sorted({*left, *right}):
        mine, theirs = left.get(scope, []), right.get(scope, [])
        for one in mine:
            other = next((other for other in theirs if _overlap(one, other, end_ms)), None)
            if other is None:
                added.append(one)
                continue
            theirs.remove(other)
            if one == other:
                same += 1
            else:
                changed.append((one, other))
        gone += theirs
    return Difference(
        same, tuple(sorted(changed, key=lambda pair: _order(pair[0]))), tuple(sorted(added, key=_order)),
        tuple(sorted(gone, key=_order)),
    )  # fmt: skip


def _by_scope(episodes: Iterable[Episode]) -> dict[tuple[str, str], list[Episode]]:
    found: dict[tuple[str, str], list[Episode]] = {}
    for episode in sorted(episodes, key=_order):
        found.setdefault((episode.rule_id, episode.scope), []).append(episode)
    return found


def _overlap(one: Episode, other: Episode, end_ms: int) -> bool:
    return one.pending_at_ms <= other.ended_at_ms(end_ms) and other.pending_at_ms <= one.ended_at_ms(end_ms)
