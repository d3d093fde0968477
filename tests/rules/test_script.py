"""Test files as they are read: what a case holds, and what is refused with place and reason."""

from collections.abc import Callable
from pathlib import Path

import pytest

from gridwarden.errors import ConfigError
from gridwarden.kinds import KINDS
from rules.script import Case, Said, read_tests
from rules.script_words import WrittenSeries, WrittenStep
from rules.timeline import Entry

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
  - {id: lift.flood, name: {zh: 水, en: Water}, source: ours, severity: low, category: water, when: pit_flood}
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
TWO = """
cases:
  - name: two lifts
    devices: {A: {building: B1, clock: 3m}, B: {kind: hydrant, gateway: null, attributes: {mount: cap}}}
    series:
      - {device: A, from: 1m, every: 10s, floor: "4 _ 1", occupied: "true false"}
      - {device: B, every: 1m, pressure_mpa: "0.3 null"}
    steps:
      - {at: 65s, device: A, clock: -1h, floor: 2}
      - {at: 70s, device: A, sent: none, seq: 7, floor: 3}
    expect: [[1m, A, lift.high, fired, {severity: low}]]
    events: [[1m, "building:B1", lift.high, opened]]
"""


@pytest.fixture
def read(tmp_path: Path) -> Callable[[str], Case]:
    (tmp_path / "own.yaml").write_text(RULES, "utf-8")

    def read(tests: str) -> Case:
        path = tmp_path / "own.test.yaml"
        path.write_text(tests, "utf-8")
        return read_tests(path).cases[0]

    return read


def said(case: Case) -> list[tuple[int, Said]]:
    return [(step.at_ms, one) for step in case.steps for one in step.said]


def test_a_case_of_one_device(read: Callable[[str], Case]) -> None:
    case = read(TESTS)
    assert (case.name, case.only, case.expects_events) == ("up and down", "DEVICE-1", False)
    assert said(case) == [(0, Said("DEVICE-1", {"floor": 4}, 0)), (20_000, Said("DEVICE-1", {"floor": 3}, 20_000))]
    assert case.steps[1].words.restart
    assert case.expected[0] == Entry(0, "lift.high", "pending")


def test_several_devices_with_clocks_and_series(read: Callable[[str], Case]) -> None:
    case = read(TWO)
    assert case.only == ""
    assert (case.devices["A"].kind, case.devices["A"].building) == ("lift", "B1")
    assert (case.devices["B"].gateway, case.devices["B"].attributes) == (None, {"mount": "cap"})
    assert said(case) == [
        (0, Said("B", {"pressure_mpa": 0.3}, 0)),
        (60_000, Said("A", {"floor": 4, "occupied": True}, 240_000)),
        (60_000, Said("B", {"pressure_mpa": None}, 60_000)),
        (65_000, Said("A", {"floor": 2}, -3_535_000)),
        (70_000, Said("A", {"occupied": False}, 250_000)),
        (70_000, Said("A", {"floor": 3}, None, 7)),
        (80_000, Said("A", {"floor": 1}, 260_000)),
    ]
    assert [(entry.what, entry.who) for entry in case.expected] == [("fired", "A"), ("event opened", "building:B1")]
    assert case.expected[0].details == {"severity": "low"}
    assert case.expects_events


def test_a_backfill_is_one_message(read: Callable[[str], Case]) -> None:
    text = "cases: [{name: a, series: {every: 1h, arrives: 24h, newest_first: true, floor: '1 2 3'}, expect: []}]"
    (step,) = read(text).steps
    assert (step.at_ms, [one.sent_ms for one in step.said]) == (86_400_000, [7_200_000, 3_600_000, 0])


def test_changed_rules(read: Callable[[str], Case]) -> None:
    step = "{at: 1s, reload: {lift.high: {for: 1m, source: ours too}, lift.flood: null}}"
    rules = read(f"cases: [{{name: a, steps: [{step}], expect: []}}]").steps[0].rules
    assert rules is not None
    assert [(rule.id, rule.terms.fire_ms, rule.source) for rule in rules] == [("lift.high", 60_000, "ours too")]
    other = read("cases: [{name: a, steps: [{at: 1s, reload: own.yaml}], expect: []}]").steps[0].rules
    assert other is not None
    assert len(other) == 2


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("floor: 4", "flour: 4"), "case 'up and down': step 1: flour: a lift has no such field"),
        (("floor: 4", "floor: up"), "step 1: floor: 'up' is no such value"),
        (("floor: 4", "floor: true"), "step 1: floor: True is no such value"),
        (("floor: 4", "device: B, floor: 4"), "step 1: device: 'B' is none of DEVICE-1"),
        (("floor: 4", "clock: soon, floor: 4"), "step 1: a duration such as"),
        (("at: 20s", "at: 4s"), "step 3: the steps are not in order of time"),
        (("at: 20s", "at: 20"), "step 3: at"),
        (("restart: true", "restart: yes please"), "step 2: restart"),
        (("restart: true", "confirm: lift.high, outcome: maybe"), "step 2: outcome"),
        (("restart: true", "restart: true, back_at: soon"), "step 2: a duration such as"),
        (("restart: true", "broker: sideways"), "step 2: broker"),
        (("restart: true", "quiet: {kind: hush}"), "step 2: quiet.kind"),
        (("restart: true", "reload: none.yaml"), "step 2: .*no such file"),
        (("restart: true", "reload: {lift.low: null}"), "step 2: reload: no rule lift.low"),
        (("restart: true", "reload: {lift.high: [when]}"), "step 2: reload: lift.high: keys with their values"),
        (("restart: true", "reload: {lift.high: {when: flour}}"), "step 2: rule lift.high: when.*no field 'flour'"),
        (("lift.high, fired", "lift.low, fired"), "expect: no rule lift.low"),
        (("lift.high, fired", "lift.high, burnt"), "expect: 'burnt' is none of pending, fired"),
        (("lift.high, fired", "lift.high, event opened"), "expect: 'event opened' is none of pending, fired"),
        (("lift.high, fired", "lift.high, fired, {colour: red}"), "expect: colour: none of count"),
        (("[10s, lift.high, fired]", "[10s, fired]"), "expect: .*is expected"),
        (("[10s, lift.high, fired]", "[10, lift.high, fired]"), "expect: .*is expected"),
        (("    expect:", "    events: [[1s, lift.high, fired]]\n    expect:"), "'fired' is none of opened, joined"),
        (("name: up and down", "name: up and down\n    kind: boat"), "kind: one of"),
        (("name: up and down", "name: up and down\n    devices: {A: {kind: boat}}"), "devices: A: kind: one of"),
        (("name: up and down", "name: up and down\n    devices: {A: {clock: late}}"), "devices: A: clock: a duration"),
        (("name: up and down", "name: up and down\n    devices: {A: {}, B: {}}"), "step 1: device: which one of A, B?"),
        (("name: up and down", "name: up and down\n    series: {floor: '1'}"), "series 1: every"),
        (
            ("name: up and down", "name: up and down\n    series: {every: 1s, floor: '1..2'}"),
            "series 1: 1..2: how many",
        ),
        (("name: up and down", "name: up and down\n    series: {every: 1s, flour: '1'}"), "series 1: flour"),
        (("cases:", "rules: [none.yaml]\ncases:"), "none.yaml: no such file"),
        (("cases:", "case:"), "own.test.yaml: cases"),
    ],
)
def test_a_test_file_that_cannot_be_used_is_refused_with_place_and_reason(
    read: Callable[[str], Case], change: tuple[str, str], reason: str
) -> None:
    assert TESTS.replace(*change) != TESTS
    with pytest.raises(ConfigError, match=reason):
        read(TESTS.replace(*change))


def test_of_several_devices_every_line_names_one(read: Callable[[str], Case]) -> None:
    with pytest.raises(ConfigError, match=r"expect: .*device or scope, rule, what"):
        read(TWO.replace("[1m, A, lift.high", "[1m, lift.high"))


def test_a_case_in_which_nothing_happens(read: Callable[[str], Case]) -> None:
    with pytest.raises(ConfigError, match="case 'a': nothing happens in it"):
        read("cases: [{name: a, expect: []}]")


def test_no_field_of_a_kind_is_a_word_of_a_step_or_a_series() -> None:
    words = WrittenStep.words() | WrittenSeries.words()
    assert not words & {name for kind in KINDS.values() for name in kind.fields}


def test_a_small_file_may_not_ask_for_millions_of_readings(read: Callable[[str], Case]) -> None:
    series = "{every: 1s, floor: 1x9999}"
    with pytest.raises(ConfigError, match=r"case 'b': series 4: more than 50000 readings in one file"):
        read(
            "cases: ["
            + ", ".join(f"{{name: {name}, series: [{', '.join([series] * 2)}], expect: []}}" for name in "a")
            + f", {{name: b, series: [{', '.join([series] * 30)}], expect: []}}]"
        )
