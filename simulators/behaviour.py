"""What devices say on an ordinary day. Pure; chance comes as an argument.

A *spell* is a run of readings that belong together, ``[(at_ms, values), …]``: one heartbeat, one lift trip, one
incident. Figures are plausible for the trade, not taken from any one product.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

from gridwarden.model import Device, Value

Values = dict[str, Value]
Spell = list[tuple[int, Values]]

_S, _MIN, _H = 1_000, 60_000, 3_600_000
DAY_MS = 24 * _H
_SITE_MS = 8 * _H
"""Asia/Shanghai is ahead of UTC by this and has no summer time."""
TOP_FLOOR = 18
"""Of a building whose floors nobody has counted."""
_HOMEWARD = 0.6
"""Share of trips from upper floors that end at the entrance."""
_TRIPS_PER_HOUR = (0.3, 0.2, 0.1, 0.1, 0.2, 0.8, 2.5, 6.5, 6, 3.5, 3, 4, 5, 3.5, 3, 3, 3.5, 5.5, 7, 5, 4, 3, 2, 0.8)
"""Trips of one lift by hour of the day: the morning and the evening have their rush."""
_RIDE_EVERY_MS = 4 * _MIN
"""A lift makes one trip in such a time, or none."""
_LONGEST_RIDE_MS = 2 * _MIN
_LOT_BITS = 10
_MAIN_MPA = 0.3
"""Pressure of a main of which nothing is known."""


@dataclass(slots=True, eq=False)
class Player:
    """A device while it is played: what is its own for good, and what it remembers from one reading to the next."""

    device: Device
    own: int
    """64 bits of chance that no other device has: they decide what lasts, such as its battery or the hour of its beat."""
    main_mpa: Callable[[int], float]
    """Pressure in its water main by time."""
    seq: int = 0
    """Readings it has made."""
    floor: int = 1
    """Where a lift's car stands."""
    rides_until_ms: int = 0
    away_ms: tuple[int, int] = (0, 0)
    """From when to when it plays in a scenario."""

    def lot(self, number: int) -> float:
        """What was drawn once for all for this device, 0 to 1; six numbers are independent of each other."""
        return (self.own >> number * _LOT_BITS & (1 << _LOT_BITS) - 1) / (1 << _LOT_BITS)


def top_floor(device: Device) -> int:
    """The highest floor of the building a lift is in."""
    floors = device.attributes.get("floors", TOP_FLOOR)
    return max(floors, 3) if isinstance(floors, int) else TOP_FLOOR


def _hour(at_ms: int) -> float:
    return (at_ms + _SITE_MS) % DAY_MS / _H


def _day_curve(at_ms: int) -> float:
    """-1 in the small hours to 1 in the early afternoon."""
    return -math.cos((_hour(at_ms) - 2) / 24 * 2 * math.pi)


def smoke_beat(rng: Random, player: Player, at_ms: int) -> Spell:
    """A heartbeat: clean air, room temperature, battery and radio."""
    at_ms += rng.randrange(2 * _S)
    return [(at_ms, {
        "state": "normal", "smoke_dbm": round(abs(rng.gauss(0.012, 0.006)), 3), "chamber": "normal",
        "temperature_c": round(22 + 3 * _day_curve(at_ms) + rng.gauss(0, 0.3), 1),
        "battery_pct": 45 + round(55 * player.lot(0)), "rsrp_dbm": round(-108 + 28 * player.lot(1)) + rng.randint(-3, 3),
        "self_test": "pass", "tamper": False,
    })]  # fmt: skip


def hydrant_report(rng: Random, player: Player, at_ms: int) -> Spell:
    """Pressure of its main at the height it stands at; in the cap of a drained barrel there is none to be seen."""
    at_ms += rng.randrange(2 * _S)
    height_mpa = 0.04 * (player.lot(0) - 0.5)
    seen = player.device.attributes.get("mount") != "cap"
    return [(at_ms, {
        "pressure_mpa": round(player.main_mpa(at_ms) + height_mpa + rng.gauss(0, 0.0015), 3) if seen else 0.0,
        "flow_lps": 0.0, "tilt_deg": round(2 * player.lot(1) + rng.uniform(0, 0.4), 1), "tilt_alarm": False,
        "cap_open": False, "water_temp_c": round(12 + 2 * _day_curve(at_ms) + rng.gauss(0, 0.2), 1),
        "battery_pct": 50 + round(50 * player.lot(2)), "tamper": False,
    })]  # fmt: skip


def car(floor: int, door: str, **more: Value) -> Values:
    """The whole state of a lift car; what is not named is as at rest."""
    return {
        "mode": "normal", "motion": "stopped", "direction": "none", "floor": floor, "door": door, "load_pct": 0.0,
        "speed_mps": 0.0, "occupied": False, "door_zone": True, "entrapment": False, "alarm_button": False, **more,
    }  # fmt: skip


def lift_beat(rng: Random, player: Player, at_ms: int) -> Spell:
    """The machine room's temperature and the power; where the car stands unless it is on its way."""
    at_ms += rng.randrange(2 * _S)
    machine_room_c = round(26 + 4 * _day_curve(at_ms) + rng.gauss(0, 0.5), 1)
    values: Values = {"machine_room_c": machine_room_c, "power_main": True, "backup_battery": "good"}
    at_rest = at_ms > player.rides_until_ms
    return [(at_ms, car(player.floor, "closed") | values if at_rest else values)]


def lift_ride(rng: Random, player: Player, at_ms: int) -> Spell:
    """Perhaps a trip, more likely in the two rush hours."""
    if rng.random() >= _TRIPS_PER_HOUR[int(_hour(at_ms))] * _RIDE_EVERY_MS / _H:
        return []
    floor, top = player.floor, top_floor(player.device)
    home = floor != 1 and rng.random() < _HOMEWARD
    target = 1 if home else rng.choice([n for n in range(1, top + 1) if n != floor])
    spell = _trip(rng, at_ms + rng.randrange(_RIDE_EVERY_MS - _LONGEST_RIDE_MS), floor, target)
    player.floor, player.rides_until_ms = target, spell[-1][0]
    return spell


def _trip(rng: Random, at_ms: int, floor: int, target: int) -> Spell:
    load_pct = round(rng.uniform(6, 70), 1)
    riding: Values = {"occupied": True, "load_pct": load_pct}
    start_ms = at_ms + rng.randint(4, 8) * _S
    stop_ms = start_ms + (3 + 2 * abs(target - floor)) * _S
    direction = "up" if target > floor else "down"
    return [
        (at_ms, car(floor, "open", **riding)),
        (
            start_ms,
            car(floor, "closed", **riding, motion="running", direction=direction, speed_mps=1.5, door_zone=False),
        ),
        (stop_ms, car(target, "open", **riding)),
        (stop_ms + rng.randint(5, 9) * _S, car(target, "closed")),
    ]


@dataclass(frozen=True, slots=True)
class Routine:
    """Something a device does again and again."""

    every_ms: int
    spell: Callable[[Random, Player, int], Spell]
    """What it says from this time on, which is empty if it has nothing to say."""
    roll_call: bool = True
    """Whether it tells that the device is there, and how it is."""


ROUTINES: dict[str, tuple[Routine, ...]] = {
    "smoke": (Routine(30 * _MIN, smoke_beat),),
    "hydrant": (Routine(15 * _MIN, hydrant_report),),
    "lift": (Routine(30 * _MIN, lift_beat), Routine(_RIDE_EVERY_MS, lift_ride, roll_call=False)),
}
"""By kind."""
INTERVAL_S = {
    kind: min(routine.every_ms for routine in routines if routine.roll_call) // _S
    for kind, routines in ROUTINES.items()
}
"""How often devices of a kind report when nothing is wrong: what stands in a registry, so that they can be missed."""


def ordinary_day(kind: str, rng: Random, midnight_ms: int, **attributes: Any) -> Iterator[Spell]:
    """All that one device of a kind says on a day, in the order in which its routines have their turn."""
    player = Player(Device("", kind, attributes=attributes), rng.getrandbits(64), lambda _at_ms: _MAIN_MPA)
    routines = ROUTINES[kind]
    turns = sorted(
        (first_ms, number)
        for number, routine in enumerate(routines)
        for first_ms in range(player.own % routine.every_ms, DAY_MS, routine.every_ms)
    )
    moved_ms = midnight_ms + _SITE_MS
    for first_ms, number in turns:
        spell = routines[number].spell(rng, player, first_ms - _SITE_MS)
        if spell:
            yield [(at_ms + moved_ms, values) for at_ms, values in spell]


DAYS: dict[str, Callable[[Random, int], Iterator[Spell]]] = {kind: partial(ordinary_day, kind) for kind in ROUTINES}
"""By kind: an ordinary day from its midnight on."""
