"""A made-up day of the made-up district with known incidents: ``python -m simulators.sample OUT.jsonl.gz``.

The same seed and day give the same bytes. Something begins in any quarter of an hour, so that whoever plays a
slice of the day sees something happen.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date, datetime
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from pydantic_core import to_json

from gridwarden.clock import rfc3339
from gridwarden.model import Area, Device
from simulators import district
from simulators.behaviour import DAY_MS, DAYS, INCIDENTS, Spell

_MIN = 60_000
_SLOT_MS = 10 * _MIN
_FIRST_SLOT_MS = 2 * _MIN
_GRAVE = ("smoke.fire", "lift.entrapment_code", "hydrant.knocked", "lift.entrapment_inferred")
"""One of these an hour, in turn; the rest of the hour holds lesser ones."""
_TEST_MINUTE = 57
"""Minute of every other hour at which somebody presses a test button."""
_QUIET_MS = 60_000
"""Nothing ordinary is said from so long before an incident."""
_ZONE = ZoneInfo("Asia/Shanghai")
DEFAULT_DAY = date(2026, 3, 16)


@dataclass(frozen=True, slots=True)
class Incident:
    """What truly happened: the ground truth a rule is judged by."""

    name: str
    """One of ``behaviour.INCIDENTS``."""
    device_id: str
    area: str
    begin_at_ms: int
    end_at_ms: int
    """Time of the last reading that belongs to it."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The day."""

    readings: list[dict[str, Any]]
    """Native bodies with ``gateway`` beside them, by time."""
    incidents: list[Incident]
    devices: list[Device]
    areas: list[Area]


def generate(seed: int = 1, day: date = DEFAULT_DAY) -> Sample:
    """Make the day; ``seed`` decides everything that is left to chance."""
    rng = Random(seed)
    day_ms = round(datetime(day.year, day.month, day.day, tzinfo=_ZONE).timestamp() * 1000)
    devices = district.devices()
    planned = _plan(rng, day_ms, devices)
    rows: list[dict[str, Any]] = []
    incidents: list[Incident] = []
    for device in devices:
        own = Random(f"{seed} {device.device_id}")
        happening: Spell = []
        if device.device_id in planned:
            name, at_ms = planned[device.device_id]
            happening = [step for step in INCIDENTS[name](own, at_ms) if step[0] < day_ms + DAY_MS]
            incidents.append(Incident(name, device.device_id, device.area, at_ms, happening[-1][0]))
        rows += _rows(device, _merged(DAYS[device.kind](own, day_ms), happening))
    rows.sort(key=lambda row: row["at"])
    incidents.sort(key=lambda incident: incident.begin_at_ms)
    return Sample(rows, incidents, devices, district.areas())


def _plan(rng: Random, day_ms: int, devices: Sequence[Device]) -> dict[str, tuple[str, int]]:
    """Which device has which incident and when; no device has two."""
    free = {kind: [device.device_id for device in devices if device.kind == kind] for kind in DAYS}
    for ids in free.values():
        rng.shuffle(ids)
    plan: dict[str, tuple[str, int]] = {}
    for hour in range(24):
        even = hour % 2 == 0
        names = (
            "hydrant.low_pressure",
            "lift.door_open_moving",
            _GRAVE[hour % len(_GRAVE)],
            "smoke.tamper" if even else "hydrant.tamper",
            "smoke.low_battery",
            "hydrant.tamper" if even else "smoke.tamper",
        )
        hour_ms = day_ms + hour * 60 * _MIN
        for slot, name in enumerate(names):
            at_ms = hour_ms + _FIRST_SLOT_MS + slot * _SLOT_MS + rng.randrange(_MIN)
            plan[free[name.partition(".")[0]].pop()] = (name, at_ms)
        if even:
            plan[free["smoke"].pop()] = ("smoke.test", hour_ms + _TEST_MINUTE * _MIN + rng.randrange(_MIN))
    return plan


def _merged(ordinary: Iterable[Spell], happening: Spell) -> Spell:
    """The device's day: ordinary spells that would fall into the incident are left out."""
    if not happening:
        steps = [step for spell in ordinary for step in spell]
    else:
        begin_ms, end_ms = happening[0][0] - _QUIET_MS, happening[-1][0]
        apart = [spell for spell in ordinary if spell[-1][0] < begin_ms or spell[0][0] > end_ms]
        steps = [*happening, *(step for spell in apart for step in spell)]
    return sorted(steps, key=lambda step: step[0])


def _rows(device: Device, steps: Spell) -> list[dict[str, Any]]:
    return [
        {"gateway": device.gateway, "device": device.device_id, "at": at_ms, "seq": seq, "values": values}
        for seq, (at_ms, values) in enumerate(steps, 1)
    ]


def write_readings(sample: Sample, path: Path) -> None:
    """One native reading a line, gzipped when the name ends in ``.gz``; the same sample gives the same bytes."""
    lines = b"".join(to_json(row) + b"\n" for row in sample.readings)
    # Level 6 and no time stamp in the head: small, quick, and the same every time.
    path.write_bytes(gzip.compress(lines, 6, mtime=0) if path.suffix == ".gz" else lines)


def write_table(records: Sequence[Device] | Sequence[Area], path: Path) -> None:
    """Devices or areas as CSV with a header, columns named as the fields of ``gridwarden.model``."""
    names = [field.name for field in fields(records[0]) if field.name != "attributes"]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(record) for record in records)


def write_truth(sample: Sample, path: Path) -> None:
    """One incident a line."""
    path.write_bytes(b"".join(to_json(_told(incident)) + b"\n" for incident in sample.incidents))


def _told(incident: Incident) -> dict[str, str]:
    return {
        "name": incident.name,
        "device": incident.device_id,
        "area": incident.area,
        "begin_at": rfc3339(incident.begin_at_ms),
        "end_at": rfc3339(incident.end_at_ms),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; see ``--help``."""
    parser = argparse.ArgumentParser(prog="python -m simulators.sample", description=__doc__)
    parser.add_argument("out", type=Path, help="readings, JSON Lines (.gz: gzipped)")
    parser.add_argument("--devices", type=Path, help="also write the devices, CSV")
    parser.add_argument("--areas", type=Path, help="also write the areas, CSV")
    parser.add_argument("--truth", type=Path, help="also write the incidents, JSON Lines")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--day", type=date.fromisoformat, default=DEFAULT_DAY, help="Asia/Shanghai; YYYY-MM-DD")
    options = parser.parse_args(arguments)
    sample = generate(options.seed, options.day)
    write_readings(sample, options.out)
    if options.devices:
        write_table(sample.devices, options.devices)
    if options.areas:
        write_table(sample.areas, options.areas)
    if options.truth:
        write_truth(sample, options.truth)
    sys.stdout.write(f"{len(sample.readings)} readings, {len(sample.incidents)} incidents\n")


if __name__ == "__main__":
    main()
