"""A made-up history of a whole district, made in columns: what behaviour.py says of single devices, for all at once.

Devices and intervals are those of the made-up city: 3,000 hydrants every quarter of an hour, 20,000 smoke detectors every
half hour, 7,000 lifts with 65 trips of four readings a day and a heartbeat every half hour. What goes wrong:

- people are trapped in 60 of 7,000 lifts a month (known cities: 22 to 93), half of the lifts say so themselves
- 20 fires and 200 burnt toasts a month, 100 tests a day, 0.1 % of the detectors off the ceiling at any time
- 1 % of all batteries are low, 0.5 % of the detectors dirty, 0.5 % of the hydrants low in pressure, 0.1 % leak, 0.05 %
  lie on the ground, for as long as the history goes
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gridwarden.history.duckdb import DuckDBHistory

DAY_MS = 86_400_000
START_MS = 1_790_000_000_000 // DAY_MS * DAY_MS
SHARES = {"hydrant": 3_000, "smoke": 20_000, "lift": 7_000}
MODES = ("normal", "inspection", "parking")
_TRIPS, _BEATS = 65, 48
_MONTH_DAYS = 30
_KEYED_REGISTERED_ENTITLED = 7

Columns = dict[str, Any]


@dataclass(slots=True)
class District:
    """Its devices and their lasting faults; ``days`` are made one by one."""

    scale: float
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(7))
    keys: dict[str, Any] = field(default_factory=dict)
    lasting: dict[str, Any] = field(default_factory=dict)
    """Per device: its battery, pressure and so on, as it is all the time."""

    def __post_init__(self) -> None:
        first = 0
        for kind, number in SHARES.items():
            count = max(round(number * self.scale), 16)
            self.keys[kind] = np.arange(first, first + count, dtype=np.int32)
            self.lasting[kind, "battery_pct"] = np.where(
                self._some(count, 0.01), 11.0, self.rng.integers(45, 100, count)
            )
            first += count
        hydrants, smokes = len(self.keys["hydrant"]), len(self.keys["smoke"])
        self.lasting["pressure"] = np.where(self._some(hydrants, 0.005), 0.11, self.rng.uniform(0.24, 0.34, hydrants))
        self.lasting["leak"], self.lasting["tilt"] = self._some(hydrants, 0.001), self._some(hydrants, 0.0005)
        self.lasting["chamber"] = np.where(self._some(smokes, 0.005), 2, 0)
        self.lasting["off"] = self._some(smokes, 0.001)

    def _some(self, count: int, share: float) -> Any:
        return self.rng.random(count) < share

    def rows_a_day(self) -> int:
        """About."""
        lifts = len(self.keys["lift"]) * (4 * _TRIPS + _BEATS)
        return len(self.keys["hydrant"]) * 96 + len(self.keys["smoke"]) * 48 + lifts

    def names(self) -> list[tuple[int, str, str, str]]:
        """For the table of devices."""
        return [(key, f"{kind.upper()}-{key:06d}", kind, kind) for kind in SHARES for key in self.keys[kind].tolist()]

    def day(self, number: int) -> Iterator[tuple[str, Columns, dict[str, tuple[str, ...]]]]:
        """Kind, columns and what the codes in them mean."""
        day_ms = START_MS + number * DAY_MS
        yield "hydrant", self._hydrants(day_ms), {}
        yield "smoke", self._smokes(day_ms), _SMOKE_WORDS
        yield "lift", self._lifts(day_ms), _LIFT_WORDS

    def _beats(self, kind: str, day_ms: int, beats: int) -> tuple[Any, Any]:
        """Devices and times of a report ``beats`` times a day, each device with its own minute."""
        keys = self.keys[kind]
        step = DAY_MS // beats
        begin = (keys.astype(np.int64) * 7919) % step
        at_ms = day_ms + begin[:, None] + np.arange(beats) * step
        return np.repeat(np.arange(len(keys)), beats), at_ms.ravel()

    def _common(self, kind: str, device: Any, at_ms: Any) -> Columns:
        count = len(device)
        return {
            "device_key": self.keys[kind][device], "at_ms": at_ms, "rx_delay_ms": self.rng.integers(40, 900, count),
            "gateway_key": (device % 64).astype(np.int32), "flags": np.full(count, _KEYED_REGISTERED_ENTITLED, np.uint8),
            "key": self.rng.integers(0, 2**63, count), "seq": at_ms // 1000,
        }  # fmt: skip

    def _hydrants(self, day_ms: int) -> Columns:
        device, at_ms = self._beats("hydrant", day_ms, 96)
        warmth = -np.cos((at_ms - day_ms) / DAY_MS * 2 * np.pi)
        noise = self.rng.normal(0, 1, len(device))
        opened = self._some(len(device), 50 / _MONTH_DAYS / 3000 / 96)
        tilted = self.lasting["tilt"][device]
        return self._common("hydrant", device, at_ms) | {
            "pressure_mpa": np.round(self.lasting["pressure"][device] - 0.015 * warmth + 0.003 * noise, 3).astype("f4"),
            "flow_lps": np.zeros(len(device), "f4"), "tilt_alarm": tilted, "leak": self.lasting["leak"][device],
            "tilt_deg": np.round(np.where(tilted, 70, 1.5) + noise * 0.1, 1).astype("f4"), "cap_open": opened,
            "water_temp_c": np.round(12 + 2 * warmth + 0.2 * noise, 1).astype("f4"), "tamper": opened,
            "battery_pct": self.lasting["hydrant", "battery_pct"][device].astype("f4"),
        }  # fmt: skip

    def _smokes(self, day_ms: int) -> Columns:
        device, at_ms = self._beats("smoke", day_ms, 48)
        count = len(device)
        state = np.where(self.lasting["off"][device], 6, 0)
        state[self._some(count, 100 / 20_000 / 48)] = 2
        noise = self.rng.normal(0, 1, count)
        smoke = np.abs(0.012 + 0.006 * noise)
        burning = self._some(count, 20 / _MONTH_DAYS / 20_000 / 48)
        state[burning], smoke[burning] = 1, 0.4
        return self._common("smoke", device, at_ms) | {
            "state": state, "smoke_dbm": np.round(smoke, 3).astype("f4"), "chamber": self.lasting["chamber"][device],
            "temperature_c": np.round(22 + 0.5 * noise, 1).astype("f4"), "tamper": np.zeros(count, bool),
            "battery_pct": self.lasting["smoke", "battery_pct"][device].astype("f4"),
            "rsrp_dbm": self.rng.integers(-108, -80, count), "self_test": np.zeros(count, np.int64),
        }  # fmt: skip

    def _lifts(self, day_ms: int) -> Columns:
        keys = self.keys["lift"]
        trips = len(keys) * _TRIPS
        starts = np.sort(self.rng.integers(0, DAY_MS // 90_000 - 1, (len(keys), _TRIPS)), axis=1) * 90_000
        leg = np.array([0, 6_000, 25_000, 32_000])
        at_ms = (day_ms + starts[:, :, None] + leg).reshape(-1)
        device = np.repeat(np.arange(len(keys)), _TRIPS * 4)
        floors = self.rng.integers(1, 18, trips)
        leg_number = np.tile(np.arange(4), trips)
        begins = self._some(trips, 60 / _MONTH_DAYS / 7_000 / _TRIPS)
        held = np.repeat(begins | np.roll(begins, 1), 4)  # until they are freed: this trip and the next, half an hour
        stuck = held & ~((leg_number < 2) & np.repeat(begins, 4))  # from the ride on
        told = stuck & np.repeat(self._some(trips, 0.5), 4)
        riding = (leg_number < 3) | stuck  # at the end of a trip they get out
        columns = {
            "mode": np.zeros(4 * trips, np.int64), "motion": ((leg_number == 1) & ~stuck).astype(np.int64),
            "direction": np.where(leg_number == 1, 1, 0), "floor": np.repeat(floors, 4),
            "door": np.where((leg_number % 2 == 1) | stuck, 2, 0),
            "load_pct": np.where(riding, np.repeat(self.rng.integers(6, 70, trips), 4), 0).astype("f4"),
            "speed_mps": np.where(leg_number == 1, 1.5, 0).astype("f4"), "occupied": riding,
            "door_zone": (leg_number != 1) & ~stuck, "entrapment": told, "alarm_button": told,
        }  # fmt: skip
        beat_device, beat_ms = self._beats("lift", day_ms, _BEATS)
        beats = len(beat_device)
        missing = {name: np.ma.masked_all(beats, column.dtype) for name, column in columns.items()}
        merged = {name: np.ma.concatenate([column, missing[name]]) for name, column in columns.items()}
        merged["machine_room_c"] = np.ma.concatenate(
            [np.ma.masked_all(4 * trips, "f4"), np.round(self.rng.normal(26, 0.5, beats), 1).astype("f4")]
        )
        merged["power_main"] = np.ma.concatenate([np.ma.masked_all(4 * trips, bool), np.ones(beats, bool)])
        merged["backup_battery"] = np.ma.concatenate([np.ma.masked_all(4 * trips, np.int64), np.zeros(beats, np.int64)])
        merged["battery_pct"] = np.ma.concatenate(
            [np.ma.masked_all(4 * trips, "f4"), self.lasting["lift", "battery_pct"][beat_device].astype("f4")]
        )
        order = np.concatenate([device, beat_device]), np.concatenate([at_ms, beat_ms])
        return self._common("lift", *order) | merged


_SMOKE_WORDS = {
    "state": ("normal", "alarm", "test", "muted", "fault", "low_battery", "removed"),
    "chamber": ("normal", "light", "medium", "critical"), "self_test": ("pass", "fail"),
}  # fmt: skip
_LIFT_WORDS = {
    "mode": MODES, "motion": ("stopped", "running"), "direction": ("none", "up", "down"),
    "door": ("open", "opening", "closed", "closing"), "backup_battery": ("good", "warning", "critical"),
}  # fmt: skip


def write(history: DuckDBHistory, district: District, rows: int) -> int:
    """Fill ``history`` day by day, sealed, until it has ``rows``; the number of days."""
    with history._transaction() as connection:
        connection.execute("SET enable_progress_bar = false")
        connection.executemany("INSERT INTO devices VALUES (?, ?, ?, ?)", district.names())
        connection.execute("INSERT INTO gateways SELECT range, 'gw-' || range FROM range(64)")
    days = 0
    while history.count() < rows:
        for kind, columns, words in district.day(days):
            with history._transaction() as connection:
                connection.register("made", columns)
                names = [name for name in columns if name not in {"at_ms", *words}]
                texts = [f"list_extract({list(choices)}, {name} + 1) AS {name}" for name, choices in words.items()]
                select = ", ".join([*names, "make_timestamp_ms(at_ms) AS occurred_at", *texts])
                connection.execute(f"INSERT INTO hot_{kind} BY NAME SELECT {select} FROM made")  # noqa: S608
                connection.unregister("made")
        days += 1
        history.seal(START_MS + days * DAY_MS)
    with history._transaction() as connection:
        connection.execute("UPDATE state SET complete_until_ms = $until", {"until": START_MS + days * DAY_MS})
    return days
