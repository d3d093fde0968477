"""A rule: what is wrong, for how long, and how bad that is. Frozen values, and the strict schema of a rule file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b
from json import dumps
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from gridwarden.errors import ConfigError
from gridwarden.kinds import KINDS
from gridwarden.model import Severity
from rules import kleene
from rules.alarm import Holds
from rules.condition import Condition, compile_condition

MAX_RULES = 1000
"""Most rules of one rule set."""
MAX_DURATION_MS = 30 * 86_400_000

_DURATION = re.compile(r"([0-9]{1,9})(ms|s|m|h|d)")
_UNIT_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


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


class RuleClock(StrEnum):
    """Which time of a reading a rule goes by."""

    OCCURRED = "occurred"
    RECEIVED = "received"


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


class _Written(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class WrittenName(_Written):
    """A name in both languages of the control room."""

    zh: str = Field(min_length=1, max_length=80)
    en: str = Field(min_length=1, max_length=80)


_Duration = Annotated[int, BeforeValidator(parse_duration)]
_Lax = Field(strict=False)


class WrittenRule(_Written):
    """One rule as it stands in a file."""

    id: str = Field(pattern=r"^[a-z][a-z0-9_]*(\.[a-z0-9_]+)+$", max_length=64)
    name: WrittenName
    source: str = Field(min_length=1, max_length=200)
    """The standard and clause a threshold comes from, or ``ours``."""
    severity: Annotated[Severity, _Lax]
    category: Annotated[Category, _Lax]
    incident: Annotated[Incident, _Lax] = Incident.DEVICE
    life_safety: bool = False
    latched: bool = False
    clock: Annotated[RuleClock, _Lax] = RuleClock.OCCURRED
    when: str = Field(min_length=1)
    clear: str | None = Field(None, min_length=1)
    hold_ms: _Duration = Field(0, alias="for")
    clear_hold_ms: _Duration = Field(0, alias="clear_for")
    enabled: bool = True


class WrittenRules(_Written):
    """A rule file; its rules are read one by one, so that an error names its rule."""

    kind: Literal[tuple(KINDS)]  # type: ignore[valid-type]
    rules: list[dict[str, Any]] = Field(min_length=1, max_length=MAX_RULES)


@dataclass(frozen=True, slots=True)
class Name:
    """A name in both languages."""

    zh: str
    en: str


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule ready to be judged."""

    id: str
    version: str
    """Short hash of its content, defaults included."""
    kind: str
    name: Name
    source: str
    severity: Severity
    category: Category
    incident: Incident
    life_safety: bool
    latched: bool
    clock: RuleClock
    when: Condition
    clear: Condition
    holds: Holds
    enabled: bool
    fields: tuple[str, ...]
    """Every field its conditions look at, sorted."""


@dataclass(frozen=True, slots=True)
class RuleSet:
    """All rules that are in force, and those that are switched off."""

    rules: tuple[Rule, ...] = ()
    by_id: dict[str, Rule] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_id", {rule.id: rule for rule in self.rules})

    def __iter__(self) -> Iterator[Rule]:
        return iter(self.rules)

    def __len__(self) -> int:
        return len(self.rules)

    @property
    def version(self) -> str:
        """Short hash of all rules, whatever their order."""
        return _hash(sorted(f"{rule.id}@{rule.version}" for rule in self.rules))


def make_rule(kind: str, written: WrittenRule) -> Rule:
    """The rule written for devices of ``kind``, its conditions checked and compiled.

    Raises:
        ConfigError: a condition is not in the language or does not fit the kind; the place is the key and column.
    """
    when = _condition("when", written.when, kind)
    if not when.fields:
        raise ConfigError("looks at no field of the device", place="when")
    clear = _condition("clear", written.clear, kind) if written.clear else _opposite(when)
    return Rule(
        id=written.id,
        version=_hash([kind, written.model_dump(mode="json")]),
        kind=kind,
        name=Name(written.name.zh, written.name.en),
        source=written.source,
        severity=written.severity,
        category=written.category,
        incident=written.incident,
        life_safety=written.life_safety,
        latched=written.latched,
        clock=written.clock,
        when=when,
        clear=clear,
        holds=Holds(written.hold_ms, written.clear_hold_ms),
        enabled=written.enabled,
        fields=tuple(sorted(when.fields | clear.fields)),
    )


def _condition(key: str, text: str, kind: str) -> Condition:
    try:
        return compile_condition(text, KINDS[kind])
    except ConfigError as error:
        place = ": ".join(part for part in (key, error.place) if part)
        raise ConfigError(error.reason, place=place) from error


def _opposite(when: Condition) -> Condition:
    return Condition(f"not ({when.text})", when.fields, kleene.negation(when.evaluate))


def _hash(content: object) -> str:
    text = dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return blake2b(text.encode(), digest_size=6).hexdigest()
