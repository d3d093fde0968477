"""Tests of rules that a fireman can read: devices, what they say when, and what must come of it. Virtual time.

A test file ``smoke.test.yaml`` tests the rules of ``smoke.yaml`` beside it (or those that ``rules:`` names)::

    cases:
      - name: a fire stays on the screen until somebody has confirmed it
        attributes: {mount: riser}                     # of the device, optional
        steps:
          - {at: 0s, state: normal}                    # the device says this
          - {at: 10s, state: alarm}
          - {at: 12s, repeat_of: 10s}                  # the same message once more
          - {at: 20s, sent: 5s, state: normal}         # its clock says 5s: it comes late
          - {at: 25s, restart: true}                   # the system stops and goes on from what it has stored
          - {at: 30s, state: normal}
          - {at: 40s, acknowledge: smoke.fire}         # a person has seen the alarm of this rule
          - {at: 60s, confirm: smoke.fire, outcome: "true"}   # true, false or test
          - {at: 10m}                                  # nothing happens until here but the passing of time
        expect:                                        # all of it, no more and no less
          - [10s, smoke.fire, fired]
          - [30s, smoke.fire, cleared]
          - [60s, smoke.fire, resolved]

Every word, several devices, series, cases, reasons: docs/guide/rules.md. This module reads such files and judges nothing;
:mod:`gridwarden.core.rule_tests` plays them to core's own judge.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gridwarden.errors import ConfigError
from gridwarden.kinds import KINDS, FieldType
from gridwarden.kinds import Field as KindField
from gridwarden.model import Device, Value
from rules import series
from rules.load import TEST_SUFFIX, load, read_rules, read_yaml
from rules.rule import RuleSet
from rules.script_words import (
    SINGLE,
    WrittenCase,
    WrittenDevice,
    WrittenSeries,
    WrittenStep,
    WrittenTests,
    parse_offset,
    read_entry,
    refusal,
)
from rules.timeline import EVENT, Entry
from rules.written import parse_duration

MOST_READINGS = 50_000
"""Of all series of a file."""


@dataclass(frozen=True, slots=True)
class Said:
    """One reading as its device sends it."""

    device_id: str
    values: Mapping[str, Value]
    sent_ms: int | None
    """The device's clock, since the beginning of the case; ``None``: it sends no time."""
    seq: int | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happens."""

    place: str
    """In its file, for whoever must be told that it is wrong."""
    at_ms: int
    """Since the beginning of the case, on our own clock."""
    words: WrittenStep
    device_id: str = ""
    said: tuple[Said, ...] = ()
    """The readings of one message."""
    rules: RuleSet | None = None
    """To go on with."""


@dataclass(frozen=True, slots=True)
class Case:
    """One story, and what must come of it."""

    name: str
    devices: dict[str, Device]
    steps: tuple[Step, ...]
    """In order of time."""
    expected: tuple[Entry, ...]
    """In order of time."""
    expects_events: bool
    """Whether grid events are part of what is expected."""

    @property
    def only(self) -> str:
        """The device, where there is just one: nobody needs to name it."""
        return next(iter(self.devices)) if len(self.devices) == 1 else ""


@dataclass(frozen=True, slots=True)
class Tests:
    """What a test file holds."""

    path: Path
    rules: RuleSet
    cases: tuple[Case, ...]


def read_tests(path: Path) -> Tests:
    """The cases of a test file with the rules under test.

    Raises:
        ConfigError: one of the files cannot be read or used; with place and reason.
    """
    try:
        written = WrittenTests.model_validate(read_yaml(path))
    except ValidationError as error:
        raise refusal(error, path) from error
    names = written.rules or [path.name.removesuffix(TEST_SUFFIX) + ".yaml"]
    files = [path.parent / name for name in names]
    rules = load(files)
    cases: list[Case] = []
    readings = 0
    for one in written.cases:
        reading = _Reading(path, files, rules, one, MOST_READINGS - readings)
        cases.append(reading.case())
        readings += reading.readings
    return Tests(path, rules, tuple(cases))


class _Reading:
    """Reads one case; knows where it stands."""

    def __init__(self, path: Path, files: list[Path], rules: RuleSet, written: WrittenCase, most: int) -> None:
        """``most``: readings it may have; a small file can ask for hundreds of millions."""
        self._most = most
        self.readings = 0
        """Those of its series so far."""
        self._path, self._files, self._rules, self._written = path, files, rules, written
        self._place = f"case {written.name!r}"
        self._clocks_ms: dict[str, int] = {}
        self._devices: dict[str, Device] = {}
        for name, device in (written.devices or {SINGLE: WrittenDevice(attributes=written.attributes)}).items():
            self._devices[name] = self._device(name, device)
            self._clocks_ms[name] = self._parsed(parse_offset, device.clock, f"devices: {name}: clock")

    def case(self) -> Case:
        written = self._written
        steps: list[Step] = []
        for number, one in enumerate(written.series, start=1):
            steps += self._at(f"series {number}", self._series, one)
            self.readings = sum(len(step.said) for step in steps)
            if self.readings > self._most:
                raise self._wrong(f"more than {MOST_READINGS} readings in one file", f"series {number}")
        now_ms = 0
        for number, raw in enumerate(written.steps, start=1):
            step = self._at(f"step {number}", self._step, raw)
            if step.at_ms < now_ms:
                raise self._wrong("the steps are not in order of time", step.place)
            now_ms = step.at_ms
            steps.append(step)
        if not steps:
            raise self._wrong("nothing happens in it: steps or series are missing", "")
        expected = [self._entry(row, "expect") for row in written.expect]
        expected += [self._entry(row, "events", EVENT) for row in written.events or ()]
        ordered = tuple(sorted(steps, key=lambda step: step.at_ms))
        return Case(
            written.name,
            self._devices,
            ordered,
            tuple(sorted(expected, key=lambda entry: entry.order)),
            written.events is not None,
        )

    def _device(self, name: str, written: WrittenDevice) -> Device:
        kinds = {rule.kind for rule in self._rules.all} & KINDS.keys()
        kind = written.kind or self._written.kind or (kinds.pop() if len(kinds) == 1 else "")
        if kind not in KINDS:
            raise self._wrong("kind: one of " + ", ".join(KINDS), f"devices: {name}" if self._written.devices else "")
        known = written.model_dump(exclude={"kind", "clock"})
        return Device(name, kind, **known)

    def _step(self, raw: dict[str, Any], place: str) -> Step:
        values = {name: value for name, value in raw.items() if name not in WrittenStep.words()}
        words = WrittenStep.model_validate({name: value for name, value in raw.items() if name not in values})
        at_ms, device_id = parse_duration(words.at), self._named(words.device, needed=bool(values))
        for text in filter(None, (words.back_at, words.repeat_of, words.lasts, words.quiet and words.quiet.lasts)):
            parse_duration(text)
        if words.clock is not None:
            self._clocks_ms[device_id] = parse_offset(words.clock)
        rules = None if words.reload is None else self._reloaded(words.reload)
        if not values:
            return Step(place, at_ms, words, device_id, rules=rules)
        if words.sent == "none":
            sent_ms = None
        else:
            sent_ms = parse_duration(words.sent) if words.sent else at_ms + self._clocks_ms[device_id]
        said = Said(device_id, self._checked(device_id, values), sent_ms, words.seq)
        return Step(place, at_ms, words, device_id, (said,), rules)

    def _series(self, raw: dict[str, Any], place: str) -> Iterator[Step]:
        texts = {name: text for name, text in raw.items() if name not in WrittenSeries.words()}
        words = WrittenSeries.model_validate({name: value for name, value in raw.items() if name not in texts})
        device_id = self._named(words.device, needed=True)
        from_ms, every_ms = parse_duration(words.start), parse_duration(words.every)
        columns = {name: series.values_of(str(text)) for name, text in texts.items()}
        said: list[tuple[int, Said]] = []
        for number in range(max(map(len, columns.values()), default=0)):
            at_ms = from_ms + number * every_ms
            told = {name: column[number] for name, column in columns.items() if number < len(column)}
            values = {name: value for name, value in told.items() if value is not series.NOTHING}
            if values:
                sent_ms = at_ms + self._clocks_ms[device_id]
                said.append((at_ms, Said(device_id, self._checked(device_id, values), sent_ms)))
        plain = WrittenStep(at=words.start, device=words.device, gateway=words.gateway)
        if words.arrives is None:
            return iter([Step(place, at_ms, plain, device_id, (one,)) for at_ms, one in said])
        together = tuple(one for _, one in said)
        arrives_ms = parse_duration(words.arrives)
        return iter([Step(place, arrives_ms, plain, device_id, together[::-1] if words.newest_first else together)])

    def _reloaded(self, wanted: str | list[str] | dict[str, Any]) -> RuleSet:
        """Other files, or these with some keys of some rules changed (``null``: without the rule)."""
        if not isinstance(wanted, dict):
            return load(self._path.parent / name for name in ([wanted] if isinstance(wanted, str) else wanted))
        left = dict(wanted)
        found = [rule for file in self._files for rule in read_rules(_changed(read_yaml(file), left), file)]
        if left:
            raise ValueError(f"reload: no rule {', '.join(left)}")
        return RuleSet(tuple(found))

    def _checked(self, device_id: str, values: Mapping[str, Any]) -> dict[str, Value]:
        kind = self._devices[device_id].kind
        return {name: _value(kind, name, value) for name, value in values.items()}

    def _named(self, name: str | None, *, needed: bool) -> str:
        if name is not None and name not in self._devices:
            raise ValueError(f"device: {name!r} is none of {', '.join(self._devices)}")
        if name is None and len(self._devices) > 1:
            if needed:
                raise ValueError(f"device: which one of {', '.join(self._devices)}?")
            return ""
        return name or next(iter(self._devices))

    def _entry(self, row: list[Any], place: str, prefix: str = "") -> Entry:
        try:
            entry = read_entry(row, prefix, needs_who=len(self._devices) > 1)
        except ValueError as error:
            raise self._wrong(str(error), place) from error
        if entry.rule_id not in self._rules.by_id:
            raise self._wrong(f"no rule {entry.rule_id}", place)
        return replace(entry, who="") if entry.who == SINGLE else entry

    def _at(self, place: str, read: Any, raw: dict[str, Any]) -> Any:
        try:
            return read(raw, f"{self._place}: {place}")
        except ValidationError as error:
            raise refusal(error, self._path, f"{self._place}: {place}") from error
        except ConfigError as error:
            raise self._wrong(": ".join(part for part in (error.place, error.reason) if part), place) from error
        except ValueError as error:
            raise self._wrong(str(error), place) from error

    def _parsed(self, parse: Any, text: str, place: str) -> int:
        try:
            return int(parse(text))
        except ValueError as error:
            raise self._wrong(str(error), place) from error

    def _wrong(self, reason: str, place: str) -> ConfigError:
        where = place if place.startswith(self._place) else ": ".join(part for part in (self._place, place) if part)
        return ConfigError(reason, path=self._path, place=where)


def _changed(content: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The content of a rule file with these changes; those that were made are taken out of ``changes``."""
    content = dict(content)
    for key in ("rules", "absences", "correlations"):
        found = []
        for rule in content.get(key, ()):
            change = changes.pop(rule.get("id"), {})
            if change is not None:
                if not isinstance(change, dict):
                    raise ValueError(f"reload: {rule['id']}: keys with their values are expected, or null")
                merged = {**rule, **change}
                found.append({name: value for name, value in merged.items() if value is not None})
        content[key] = found
    return content


def _value(kind: str, name: str, value: Any) -> Value:
    known = KINDS[kind].fields.get(name)
    if known is None:
        raise ValueError(f"{name}: a {kind} has no such field, and it is no word of a step")
    if value is not None and not _fits(known, value):
        raise ValueError(f"{name}: {value!r} is no such value; null stands for one that cannot be used")
    result: Value = value
    return result


def _fits(known: KindField, value: Any) -> bool:
    if known.type is FieldType.BOOL:
        return isinstance(value, bool)
    if known.type is FieldType.ENUM:
        return value in known.choices
    if known.type is FieldType.TEXT:
        return isinstance(value, str)
    number = isinstance(value, int if known.type is FieldType.INT else int | float) and not isinstance(value, bool)
    return number and (known.low is None or value >= known.low) and (known.high is None or value <= known.high)
