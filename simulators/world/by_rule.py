"""How well each rule tells of what truly happens. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from simulators.world.truth import LIFE_SAFETY, Fired, Truth


@dataclass
class RuleScore:
    """One rule over any number of runs."""

    rule_id: str
    device_days: float
    """Of the devices that it looks at."""
    expected: int = 0
    """What it is to find, it or another one that will do as well; counted at the first rule that is named for it."""
    found: int = 0
    alarms: int = 0
    """Times it fired."""
    false: int = 0
    """Alarms of it that tell of nothing that happened."""
    delays_s: list[float] = field(default_factory=list)
    """From when something began until this rule's first alarm of it, the rule's hold included."""

    @property
    def missed(self) -> int:
        """What it was to find and nobody found."""
        return self.expected - self.found

    @property
    def life_safety(self) -> bool:
        """Whether it tells of a fire or an entrapment."""
        return self.rule_id in LIFE_SAFETY

    def add(self, other: RuleScore) -> None:
        """Add another run into this one."""
        self.device_days += other.device_days
        self.expected += other.expected
        self.found += other.found
        self.alarms += other.alarms
        self.false += other.false
        self.delays_s += other.delays_s

    def facts(self) -> dict[str, Any]:
        """As JSON; ``null`` where nothing can be said."""
        return {
            "rule": self.rule_id,
            "device_days": round(self.device_days, 1),
            "expected": self.expected,
            "found": self.found,
            "missed": self.missed,
            "recall": round(self.found / self.expected, 4) if self.expected else None,
            "alarms": self.alarms,
            "false": self.false,
            "precision": round(1 - self.false / self.alarms, 4) if self.alarms else None,
            "delay_p50_s": round(median(self.delays_s), 1) if self.delays_s else None,
            "delay_max_s": round(max(self.delays_s), 1) if self.delays_s else None,
            "false_per_1000_device_days": round(1000 * self.false / self.device_days, 3) if self.device_days else None,
        }


def score_rules(truths: Iterable[Truth], fired: Iterable[Fired], device_days: Mapping[str, float]) -> list[RuleScore]:
    """Hold the alarms of one run against what truly happened.

    Args:
        truths: all of them, on whatever device.
        fired: all alarms; those of rules that are not among ``device_days`` are not judged.
        device_days: the rules to be judged, and for how long how many devices gave each something to look at.
    """
    scores = {rule_id: RuleScore(rule_id, days) for rule_id, days in device_days.items()}
    alarms: defaultdict[str, list[Fired]] = defaultdict(list)
    for one in fired:
        alarms[one.device_id].append(one)
    of_device: defaultdict[str, list[Truth]] = defaultdict(list)
    for truth in truths:
        _find(scores, truth, [one for device_id in truth.device_ids for one in alarms[device_id] if truth.covers(one)])
        for device_id in truth.device_ids:
            of_device[device_id].append(truth)
    for told in alarms.values():
        for one in told:
            score = scores.get(one.rule_id)
            if score is not None:
                score.alarms += 1
                score.false += not _is_true(one, of_device)
    return list(scores.values())


def _find(scores: Mapping[str, RuleScore], truth: Truth, telling: list[Fired]) -> None:
    """Who was to find it, whether anybody did, and how soon each rule that did."""
    if truth.must != "found":
        return
    first = scores.get(truth.rule_ids[0])
    if first is not None:
        first.expected += 1
        first.found += bool(telling)
    for rule_id in {one.rule_id for one in telling} & scores.keys():
        began_ms = min(one.fired_at_ms for one in telling if one.rule_id == rule_id)
        scores[rule_id].delays_s.append((began_ms - truth.from_ms) / 1000)


def _is_true(fired: Fired, of_device: Mapping[str, list[Truth]]) -> bool:
    """Whether it tells of something that happened; of a group: whether every one of its members does."""
    members = fired.members or (fired,)
    return all(one.is_true(of_device.get(one.device_id, ())) for one in members)


def add_up(sums: dict[str, RuleScore], scores: Iterable[RuleScore]) -> None:
    """Add the scores of a run to those of others."""
    for score in scores:
        if score.rule_id in sums:
            sums[score.rule_id].add(score)
        else:
            sums[score.rule_id] = score
