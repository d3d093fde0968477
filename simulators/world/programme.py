"""What happens when: scenarios at fixed distances, to be scored, or without end in the rhythm of a district. Pure."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

from gridwarden.errors import ConfigError
from gridwarden.model import Device
from simulators.world import chance, stage
from simulators.world.faults import Outage
from simulators.world.happenings import HAPPENINGS
from simulators.world.scenario import Happens, Scenario
from simulators.world.stage import Act, act, cast
from simulators.world.stream import Sent

LEAD_MS = 10 * 60_000
"""Ordinary life before the first scenario begins and after the last one ends."""
APART_MS = 4 * 60_000
"""From the start of one scenario to the next one's: they overlap, on devices of their own."""
ROUND_MS = 60 * 60_000
"""Within this each scenario happens once, in an order and at times that the seed decides."""
FIRST = "fire"
"""What the district begins with: smoke rises from the start on and reaches the alarm within the minute."""
_FIRST_BEFORE_MS = 45_000
_PRELUDE_MS = (27 * 60_000, 15 * 60_000)
"""So long before the start two things have happened already."""
_JITTER = (0.1, 0.7)
"""Where in its part of the round something begins: never two at once."""


@dataclass(frozen=True, slots=True)
class Programme:
    """Scenarios on one registry at one time, and the devices to which none of them happens."""

    acts: tuple[Act, ...]
    anyway: tuple[Act, ...]
    """What chance adds (:mod:`simulators.world.chance`)."""
    bystanders: tuple[Device, ...]
    devices: tuple[Device, ...]
    seed: int
    from_ms: int
    to_ms: int


def programme(
    scenarios: Iterable[Scenario], devices: Sequence[Device], seed: int, from_ms: int, *, lasts_ms: int = 0
) -> Programme:
    """Scenarios one after the other, overlapping, each on devices that no other one has; then ordinary life to ``lasts_ms``.

    Raises:
        ConfigError: the registry is too small for them.
    """
    free = list(devices)
    acts: list[Act] = []
    for number, scenario in enumerate(scenarios):
        acts.append(act(scenario, cast(scenario, free, seed), seed, from_ms + LEAD_MS + number * APART_MS))
        taken = frozenset(acts[-1].device_ids)
        free = [device for device in free if device.device_id not in taken]
    to_ms = max(max((act.to_ms for act in acts), default=from_ms) + LEAD_MS, from_ms + lasts_ms)
    # A wrong clock is wrong all the time, not only while something happens.
    acts = [replace(act, from_ms=from_ms, to_ms=to_ms) for act in acts]
    anyway = tuple(_apart(chance.acts(free, seed, from_ms), to_ms))
    return Programme(tuple(acts), anyway, tuple(free), tuple(devices), seed, from_ms, to_ms)


def perform(plan: Programme) -> Iterator[Sent]:
    """All of it as one stream."""
    acts = sorted((*plan.acts, *plan.anyway), key=_begins_ms)
    return stage.perform(acts, plan.devices, plan.seed, plan.from_ms, plan.to_ms)


def _apart(acts: Iterator[Act], to_ms: int) -> Iterator[Act]:
    """Those that are over by ``to_ms``; no device has two of them."""
    taken: set[str] = set()
    for one in itertools.takewhile(lambda one: one.from_ms < to_ms, acts):
        if one.to_ms <= to_ms and taken.isdisjoint(one.device_ids):
            taken.update(one.device_ids)
            yield one


def unfold(scenarios: Sequence[Scenario], devices: Sequence[Device], seed: int, start_ms: int) -> Iterator[Act]:
    """Without end, in the order in which they begin: what has happened already at ``start_ms``, and what comes.

    A fire breaks out at once; then each round has every scenario once, on devices that have no part in another one.
    A scenario for which there are not enough devices is left out.
    """
    rng = Random(f"{seed} rhythm")
    sources: tuple[Iterator[_Planned | Act], ...] = (
        _rounds(scenarios, rng, start_ms), chance.acts(devices, seed, start_ms)
    )  # fmt: skip
    busy: list[tuple[int, list[str]]] = []
    taken: set[str] = set()
    for planned in heapq.merge(*sources, key=_begins_ms):
        while busy and busy[0][0] <= _begins_ms(planned):
            taken.difference_update(heapq.heappop(busy)[1])
        one = planned if isinstance(planned, Act) else _cast(planned, devices, taken)
        if one is not None and taken.isdisjoint(one.device_ids):
            taken.update(one.device_ids)
            heapq.heappush(busy, (one.to_ms, one.device_ids))
            yield one


@dataclass(frozen=True, slots=True)
class _Planned:
    scenario: Scenario
    from_ms: int
    seed: int


def _begins_ms(planned: _Planned | Act) -> int:
    return planned.from_ms


def _rounds(scenarios: Sequence[Scenario], rng: Random, start_ms: int) -> Iterator[_Planned]:
    first = [one for one in scenarios if one.id == FIRST]
    others = [one for one in scenarios if one.id != FIRST]
    seen = [one for one in others if _is_seen(one)]
    for one, before_ms in zip(rng.sample(seen, min(len(seen), len(_PRELUDE_MS))), _PRELUDE_MS, strict=False):
        yield _planned(one, start_ms - before_ms, rng)
    for one in first:
        yield _planned(one, start_ms - _FIRST_BEFORE_MS, rng)
    round_ms, left = start_ms, others
    while scenarios:
        part_ms = ROUND_MS // max(1, len(left))
        for number, one in enumerate(rng.sample(left, len(left))):
            yield _planned(one, round_ms + round((number + rng.uniform(*_JITTER)) * part_ms), rng)
        round_ms, left = round_ms + ROUND_MS, list(scenarios)


def _is_seen(scenario: Scenario) -> bool:
    """Whether an alarm tells of it."""
    parts = [
        part
        for happens in scenario.happenings
        for part in HAPPENINGS[happens.what](
            Random(0), [Device("", scenario.cast[happens.to].kind)], 0, **happens.options
        )
    ]
    return any(truth.must == "found" for part in parts for truth in part.truths)


def _planned(scenario: Scenario, begins_ms: int, rng: Random) -> _Planned:
    """So that the first thing begins to happen then."""
    times_ms = [one.at for one in (*scenario.happenings, *scenario.faults) if isinstance(one, Happens | Outage)]
    lead_ms = min(times_ms, default=0)
    return _Planned(scenario, begins_ms - lead_ms, rng.getrandbits(32))


def _cast(planned: _Planned, devices: Sequence[Device], taken: set[str]) -> Act | None:
    free = [device for device in devices if device.device_id not in taken]
    try:
        return act(planned.scenario, cast(planned.scenario, free, planned.seed), planned.seed, planned.from_ms)
    except ConfigError:
        return None
