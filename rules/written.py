"""The strict schema of a rule file, and the words in it. What it means is in :mod:`rules.rule`."""

from __future__ import annotations

import re
from datetime import date, time
from enum import StrEnum
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from gridwarden.kinds import KINDS
from gridwarden.model import Severity
from rules.inhibit import Inhibit, Relation
from rules.schedule import Holidays, Schedule

MAX_RULES = 1000
"""Most rules of one rule set."""
MAX_DURATION_MS = 30 * 86_400_000
MAX_LATENESS_MS = 3_600_000
MAX_COUNT = 100
"""Most readings a rule counts."""
MAX_LEVELS = 3
"""As many as there are severities above the lowest."""

_DURATION = re.compile(r"([0-9]{1,9})(ms|s|m|h|d)")
_UNIT_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Category(StrEnum):
    """Whose business it is."""

    FIRE = "fire"
    RESCUE = "rescue"
    WATER = "water"
    FAULT = "fault"
    TAMPER = "tamper"
    USAGE = "usage"
    MAINTENANCE = "maintenance"
    OUTAGE = "outage"


class Incident(StrEnum):
    """What the alarms of one grid event have in common."""

    DEVICE = "device"
    BUILDING = "building"
    NONE = "none"
    """They open no grid event: listed and told, nobody's case."""


class RuleClock(StrEnum):
    """Which time of a reading a rule goes by."""

    OCCURRED = "occurred"
    RECEIVED = "received"


class HoldBy(StrEnum):
    """What lets a hold run out."""

    TIME = "time"
    """Time does, whether readings come or not: a fire that says nothing more still burns."""
    READINGS = "readings"
    """Only a reading that says so again: silence proves nothing."""


class OnMissing(StrEnum):
    """What a rule makes of a condition that is unknown."""

    KEEP = "keep"
    """Nothing: things stay as they are."""
    ALARM = "alarm"
    """The condition counts as true, and its end as not come."""
    CLEAR = "clear"
    """The condition counts as false, and its end as come."""


class Late(StrEnum):
    """What a rule makes of a reading older than the last one of its device."""

    STORE_ONLY = "store_only"
    """Nothing; it is stored."""
    EVALUATE = "evaluate"
    """It is judged by itself: it may open an alarm and clears none."""
    CORRECT = "correct"
    """It takes its place: every reading waits for ``lateness``, then they are judged in the order of the device's clock."""


def parse_duration(text: object) -> int:
    """Milliseconds of ``30s``, ``5m``, ``2h``, ``1d``, ``250ms``.

    Raises:
        ValueError: ``text`` is no such duration, or longer than 30 days.
    """
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError("a duration such as 30s, 5m or 2h is expected")
    duration_ms = int(match[1]) * _UNIT_MS[match[2]]
    if duration_ms > MAX_DURATION_MS:
        raise ValueError("longer than 30 days")
    return duration_ms


class Written(BaseModel):
    """What every part of a rule file has in common: no unknown key, no guessing of types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class WrittenName(Written):
    """A name in both languages of the control room."""

    zh: str = Field(min_length=1, max_length=80)
    en: str = Field(min_length=1, max_length=80)


Duration = Annotated[int, BeforeValidator(parse_duration)]
Lax = Field(strict=False)


def _hour(text: object) -> time:
    if isinstance(text, str) and re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", text):
        return time.fromisoformat(text)
    raise ValueError("an hour such as '22:00' is expected, in quotes")


def _zone(text: object) -> ZoneInfo:
    try:
        return ZoneInfo(text) if isinstance(text, str) else _no_zone()
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError("an IANA time zone such as Asia/Shanghai is expected") from error


def _no_zone() -> ZoneInfo:
    raise ValueError


def _day(value: object) -> date:
    if isinstance(value, str) or type(value) is date:
        return date.fromisoformat(str(value))
    raise ValueError("a date such as 2026-10-01 is expected")


_Hour = Annotated[time, BeforeValidator(_hour)]
_Day = Annotated[date, BeforeValidator(_day)]


class WrittenSchedule(Written):
    """When a rule is at work; without ``days`` every day, without ``from`` and ``to`` all day."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    days: list[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]] | None = Field(None, min_length=1)
    start: _Hour = Field(time(0, 0), alias="from")
    end: _Hour = Field(time(0, 0), alias="to")
    zone: Annotated[ZoneInfo, BeforeValidator(_zone)]
    holidays: list[_Day] = Field([], max_length=400)
    on_holidays: Annotated[Holidays, Lax] = Holidays.OFF

    def schedule(self) -> Schedule:
        """Ready to be asked."""
        days = frozenset(_WEEKDAYS.index(day) for day in self.days or _WEEKDAYS)
        return Schedule(self.zone, days, self.start, self.end, frozenset(self.holidays), self.on_holidays)


class WrittenLevel(Written):
    """A worse form of the same alarm."""

    severity: Annotated[Severity, Lax]
    when: str = Field(min_length=1)
    reset: str | None = Field(None, min_length=1)
    """Only where this is true may the severity fall again; default: ``when`` is false."""


class WrittenFlapping(Written):
    """When an alarm that comes and goes becomes one that stays."""

    count: int = Field(ge=2, le=MAX_COUNT)
    within_ms: Duration = Field(alias="within")
    quiet_ms: Duration = Field(alias="quiet")
    """How long it must have been clear to be over."""


class WrittenInhibit(Written):
    """Which alarms an alarm of this rule quiets while it fires, and for how much longer."""

    rules: list[Annotated[str, Field(pattern=r"^[a-z0-9_.*]+$", max_length=64)]] = Field(min_length=1, max_length=20)
    by: Annotated[Relation, Lax]
    after_ms: Duration = Field(0, alias="after")

    def inhibit(self) -> Inhibit:
        """Ready to be asked."""
        return Inhibit(tuple(self.rules), self.by, self.after_ms)


class WrittenHead(Written):
    """What every rule has, whatever its type."""

    id: str = Field(pattern=r"^[a-z][a-z0-9_]*(\.[a-z0-9_]+)+$", max_length=64)
    name: WrittenName
    source: str = Field(min_length=1, max_length=200)
    """The standard and clause a threshold comes from, or ``ours``."""
    severity: Annotated[Severity, Lax]
    category: Annotated[Category, Lax]
    incident: Annotated[Incident, Lax] = Incident.DEVICE
    life_safety: bool = False
    latched: bool = False
    enabled: bool = True
    shadow: bool = False
    """On trial: it records and tells nobody."""
    inhibits: list[WrittenInhibit] = Field([], max_length=10)


class WrittenRule(WrittenHead):
    """A rule that looks at one device, as it stands in a file."""

    clock: Annotated[RuleClock, Lax] = RuleClock.OCCURRED
    first: str | None = Field(None, min_length=1)
    """A sequence: this was true at most ``within`` before ``when`` is."""
    when: str = Field(min_length=1)
    clear: str | None = Field(None, min_length=1)
    hold_ms: Duration = Field(0, alias="for")
    hold_by: Annotated[HoldBy, Lax] = HoldBy.TIME
    count: int = Field(1, ge=1, le=MAX_COUNT)
    """So many readings in breach: in a row, or ``within`` a time."""
    within_ms: Duration | None = Field(None, alias="within")
    clear_hold_ms: Duration = Field(0, alias="clear_for")
    min_firing_ms: Duration = Field(0, alias="min_firing")
    """It stays for at least so long once it has fired."""
    levels: list[WrittenLevel] = Field([], max_length=MAX_LEVELS)
    flapping: WrittenFlapping | None = None
    schedule: WrittenSchedule | None = None
    suppressed_when: str | None = Field(None, min_length=1)
    """While this is true nobody is told and no grid event is opened: planned work, for one."""
    on_missing: Annotated[OnMissing, Lax] = OnMissing.KEEP
    late: Annotated[Late, Lax] | None = None
    """Default: ``evaluate`` for fire and entrapment, ``store_only`` for all else."""
    lateness_ms: Duration | None = Field(None, alias="lateness")
    """Of ``late: correct``: how late a reading may come."""

    @model_validator(mode="after")
    def _fits_together(self) -> WrittenRule:
        for wrong, reason in _contradictions(self):
            if wrong:
                raise ValueError(reason)
        return self


def _contradictions(rule: WrittenRule) -> list[tuple[bool, str]]:
    counts_or_follows = rule.count > 1 or rule.first is not None
    ranks = [rule.severity.rank, *(level.severity.rank for level in rule.levels)]
    return [
        (rule.first is not None and rule.count > 1, "first and count: a rule is a sequence or counts, not both"),
        (rule.first is not None and rule.within_ms is None, "first: within is missing"),
        (rule.within_ms is not None and not counts_or_follows, "within: stands with count or first only"),
        (rule.within_ms == 0, "within: a time above 0 is expected"),
        (rule.count > 1 and rule.within_ms is not None and rule.hold_ms > 0,
         "for: does not go with count and within, which say all there is to wait for"),
        (rule.hold_by is HoldBy.READINGS and rule.hold_ms == 0, "hold_by: readings needs a hold (for)"),
        (ranks != sorted(set(ranks), reverse=True), "levels: each must be worse than the one before, and than severity"),
        (rule.late is Late.EVALUATE and counts_or_follows,
         "late: evaluate judges one reading by itself and cannot count or see a sequence"),
        (rule.late is Late.CORRECT and rule.lateness_ms is None, "late: correct needs to know how late (lateness)"),
        (rule.late is not Late.CORRECT and rule.lateness_ms is not None, "lateness: stands with late: correct only"),
        (rule.lateness_ms is not None and not 0 < rule.lateness_ms <= MAX_LATENESS_MS,
         "lateness: a time above 0 and up to 1h is expected"),
        (rule.late is Late.CORRECT and rule.clock is RuleClock.RECEIVED,
         "late: correct goes by the device's clock; clock: received does not go with it"),
        (rule.life_safety and counts_or_follows, "life_safety: one reading must be enough; count and first are not for it"),
        (rule.life_safety and rule.late not in {None, Late.EVALUATE},
         "late: fire and entrapment are evaluated, however late"),
        (rule.life_safety and rule.schedule is not None, "schedule: fire and entrapment have no office hours"),
        (rule.life_safety and rule.suppressed_when is not None, "suppressed_when: fire and entrapment are always told"),
        (rule.life_safety and rule.on_missing is OnMissing.CLEAR, "on_missing: silence clears no fire and no entrapment"),
        (rule.life_safety and rule.incident is Incident.NONE, "incident: fire and entrapment are always somebody's case"),
    ]  # fmt: skip


class WrittenRules(Written):
    """A rule file; its rules are read one by one, so that an error names its rule."""

    kind: Literal[tuple(KINDS)]  # type: ignore[valid-type]
    rules: list[dict[str, Any]] = Field([], max_length=MAX_RULES)
    absences: list[dict[str, Any]] = Field([], max_length=MAX_RULES)
    correlations: list[dict[str, Any]] = Field([], max_length=MAX_RULES)

    @model_validator(mode="after")
    def _has_rules(self) -> WrittenRules:
        if not (self.rules or self.absences or self.correlations):
            raise ValueError("there is no rule in it")
        return self
