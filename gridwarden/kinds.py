"""Kinds of devices and their fields: types, units, bounds. Pure data.

Bounds and units: field table of city IoT practice (GB 50974-2014 7.2.8, GB 55036-2022 3.0.3 for hydrants;
ASHRAE 135 clause 12.59 names for lifts; vendors' documents for the rest). Where a standard's code table could
not be read, the names are ours and no conformance is claimed.
A value outside its bounds becomes null with a quality; the rest of the reading lives.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

TEXT_LIMIT = 200
"""Longest text value, characters."""


class FieldType(StrEnum):
    """The type of a field's values."""

    BOOL = "bool"
    INT = "int"
    FLOAT = "float"
    ENUM = "enum"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Field:
    """One named quantity of a kind."""

    name: str
    type: FieldType
    low: float | None = None
    high: float | None = None
    unit: str = ""
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Kind:
    """What a device is, and what it may say."""

    name: str
    fields: dict[str, Field]
    own: frozenset[str]
    """Names of the fields that are this kind's own, not common to all: they betray an unregistered device."""


def _bool(*names: str) -> tuple[Field, ...]:
    return tuple(Field(name, FieldType.BOOL) for name in names)


def _int(name: str, low: int, high: int, unit: str = "") -> Field:
    return Field(name, FieldType.INT, low, high, unit)


def _float(name: str, low: float, high: float, unit: str = "") -> Field:
    return Field(name, FieldType.FLOAT, low, high, unit)


def _enum(name: str, *choices: str) -> Field:
    return Field(name, FieldType.ENUM, choices=choices)


def _text(name: str) -> Field:
    return Field(name, FieldType.TEXT, high=TEXT_LIMIT)


_COUNTER_HIGH = 2**53

COMMON = (
    _float("battery_pct", 0, 100, "%"),
    _float("battery_v", 1.8, 4.2, "V"),
    _int("rsrp_dbm", -140, -44, "dBm"),
    _float("device_temp_c", -40, 85, "°C"),
    _enum("self_test", "pass", "fail"),
    *_bool("tamper"),
    _text("fault_text"),
)

HYDRANT = (
    _float("pressure_mpa", 0, 2.5, "MPa"),
    _float("pressure_min_mpa", 0, 2.5, "MPa"),
    _float("pressure_avg_mpa", 0, 2.5, "MPa"),
    _float("pressure_max_mpa", 0, 2.5, "MPa"),
    _float("low_threshold_mpa", 0, 2.5, "MPa"),
    _float("high_threshold_mpa", 0, 2.5, "MPa"),
    _float("flow_lps", 0, 100, "L/s"),
    _float("volume_l", 0, _COUNTER_HIGH, "L"),
    _float("tilt_deg", 0, 180, "°"),
    _float("water_temp_c", -30, 60, "°C"),
    *_bool("cap_open", "valve_open", "leak", "water_present", "tilt_alarm", "shock", "moved"),
)

SMOKE = (
    _enum("state", "normal", "alarm", "test", "muted", "fault", "low_battery", "removed", "installed", "restore"),
    _float("smoke_dbm", 0, 2, "dB/m"),
    _float("smoke_raw", 0, 1e6),
    _enum("smoke_unit", "dB/m", "%/ft", "%", "ppm", "level"),
    _float("temperature_c", -20, 120, "°C"),
    _enum("chamber", "normal", "light", "medium", "critical"),
    _int("alarm_count", 0, _COUNTER_HIGH),
    _int("test_count", 0, _COUNTER_HIGH),
    _float("heartbeat_h", 1, 48, "h"),
    *_bool("heat_alarm", "obstructed", "inlet_covered", "unmounted", "buzzer_fault", "sensor_fault"),
)

LIFT_MODES = (
    "normal", "inspection", "fire_return", "firefighter", "emergency_power", "earthquake", "out_of_service",
    "attendant", "vip", "parking", "homing", "evacuation", "unknown",
)  # fmt: skip

LIFT = (
    _enum("mode", *LIFT_MODES),
    _enum("motion", "stopped", "running"),
    _enum("direction", "none", "up", "down"),
    _int("floor", -10, 255),
    _text("floor_label"),
    _enum("door", "open", "opening", "closed", "closing", "fault"),
    _float("load_pct", 0, 150, "%"),
    _float("speed_mps", 0, 12, "m/s"),
    _float("vibration", 0, 100, "m/s²"),
    _enum("entrapment_source", "button", "inferred", "voice"),
    _enum("alarm_location", "car", "roof", "well", "machinery"),
    _int("fault_code", 0, 16),
    _int("trips", 0, _COUNTER_HIGH),
    _float("run_hours", 0, _COUNTER_HIGH, "h"),
    _int("door_cycles", 0, _COUNTER_HIGH),
    _float("machine_room_c", -40, 85, "°C"),
    _float("shaft_c", -40, 85, "°C"),
    _enum("backup_battery", "good", "warning", "critical", "insufficient"),
    *_bool("door_zone", "overloaded", "occupied", "alarm_button", "entrapment", "pit_flood", "power_main"),
)

PUBLIC_LIFT = (
    _enum("status", "active", "inactive", "not_listed"),
    _text("reason"),
    *_bool("monitored"),
)
"""Lifts known only by a public status feed (station lifts): no telemetry, just available or not.

What the feed does not know is no status: a lift that is not ``monitored`` has the one it had.
"""


PLATFORM = "platform"
"""Gateways, brokers, this system itself: what rules are about that watch the platform."""

_LONG_S = 4e7
"""More than a year, in seconds."""

PARTS = (
    *_bool("records_failing", "web_connected", "history_failing", "heartbeat_failing", "connected"),
    _float("commit_slowest_s", 0, _LONG_S, "s"),
    _float("spool_fill", 0, 100),
    _float("spool_age_s", 0, _LONG_S, "s"),
    _float("disk_free_share", 0, 1),
    _float("store_fill", 0, 100),
    _float("aside_fill", 0, 100),
    _float("telemetry_delay_s", 0, _LONG_S, "s"),
    _float("alarm_delay_s", 0, _LONG_S, "s"),
    _int("ledger_imbalance", 0, _COUNTER_HIGH),
    _int("dead_letters", 0, _COUNTER_HIGH),
    _int("unentitled", 0, _COUNTER_HIGH),
    _int("strangers", 0, _COUNTER_HIGH),
    _float("clock_step_s", -1e10, 1e10, "s"),
    _float("history_behind_s", 0, _LONG_S, "s"),
    _int("history_behind", 0, _COUNTER_HIGH),
    _int("history_missing", 0, _COUNTER_HIGH),
    _int("websockets", 0, _COUNTER_HIGH),
    _int("clients_cut", 0, _COUNTER_HIGH),
    _float("hub_behind_s", 0, _LONG_S, "s"),
    _int("restarts", 0, _COUNTER_HIGH),
    _int("redelivered", 0, _COUNTER_HIGH),
    _float("memory_mb", 0, 1e7, "MB"),
    _float("backup_age_h", 0, 1e6, "h"),
)
"""What this system says of its own parts; each of them says the fields it can. Counts are of one interval."""


def _kind(name: str, own: tuple[Field, ...], common: tuple[Field, ...] = COMMON) -> Kind:
    return Kind(name, {f.name: f for f in (*common, *own)}, frozenset(f.name for f in own))


SENSORS: dict[str, Kind] = {
    "hydrant": _kind("hydrant", HYDRANT),
    "smoke": _kind("smoke", SMOKE),
    "lift": _kind("lift", LIFT),
    "public_lift": _kind("public_lift", PUBLIC_LIFT),
}
"""What a registry may hold, and what readings from outside may be of."""

KINDS: dict[str, Kind] = SENSORS | {PLATFORM: _kind(PLATFORM, PARTS, ())}
"""Every kind that rules and the history know."""


def guess_kind(names: set[str]) -> str:
    """The one kind whose own fields best match ``names``; ``""`` where none or more than one does.

    Used for unregistered devices only, so that a fire from one of them is still judged as a fire.
    """
    scores = sorted(((len(kind.own & names), name) for name, kind in SENSORS.items()), reverse=True)
    (best, name), (second, _) = scores[:2]
    return name if best > second else ""
