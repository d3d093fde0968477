"""Casts scenarios from a registry and plays them: the stream of readings, and beside it what is true. Pure.

The same scenario, devices, seed and start give the same stream and the same truth.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

from gridwarden.errors import ConfigError
from gridwarden.model import Device
from simulators.behaviour import Spell
from simulators.world import ordinary
from simulators.world.happenings import HAPPENINGS, Part
from simulators.world.scenario import Role, Scenario
from simulators.world.stream import Sent, merge, numbered, without
from simulators.world.truth import Truth

LEAD_MS = 10 * 60_000
"""Ordinary life before the first scenario begins and after the last one ends."""
APART_MS = 4 * 60_000
"""From the start of one scenario to the next one's: they overlap, on devices of their own."""

Cast = dict[str, tuple[Device, ...]]


@dataclass(frozen=True, slots=True)
class Act:
    """A scenario with the devices it is drawn from and its start."""

    scenario: Scenario
    devices: tuple[Device, ...]
    start_ms: int


@dataclass(frozen=True, slots=True)
class Programme:
    """Scenarios on one registry at one time, and the devices to which nothing happens."""

    acts: tuple[Act, ...]
    bystanders: tuple[Device, ...]
    from_ms: int
    to_ms: int


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


def _parts(scenario: Scenario, players: Cast, seed: int, start_ms: int) -> list[Part]:
    parts = []
    for number, happens in enumerate(scenario.happenings):
        rng = Random(f"{seed} {scenario.id} {number} {happens.what}")
        happen = HAPPENINGS[happens.what]
        parts += happen(rng, players[happens.to], start_ms + happens.at, **happens.options)
    return parts


def play(
    scenario: Scenario, devices: Sequence[Device], seed: int, start_ms: int, span: tuple[int, int] | None = None
) -> Iterator[Sent]:
    """What the gateways of the cast send, in order of sending: ordinary life, what happens, and the faults.

    Args:
        scenario: what to play.
        devices: the registry to cast it from.
        seed: decides all that is left to chance.
        start_ms: when it begins, epoch milliseconds.
        span: from when to when the cast lives; as long as the scenario lasts, if not given.

    Raises:
        ConfigError: it cannot be cast.
    """
    players = cast(scenario, devices, seed)
    from_ms, to_ms = span or (start_ms, start_ms + scenario.lasts)
    happening: dict[str, list[Spell]] = defaultdict(list)
    for part in _parts(scenario, players, seed, start_ms):
        happening[part.device_id].append(part.spell)
    stream = merge(
        _life(device, seed, from_ms, to_ms, happening[device.device_id]) for role in players.values() for device in role
    )
    for number, fault in enumerate(scenario.faults):
        concerned = frozenset(device.device_id for role in fault.to for device in players[role])
        rng = Random(f"{seed} {scenario.id} fault {number}")
        stream = fault.wrap(stream, lambda sent, concerned=concerned: sent.device_id in concerned, rng, start_ms)  # type: ignore[misc]
    return stream


def _life(device: Device, seed: int, from_ms: int, to_ms: int, happening: list[Spell]) -> Iterator[Sent]:
    spells: Iterable[Spell] = ordinary.spells(device, seed, from_ms, to_ms)
    for spell in happening:
        spells = without(spells, spell)
    return numbered(device, [step for spell in (*spells, *happening) for step in spell])


def truth(scenario: Scenario, devices: Sequence[Device], seed: int, start_ms: int) -> list[Truth]:
    """What is true of it, in the time of the devices' clocks; arguments as in :func:`play`."""
    players = cast(scenario, devices, seed)
    off_ms: dict[str, int] = defaultdict(int)
    for fault in scenario.faults:
        for device in (device for role in fault.to for device in players[role]):
            off_ms[device.device_id] += fault.clock_ms()
    truths = (one for part in _parts(scenario, players, seed, start_ms) for one in part.truths)
    return [
        replace(one, from_ms=one.from_ms + off_ms[one.device_ids[0]], to_ms=one.to_ms + off_ms[one.device_ids[0]])
        for one in truths
    ]


def programme(scenarios: Iterable[Scenario], devices: Sequence[Device], seed: int, from_ms: int) -> Programme:
    """Scenarios one after the other, overlapping, each on devices that no other one has.

    Raises:
        ConfigError: the registry is too small for them.
    """
    free = list(devices)
    acts: list[Act] = []
    for number, scenario in enumerate(scenarios):
        acts.append(Act(scenario, tuple(free), from_ms + LEAD_MS + number * APART_MS))
        taken = {device.device_id for role in cast(scenario, free, seed).values() for device in role}
        free = [device for device in free if device.device_id not in taken]
    ends_ms = [act.start_ms + act.scenario.lasts for act in acts]
    return Programme(tuple(acts), tuple(free), from_ms, max(ends_ms, default=from_ms) + LEAD_MS)


def perform(plan: Programme, seed: int) -> Iterator[Sent]:
    """The whole programme as one stream, bystanders included."""
    span = (plan.from_ms, plan.to_ms)
    acts = [play(act.scenario, act.devices, seed, act.start_ms, span) for act in plan.acts]
    return merge([*acts, ordinary.background(plan.bystanders, seed, *span)])


def cast_of(act: Act, seed: int) -> list[str]:
    """The devices that play in an act."""
    players = cast(act.scenario, act.devices, seed)
    return [device.device_id for role in players.values() for device in role]
