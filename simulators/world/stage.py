"""Casts scenarios from a registry and plays them: the stream of readings, and beside it what is true. Pure.

The same scenarios, devices, seed and start give the same stream and the same truth.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

from gridwarden.errors import ConfigError
from gridwarden.model import Device
from simulators.behaviour import Player
from simulators.world import ordinary
from simulators.world.faults import Fault, Loss
from simulators.world.happenings import HAPPENINGS, Part
from simulators.world.scenario import Role, Scenario
from simulators.world.stream import Merging, Sent, by_lane
from simulators.world.truth import Truth

QUIET_MS = 60_000
"""Nothing ordinary is said from so long before something happens to a device."""
AHEAD_MS = 5 * 60_000
"""So long before an act begins its cast is known: longer than a lift's longest trip."""

Cast = dict[str, tuple[Device, ...]]


@dataclass(frozen=True, slots=True)
class Act:
    """A scenario with its cast and its time."""

    scenario: Scenario
    players: Cast
    seed: int
    start_ms: int
    """Where the times of the scenario count from."""
    from_ms: int
    to_ms: int
    """From when to when its faults hold and its cast has no part in anything else."""

    @property
    def device_ids(self) -> list[str]:
        """Its cast."""
        return [device.device_id for role in self.players.values() for device in role]


def act(scenario: Scenario, players: Cast, seed: int, start_ms: int) -> Act:
    """A scenario for as long as it lasts."""
    return Act(scenario, players, seed, start_ms, start_ms, start_ms + scenario.lasts)


def cast(scenario: Scenario, devices: Sequence[Device], seed: int) -> Cast:
    """Who plays what; no device has two roles.

    Raises:
        ConfigError: there are not enough such devices.
    """
    rng = Random(f"{seed} {scenario.id} cast")
    taken: set[str] = set()
    found: Cast = {}
    for name, role in scenario.cast.items():
        free = [device for device in devices if device.kind == role.kind and device.device_id not in taken]
        found[name] = _draw(rng, role, free, f"{scenario.id}: {name}")
        taken |= {device.device_id for device in found[name]}
    return found


def _draw(rng: Random, role: Role, free: Sequence[Device], place: str) -> tuple[Device, ...]:
    groups: dict[str, list[Device]] = defaultdict(list)
    for device in free:
        code = str(getattr(device, role.together)) if role.together else "all"
        if code and (role.at is None or code == role.at):
            groups[code].append(device)
    enough = sorted(code for code, group in groups.items() if len(group) >= role.count)
    if not enough:
        where = f" in one {role.together}" if role.together else ""
        raise ConfigError(f"there are no {role.count} free devices of kind {role.kind}{where}", place=place)
    return tuple(rng.sample(groups[rng.choice(enough)], role.count))


def _parts(one: Act) -> list[Part]:
    parts = []
    for number, happens in enumerate(one.scenario.happenings):
        rng = Random(f"{one.seed} {one.scenario.id} {number} {happens.what}")
        happen = HAPPENINGS[happens.what]
        parts += happen(rng, one.players[happens.to], one.start_ms + happens.at, **happens.options)
    return parts


def play(one: Act, players: Mapping[str, Player]) -> Iterator[Sent]:
    """What the gateways of the cast send, in order of sending: ordinary life, what happens, and the faults.

    ``players`` holds the cast among others; what each has counted and remembers goes on.
    """
    parts = _parts(one)
    busy: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for part in parts:
        busy[part.device_id].append((part.spell[0][0] - QUIET_MS, part.spell[-1][0]))

    def free(player: Player, begin_ms: int, end_ms: int) -> bool:
        return all(end_ms < busy_ms or begin_ms > over_ms for busy_ms, over_ms in busy[player.device.device_id])

    said = [(at_ms, players[part.device_id], values) for part in parts for at_ms, values in part.spell]
    who = [players[device_id] for device_id in one.device_ids]
    stream = ordinary.life(who, one.from_ms, one.to_ms, free=free, besides=said)
    on_the_air = [fault for fault in one.scenario.faults if isinstance(fault, Loss)]
    afterwards = [fault for fault in one.scenario.faults if not isinstance(fault, Loss)]
    # What has reached its gateway has a lane, and keeps it however often it is sent.
    return _faulty(by_lane(_faulty(stream, one, on_the_air)), one, afterwards)


def _faulty(stream: Iterator[Sent], one: Act, faults: Sequence[Fault]) -> Iterator[Sent]:
    for fault in faults:
        concerned = frozenset(device.device_id for role in fault.to for device in one.players[role])
        rng = Random(f"{one.seed} {one.scenario.id} fault {fault}")
        stream = fault.wrap(stream, lambda sent, concerned=concerned: sent.device_id in concerned, rng, one.start_ms)  # type: ignore[misc]
    return stream


def truth(one: Act) -> list[Truth]:
    """What is true of it, in the time of the devices' clocks."""
    off_ms: dict[str, int] = defaultdict(int)
    for fault in one.scenario.faults:
        for device in (device for role in fault.to for device in one.players[role]):
            off_ms[device.device_id] += fault.clock_ms()
    truths = (one for part in _parts(one) for one in part.truths)
    return [
        replace(one, from_ms=one.from_ms + off_ms[one.device_ids[0]], to_ms=one.to_ms + off_ms[one.device_ids[0]])
        for one in truths
    ]


def perform(
    acts: Iterable[Act],
    devices: Iterable[Device],
    seed: int,
    from_ms: int,
    to_ms: float = math.inf,
    *,
    roll_call_until_ms: int = 0,
) -> Iterator[Sent]:
    """One act after the other, or several at a time, among the ordinary life of all other devices.

    Args:
        acts: in the order in which they begin; asked for the next one a while before its time, so they may be endless.
        devices: the registry.
        seed: decides all that is left to chance in ordinary life.
        from_ms: when it begins.
        to_ms: when it is over, if ever.
        roll_call_until_ms: see :func:`simulators.world.ordinary.life`.
    """
    players = ordinary.players(devices, seed)
    background = ordinary.life(players.values(), from_ms, to_ms, free=_not_away, roll_call_until_ms=roll_call_until_ms)
    return _with_acts(background, iter(acts), players, from_ms)


def _not_away(player: Player, begin_ms: int, end_ms: int) -> bool:
    away_ms, back_ms = player.away_ms
    return end_ms < away_ms or begin_ms >= back_ms


def _with_acts(
    background: Iterator[Sent], acts: Iterator[Act], players: Mapping[str, Player], from_ms: int
) -> Iterator[Sent]:
    on_stage = Merging()
    coming = next(acts, None)
    reached_ms = from_ms
    while True:
        while coming is not None and coming.from_ms <= reached_ms + AHEAD_MS:
            for device_id in coming.device_ids:
                players[device_id].away_ms = (coming.from_ms, coming.to_ms)
            on_stage.join(play(coming, players), coming.from_ms)
            coming = next(acts, None)
        sent = next(background, None)
        if sent is None:
            yield from on_stage.until(math.inf)
            return
        reached_ms = sent.sent_at_ms
        yield from on_stage.until(reached_ms)
        yield sent
