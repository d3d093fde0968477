"""Plays rule tests to core's own judge, on virtual time, and holds what comes of it against what is expected."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gridwarden.core.rehearsal import Rehearsal
from gridwarden.errors import ConfigError, GridwardenError, Refused
from gridwarden.model import Alarm, AlarmState, Device, GridEvent, Outcome
from gridwarden.records.transaction import Transaction
from rules import timeline
from rules.coverage import Watch
from rules.load import TEST_SUFFIX, expand
from rules.report import CaseResult, Report
from rules.rule import RuleSet
from rules.script import Case, Said, Step, Tests, read_tests
from rules.script_words import GATEWAY, SINGLE
from rules.timeline import EVENT, Entry
from rules.written import parse_duration

START_AT_MS = 1_767_225_600_000
"""Where every case begins: 2026-01-01T00:00:00Z."""
RESTARTED = "with a restart after every step"
_OPERATOR = {"actor": "operator", "actor_id": "1"}
_SECOND = {"actor": "supervisor", "actor_id": "2"}


def run(paths: Iterable[Path], *, restarts: bool = False) -> Report:
    """Run the cases of these test files (folders: of every ``*.test.yaml`` in them; a rule file: of the one beside it).

    Args:
        paths: what to run.
        restarts: run every case once more, with a restart after every step; the same must come of it.

    Raises:
        ConfigError: a test or rule file cannot be read or used, or there is none.
    """
    files = [_test_of(path) for path in expand(paths, TEST_SUFFIX)]
    if not files:
        raise ConfigError(f"no *{TEST_SUFFIX} there")
    results: list[CaseResult] = []
    watch = Watch()
    for path in dict.fromkeys(files):
        tests = read_tests(path)
        rules = watch.watched(tests.rules)
        for case in tests.cases:
            results.append(_result(tests, case, rules, watch))
            if restarts:
                results.append(_result(tests, case, tests.rules, None))
    return Report(tuple(results), watch.coverage())


def _test_of(path: Path) -> Path:
    return path if path.name.endswith(TEST_SUFFIX) else path.with_suffix("").with_suffix(TEST_SUFFIX)


def _result(tests: Tests, case: Case, rules: RuleSet, watch: Watch | None) -> CaseResult:
    """``watch`` hears what fires; where there is none, every step is followed by a restart."""
    play, stopped = _Play(case, rules), ""
    for step in case.steps:
        try:
            play.step(step)
            if watch is None:
                play.rehearsal.restart()
        except (Impossible, Refused) as error:
            stopped = f"{step.place.removeprefix(f'case {case.name!r}: ')}: {error}"
            break
    got = sorted(play.entries, key=lambda entry: entry.order)
    for entry in got if watch else ():
        _note(watch, entry)
    name = case.name if watch else f"{case.name} ({RESTARTED})"
    return CaseResult(str(tests.path), name, case.expected, tuple(got), stopped)


def _note(watch: Watch | None, entry: Entry) -> None:
    if watch is not None and entry.what == "fired":
        watch.fired(entry.rule_id)
    elif watch is not None and entry.what in {"cleared", "resolved"}:
        watch.over(entry.rule_id)


class Impossible(GridwardenError):
    """A step that cannot be as things stand: the case has failed."""


class _Play:
    """One case as it goes on."""

    def __init__(self, case: Case, rules: RuleSet) -> None:
        self._case = case
        self._devices = dict(case.devices)
        """As they would be registered; in :attr:`_registry` those that are."""
        self._registry = dict(case.devices)
        self._alarms: dict[str, Alarm] = {}
        self._events: dict[str, GridEvent] = {}
        self._said: dict[tuple[str, int], tuple[str, list[dict[str, Any]]]] = {}
        self.entries: list[Entry] = []
        self.rehearsal = Rehearsal(rules, self._registry, START_AT_MS, self._told)

    def step(self, step: Step) -> None:
        """First the time until then passes, then what the step says happens."""
        words, rehearsal = step.words, self.rehearsal
        rehearsal.until(START_AT_MS + step.at_ms)
        self._register(step)
        if words.broker:
            rehearsal.connected(words.broker == "up")
        if words.restart:
            rehearsal.restart(START_AT_MS + parse_duration(words.back_at) if words.back_at else None)
        if step.rules is not None:
            rehearsal.reload(step.rules)
        self._people(step)
        if words.repeat_of is not None:
            rehearsal.hear(*self._repeated(step.device_id, parse_duration(words.repeat_of)))
        if step.said:
            own = self._devices[step.device_id].gateway
            message = words.gateway or own or GATEWAY, [_native(said) for said in step.said]
            self._said[step.device_id, step.at_ms] = message
            rehearsal.hear(*message)

    def _register(self, step: Step) -> None:
        """The registry as it is from this step on; another object only where it is another one."""
        device_id, words = step.device_id, step.words
        if words.attributes is not None:
            self._devices[device_id] = replace(self._devices[device_id], attributes=words.attributes)
        wanted: dict[str, Device] = dict(self._devices)
        if not words.registered:
            wanted.pop(device_id)
        if wanted != self._registry:
            self._registry = self.rehearsal.devices = wanted

    def _people(self, step: Step) -> None:
        words, order = step.words, self.rehearsal.order
        if words.acknowledge:
            order("acknowledge", {**_OPERATOR, "alarm_id": self._alarm(step, words.acknowledge).alarm_id})
        if words.confirm:
            alarm_id, outcome = self._alarm(step, words.confirm).alarm_id, Outcome(words.outcome)
            order("confirm", {**_OPERATOR, "alarm_id": alarm_id, "outcome": outcome})
        if words.close:
            event_id = self._alarm(step, words.close, ended=True).event_id
            order("close", {**_OPERATOR, "event_id": event_id, "note": "done"})
        if words.shelve:
            until_at_ms = START_AT_MS + step.at_ms + parse_duration(words.lasts)
            params = {
                "alarm_id": self._alarm(step, words.shelve).alarm_id,
                "until_at_ms": until_at_ms,
                "comment": "test",
            }
            order("shelve", {**_OPERATOR, **params})
        if words.quiet:
            self._quiet(step)
        if words.unquiet is not None:
            order("end_quieting", {**_OPERATOR, "quieting_id": words.unquiet})

    def _quiet(self, step: Step) -> None:
        wanted = step.words.quiet
        if wanted is None:
            return
        lists = ("rules", "devices", "buildings", "categories", "severities")
        until_at_ms = wanted.lasts and START_AT_MS + step.at_ms + parse_duration(wanted.lasts)
        params = {
            "kind": wanted.kind, "area": "", "matchers": {name: getattr(wanted, name) for name in lists},
            "protected": wanted.protected, "until_at_ms": until_at_ms, "comment": "test",
        }  # fmt: skip
        self.rehearsal.order("quiet", {**_OPERATOR, **params})
        if wanted.protected:
            quieting_id = self.rehearsal.kept.last_quieting_id
            self.rehearsal.order("approve_quieting", {**_SECOND, "quieting_id": quieting_id})

    def _alarm(self, step: Step, rule_id: str, *, ended: bool = False) -> Alarm:
        """The newest alarm of this rule (on the step's device, where it names one)."""
        for alarm in reversed(self._alarms.values()):
            named = step.words.device is None or alarm.device_id == step.words.device
            if alarm.rule_id == rule_id and named and (ended or alarm.state is AlarmState.FIRING):
                return alarm
        raise Impossible(f"no alarm of rule {rule_id} at this time")

    def _repeated(self, device_id: str, said_at_ms: int) -> tuple[str, list[dict[str, Any]]]:
        message = self._said.get((device_id, said_at_ms))
        if message is None:
            raise Impossible("repeat_of: the device said nothing at that time")
        return message

    def _told(self, transaction: Transaction) -> None:
        for alarm_id, alarm in transaction.alarms.items():
            before = self._alarms.pop(alarm_id, None)
            self._alarms[alarm_id] = alarm
            for at_ms, what, details in timeline.of_alarm(before, alarm, transaction.at_ms):
                self._add(at_ms, alarm.rule_id, what, timeline.who(alarm), details)
            if self._case.expects_events and alarm.event_id and (before is None or before.event_id != alarm.event_id):
                what = "joined" if alarm.event_id in self._events else "opened"
                self._events.setdefault(alarm.event_id, transaction.events[alarm.event_id])
                is_news = before is None or before.fired_at_ms is None
                at_ms = (alarm.fired_at_ms if is_news else None) or transaction.at_ms
                self._add(at_ms, alarm.rule_id, EVENT + what, timeline.who(alarm), {})
        for alarm_id in transaction.forgotten:
            self._alarms.pop(alarm_id, None)
        for event in transaction.events.values() if self._case.expects_events else ():
            what = timeline.of_event(self._events.get(event.event_id), event)
            self._events[event.event_id] = event
            if what:
                self._add(transaction.at_ms, event.rule_id, what, event.device_id, {})

    def _add(self, at_ms: int, rule_id: str, what: str, who: str, details: Mapping[str, Any]) -> None:
        who = "" if who in {self._case.only, SINGLE} else who
        self.entries.append(Entry(at_ms - START_AT_MS, rule_id, what, who, details))


def _native(said: Said) -> dict[str, Any]:
    """The reading in native words."""
    reading: dict[str, Any] = {"device": said.device_id, "values": dict(said.values)}
    if said.sent_ms is not None:
        reading["at"] = START_AT_MS + said.sent_ms
    if said.seq is not None:
        reading["seq"] = said.seq
    return reading
