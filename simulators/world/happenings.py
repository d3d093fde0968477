"""What can happen, each with what the devices say and what is true of it. Pure; chance comes as an argument.

A happening takes the devices it happens to and when; its further arguments are the words of ``with`` in a scenario.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from gridwarden.model import Device, Value
from simulators.behaviour import Spell, car, top_floor
from simulators.incidents import INCIDENTS
from simulators.world.truth import Truth

Rules = tuple[str, ...]
_S, _MIN = 1_000, 60_000
_FIRE: Rules = ("smoke.fire",)
_CONFIRMED: Rules = ("smoke.fire_confirmed",)
_ENTRAPMENT: Rules = ("lift.entrapment", "lift.entrapment_inferred", "lift.alarm_button")
_PRESSURE: Rules = ("hydrant.very_low_pressure", "hydrant.low_pressure")
_BURST: Rules = ("hydrant.main_burst",)


@dataclass(frozen=True, slots=True)
class Part:
    """What happens to one device, and what is true of it."""

    device_id: str
    spell: Spell
    truths: tuple[Truth, ...]


Happening = Callable[..., list[Part]]


def _part(
    device: Device, spell: Spell, at_ms: int, *, found: Rules = (), allowed: Rules = (), absent: Rules = ()
) -> Part:
    ids, to_ms = (device.device_id,), spell[-1][0]
    truths = [Truth(found, ids, at_ms, to_ms, "found")] if found else []
    truths += [Truth(allowed, ids, at_ms, to_ms, "allowed")] if allowed else []
    truths += [Truth(absent, ids, at_ms, to_ms, "absent")] if absent else []
    return Part(device.device_id, spell, tuple(truths))


def _incident(name: str, *, found: Rules = (), allowed: Rules = (), absent: Rules = ()) -> Happening:
    """One of :data:`simulators.incidents.INCIDENTS`, on each device by itself."""

    def happen(rng: Random, devices: Sequence[Device], at_ms: int) -> list[Part]:
        parts = []
        for device in devices:
            where = {"top": top_floor(device)} if device.kind == "lift" else {}
            spell = INCIDENTS[name](rng, at_ms, **where)
            parts.append(_part(device, spell, at_ms, found=found, allowed=allowed, absent=absent))
        return parts

    return happen


def floor_of(device: Device) -> int:
    """The floor that the registry names, else the first."""
    floor = device.attributes.get("floor", 1)
    return floor if isinstance(floor, int) else 1


def fire(rng: Random, devices: Sequence[Device], at_ms: int, *, seconds_a_floor: float = 100) -> list[Part]:
    """A fire begins on the lowest of these floors; its smoke climbs from floor to floor."""
    lowest = min(map(floor_of, devices))
    parts = []
    for device in sorted(devices, key=floor_of):
        reached_ms = at_ms + round((floor_of(device) - lowest) * seconds_a_floor * _S) + rng.randrange(20 * _S)
        spell = INCIDENTS["smoke.fire"](rng, reached_ms)
        parts.append(_part(device, spell, reached_ms, found=_FIRE, allowed=_CONFIRMED))
    return parts


def nuisance(rng: Random, devices: Sequence[Device], at_ms: int, *, warmer_c: float = 0) -> list[Part]:
    """Burnt toast, or (``warmer_c``) steam: density rises for some minutes, below what the detector alarms at."""
    parts = []
    for device in devices:
        peak_dbm, half = rng.uniform(0.07, 0.13), rng.randint(80, 150)
        spell: Spell = []
        for second in range(0, 4 * half, 20):
            share = math.exp(-(((second - 1.5 * half) / half) ** 2))
            values: dict[str, Value] = {
                "state": "normal", "smoke_dbm": round(peak_dbm * share + rng.uniform(0, 0.005), 3),
                "temperature_c": round(23 + warmer_c * share, 1),
            }  # fmt: skip
            spell.append((at_ms + second * _S, values))
        parts.append(_part(device, spell, at_ms, absent=_FIRE))
    return parts


def burst_main(rng: Random, devices: Sequence[Device], at_ms: int, *, minutes: int = 20) -> list[Part]:
    """A water main bursts: one hydrant after the other loses its pressure, until the pipe is shut off and fed again.

    A sensor in the cap of a drained barrel sees no pressure at any time: nobody can be told by it.
    """
    low_mpa, parts, reached_ms = rng.uniform(0.03, 0.06), [], at_ms
    for device in devices:
        height_mpa = rng.uniform(0, 0.02)
        back_ms = at_ms + minutes * _MIN + rng.randrange(30 * _S)
        low_ms = range(reached_ms + 30 * _S, back_ms, 30 * _S)
        levels = [(reached_ms, 0.19), *((when, low_mpa + height_mpa + rng.uniform(0, 0.006)) for when in low_ms)]
        levels += [(back_ms, 0.17), (back_ms + 30 * _S, 0.24), (back_ms + 60 * _S, 0.29)]
        blind = device.attributes.get("mount") == "cap"
        if blind:
            levels = [(when, 0.0) for when, _ in levels]
        spell: Spell = [(when, {"pressure_mpa": round(mpa, 3)}) for when, mpa in levels]
        told: dict[str, Rules] = {"absent": _PRESSURE} if blind else {"found": _PRESSURE, "allowed": _BURST}
        parts.append(_part(device, spell, reached_ms, **told))
        reached_ms += rng.randint(3, 15) * _S
    return parts


def freeze(rng: Random, devices: Sequence[Device], at_ms: int, *, minutes: int = 90) -> list[Part]:
    """A cold night's end: the water in the barrel cools towards 1 °C and warms up again."""
    parts = []
    for device in devices:
        coldest_c = rng.uniform(0.6, 1.8)
        temperatures = []
        for minute in range(0, minutes, 5):
            share = math.sin(minute / minutes * math.pi)
            temperatures.append((at_ms + minute * _MIN, round(7 - (7 - coldest_c) * share, 1)))
        temperatures.append((at_ms + minutes * _MIN, 7.0))
        cold_ms = next(when for when, celsius in temperatures if celsius <= 3)  # noqa: PLR2004 - where ice may form
        spell: Spell = [(when, {"water_temp_c": celsius}) for when, celsius in temperatures]
        parts.append(_part(device, spell, cold_ms, found=("hydrant.freeze",)))
    return parts


def night_off(rng: Random, devices: Sequence[Device], at_ms: int, *, minutes: int = 60) -> list[Part]:
    """The operator parks the lifts empty, switches them off for the night and on again: silence, nobody in it."""
    parts = []
    for device in devices:
        on_ms = at_ms + minutes * _MIN + rng.randrange(60 * _S)
        spell: Spell = [
            (at_ms, car(1, "closed", mode="parking")),
            (at_ms + 20 * _S, car(1, "closed", mode="parking", power_main=False)),
            (on_ms, car(1, "closed", mode="homing", power_main=True)),
            (on_ms + 40 * _S, car(1, "closed")),
        ]
        parts.append(_part(device, spell, at_ms, absent=_ENTRAPMENT))
    return parts


def lift_fault(rng: Random, devices: Sequence[Device], at_ms: int, *, minutes: int = 45) -> list[Part]:
    """A fault takes the empty car out of service until it is mended."""
    parts = []
    for device in devices:
        floor, back_ms = rng.randint(1, top_floor(device)), at_ms + minutes * _MIN
        out = car(floor, "open", mode="out_of_service", fault_code=rng.choice((5, 6, 7, 9, 10)))
        held = [(when, dict(out)) for when in range(at_ms, back_ms, 15 * _MIN)]
        spell: Spell = [*held, (back_ms, car(floor, "closed", fault_code=None))]
        parts.append(_part(device, spell, at_ms, absent=_ENTRAPMENT))
    return parts


def power_cut(rng: Random, devices: Sequence[Device], at_ms: int, *, minutes: int = 20, trapped: int = 1) -> list[Part]:
    """The street's feeder fails: lifts creep to a landing on their batteries and open; ``trapped`` of them do not."""
    parts = []
    for number, device in enumerate(devices):
        floor, back_ms = rng.randint(2, top_floor(device) - 1), at_ms + minutes * _MIN
        dark: dict[str, Value] = {"mode": "emergency_power", "power_main": False}
        begin = (
            at_ms - 4 * _S,
            car(floor, "closed", motion="running", direction="up", occupied=True, door_zone=False),
        )
        if number < trapped:
            held = dark | {"occupied": True, "door_zone": False, "load_pct": 12.0, "entrapment": True}
            stuck: Spell = [(at_ms + s * _S, car(floor, "closed", **held)) for s in range(15, minutes * 50, 30)]
            freed: Spell = [(back_ms - 60 * _S, car(floor, "open", **dark))]
            end: Spell = [(back_ms, car(floor, "closed", power_main=True))]
            parts.append(
                _part(device, [begin, *stuck, *freed, *end], at_ms, found=_ENTRAPMENT[:1], allowed=_ENTRAPMENT)
            )
        else:
            spell: Spell = [
                begin,
                (at_ms + 2 * _S, car(floor, "closed", occupied=True, door_zone=False, motion="running", **dark)),
                (at_ms + 25 * _S, car(floor, "open", occupied=True, **dark)),
                (at_ms + 60 * _S, car(floor, "open", **dark)),
                (back_ms, car(floor, "closed", power_main=True)),
            ]
            parts.append(_part(device, spell, at_ms, absent=_ENTRAPMENT))
    return parts


def boot_storm(
    rng: Random, devices: Sequence[Device], at_ms: int, *, minutes: int = 10, seconds: int = 10
) -> list[Part]:
    """A radio cell fails for ``minutes``; then every detector boots within ``seconds`` and says three times how it is."""
    parts, back_ms = [], at_ms + minutes * _MIN
    for device in devices:
        values: dict[str, Value] = {
            "state": "normal", "smoke_dbm": round(rng.uniform(0, 0.02), 3), "chamber": "normal", "self_test": "pass",
            "temperature_c": round(rng.uniform(20, 25), 1), "tamper": False,
        }  # fmt: skip
        boot_ms = back_ms + rng.randrange(seconds * _S)
        spell: Spell = [(at_ms, dict(values)), *((boot_ms + n * 300, dict(values)) for n in range(3))]
        parts.append(_part(device, spell, at_ms, absent=_FIRE))
    return parts


HAPPENINGS: dict[str, Happening] = {
    "fire": fire,
    "nuisance": nuisance,
    "boot_storm": boot_storm,
    "test_button": _incident("smoke.test", absent=_FIRE),
    "tampered_detector": _incident("smoke.tamper", found=("smoke.removed",)),
    "low_battery": _incident("smoke.low_battery", found=("smoke.low_battery",)),
    "burst_main": burst_main,
    "opened_hydrant": _incident("hydrant.tamper", found=("hydrant.cap_open",)),
    "knocked_hydrant": _incident("hydrant.knocked", found=("hydrant.tilt",), allowed=("hydrant.leak",)),
    "freeze": freeze,
    "entrapment_code": _incident("lift.entrapment_code", found=("lift.entrapment",), allowed=_ENTRAPMENT),
    "entrapment_inferred": _incident("lift.entrapment_inferred", found=("lift.entrapment_inferred",)),
    "door_open_moving": _incident("lift.door_open_moving", found=("lift.door_open_moving",)),
    "lift_fault": lift_fault,
    "night_off": night_off,
    "power_cut": power_cut,
}
"""By the name that scenarios use."""
