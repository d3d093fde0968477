"""Tests of rules that a fireman can read: one device, what it says when, and what must come of it. Virtual time.

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

Words of a step besides fields: ``seq``, ``gateway``, ``entitled: false`` (the gateway may not speak for the device) and
``registered: false``. A value ``null`` is one that was sent and could not be used. What can come of a rule: ``pending``
(the condition holds, the hold runs), ``fired``, ``cleared`` (latched: over, not yet confirmed), ``resolved``.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gridwarden.errors import ConfigError
from gridwarden.kinds import KINDS, FieldType
from gridwarden.kinds import Field as KindField
from gridwarden.model import Alarm, AlarmState, Device, Operation, Outcome, Reading, Value
from gridwarden.window import Window
from rules.alarm import Transition
from rules.engine import Engine
from rules.load import TEST_SUFFIX, expand, load, read_yaml
from rules.report import CaseResult, Entry, Report
from rules.rule import RuleSet
from rules.written import parse_duration

START_AT_MS = 1_767_225_600_000
"""Where every case begins: 2026-01-01T00:00:00Z."""
_DEVICE = "DEVICE-1"
_GATEWAY = "gateway-1"
_STAGES = ("pending", "fired", "cleared", "resolved")


class _Written(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _WrittenCase(_Written):
    name: str = Field(min_length=1, max_length=200)
    kind: str | None = None
    attributes: dict[str, Any] = {}
    steps: list[dict[str, Any]] = Field(min_length=1, max_length=10_000)
    expect: list[list[str]]


class _WrittenTests(_Written):
    rules: list[str] = []
    cases: list[_WrittenCase] = Field(min_length=1, max_length=10_000)


class _WrittenStep(_Written):
    """The words of a step that are not fields."""

    at: str
    sent: str | None = None
    seq: int | None = None
    gateway: str = _GATEWAY
    entitled: bool = True
    registered: bool = True
    repeat_of: str | None = None
    restart: bool = False
    acknowledge: str | None = None
    confirm: str | None = None
    outcome: str = "true"


def run(paths: Iterable[Path]) -> Report:
    """Run the cases of these test files (folders: of every ``*.test.yaml`` in them; a rule file: of the one beside it).

    Raises:
        ConfigError: a test or rule file cannot be read or used, or there is none.
    """
    files = [_test_of(path) for path in expand(paths, TEST_SUFFIX)]
    if not files:
        raise ConfigError(f"no *{TEST_SUFFIX} there")
    results: list[CaseResult] = []
    rules: set[str] = set()
    for path in dict.fromkeys(files):
        under_test, cases = _run_file(path)
        rules |= {rule.id for rule in under_test if rule.enabled}
        results += cases
    fired = {entry.rule_id for result in results for entry in result.got if entry.what == "fired"}
    return Report(tuple(results), tuple(sorted(rules - fired)))


def _test_of(path: Path) -> Path:
    return path if path.name.endswith(TEST_SUFFIX) else path.with_suffix("").with_suffix(TEST_SUFFIX)


def _run_file(path: Path) -> tuple[RuleSet, list[CaseResult]]:
    try:
        written = _WrittenTests.model_validate(read_yaml(path))
    except ValidationError as error:
        raise _refusal(error, path) from error
    names = written.rules or [path.name.removesuffix(TEST_SUFFIX) + ".yaml"]
    rules = load(path.parent / name for name in names)
    return rules, [_run_case(rules, case, path) for case in written.cases]


def _run_case(rules: RuleSet, case: _WrittenCase, path: Path) -> CaseResult:
    place = f"case {case.name!r}"
    kinds = {rule.kind for rule in rules}
    kind = case.kind or (kinds.pop() if len(kinds) == 1 else "")
    if kind not in KINDS:
        raise ConfigError("kind: one of " + ", ".join(KINDS), path=path, place=place)
    expected = tuple(sorted((_entry(row, rules, path, place) for row in case.expect), key=_order))
    world = _World(rules, Device(_DEVICE, kind, attributes=case.attributes))
    for number, step in enumerate(case.steps, start=1):
        try:
            world.play(step)
        except ValidationError as error:
            raise _refusal(error, path, f"{place}: step {number}") from error
        except (ConfigError, ValueError) as error:
            reason = error.reason if isinstance(error, ConfigError) else str(error)
            raise ConfigError(reason, path=path, place=f"{place}: step {number}") from error
    return CaseResult(str(path), case.name, expected, tuple(sorted(world.timeline, key=_order)))


class _World:
    """One device, its window, the engine, and what the records would keep."""

    def __init__(self, rules: RuleSet, device: Device) -> None:
        self._rules = rules
        self._device = device
        self._engine = Engine(rules)
        self._window = Window()
        self._stored: dict[str, Alarm] = {}
        self._said: dict[int, Reading] = {}
        self._now_ms = START_AT_MS
        self.timeline: list[Entry] = []

    def play(self, raw: dict[str, Any]) -> None:
        """One step: first the timers until then, then what it says."""
        values = {name: value for name, value in raw.items() if name not in _WrittenStep.model_fields}
        step = _WrittenStep.model_validate({name: value for name, value in raw.items() if name not in values})
        now_ms = _at(step.at)
        if now_ms < self._now_ms:
            raise ConfigError("the steps are not in order of time")
        self._pass_time(now_ms)
        if step.restart:
            self._restart()
        for rule_id in filter(None, (step.acknowledge, step.confirm)):
            self._command(step, rule_id)
        if step.repeat_of is not None:
            self._repeat(_at(step.repeat_of))
        if values:
            self._say(step, values)

    def _pass_time(self, now_ms: int) -> None:
        while (wake_at_ms := self._engine.next_wake_ms()) is not None and wake_at_ms <= now_ms:
            self._take(self._engine.advance(wake_at_ms))
        self._now_ms = now_ms

    def _restart(self) -> None:
        self._window = Window.load(self._window.dump())
        self._engine = Engine(self._rules)
        self._engine.restore(self._stored.values())

    def _command(self, step: _WrittenStep, rule_id: str) -> None:
        alarm = next((a for a in self._stored.values() if a.rule_id == rule_id), None)
        if alarm is None:
            raise ConfigError(f"no alarm of rule {rule_id} at this time")
        if step.confirm:
            outcome = Outcome(step.outcome)
            self._take([self._engine.confirm(alarm.alarm_id, "operator", self._now_ms, outcome, "")])
        else:
            self._take([self._engine.acknowledge(alarm.alarm_id, "operator", self._now_ms, "")])

    def _repeat(self, said_at_ms: int) -> None:
        said = self._said.get(said_at_ms)
        if said is None:
            raise ConfigError("repeat_of: the device said nothing at that time")
        self._hear(said)

    def _say(self, step: _WrittenStep, values: dict[str, Any]) -> None:
        checked = {name: _value(self._device.kind, name, value) for name, value in values.items()}
        sent_at_ms = _at(step.sent or step.at)
        key = blake2b(repr((sent_at_ms, step.seq, sorted(checked.items()))).encode(), digest_size=8)
        reading = Reading(
            device_id=_DEVICE,
            kind=self._device.kind,
            gateway=step.gateway,
            occurred_at_ms=sent_at_ms,
            received_at_ms=self._now_ms,
            seq=step.seq,
            key=int.from_bytes(key.digest(), "little"),
            keyed=True,
            values=checked,
            registered=step.registered,
            entitled=step.entitled,
        )
        self._said[self._now_ms] = reading
        self._hear(reading)

    def _hear(self, said: Reading) -> None:
        """As core does: duplicates are dropped, lateness is set, the window is moved on, then it is decided."""
        late = self._window.is_late(said)
        reading = Reading(
            said.device_id, said.kind, said.gateway, said.occurred_at_ms, self._now_ms, said.seq, said.key, said.keyed,
            dict(said.values), dict(said.quality), said.registered, said.entitled, late,
        )  # fmt: skip
        if self._window.knows(reading):
            return
        if reading.entitled:
            self._window.observe(reading)
        self._take(self._engine.decide(reading, self._window, self._device if reading.registered else None))

    def _take(self, transitions: Iterable[Transition | None]) -> None:
        for transition in transitions:
            if transition is None:
                continue
            alarm = transition.alarm
            if alarm.state in (AlarmState.PENDING, AlarmState.FIRING):
                self._stored[alarm.alarm_id] = alarm
            else:
                self._stored.pop(alarm.alarm_id, None)
            entry = _happened(transition)
            if entry is not None:
                self.timeline.append(entry)


def _happened(transition: Transition) -> Entry | None:
    alarm = transition.alarm
    match transition.operation:
        case Operation.ALARM_FIRED:
            at_ms, what = alarm.fired_at_ms, "fired"
        case Operation.ALARM_CLEARED:
            at_ms, what = alarm.cleared_at_ms, "cleared"
        case Operation.ALARM_RESOLVED:
            at_ms, what = alarm.resolved_at_ms, "resolved"
        case None if alarm.state is AlarmState.PENDING:
            at_ms, what = alarm.pending_at_ms, "pending"
        case _:
            return None
    return Entry((at_ms or START_AT_MS) - START_AT_MS, alarm.rule_id, what)


def _order(entry: Entry) -> tuple[int, str, int]:
    return entry.at_ms, entry.rule_id, _STAGES.index(entry.what)


def _at(text: str) -> int:
    return START_AT_MS + parse_duration(text)


def _entry(row: list[str], rules: RuleSet, path: Path, place: str) -> Entry:
    try:
        at, rule_id, what = row
        entry = Entry(parse_duration(at), rule_id, what)
    except ValueError as error:
        reason = f"{row}: [time, rule, what] is expected ({error})"
        raise ConfigError(reason, path=path, place=f"{place}: expect") from error
    if rule_id not in rules.by_id:
        raise ConfigError(f"no rule {rule_id}", path=path, place=f"{place}: expect")
    if what not in _STAGES:
        raise ConfigError(f"{what!r} is none of {', '.join(_STAGES)}", path=path, place=f"{place}: expect")
    return entry


def _value(kind: str, name: str, value: Any) -> Value:
    field = KINDS[kind].fields.get(name)
    if field is None:
        raise ConfigError(f"{name}: a {kind} has no such field, and it is no word of a step")
    if value is not None and not _fits(field, value):
        raise ConfigError(f"{name}: {value!r} is no such value; null stands for one that cannot be used")
    result: Value = value
    return result


def _fits(field: KindField, value: Any) -> bool:
    if field.type is FieldType.BOOL:
        return isinstance(value, bool)
    if field.type is FieldType.ENUM:
        return value in field.choices
    if field.type is FieldType.TEXT:
        return isinstance(value, str)
    number = isinstance(value, int if field.type is FieldType.INT else int | float) and not isinstance(value, bool)
    return number and (field.low is None or value >= field.low) and (field.high is None or value <= field.high)


def _refusal(error: ValidationError, path: Path, place: str = "") -> ConfigError:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    return ConfigError(first["msg"], path=path, place=": ".join(part for part in (place, key) if part))
