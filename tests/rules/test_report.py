"""Reports for people, programs and build servers."""

from json import dumps
from xml.etree import ElementTree as ET

import pytest

from rules.report import CaseResult, Entry, Report, as_json, as_junit, as_text, write_duration

FIRED = Entry(10_000, "lift.high", "fired")
LATER = Entry(90_000, "lift.high", "fired")
REPORT = Report(
    (CaseResult("a.test.yaml", "up", (FIRED,), (FIRED,)), CaseResult("a.test.yaml", "<down>", (FIRED,), (LATER,))),
    ("lift.low",),
)


def test_text_shows_what_failed_and_how() -> None:
    assert as_text(REPORT).splitlines() == [
        "FAILED a.test.yaml: <down>",
        "  - [10s, lift.high, fired]",
        "  + [90s, lift.high, fired]",
        "never fired: lift.low",
        "1 passed, 1 failed",
    ]


def test_json_is_plain() -> None:
    report = as_json(REPORT)
    assert dumps(report)
    assert (report["passed"], report["failed"], report["cases"][1]["got"]) == (1, 1, [["90s", "lift.high", "fired"]])


def test_junit_is_well_formed_and_counts() -> None:
    suite = ET.fromstring(as_junit(REPORT))  # noqa: S314
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    failure = suite.find("testcase[@name='<down>']/failure")
    assert failure is not None
    assert "+ [90s, lift.high, fired]" in (failure.text or "")


@pytest.mark.parametrize(
    ("ms", "text"), [(0, "0s"), (250, "250ms"), (90_000, "90s"), (300_000, "5m"), (7_200_000, "2h")]
)
def test_durations_are_written_in_the_largest_whole_unit(ms: int, text: str) -> None:
    assert write_duration(ms) == text
