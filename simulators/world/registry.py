"""A registry to play on: the small made-up district with more devices in its houses. Pure and without chance."""

from __future__ import annotations

from dataclasses import replace

from gridwarden.model import Device
from simulators import district
from simulators.behaviour import INTERVAL_S

TIMES = {"smoke": 5, "lift": 2, "hydrant": 3}
"""For each device of the small district so many stand here."""


def devices() -> list[Device]:
    """400 smoke detectors with their floors, 120 lifts and 180 hydrants in the areas of the small district."""
    floors: dict[str, int] = {}
    found = []
    for one in district.devices():
        for copy in range(TIMES[one.kind]):
            attributes = {"interval_s": INTERVAL_S[one.kind]}
            if one.kind == "smoke":
                floors[one.building] = floors.get(one.building, 0) + 1
                attributes["floor"] = floors[one.building]
            found.append(replace(one, device_id=f"{one.device_id}-{copy + 1}", attributes=attributes))
    return found
