"""Rule tests as core's own judge plays them: a right case passes, whatever happens in it, and a wrong one is seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gridwarden.core.rehearsal import Kept
from gridwarden.core.rule_tests import RESTARTED, run
from gridwarden.errors import ConfigError
from rules.load import PACKS
from rules.report import as_text, coverage_text

RULES = """
kind: lift
rules:
  - id: lift.high
    name: {zh: 高, en: high}
    source: ours
    severity: low
    category: fault
    when: floor > 3
    for: 10s
    levels: [{severity: high, when: floor > 30}]
    inhibits: [{rules: [lift.door], by: device}]
  - {id: lift.door, name: {zh: 门, en: Door}, source: ours, severity: low, category: fault, when: door == 'open',
     suppressed_when: mode == 'inspection'}
  - {id: lift.cry, name: {zh: 困, en: Cry}, source: ours, severity: critical, category: rescue, when: entrapment,
     life_safety: true, latched: true}
absences:
  - {id: lift.silent, name: {zh: 静, en: Silent}, source: ours, severity: low, category: maintenance,
     of: device, after: 1h}
"""
TESTS = """
cases:
  - name: up and down
    steps:
      - {at: 0s, floor: 4}
      - {at: 5s, restart: true}
      - {at: 20s, floor: 3}
    expect:
      - [0s, lift.high, pending]
      - [10s, lift.high, fired]
      - [20s, lift.high, resolved]
"""


COVERED_PERCENT = 95
"""Of the branches of the shipped rules at least so much is touched by their tests; the guide states how much it is."""


@pytest.mark.parametrize("name", sorted(path.name for path in PACKS.glob("*.yaml") if ".test." not in path.name))
def test_the_shipped_rules_pass_their_tests_restarted_after_every_step_too_and_each_fires_in_one(name: str) -> None:
    report = run([PACKS / name], restarts=True)
    assert report.ok, as_text(report)
    if name != "platform.yaml":  # its tests need the detectors' rules, too
        assert report.coverage.never_fired == ()
        assert report.coverage.percent >= COVERED_PERCENT, coverage_text(report.coverage)


def test_a_rule_file_stands_for_the_tests_beside_it() -> None:
    assert run([PACKS / "smoke.yaml"]) == run([PACKS / "smoke.test.yaml"])


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    (tmp_path / "own.yaml").write_text(RULES, "utf-8")

    def write(tests: str) -> Path:
        path = tmp_path / "own.test.yaml"
        path.write_text(tests if "cases:" in tests else f"cases:\n{tests}", "utf-8")
        return path

    return write


STORIES = {
    "a backfill, newest first, fires and clears at its own times, and rings for nobody": """
  - name: a
    series: {from: 1h, every: 10m, arrives: 24h, newest_first: true, floor: "1 4x2 1"}
    steps: [{at: 24h}]
    expect: [[70m, lift.high, pending], [4210s, lift.high, fired, {quieted_by: past}], [90m, lift.high, resolved]]
""",
    "a clock that goes wrong is believed while it is behind, and not when it is ahead": """
  - name: a
    steps:
      - {at: 10m, clock: -5m, floor: 4}
      - {at: 20m, clock: 1h, floor: 1}
      - {at: 21m, clock: 0s, entrapment: true}
    expect:
      - [5m, lift.high, pending]
      - [310s, lift.high, fired]
      - [20m, lift.high, resolved]
      - [21m, lift.cry, fired]
""",
    "repeats, late ones, and one without any time": """
  - name: a
    steps:
      - {at: 10s, entrapment: true}
      - {at: 12s, repeat_of: 10s}
      - {at: 20s, sent: 5s, floor: 9}
      - {at: 30s, sent: none, floor: 9}
      - {at: 1m}
    expect: [[10s, lift.cry, fired], [30s, lift.high, pending], [40s, lift.high, fired]]
""",
    "severity rises and falls": """
  - name: a
    steps: [{at: 0s, floor: 9}, {at: 20s, floor: 31}, {at: 30s, floor: 30}]
    expect:
      - [0s, lift.high, pending]
      - [10s, lift.high, fired, {severity: low}]
      - [20s, lift.high, severity, {severity: high}]
      - [30s, lift.high, severity, {severity: low}]
""",
    "a latched one comes back before anybody has confirmed it": """
  - name: a
    steps:
      - {at: 0s, entrapment: true}
      - {at: 1m, entrapment: false}
      - {at: 2m, entrapment: true}
      - {at: 3m, acknowledge: lift.cry}
      - {at: 4m, entrapment: false}
      - {at: 5m, confirm: lift.cry, outcome: "false"}
      - {at: 6m, close: lift.cry}
    expect:
      - [0s, lift.cry, fired]
      - [1m, lift.cry, cleared]
      - [2m, lift.cry, returned]
      - [4m, lift.cry, cleared]
      - [5m, lift.cry, resolved]
    events: [[0s, lift.cry, opened], [6m, lift.cry, closed]]
""",
    "what is quiet has a reason, opens no event, and is told once nothing quiets it": """
  - name: a
    steps:
      - {at: 0s, quiet: {rules: [lift.high], for: 1m}}
      - {at: 10s, floor: 9}
      - {at: 30s, door: open}
      - {at: 40s, door: closed}
      - {at: 2m, floor: 1}
      - {at: 3m, mode: inspection, door: open}
    expect:
      - [10s, lift.high, pending]
      - [20s, lift.high, fired, {quieted_by: "silence:1"}]
      - [30s, lift.door, fired, {quieted_by: "inhibited:lift.high"}]
      - [40s, lift.door, resolved]
      - [1m, lift.high, told]
      - [2m, lift.high, resolved]
      - [3m, lift.door, fired, {quieted_by: suppressed}]
    events: [[1m, lift.high, opened]]
""",
    "shelved, and fire quieted by two persons": """
  - name: a
    steps:
      - {at: 0s, door: open}
      - {at: 1m, shelve: lift.door, for: 1h}
      - {at: 2m, unquiet: 1}
      - {at: 3m, quiet: {kind: out_of_service, devices: [DEVICE-1], protected: true}}
      - {at: 4m, entrapment: true}
    expect:
      - [0s, lift.door, fired]
      - [1m, lift.door, quieted, {quieted_by: "shelved:1"}]
      - [2m, lift.door, told]
      - [3m, lift.door, quieted, {quieted_by: "out_of_service:2"}]
      - [4m, lift.cry, fired, {quieted_by: "out_of_service:2"}]
""",
    "other rules half way": """
  - name: a
    steps:
      - {at: 0s, floor: 9, door: open}
      - {at: 5s, reload: {lift.high: {for: 20s}, lift.door: null}}
      - {at: 1m}
    expect:
      - [0s, lift.high, pending]
      - [0s, lift.door, fired]
      - [5s, lift.door, resolved, {ended_by: rule_gone}]
      - [20s, lift.high, fired]
""",
    "strangers": """
  - name: a
    steps:
      - {at: 0s, gateway: stranger, entrapment: true, floor: 9}
      - {at: 1m, registered: false, entrapment: true, floor: 9}
      - {at: 2m}
    expect: [[0s, lift.cry, fired, {unverified: true}], [1m, lift.cry, fired, {unverified: true}]]
""",
    "two lifts, one silent; the gateway speaks for the other": """
  - name: a
    devices: {A: {gateway: g}, B: {gateway: g, attributes: {interval_s: 60}}}
    series: {device: A, every: 10m, floor: "1x20"}
    steps: [{at: 1m, device: B, floor: 1}, {at: 2h, device: B, floor: 2}, {at: 190m}]
    expect: [[61m, B, lift.silent, fired], [2h, B, lift.silent, resolved], [3h, B, lift.silent, fired]]
""",
    "nobody is silent while the broker is away": """
  - name: a
    steps: [{at: 0s, floor: 1}, {at: 10m, broker: down}, {at: 3h, broker: up}, {at: 210m, floor: 1}]
    expect: []
""",
    "nor while the system does not run": """
  - name: a
    steps: [{at: 0s, floor: 1}, {at: 10m, restart: true, back_at: 3h}, {at: 210m, floor: 1}]
    expect: []
""",
}


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
def test_a_case_passes_when_just_that_happens(write: Callable[[str], Path], story: str) -> None:
    report = run([write(story)])
    assert report.ok, as_text(report)


@pytest.mark.parametrize(
    ("change", "missing", "surplus"),
    [
        (
            ("[10s, lift.high, fired]", "[11s, lift.high, fired]"),
            ["[11s, lift.high, fired]"],
            ["[10s, lift.high, fired]"],
        ),
        (("      - [20s, lift.high, resolved]\n", ""), [], ["[20s, lift.high, resolved]"]),
        (("{at: 20s, floor: 3}", "{at: 9s, floor: 3}"), ["[10s, lift.high, fired]", "[20s, lift.high, resolved]"], []),
        (("    expect:", "    events: []\n    expect:"), [], ["[10s, lift.high, opened]"]),
    ],
)
def test_a_case_fails_on_what_is_missing_and_what_is_too_much(
    write: Callable[[str], Path], change: tuple[str, str], missing: list[str], surplus: list[str]
) -> None:
    assert TESTS.replace(*change) != TESTS
    (case,) = run([write(TESTS.replace(*change))]).failed
    assert ([str(entry) for entry in case.missing], [str(entry) for entry in case.surplus]) == (missing, surplus)


def test_every_case_once_more_with_restarts(write: Callable[[str], Path]) -> None:
    report = run([write(TESTS)], restarts=True)
    assert [case.name for case in report.passed] == ["up and down", f"up and down ({RESTARTED})"]


def test_what_a_restart_loses_is_seen(write: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Kept, "alarms", lambda _kept: [])
    report = run([write(TESTS.replace("{at: 5s, restart: true}", "{at: 5s}"))], restarts=True)
    assert [case.name for case in report.failed] == [f"up and down ({RESTARTED})"]


def test_restarts_change_nothing_of_what_is_counted(write: Callable[[str], Path]) -> None:
    assert run([write(TESTS)], restarts=True).coverage == run([write(TESTS)]).coverage


def test_a_rule_that_no_case_fires_is_named(write: Callable[[str], Path]) -> None:
    report = run([write("cases: [{name: a, steps: [{at: 0s, floor: 1}], expect: []}]")])
    assert report.coverage.never_fired == ("lift.cry", "lift.door", "lift.high", "lift.silent")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("restart: true", "confirm: lift.high"), "step 2: no alarm of rule lift.high at this time"),
        (("restart: true", "repeat_of: 3s"), "step 2: repeat_of: the device said nothing at that time"),
        (("floor: 4", "unquiet: 4"), "step 1: quieting_ended"),
    ],
)
def test_a_step_that_cannot_be_fails_its_case(
    write: Callable[[str], Path], change: tuple[str, str], reason: str
) -> None:
    assert TESTS.replace(*change) != TESTS
    (case,) = run([write(TESTS.replace(*change))]).failed
    assert case.diff()[-1].startswith(f"! {reason}")


def test_no_tests_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no \*\.test\.yaml"):
        run([tmp_path])
