"""What devices say on an ordinary day, and what they say when something happens. Pure; chance comes as an argument.

A *spell* is a run of readings that belong together, ``[(at_ms, values), …]``: one heartbeat, one lift trip, one
incident. Figures are plausible for the trade, not taken from any one product.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from random import Random

from gridwarden.model import Value

Values = dict[str, Value]
Spell = list[tuple[int, Values]]

_S, _MIN, _H = 1_000, 60_000, 3_600_000
DAY_MS = 24 * _H
_SMOKE_EVERY_MS = 30 * _MIN
_HYDRANT_EVERY_MS = 15 * _MIN
_LIFT_EVERY_MS = 30 * _MIN
_ALARM_DBM = 0.15
"""Smoke density at which the made-up detector goes into alarm, dB/m."""
_CHAMBER = ((0.3, "critical"), (0.1, "medium"), (0.0, "light"))
"""Smoke density above which the chamber is called so, dB/m."""
_FLOORS = 18
_HOMEWARD = 0.6
"""Share of trips from upper floors that end at the entrance."""
_TRIPS_PER_HOUR = (0.3, 0.2, 0.1, 0.1, 0.2, 0.8, 2.5, 6.5, 6, 3.5, 3, 4, 5, 3.5, 3, 3, 3.5, 5.5, 7, 5, 4, 3, 2, 0.8)
"""Trips of one lift by hour of the day: the morning and the evening have their rush."""


def _day_curve(at_ms: int, day_ms: int) -> float:
    """-1 in the small hours to 1 in the early afternoon."""
    return -math.cos((at_ms - day_ms - 2 * _H) / DAY_MS * 2 * math.pi)


def _every(rng: Random, day_ms: int, period_ms: int) -> Iterator[int]:
    start = day_ms + rng.randrange(period_ms)
    for at_ms in range(start, day_ms + DAY_MS, period_ms):
        yield at_ms + rng.randrange(2 * _S)


# ---- ordinary days ----------------------------------------------------------------------------------------------


def smoke_day(rng: Random, day_ms: int) -> Iterator[Spell]:
    """A heartbeat every half hour: clean air, room temperature, battery and radio."""
    battery_pct, rsrp_dbm = rng.randint(45, 100), rng.randint(-108, -80)
    for at_ms in _every(rng, day_ms, _SMOKE_EVERY_MS):
        yield [(at_ms, {
            "state": "normal", "smoke_dbm": round(abs(rng.gauss(0.012, 0.006)), 3), "chamber": "normal",
            "temperature_c": round(22 + 3 * _day_curve(at_ms, day_ms) + rng.gauss(0, 0.3), 1),
            "battery_pct": battery_pct, "rsrp_dbm": rsrp_dbm + rng.randint(-3, 3), "self_test": "pass", "tamper": False,
        })]  # fmt: skip


def hydrant_day(rng: Random, day_ms: int) -> Iterator[Spell]:
    """A report every quarter of an hour: main pressure sags a little when people use water."""
    usual_mpa, tilt_deg = rng.uniform(0.24, 0.34), rng.uniform(0, 2)
    battery_pct = rng.randint(50, 100)
    for at_ms in _every(rng, day_ms, _HYDRANT_EVERY_MS):
        curve = _day_curve(at_ms, day_ms)
        yield [(at_ms, {
            "pressure_mpa": round(usual_mpa - 0.015 * curve + rng.gauss(0, 0.003), 3), "flow_lps": 0.0,
            "tilt_deg": round(tilt_deg + rng.uniform(0, 0.4), 1), "tilt_alarm": False, "cap_open": False,
            "water_temp_c": round(12 + 2 * curve + rng.gauss(0, 0.2), 1), "battery_pct": battery_pct, "tamper": False,
        })]  # fmt: skip


def _car(floor: int, door: str, **more: Value) -> Values:
    """The whole state of a lift car; what is not named is as at rest."""
    return {
        "mode": "normal", "motion": "stopped", "direction": "none", "floor": floor, "door": door, "load_pct": 0.0,
        "speed_mps": 0.0, "occupied": False, "door_zone": True, "entrapment": False, "alarm_button": False, **more,
    }  # fmt: skip


def lift_day(rng: Random, day_ms: int) -> Iterator[Spell]:
    """Trips with two rush hours, and a heartbeat with the machine room's temperature."""
    floor, busiest = 1, max(_TRIPS_PER_HOUR)
    at_ms = day_ms
    while (at_ms := at_ms + round(rng.expovariate(busiest) * _H) + 45 * _S) < day_ms + DAY_MS - 2 * _MIN:
        if rng.random() < _TRIPS_PER_HOUR[(at_ms - day_ms) // _H] / busiest:
            target = (
                1
                if floor != 1 and rng.random() < _HOMEWARD
                else rng.choice([n for n in range(1, _FLOORS) if n != floor])
            )
            yield _trip(rng, at_ms, floor, target)
            floor = target
    for beat_ms in _every(rng, day_ms, _LIFT_EVERY_MS):
        machine_room_c = round(26 + 4 * _day_curve(beat_ms, day_ms) + rng.gauss(0, 0.5), 1)
        yield [(beat_ms, {"machine_room_c": machine_room_c, "power_main": True, "backup_battery": "good"})]


def _trip(rng: Random, at_ms: int, floor: int, target: int) -> Spell:
    load_pct = round(rng.uniform(6, 70), 1)
    riding: Values = {"occupied": True, "load_pct": load_pct}
    start_ms = at_ms + rng.randint(4, 8) * _S
    stop_ms = start_ms + (3 + 2 * abs(target - floor)) * _S
    direction = "up" if target > floor else "down"
    return [
        (at_ms, _car(floor, "open", **riding)),
        (
            start_ms,
            _car(floor, "closed", **riding, motion="running", direction=direction, speed_mps=1.5, door_zone=False),
        ),
        (stop_ms, _car(target, "open", **riding)),
        (stop_ms + rng.randint(5, 9) * _S, _car(target, "closed")),
    ]


# ---- incidents --------------------------------------------------------------------------------------------------


def smoke_fire(rng: Random, at_ms: int) -> Spell:
    """Smoke rises for three minutes, stays, thins out; the detector alarms, then says it is over."""
    peak_dbm, spell = rng.uniform(0.35, 0.6), Spell()
    alarmed = False
    for second in range(0, 780, 10):
        rise = 1 / (1 + math.exp(-(second - 80) / 18))
        fall = 1 / (1 + math.exp((second - 560) / 40))
        smoke_dbm = round(peak_dbm * rise * fall + rng.uniform(0, 0.01), 3)
        alarmed = alarmed or smoke_dbm >= _ALARM_DBM
        state = "alarm" if smoke_dbm >= _ALARM_DBM else "restore" if alarmed else "normal"
        chamber = next(name for above, name in _CHAMBER if smoke_dbm >= above)
        temperature_c = round(23 + 40 * smoke_dbm, 1)
        values: Values = {"state": state, "smoke_dbm": smoke_dbm, "chamber": chamber, "temperature_c": temperature_c}
        spell.append((at_ms + second * _S, values))
    return [
        *spell,
        (at_ms + 840 * _S, {"state": "normal", "smoke_dbm": 0.02, "chamber": "normal", "temperature_c": 25.0}),
    ]


def smoke_test(rng: Random, at_ms: int) -> Spell:
    """Somebody presses the test button."""
    pressed: Values = {"state": "test", "test_count": rng.randint(1, 9)}
    return [(at_ms, pressed), (at_ms + 20 * _S, {"state": "normal"})]


def smoke_low_battery(rng: Random, at_ms: int) -> Spell:
    """The battery collapses and is replaced within the hour."""
    low: Values = {"state": "low_battery", "battery_pct": rng.randint(4, 9)}
    return [
        (at_ms, low),
        (at_ms + 20 * _MIN, dict(low)),
        (at_ms + rng.randint(35, 55) * _MIN, {"state": "normal", "battery_pct": 100}),
    ]


def smoke_tamper(rng: Random, at_ms: int) -> Spell:
    """Taken off the ceiling, and put back."""
    back_ms = at_ms + rng.randint(6, 15) * _MIN
    return [
        (at_ms, {"state": "removed", "tamper": True, "unmounted": True}),
        (back_ms, {"state": "installed", "tamper": False, "unmounted": False}),
        (back_ms + 30 * _S, {"state": "normal"}),
    ]


def _stuck(rng: Random, at_ms: int, seconds: int, step: int, **more: Value) -> Spell:
    """A car that stops between floors with somebody in it, until they are freed."""
    floor, load_pct = rng.randint(3, _FLOORS - 1), round(rng.uniform(6, 25), 1)
    riding: Values = {"occupied": True, "load_pct": load_pct, "door_zone": False}
    moving = _car(floor, "closed", **riding, motion="running", direction="up", speed_mps=1.5)
    held = [(at_ms + s * _S, _car(floor, "closed", **riding, **more)) for s in range(0, seconds, step)]
    freed_ms = at_ms + seconds * _S
    return [
        (at_ms - 4 * _S, moving),
        *held,
        (freed_ms, _car(floor, "open")),
        (freed_ms + 60 * _S, _car(floor, "closed")),
    ]


def lift_entrapment_code(rng: Random, at_ms: int) -> Spell:
    """Entrapment told by the lift itself: the button in the car was pressed."""
    said: Values = {"entrapment": True, "entrapment_source": "button", "alarm_button": True, "alarm_location": "car"}
    return _stuck(rng, at_ms, rng.randrange(600, 1200, 30), 30, **said)


def lift_entrapment_inferred(rng: Random, at_ms: int) -> Spell:
    """Nobody says so: occupied, stopped, door closed, for minutes."""
    return _stuck(rng, at_ms, rng.randrange(300, 600, 15), 15)


def lift_door_open_moving(rng: Random, at_ms: int) -> Spell:
    """The car moves off with its door open, is taken out of service and returned."""
    floor = rng.randint(2, _FLOORS - 1)
    moving: Values = {"motion": "running", "direction": "down", "speed_mps": 0.4, "door_zone": False}
    stopped_ms = at_ms + 8 * _S
    return [
        *((at_ms + second * _S, _car(floor, "open", **moving)) for second in range(0, 8, 2)),
        (stopped_ms, _car(floor, "open", mode="out_of_service")),
        (stopped_ms + rng.randint(5, 12) * _MIN, _car(floor, "closed")),
    ]


def hydrant_low_pressure(rng: Random, at_ms: int) -> Spell:
    """A main loses its pressure for several minutes and gets it back."""
    low_mpa, minutes = rng.uniform(0.04, 0.08), rng.randint(6, 12)
    low = [(at_ms + half * 30 * _S, round(low_mpa + rng.uniform(0, 0.012), 3)) for half in range(minutes * 2)]
    back_ms = at_ms + minutes * _MIN
    falling = [(at_ms - 60 * _S, 0.22), (at_ms - 30 * _S, 0.14)]
    rising = [(back_ms, 0.16), (back_ms + 30 * _S, 0.23), (back_ms + 60 * _S, 0.27)]
    return [(when, {"pressure_mpa": mpa}) for when, mpa in (*falling, *low, *rising)]


def hydrant_knocked(rng: Random, at_ms: int) -> Spell:
    """A vehicle knocks it over; it lies and leaks until somebody puts it up again."""
    lying: Values = {"tilt_deg": round(rng.uniform(55, 88), 1), "tilt_alarm": True, "shock": True, "leak": True}
    minutes = rng.randint(12, 20)
    spell: Spell = [
        (at_ms + s * _S, lying | {"pressure_mpa": 0.19, "flow_lps": round(rng.uniform(8, 14), 1)})
        for s in (0, 10, *range(60, minutes * 60, 60))
    ]
    upright: Values = {"tilt_deg": 1.0, "tilt_alarm": False, "shock": False, "leak": False}
    return [*spell, (at_ms + minutes * _MIN, upright | {"flow_lps": 0.0, "pressure_mpa": 0.27})]


def hydrant_tamper(rng: Random, at_ms: int) -> Spell:
    """Somebody opens the cap and draws water."""
    minutes = rng.randint(4, 10)
    opened: Values = {"cap_open": True, "tamper": True, "flow_lps": round(rng.uniform(2, 6), 1)}
    closed: Values = {"cap_open": False, "tamper": False, "flow_lps": 0.0}
    return [*((at_ms + m * _MIN, dict(opened)) for m in range(minutes)), (at_ms + minutes * _MIN, closed)]


DAYS: dict[str, Callable[[Random, int], Iterator[Spell]]] = {
    "smoke": smoke_day,
    "lift": lift_day,
    "hydrant": hydrant_day,
}
INCIDENTS: dict[str, Callable[[Random, int], Spell]] = {
    "smoke.fire": smoke_fire,
    "smoke.test": smoke_test,
    "smoke.low_battery": smoke_low_battery,
    "smoke.tamper": smoke_tamper,
    "lift.entrapment_code": lift_entrapment_code,
    "lift.entrapment_inferred": lift_entrapment_inferred,
    "lift.door_open_moving": lift_door_open_moving,
    "hydrant.low_pressure": hydrant_low_pressure,
    "hydrant.knocked": hydrant_knocked,
    "hydrant.tamper": hydrant_tamper,
}
"""By name ``kind.what``; the time given is when it begins (a few readings may lead up to it)."""
