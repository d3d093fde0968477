"""One numeric field summed up per step, value by value; in memory lies one sum a step, never the values. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from gridwarden.history import Buckets
from gridwarden.history.points import NS_PER_MS


@dataclass(frozen=True, slots=True)
class Sum:
    """A numeric field of a device, of one kind, over one step."""

    kind: str
    step_at_ms: int
    min: float
    max: float
    sum: float
    count: int
    last: float
    last_ms: int
    tied: int = 0
    """Not 0: the millisecond of the last value may have several, and ``last`` is any of them."""


@dataclass(slots=True)
class _Step:
    low: float
    high: float
    total: float = 0.0
    count: int = 0
    last_ms: int = -1
    last: dict[tuple[str, int], float] = field(default_factory=dict)
    """The values of the last millisecond: nearly always one."""
    unsure: bool = False
    """Whether ``last`` may lack values of its millisecond."""


class Steps:
    """Take values in any order, then tell the buckets."""

    def __init__(self, step_ms: int) -> None:
        self._step_ms = step_ms
        self._steps: dict[int, _Step] = {}

    def add(self, spot: tuple[str, int], value: float) -> None:
        """Count ``value``, which stands at ``spot`` (kind, nanoseconds)."""
        at_ms = spot[1] // NS_PER_MS
        step = self._steps.setdefault(at_ms // self._step_ms * self._step_ms, _Step(value, value))
        step.low = min(step.low, value)
        step.high = max(step.high, value)
        step.total += value
        step.count += 1
        if at_ms > step.last_ms:
            step.last_ms, step.last, step.unsure = at_ms, {}, False
        if at_ms == step.last_ms:
            step.last[spot] = value

    def add_sum(self, one: Sum) -> None:
        """Count all values of a sum. No value of its times may be counted otherwise, but those of another kind."""
        step = self._steps.setdefault(one.step_at_ms, _Step(one.min, one.max))
        step.low = min(step.low, one.min)
        step.high = max(step.high, one.max)
        step.total += one.sum
        step.count += one.count
        if one.last_ms > step.last_ms:
            step.last_ms, step.last, step.unsure = one.last_ms, {}, one.tied > 0
        elif one.last_ms == step.last_ms:
            step.unsure = True
        if one.last_ms == step.last_ms:
            step.last[one.kind, one.last_ms * NS_PER_MS] = one.last

    def unsure_ms(self) -> list[int]:
        """The milliseconds of which :meth:`settle` must be told all values."""
        return [step.last_ms for step in self._steps.values() if step.unsure]

    def settle(self, at_ms: int, values: Mapping[tuple[str, int], float]) -> None:
        """Take ``values`` for all that there are in the millisecond ``at_ms``."""
        step = self._steps[at_ms // self._step_ms * self._step_ms]
        step.last, step.unsure = dict(values) or step.last, False

    def buckets(
        self, ranks_of: Callable[[Sequence[tuple[str, int]]], dict[tuple[str, int], tuple[int, int]]]
    ) -> Buckets:
        """The buckets; ``ranks_of`` tells the order of points that share the last millisecond of a step."""
        ranks = ranks_of([spot for step in self._steps.values() if len(step.last) > 1 for spot in step.last])
        times = sorted(self._steps)
        steps = [self._steps[at_ms] for at_ms in times]
        last = [step.last[max(step.last, key=lambda spot: ranks.get(spot, (0, 0)))] for step in steps]
        return Buckets(
            self._step_ms, times, [s.low for s in steps], [s.high for s in steps],
            [s.total / s.count for s in steps], last, [s.count for s in steps],
        )  # fmt: skip
