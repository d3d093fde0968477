"""A scripted district: 30 registered devices, strangers, impostors and garbage, with the alarms it must lead to.

Twenty rounds, 20 s apart by the devices' clocks. Times, numbers and bytes are the same whenever the same tag is
played, so that two runs can be held against each other to the identity of each alarm; and the script says itself
which alarms there must be, so that not even a clean run is believed.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gridwarden.model import FOREIGN

ROUNDS = 20
ROUND_MS = 20_000
PER_KIND = 10
NEVER = ROUNDS
Values = dict[str, Any]
Key = tuple[str, int, int]
"""Device, ``at``, ``seq``: one reading."""

NORMAL: dict[str, Values] = {
    "smoke": {"state": "normal", "battery_pct": 90, "temperature_c": 21.5, "chamber": "normal"},
    "lift": {"mode": "normal", "motion": "running", "door": "closed", "occupied": False, "battery_pct": 80},
    "hydrant": {"pressure_mpa": 0.32, "leak": False, "cap_open": False, "water_temp_c": 12.0, "battery_pct": 70},
}
ALARM_LANE = (("smoke", 0), ("smoke", 1), ("lift", 0))
"""Devices that publish the beginning of their alarm to the alarm topic, and go on with telemetry."""
_WAITING = {"motion": "stopped", "occupied": True}


@dataclass(frozen=True, slots=True)
class Spell:
    """A device says ``values`` from one round to before another one, which must lead to an alarm of ``rule``."""

    kind: str
    number: int
    values: Values
    first: int
    end: int
    rule: str
    hold_ms: int = 0
    latched: bool = False


SCRIPT = (
    Spell("smoke", 0, {"state": "alarm"}, 8, 13, "smoke.fire", latched=True),
    Spell("smoke", 1, {"state": "alarm"}, 11, 16, "smoke.fire", latched=True),  # the same building: it is confirmed
    Spell("smoke", 2, {"state": "removed"}, 3, 12, "smoke.removed"),
    Spell("smoke", 3, {"state": "fault"}, 10, 15, "smoke.fault"),
    Spell("smoke", 4, {"battery_pct": 10}, 6, 14, "smoke.low_battery"),
    Spell("smoke", 5, {"temperature_c": 61.0}, 12, 17, "smoke.fire", latched=True),
    Spell("smoke", 6, {"chamber": "medium"}, 13, NEVER, "smoke.chamber_medium"),
    Spell("lift", 0, {"entrapment": True}, 9, 14, "lift.entrapment", latched=True),
    Spell("lift", 1, {"pit_flood": True}, 3, 11, "lift.pit_flood"),
    Spell("lift", 2, {"tamper": True}, 10, 11, "lift.tamper"),
    Spell("lift", 3, {"backup_battery": "critical"}, 9, 16, "lift.backup_battery"),
    Spell("lift", 4, _WAITING, 7, 14, "lift.entrapment_inferred", hold_ms=90_000, latched=True),
    Spell("lift", 5, _WAITING, 8, 12, "lift.entrapment_inferred", hold_ms=90_000, latched=True),  # broken: no alarm
    Spell("lift", 6, {"battery_pct": 5}, 2, 18, "lift.low_battery"),
    Spell("hydrant", 0, {"pressure_mpa": 0.12}, 1, 18, "hydrant.low_pressure", hold_ms=300_000),
    Spell("hydrant", 1, {"pressure_mpa": 0.05}, 8, 13, "hydrant.very_low_pressure", hold_ms=60_000),
    Spell("hydrant", 2, {"leak": True}, 11, 15, "hydrant.leak"),
    Spell("hydrant", 3, {"cap_open": True}, 7, 13, "hydrant.cap_open"),
    Spell("hydrant", 4, {"tilt_deg": 45.0}, 14, NEVER, "hydrant.tilt"),
    Spell("hydrant", 5, {"water_temp_c": 2.0}, 5, 15, "hydrant.freeze"),
    Spell("hydrant", 6, {"battery_pct": 5}, 12, 17, "hydrant.low_battery"),
    Spell("hydrant", 7, {"leak": True}, 2, 4, "hydrant.leak"),
    Spell("hydrant", 7, {"leak": True}, 10, 13, "hydrant.leak"),  # again: another alarm in the same event
)
OVER = {"leak": False, "tilt_deg": 2.0, "pit_flood": False, "tamper": False, "backup_battery": "good",
        "entrapment": False, "motion": "running", "occupied": False}  # fmt: skip


CATEGORIES = {
    "smoke.removed": "tamper", "lift.tamper": "tamper", "hydrant.tilt": "tamper",
    "lift.pit_flood": "water", "hydrant.low_pressure": "water", "hydrant.very_low_pressure": "water",
    "hydrant.leak": "water", "hydrant.freeze": "water", "hydrant.cap_open": "usage", "smoke.fault": "fault", "smoke.fire": "fire",
    "lift.entrapment": "rescue", "lift.entrapment_inferred": "rescue",
}  # fmt: skip
"""What an alarm of a rule is a case of; of all others maintenance."""


@dataclass(frozen=True, slots=True)
class Truth:
    """One alarm that must be there, and no other."""

    rule_id: str
    scope: str
    pending_at_ms: int
    fired_at_ms: int
    cleared_at_ms: int | None
    resolved_at_ms: int | None
    unverified: bool = False


@dataclass(frozen=True, slots=True)
class Sent:
    """One MQTT message and what is in it."""

    topic: str
    payload: bytes
    readings: list[str] = field(default_factory=list)
    """A name for each reading in it, for the publisher's account; an undecodable part is one too."""


class Workload:
    """Everything that is published under one ``tag``, beginning at ``base_ms``."""

    def __init__(self, tag: str, base_ms: int) -> None:
        self.tag = tag
        self._base_ms = base_ms
        self.gateway = f"gw-{tag}"
        self.rogue = f"rogue-{tag}"
        self.stored: dict[Key, Values] = {}
        """What must lie in the records once each, entitled."""
        self.quarantined: dict[Key, Values] = {}
        """What must lie there once each, marked as not entitled."""
        self.dead: set[tuple[str, bytes]] = set()
        """Topic and bytes of what cannot be decoded."""
        self.repeated = 0
        """Readings published twice on purpose."""
        self.rounds = [list(self._round(number)) for number in range(ROUNDS)]
        self.truths = list(self._truths())
        self.incidents = {self._incident(truth) for truth in self.truths}
        """The incident key of each grid event that there must be."""
        self.repeats = f"{tag}.stranger-0"
        """It repeats its alarm on the alarm lane, which never waits for the right order: after a redelivery its alarm
        may have begun with a later one of its readings."""

    @property
    def readings(self) -> int:
        """Everything that is published, as the publisher counts."""
        return len(self.stored) + len(self.quarantined) + len(self.dead) + self.repeated

    def device(self, kind: str, number: int) -> str:
        """The id of a device."""
        return f"{self.tag}.{kind}-{number}"

    def register(self, rows: Iterable[Workload], file: Path) -> None:
        """Write the devices of all ``rows`` for an import."""
        with file.open("w", newline="") as out:
            writer = csv.writer(out)
            writer.writerow(["device_id", "kind", "gateway", "building"])
            for one in rows:
                for kind in NORMAL:
                    for number in range(PER_KIND):
                        building = f"{one.tag}-tower" if kind == "smoke" and number < 2 else ""
                        writer.writerow([one.device(kind, number), kind, one.gateway, building])

    # --- what is sent -------------------------------------------------------------------------------------------

    def _round(self, number: int) -> Iterable[Sent]:
        up, alarm = f"gridwarden/v1/{self.gateway}/up", f"gridwarden/v1/{self.gateway}/alarm"
        for index in range(PER_KIND):
            yield from self._single("smoke", index, number, up, alarm)
            if index < 1:
                yield from self._single("lift", index, number, up, alarm)
        for kind, start in (("lift", 1), ("hydrant", 0)):
            for first in range(start, PER_KIND, 5):
                some = range(first, min(first + 5, PER_KIND))
                bodies = [self._reading(self.device(kind, index), number, self._values(kind, index, number), index)
                          for index in some]  # fmt: skip
                yield _sent(up, {"readings": bodies} if kind == "hydrant" else bodies, bodies)
                if kind == "hydrant" and number % 6 == 5:
                    self.repeated += len(bodies)
                    yield _sent(up, {"readings": bodies}, bodies)
        yield from self._garbage(number, up)
        yield from self._strangers(number)

    def _single(self, kind: str, index: int, number: int, up: str, alarm: str) -> Iterable[Sent]:
        begins = any((s.kind, s.number, s.first) == (kind, index, number) for s in SCRIPT)
        body = self._reading(self.device(kind, index), number, self._values(kind, index, number), index)
        yield _sent(alarm if begins and (kind, index) in ALARM_LANE else up, body, [body])

    def _values(self, kind: str, index: int, number: int) -> Values:
        values = dict(NORMAL[kind])
        for spell in SCRIPT:
            if (spell.kind, spell.number) == (kind, index):
                told = spell.values if spell.first <= number < spell.end else {
                    name: OVER[name] for name in spell.values if name in OVER
                }  # fmt: skip
                values |= told
                if number < spell.end:
                    break
        return values

    def _reading(self, device: str, number: int, values: Values, offset_ms: int, *, entitled: bool = True) -> Values:
        at_ms = self.at_ms(number, offset_ms)
        (self.stored if entitled else self.quarantined)[device, at_ms, number] = values
        return {"device": device, "at": at_ms, "seq": number, "values": values}

    def at_ms(self, number: int, offset_ms: int) -> int:
        """The device's clock in a round."""
        return self._base_ms + number * ROUND_MS + offset_ms

    def _garbage(self, number: int, up: str) -> Iterable[Sent]:
        payload = [f"no JSON: {self.tag} {number}".encode(), json.dumps({"hello": [self.tag, number]}).encode(),
                   b'{"device": "\xff%d %s"' % (number, self.tag.encode())][number % 3]  # fmt: skip
        self.dead.add((up, payload))
        yield Sent(up, payload, ["garbage"])
        if number % 4 == 1:  # one bad part does not take the others with it
            good = self._reading(f"{self.tag}.stranger-2", number, {"leak": False}, 71)
            bad = {"device": f"{self.tag}.broken", "seq": number}
            self.dead.add((up, json.dumps(bad, separators=(",", ":")).encode()))
            yield Sent(up, json.dumps([good, bad]).encode(), ["good", "bad"])

    def _strangers(self, number: int) -> Iterable[Sent]:
        lane = f"gridwarden/v1/{self.rogue}"
        stranger = self._reading(
            f"{self.tag}.stranger-0", number, {"state": "alarm" if number >= 10 else "normal", "smoke_dbm": 0.1}, 61
        )
        yield _sent(f"{lane}/{'alarm' if number >= 10 else 'up'}", stranger, [stranger])
        if number in (4, 9, 12):
            name = self.device("smoke", 9)
            claim = self._reading(name, number, {"state": "alarm", "heat_alarm": number > 9}, 500, entitled=False)
            yield _sent(f"{lane}/alarm", claim, [claim])
        if number == 14:  # older than what the device said since: stored, and changes nothing
            # It says nothing new: after a pause it may share a batch with its time, and then it is not late.
            name, at_ms, values = self.device("smoke", 8), self.at_ms(2, 9_000), dict(NORMAL["smoke"])
            self.stored[name, at_ms, 1_000] = values
            late = {"device": name, "at": at_ms, "seq": 1_000, "values": values}
            up = f"gridwarden/v1/{self.gateway}/up"
            yield _sent(up, late, [late])

    # --- what it must lead to -----------------------------------------------------------------------------------

    def _truths(self) -> Iterable[Truth]:
        for spell in SCRIPT:
            began, ended = self.at_ms(spell.first, spell.number), self.at_ms(spell.end, spell.number)
            if ended - began < spell.hold_ms:
                continue
            over = None if spell.end == NEVER else ended
            scope = self.device(spell.kind, spell.number)
            yield Truth(spell.rule, scope, began, began + spell.hold_ms, over, None if spell.latched else over)
        both = self.at_ms(11, 1)
        yield Truth("smoke.fire_confirmed", f"building:{self.tag}-tower", both, both, None, None)
        fired = self.at_ms(10, 61)
        yield Truth("smoke.fire", f"{self.tag}.stranger-0", fired, fired, None, None, unverified=True)
        claimed, scope = self.at_ms(4, 500), f"{FOREIGN}{self.rogue}/{self.device('smoke', 9)}"
        yield Truth("smoke.fire", scope, claimed, claimed, None, None, unverified=True)

    def _incident(self, truth: Truth) -> str:
        """Where an alarm belongs: with its device's others, its building's fire, or with what nobody can vouch for."""
        if truth.unverified:
            return f"fire/unverified:{self.rogue}"
        if truth.scope.startswith("building:"):
            return f"fire/{truth.rule_id}/{truth.scope}"
        if truth.rule_id == "smoke.fire" and truth.scope in {self.device("smoke", number) for number in (0, 1)}:
            return f"fire/building:{self.tag}-tower"
        return f"{CATEGORIES.get(truth.rule_id, 'maintenance')}/device:{truth.scope}"


def _sent(topic: str, body: Any, bodies: list[Values]) -> Sent:
    return Sent(topic, json.dumps(body).encode(), [str(one["device"]) for one in bodies])
