"""What devices say when something happens to them. Pure; chance comes as an argument.

Figures are plausible for the trade, not taken from any one product.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

from gridwarden.model import Value
from simulators.behaviour import TOP_FLOOR, Spell, Values, car

_S, _MIN = 1_000, 60_000
_ALARM_DBM = 0.15
"""Smoke density at which the made-up detector goes into alarm, dB/m."""


def smoke_fire(rng: Random, at_ms: int) -> Spell:
    """Smoke rises for three minutes, stays, thins out; the detector alarms, then says it is over.

    Of its chamber it says nothing: how dirty that is a detector judges over days.
    """
    peak_dbm, spell = rng.uniform(0.35, 0.6), Spell()
    alarmed = False
    for second in range(0, 780, 10):
        rise = 1 / (1 + math.exp(-(second - 80) / 18))
        fall = 1 / (1 + math.exp((second - 560) / 40))
        smoke_dbm = round(peak_dbm * rise * fall + rng.uniform(0, 0.01), 3)
        alarmed = alarmed or smoke_dbm >= _ALARM_DBM
        state = "alarm" if smoke_dbm >= _ALARM_DBM else "restore" if alarmed else "normal"
        temperature_c = round(23 + 40 * smoke_dbm, 1)
        values: Values = {"state": state, "smoke_dbm": smoke_dbm, "temperature_c": temperature_c}
        spell.append((at_ms + second * _S, values))
    return [
        *spell,
        (at_ms + 840 * _S, {"state": "normal", "smoke_dbm": 0.02, "temperature_c": 25.0}),
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


def _stuck(rng: Random, at_ms: int, top: int, timing: tuple[int, int], **more: Value) -> Spell:
    """A car that stops between floors with somebody in it, until they are freed; ``timing``: seconds, and how often told."""
    seconds, step = timing
    floor, load_pct = rng.randint(2, top - 1), round(rng.uniform(6, 25), 1)
    riding: Values = {"occupied": True, "load_pct": load_pct, "door_zone": False}
    moving = car(floor, "closed", **riding, motion="running", direction="up", speed_mps=1.5)
    held = [(at_ms + s * _S, car(floor, "closed", **riding, **more)) for s in range(0, seconds, step)]
    freed_ms = at_ms + seconds * _S
    return [
        (at_ms - 4 * _S, moving),
        *held,
        (freed_ms, car(floor, "open")),
        (freed_ms + 60 * _S, car(floor, "closed")),
    ]


def lift_entrapment_code(rng: Random, at_ms: int, top: int = TOP_FLOOR) -> Spell:
    """Entrapment told by the lift itself: the button in the car was pressed."""
    said: Values = {"entrapment": True, "entrapment_source": "button", "alarm_button": True, "alarm_location": "car"}
    return _stuck(rng, at_ms, top, (rng.randrange(600, 1200, 30), 30), **said)


def lift_entrapment_inferred(rng: Random, at_ms: int, top: int = TOP_FLOOR) -> Spell:
    """Nobody says so: occupied, stopped, door closed, for minutes."""
    return _stuck(rng, at_ms, top, (rng.randrange(300, 600, 15), 15))


def lift_door_open_moving(rng: Random, at_ms: int, top: int = TOP_FLOOR) -> Spell:
    """The car moves off with its door open, is taken out of service and returned."""
    floor = rng.randint(2, top - 1)
    moving: Values = {"motion": "running", "direction": "down", "speed_mps": 0.4, "door_zone": False}
    stopped_ms = at_ms + 8 * _S
    return [
        *((at_ms + second * _S, car(floor, "open", **moving)) for second in range(0, 8, 2)),
        (stopped_ms, car(floor, "open", mode="out_of_service")),
        (stopped_ms + rng.randint(5, 12) * _MIN, car(floor, "closed")),
    ]


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


INCIDENTS: dict[str, Callable[..., Spell]] = {
    "smoke.fire": smoke_fire,
    "smoke.test": smoke_test,
    "smoke.low_battery": smoke_low_battery,
    "smoke.tamper": smoke_tamper,
    "lift.entrapment_code": lift_entrapment_code,
    "lift.entrapment_inferred": lift_entrapment_inferred,
    "lift.door_open_moving": lift_door_open_moving,
    "hydrant.knocked": hydrant_knocked,
    "hydrant.tamper": hydrant_tamper,
}
"""By name ``kind.what``; given chance and the time at which it begins (a few readings may lead up to it), those of lifts
the top floor, too."""
