"""The ordinary day of any device between two times: what stands behind every scenario. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from random import Random
from zoneinfo import ZoneInfo

from gridwarden.model import Device
from simulators.behaviour import DAY_MS, DAYS, Spell
from simulators.world.stream import Sent, merge, numbered

KINDS = frozenset(DAYS)
"""Kinds of devices that have an ordinary day."""
_S, _MIN, _H = 1_000, 60_000, 3_600_000
_HYDRANT_EVERY_MS = 15 * _MIN
_PEAKS = ((7.5, 0.022), (12.0, 0.010), (19.0, 0.026))
"""Hour of the day and depth (MPa) of the sags that morning, midday and evening demand leave in a main."""
_PEAK_WIDTH_H = 1.3
_SWINGS_MS = (83 * _MIN, 197 * _MIN)
"""Periods of the swings that pumps and neighbours cause."""
_SWING_MPA = 0.004
_ZONE = ZoneInfo("Asia/Shanghai")


def midnight_ms(at_ms: int) -> int:
    """The beginning of the day (Asia/Shanghai) in which ``at_ms`` lies."""
    at = datetime.fromtimestamp(at_ms / 1000, _ZONE)
    return round(at.replace(hour=0, minute=0, second=0, microsecond=0).timestamp() * 1000)


def main_pressure(main: str, seed: int) -> Callable[[int], float]:
    """Pressure (MPa) in a water main by time (epoch ms): all hydrants on it move together."""
    rng = Random(f"{seed} main {main}")
    usual_mpa = rng.uniform(0.28, 0.34)
    phases = [rng.uniform(0, 2 * math.pi) for _ in _SWINGS_MS]

    def mpa(at_ms: int) -> float:
        hour = (at_ms - midnight_ms(at_ms)) / _H
        sag = sum(depth * math.exp(-(((hour - at) / _PEAK_WIDTH_H) ** 2)) for at, depth in _PEAKS)
        turns = (at_ms / period * 2 * math.pi + phase for period, phase in zip(_SWINGS_MS, phases, strict=True))
        return usual_mpa - sag + _SWING_MPA * sum(math.sin(turn) for turn in turns)

    return mpa


def hydrant_day(rng: Random, day_ms: int, mpa: Callable[[int], float]) -> Iterator[Spell]:
    """A report every quarter of an hour of a hydrant on a main of pressure ``mpa``; the height it stands at is its own."""
    height_mpa, tilt_deg, battery_pct = rng.uniform(-0.02, 0.02), rng.uniform(0, 2), rng.randint(50, 100)
    first_ms = day_ms + rng.randrange(_HYDRANT_EVERY_MS)
    for beat_ms in range(first_ms, day_ms + DAY_MS, _HYDRANT_EVERY_MS):
        at_ms = beat_ms + rng.randrange(2 * _S)
        warmth = -math.cos((at_ms - day_ms - 2 * _H) / DAY_MS * 2 * math.pi)
        yield [(at_ms, {
            "pressure_mpa": round(mpa(at_ms) + height_mpa + rng.gauss(0, 0.0015), 3), "flow_lps": 0.0,
            "tilt_deg": round(tilt_deg + rng.uniform(0, 0.4), 1), "tilt_alarm": False, "cap_open": False,
            "water_temp_c": round(12 + 2 * warmth + rng.gauss(0, 0.2), 1), "battery_pct": battery_pct, "tamper": False,
        })]  # fmt: skip


def spells(device: Device, seed: int, from_ms: int, to_ms: int) -> Iterator[Spell]:
    """The ordinary spells of ``device`` that begin from ``from_ms`` on and end before ``to_ms``."""
    if device.kind not in KINDS:
        return
    mpa = main_pressure(device.water_main or device.device_id, seed)
    for day_ms in range(midnight_ms(from_ms), to_ms, DAY_MS):
        rng = Random(f"{seed} {device.device_id} {day_ms}")
        day = hydrant_day(rng, day_ms, mpa) if device.kind == "hydrant" else DAYS[device.kind](rng, day_ms)
        yield from (spell for spell in day if from_ms <= spell[0][0] and spell[-1][0] < to_ms)


def background(devices: Iterable[Device], seed: int, from_ms: int, to_ms: int) -> Iterator[Sent]:
    """All these devices on an ordinary day, as one stream."""
    return merge(
        numbered(device, [step for spell in spells(device, seed, from_ms, to_ms) for step in spell])
        for device in devices
    )
