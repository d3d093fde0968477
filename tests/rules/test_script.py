"""Rule tests: the shipped ones pass, each shipped rule fires in one, and a wrong expectation is seen."""

from collections.abc import Callable
from pathlib import Path

import pytest

from gridwarden.errors import ConfigError
from gridwarden.kinds import KINDS
from rules.load import PACKS
from rules.report import as_text
from rules.script import _WrittenStep, run

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


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_shipped_rules_pass_their_tests_and_each_fires_in_one(kind: str) -> None:
    report = run([PACKS / f"{kind}.test.yaml"])
    assert report.ok, as_text(report)
    assert report.never_fired == ()


def test_a_rule_file_stands_for_the_tests_beside_it() -> None:
    assert run([PACKS / "smoke.yaml"]) == run([PACKS / "smoke.test.yaml"])


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    (tmp_path / "own.yaml").write_text(RULES, "utf-8")

    def write(tests: str) -> Path:
        path = tmp_path / "own.test.yaml"
        path.write_text(tests, "utf-8")
        return path

    return write


def test_a_case_passes_when_just_that_happens(write: Callable[[str], Path]) -> None:
    assert run([write(TESTS)]).ok


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
    ],
)
def test_a_case_fails_on_what_is_missing_and_what_is_too_much(
    write: Callable[[str], Path], change: tuple[str, str], missing: list[str], surplus: list[str]
) -> None:
    assert TESTS.replace(*change) != TESTS
    (case,) = run([write(TESTS.replace(*change))]).failed
    assert ([str(entry) for entry in case.missing], [str(entry) for entry in case.surplus]) == (missing, surplus)


def test_a_rule_that_no_case_fires_is_named(write: Callable[[str], Path]) -> None:
    (never,) = run([write("cases: [{name: a, steps: [{at: 0s, floor: 1}], expect: []}]")]).never_fired
    assert never == "lift.high"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("floor: 4", "flour: 4"), "case 'up and down': step 1: flour: a lift has no such field"),
        (("floor: 4", "floor: up"), "step 1: floor: 'up' is no such value"),
        (("floor: 4", "floor: true"), "step 1: floor: True is no such value"),
        (("at: 20s", "at: 4s"), "step 3: the steps are not in order of time"),
        (("at: 20s", "at: 20"), "step 3: at"),
        (("restart: true", "restart: yes please"), "step 2: restart"),
        (("restart: true", "confirm: lift.high, outcome: maybe"), "step 2: 'maybe' is not a valid Outcome"),
        (("restart: true", "repeat_of: 3s"), "step 2: repeat_of"),
        (("floor: 4", "confirm: lift.high"), "step 1: no alarm of rule lift.high"),
        (("lift.high, fired", "lift.low, fired"), "expect: no rule lift.low"),
        (("lift.high, fired", "lift.high, burnt"), "expect: 'burnt' is none of"),
        (("[10s, lift.high, fired]", "[10s, fired]"), "expect: .*is expected"),
        (("name: up and down", "name: up and down\n    kind: boat"), "kind: one of"),
        (("cases:", "rules: [none.yaml]\ncases:"), "none.yaml: no such file"),
        (("cases:", "case:"), "own.test.yaml: cases"),
    ],
)
def test_a_test_file_that_cannot_be_used_is_refused_with_place_and_reason(
    write: Callable[[str], Path], change: tuple[str, str], reason: str
) -> None:
    assert TESTS.replace(*change) != TESTS
    with pytest.raises(ConfigError, match=reason):
        run([write(TESTS.replace(*change))])


def test_no_tests_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no \*\.test\.yaml"):
        run([tmp_path])


def test_no_field_of_a_kind_is_a_word_of_a_step() -> None:
    words = set(_WrittenStep.model_fields)
    assert not words & {name for kind in KINDS.values() for name in kind.fields}
