"""A rule: what is wrong, for how long, and how bad that is. Frozen values, made of what stands in a rule file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from json import dumps
from typing import Any, TypeVar

from gridwarden.errors import ConfigError
from gridwarden.kinds import KINDS
from gridwarden.model import Severity
from rules import kleene
from rules.alarm import Flapping, Terms
from rules.condition import Condition, compile_condition
from rules.inhibit import Inhibit
from rules.kleene import Term
from rules.written import (
    Category,
    HoldBy,
    Incident,
    Late,
    OnMissing,
    RuleClock,
    WrittenHead,
    WrittenLevel,
    WrittenRule,
)

_NUMBER = re.compile(r"(?<![\w.])[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Name:
    """A name in both languages."""

    zh: str
    en: str


@dataclass(frozen=True, slots=True)
class Head:
    """What every rule has, whatever its type."""

    id: str
    version: str
    """Short hash of its content, defaults included."""
    shape: str
    """Short hash of its content without thresholds, durations and names: an active alarm outlives a change that keeps it."""
    kind: str
    name: Name
    source: str
    severity: Severity
    category: Category
    incident: Incident
    life_safety: bool
    latched: bool
    enabled: bool
    shadow: bool
    inhibits: tuple[Inhibit, ...]
    """Which alarms its own quiet."""
    content: Mapping[str, Any] = field(compare=False, repr=False)
    """As it stands in its file, defaults included; plain values."""


@dataclass(frozen=True, slots=True)
class Level:
    """A worse form of a rule's alarm."""

    severity: Severity
    when: Condition
    reset: Condition


@dataclass(frozen=True, slots=True)
class Rule(Head):
    """A rule that looks at one device, ready to be judged."""

    clock: RuleClock
    first: Condition | None
    when: Condition
    clear: Condition
    suppressed: Condition | None
    """While it is true nobody needs to be told."""
    levels: tuple[Level, ...]
    """From the mildest to the worst."""
    terms: Terms
    late: Late
    lateness_ms: int
    """How long readings wait for older ones before this rule sees them; 0 unless ``late: correct``."""
    on_missing: OnMissing
    fields: tuple[str, ...]
    """Every field its conditions look at, sorted."""
    rated: frozenset[str]
    """The fields among them whose rate they ask for."""
    begins: Term
    """Whether a reading begins an alarm: ``first`` of a sequence, else ``breached``."""
    breached: Term
    """``when``, unknown as ``on_missing`` says."""
    over: Term
    """``clear``, unknown as ``on_missing`` says."""

    @property
    def starters(self) -> tuple[Condition, ...]:
        """Conditions without one of which nothing of this rule ever begins: true, or unknown if that counts as true."""
        return (self.first or self.when,)

    @property
    def unknown_begins(self) -> bool:
        """Whether a starter that is unknown begins an alarm too."""
        return self.on_missing is OnMissing.ALARM


_Type = TypeVar("_Type", bound=Head)


@dataclass(frozen=True, slots=True)
class RuleSet:
    """All rules of every type that are in force, and those that are switched off. Iterating gives those of one device."""

    all: tuple[Head, ...] = ()
    by_id: dict[str, Head] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_id", {rule.id: rule for rule in self.all})

    def __iter__(self) -> Iterator[Rule]:
        return iter(self.of(Rule))

    def __len__(self) -> int:
        return len(self.all)

    def of(self, type_: type[_Type]) -> tuple[_Type, ...]:
        """The rules of one type."""
        return tuple(rule for rule in self.all if isinstance(rule, type_))

    @property
    def rated(self) -> dict[str, frozenset[str]]:
        """Kind to the fields whose rate its rules ask for."""
        rated: dict[str, frozenset[str]] = {}
        for rule in self:
            if rule.rated:
                rated[rule.kind] = rated.get(rule.kind, frozenset()) | rule.rated
        return rated

    @property
    def lateness(self) -> dict[str, int]:
        """Kind to how long its readings wait for older ones: as long as that of its rules that waits longest."""
        lateness: dict[str, int] = {}
        for rule in self:
            if rule.enabled and rule.lateness_ms:
                lateness[rule.kind] = max(lateness.get(rule.kind, 0), rule.lateness_ms)
        return lateness

    @property
    def version(self) -> str:
        """Short hash of all rules, whatever their order."""
        return short_hash(sorted(f"{rule.id}@{rule.version}" for rule in self.by_id.values()))


def head_of(kind: str, written: WrittenHead, shape: object) -> Head:
    """What a rule of any type has in common with the others.

    Args:
        kind: of the devices it is about.
        written: the rule as it stands in the file.
        shape: what of it must stay, so that an active alarm can go on under a new version.
    """
    return Head(
        id=written.id,
        version=short_hash([kind, written.model_dump(mode="json")]),
        shape=short_hash([kind, written.life_safety, written.latched, shape]),
        kind=kind,
        name=Name(written.name.zh, written.name.en),
        source=written.source,
        severity=written.severity,
        category=written.category,
        incident=written.incident,
        life_safety=written.life_safety,
        latched=written.latched,
        enabled=written.enabled,
        shadow=written.shadow,
        inhibits=tuple(one.inhibit() for one in written.inhibits),
        content=written.model_dump(mode="json", by_alias=True),
    )


def make_rule(kind: str, written: WrittenRule) -> Rule:
    """The rule written for devices of ``kind``, its conditions checked and compiled.

    Raises:
        ConfigError: a condition is not in the language or does not fit the kind; the place is the key and column.
    """
    when = _condition("when", written.when, kind)
    if not when.fields:
        raise ConfigError("looks at no field of the device", place="when")
    clear = _condition("clear", written.clear, kind) if written.clear else _opposite(when)
    first = _condition("first", written.first, kind) if written.first else None
    levels = tuple(_level(number, level, kind) for number, level in enumerate(written.levels, start=1))
    suppressed = _condition("suppressed_when", written.suppressed_when, kind) if written.suppressed_when else None
    parts = [part for level in levels for part in (level.when, level.reset)]
    conditions = [when, clear, *(one for one in (first, suppressed) if one), *parts]
    head = head_of(kind, written, _shape(written, conditions))
    rule = Rule(
        **{name: getattr(head, name) for name in Head.__dataclass_fields__},
        clock=written.clock,
        first=first,
        when=when,
        clear=clear,
        suppressed=suppressed,
        levels=levels,
        terms=_terms(written),
        late=written.late or (Late.EVALUATE if written.life_safety else Late.STORE_ONLY),
        lateness_ms=written.lateness_ms or 0,
        on_missing=written.on_missing,
        fields=tuple(sorted(frozenset[str]().union(*(condition.fields for condition in conditions)))),
        rated=frozenset[str]().union(*(condition.rated for condition in conditions)),
        begins=when.evaluate,
        breached=when.evaluate,
        over=clear.evaluate,
    )
    return judging(rule, when=when, clear=clear, first=first, suppressed=suppressed, levels=levels)


def judging(
    rule: Rule, *, when: Condition, clear: Condition, first: Condition | None, suppressed: Condition | None,
    levels: tuple[Level, ...],
) -> Rule:  # fmt: skip
    """``rule`` as it judges by these conditions; they mean what its own do, and may do something besides."""
    when_unknown = {OnMissing.KEEP: None, OnMissing.ALARM: True, OnMissing.CLEAR: False}[rule.on_missing]
    breached = kleene.instead_of_unknown(when.evaluate, when_unknown)
    return replace(
        rule,
        when=when,
        clear=clear,
        first=first,
        suppressed=suppressed,
        levels=levels,
        begins=first.evaluate if first else breached,
        breached=breached,
        over=kleene.instead_of_unknown(clear.evaluate, None if when_unknown is None else not when_unknown),
    )


def _terms(written: WrittenRule) -> Terms:
    flapping = written.flapping
    return Terms(
        fire_ms=written.hold_ms,
        clear_ms=written.clear_hold_ms,
        by_readings=written.hold_by is HoldBy.READINGS,
        count=written.count,
        within_ms=written.within_ms,
        is_sequence=written.first is not None,
        min_firing_ms=written.min_firing_ms,
        flapping=Flapping(flapping.count, flapping.within_ms, flapping.quiet_ms) if flapping else None,
        schedule=written.schedule.schedule() if written.schedule else None,
    )


def _level(number: int, written: WrittenLevel, kind: str) -> Level:
    when = _condition(f"levels.{number}.when", written.when, kind)
    reset = _condition(f"levels.{number}.reset", written.reset, kind) if written.reset else _opposite(when)
    return Level(written.severity, when, reset)


def _shape(written: WrittenRule, conditions: Sequence[Condition]) -> object:
    return [
        [_NUMBER.sub("0", condition.text) for condition in conditions], written.clock, written.hold_by,
        written.count > 1, written.within_ms is None, [level.severity for level in written.levels],
    ]  # fmt: skip


def _condition(key: str, text: str, kind: str) -> Condition:
    try:
        return compile_condition(text, KINDS[kind])
    except ConfigError as error:
        place = ": ".join(part for part in (key, error.place) if part)
        raise ConfigError(error.reason, place=place) from error


def _opposite(when: Condition) -> Condition:
    return Condition(f"not ({when.text})", when.fields, kleene.negation(when.evaluate), when.rated)


def short_hash(content: object) -> str:
    """Of anything that JSON can hold, whatever the order of its keys."""
    text = dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return blake2b(text.encode(), digest_size=6).hexdigest()
