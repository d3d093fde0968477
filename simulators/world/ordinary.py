"""Ordinary life, made as time goes on: a heap of who has something to say next. Pure.

Nothing is made before its time: what is kept is one entry for each routine of each device, so that a district of 30,000
devices begins to speak at once and costs as much as it says. Whatever is drawn is drawn from the seed, the device and the
time alone: how far one reads changes nothing.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from random import Random
from zoneinfo import ZoneInfo

from gridwarden.model import Device
from simulators.behaviour import DAY_MS, ROUTINES, Player, Routine, Spell, Values
from simulators.world.stream import Sent

KINDS = frozenset(ROUTINES)
"""Kinds of devices that have an ordinary life."""
NOBODY = "GW-SIM"
"""The gateway of a device that is bound to none."""
_H = 3_600_000
_PEAKS = ((7.5, 0.022), (12.0, 0.010), (19.0, 0.026))
"""Hour of the day and depth (MPa) of the sags that morning, midday and evening demand leave in a main."""
_PEAK_WIDTH_H = 1.3
_SWINGS_MS = (83 * 60_000, 197 * 60_000)
"""Periods of the swings that pumps and neighbours cause."""
_SWING_MPA = 0.004
_SITE_MS = 8 * _H
_ZONE = ZoneInfo("Asia/Shanghai")

Free = Callable[[Player, int, int], bool]
"""Whether a device may say something ordinary from when to when."""
Said = tuple[int, Player, Values]
"""What a device is to say, and when."""


def midnight_ms(at_ms: int) -> int:
    """The beginning of the day (Asia/Shanghai) in which ``at_ms`` lies."""
    at = datetime.fromtimestamp(at_ms / 1000, _ZONE)
    return round(at.replace(hour=0, minute=0, second=0, microsecond=0).timestamp() * 1000)


@lru_cache(maxsize=4096)
def main_pressure(main: str, seed: int) -> Callable[[int], float]:
    """Pressure (MPa) in a water main by time (epoch ms): all hydrants on it move together."""
    rng = Random(f"{seed} main {main}")
    usual_mpa = rng.uniform(0.28, 0.34)
    phases = [rng.uniform(0, 2 * math.pi) for _ in _SWINGS_MS]

    def mpa(at_ms: int) -> float:
        hour = (at_ms + _SITE_MS) % DAY_MS / _H
        sag = sum(depth * math.exp(-(((hour - at) / _PEAK_WIDTH_H) ** 2)) for at, depth in _PEAKS)
        turns = (at_ms / period * 2 * math.pi + phase for period, phase in zip(_SWINGS_MS, phases, strict=True))
        return usual_mpa - sag + _SWING_MPA * sum(math.sin(turn) for turn in turns)

    return mpa


def players(devices: Iterable[Device], seed: int) -> dict[str, Player]:
    """Those of the devices that have an ordinary life, by id, with what is their own."""
    found = {}
    for device in devices:
        if device.kind in KINDS:
            own = int.from_bytes(blake2b(f"{seed} {device.device_id}".encode(), digest_size=8).digest())
            found[device.device_id] = Player(device, own, main_pressure(device.water_main or device.device_id, seed))
    return found


def always(_player: Player, _begin_ms: int, _end_ms: int) -> bool:
    """Free at any time."""
    return True


def life(
    who: Iterable[Player],
    from_ms: int,
    to_ms: float = math.inf,
    *,
    free: Free = always,
    besides: Iterable[Said] = (),
    roll_call_until_ms: int = 0,
) -> Iterator[Sent]:
    """What they say, in order of time; what they count and remember goes on from what they did before.

    Args:
        who: the devices.
        from_ms: when it begins.
        to_ms: nothing begins that is not over by then.
        free: asked before something ordinary is said.
        besides: what is said whether they are free or not.
        roll_call_until_ms: before this only what is needed to know of every device how it is.
    """
    rng, numbers = Random(), itertools.count()
    heap: list[tuple[int, int, Player, Routine | Values]] = [
        (_next_ms(player, routine, from_ms), next(numbers), player, routine)
        for player in who
        for routine in ROUTINES[player.device.kind]
    ]
    heap += [(at_ms, next(numbers), player, values) for at_ms, player, values in besides]
    heapq.heapify(heap)
    while heap:
        at_ms, number, player, what = heap[0]
        if not isinstance(what, Routine):
            heapq.heappop(heap)
            yield _said(player, at_ms, what)
        elif at_ms >= to_ms:
            heapq.heappop(heap)
        else:
            heapq.heapreplace(heap, (at_ms + what.every_ms, number, player, what))
            if what.roll_call or at_ms >= roll_call_until_ms:
                spell = _spell(rng, player, what, at_ms)
                if spell and spell[-1][0] < to_ms and free(player, spell[0][0], spell[-1][0]):
                    for when, values in spell:
                        heapq.heappush(heap, (when, next(numbers), player, values))


def _next_ms(player: Player, routine: Routine, from_ms: int) -> int:
    """The first time from ``from_ms`` on at which it is the routine's turn."""
    return from_ms + (player.own - from_ms) % routine.every_ms


def _spell(rng: Random, player: Player, routine: Routine, at_ms: int) -> Spell:
    rng.seed(player.own ^ at_ms ^ routine.every_ms << 44)
    return routine.spell(rng, player, at_ms)


def _said(player: Player, at_ms: int, values: Values) -> Sent:
    player.seq += 1
    device = player.device
    return Sent(at_ms, device.gateway or NOBODY, device.device_id, at_ms, player.seq, values)
