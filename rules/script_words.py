"""The strict schema of a test file, and the words in it. What they mean is in docs/guide/rules.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from gridwarden.errors import ConfigError
from rules.timeline import EVENT, STAGES, Entry
from rules.written import parse_duration

SINGLE = "DEVICE-1"
"""The device of a case that names none."""
GATEWAY = "gateway-1"
"""What speaks for the devices, unless they say otherwise."""
_ROW = "[time, rule, what] is expected"
_ROW_OF_MANY = "[time, device or scope, rule, what] is expected where there are several devices"


class Written(BaseModel):
    """No unknown key, no guessing of types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


class WrittenDevice(Written):
    """A device of the registry."""

    kind: str = ""
    clock: str = "0s"
    """How far its clock is ahead of ours: ``3m``, or behind: ``-1h``."""
    gateway: str | None = GATEWAY
    profile: str = ""
    area: str = ""
    building: str = ""
    water_main: str = ""
    power_feeder: str = ""
    lon: float | None = None
    lat: float | None = None
    attributes: dict[str, Any] = {}


class WrittenCase(Written):
    """One story."""

    name: str = Field(min_length=1, max_length=200)
    kind: str = ""
    attributes: dict[str, Any] = {}
    devices: dict[str, WrittenDevice] = Field({}, max_length=1_000)
    """By name; where none is named, there is one of the rules' kind."""
    series: list[dict[str, Any]] = Field([], max_length=1_000)
    steps: list[dict[str, Any]] = Field([], max_length=10_000)
    expect: list[list[Any]]
    events: list[list[Any]] | None = None
    """``None``: whatever becomes of grid events is fine."""

    @field_validator("series", mode="before")
    @classmethod
    def _one_or_more(cls, written: Any) -> Any:
        return [written] if isinstance(written, dict) else written


class WrittenTests(Written):
    """A test file."""

    rules: list[str] = []
    cases: list[WrittenCase] = Field(min_length=1, max_length=10_000)


class _Worded(Written):
    """Beside its own words there are fields of a kind."""

    @classmethod
    def words(cls) -> frozenset[str]:
        """As they are written."""
        return frozenset(field.alias or name for name, field in cls.model_fields.items())


class WrittenSeries(_Worded):
    """The words of a series that are not fields."""

    device: str | None = None
    start: str = Field("0s", alias="from")
    every: str
    gateway: str | None = None
    arrives: str | None = None
    """All of it in one message at this time; default: each value when it is measured."""
    newest_first: bool = False


class WrittenQuieting(Written):
    """A decision to quiet alarms; every list that is there must hold the alarm's value."""

    kind: Literal["silence", "maintenance", "out_of_service"] = "silence"
    lasts: str | None = Field(None, alias="for")
    rules: list[str] = []
    devices: list[str] = []
    buildings: list[str] = []
    categories: list[str] = []
    severities: list[str] = []
    protected: bool = False
    """Fire, entrapment and latched alarms, too; a second person agrees at once."""


class WrittenStep(_Worded):
    """The words of a step that are not fields."""

    at: str
    device: str | None = None
    sent: str | None = None
    """The device's clock; ``none``: it sends no time."""
    clock: str | None = None
    """From here on the device's clock is so far ahead of ours (``-1h``: behind)."""
    seq: int | None = None
    gateway: str | None = None
    """Which gateway brings it; default: the device's own."""
    registered: bool = True
    attributes: dict[str, Any] | None = None
    """From here on those of the device in the registry."""
    repeat_of: str | None = None
    broker: Literal["up", "down"] | None = None
    restart: bool = False
    back_at: str | None = None
    """With ``restart``: when the system runs again."""
    reload: str | list[str] | dict[str, Any] | None = None
    """Other rule files, or changes by rule: ``{hydrant.tilt: {for: 1m}, hydrant.leak: null}``."""
    acknowledge: str | None = None
    confirm: str | None = None
    outcome: Literal["true", "false", "test"] = "true"
    close: str | None = None
    """The grid event of this rule's alarm."""
    quiet: WrittenQuieting | None = None
    shelve: str | None = None
    lasts: str = Field("1h", alias="for")
    """With ``shelve``."""
    unquiet: int | None = None
    """Ends the so-many-th decision to quiet before its time."""


def parse_offset(text: str) -> int:
    """Milliseconds of ``3m`` or ``-1h``.

    Raises:
        ValueError: it is neither.
    """
    return -parse_duration(text[1:]) if text.startswith("-") else parse_duration(text)


def read_entry(row: list[Any], prefix: str, *, needs_who: bool) -> Entry:
    """One line of what is expected; ``prefix`` goes before what became of it.

    Raises:
        ValueError: it is no such line.
    """
    details = row[-1] if row and isinstance(row[-1], dict) else {}
    words = row[:-1] if row and isinstance(row[-1], dict) else row
    expected = _ROW_OF_MANY if needs_who else _ROW
    if len(words) not in ({4} if needs_who else {3, 4}) or not all(isinstance(word, str) for word in words):
        raise ValueError(f"{row}: {expected}")
    at, *who, rule_id, what = words
    try:
        at_ms = parse_duration(at)
    except ValueError as error:
        raise ValueError(f"{row}: {expected} ({error})") from error
    known = [stage.removeprefix(prefix) for stage in STAGES if stage.startswith(EVENT) == (prefix == EVENT)]
    if what not in known:
        raise ValueError(f"{what!r} is none of {', '.join(known)}")
    unknown = details.keys() - Entry.DETAILS
    if unknown:
        raise ValueError(f"{', '.join(sorted(unknown))}: none of {', '.join(sorted(Entry.DETAILS))}")
    return Entry(at_ms, rule_id, prefix + what, "".join(who), details)


def refusal(error: ValidationError, path: Path, place: str = "") -> ConfigError:
    """The first of pydantic's complaints with its place."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    return ConfigError(first["msg"], path=path, place=": ".join(part for part in (place, key) if part))
