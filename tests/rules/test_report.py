"""Reports for people, programs and build servers."""

from json import dumps
from xml.etree import ElementTree as ET

from rules.coverage import FIRED, Branch, Coverage, RuleCoverage
from rules.report import CaseResult, Report, as_json, as_junit, as_text, coverage_text
from rules.timeline import Entry

PENDING = Entry(0, "lift.high", "pending")
FIRED_ENTRY = Entry(10_000, "lift.high", "fired")
LATER = Entry(90_000, "lift.high", "fired")
COVERAGE = Coverage(
    (
        RuleCoverage("lift.high", 4, (Branch("lift.high", "clear", "floor < 2", False),)),
        RuleCoverage("lift.low", 2, (Branch("lift.low", "", FIRED, True), Branch("lift.low", "", "is over", True))),
    )
)
REPORT = Report(
    (
        CaseResult("a.test.yaml", "up", (FIRED_ENTRY,), (FIRED_ENTRY,)),
        CaseResult("a.test.yaml", "<down>", (PENDING, FIRED_ENTRY), (PENDING, LATER)),
    ),
    COVERAGE,
)


def test_text_shows_what_failed_as_one_timeline() -> None:
    assert as_text(REPORT).splitlines() == [
        "FAILED a.test.yaml: <down>",
        "    [0s, lift.high, pending]",
        "  - [10s, lift.high, fired]",
        "  + [90s, lift.high, fired]",
        "never fired: lift.low",
        "1 passed, 1 failed",
    ]


def test_lines_that_differ_by_details_alone_show_them() -> None:
    expected, got = (Entry(0, "r.one", "fired", "", {"severity": severity}) for severity in ("high", "low"))
    assert CaseResult("a", "b", (expected,), (got,)).diff() == [
        "- [0s, r.one, fired, {severity: high}]",
        "+ [0s, r.one, fired, {severity: low}]",
    ]


def test_a_case_that_stopped_has_failed_and_says_where() -> None:
    case = CaseResult("a", "b", (PENDING,), (PENDING,), "step 2: no alarm")
    assert not case.passed
    assert case.diff() == ["  [0s, lift.high, pending]", "! step 2: no alarm"]


def test_coverage_is_a_line_a_rule_and_what_is_not_touched() -> None:
    assert coverage_text(COVERAGE).splitlines() == [
        "lift.high      3 of     4     75 %",
        "lift.low       0 of     2      0 %",
        "all            3 of     6     50 %",
        "not touched: lift.high: clear: floor < 2 is never false",
        "not touched: lift.low: never fires",
        "not touched: lift.low: never is over",
    ]


def test_json_is_plain() -> None:
    report = as_json(REPORT)
    assert dumps(report)
    assert (report["passed"], report["failed"], report["never_fired"]) == (1, 1, ["lift.low"])
    assert report["cases"][1]["got"] == [["0s", "lift.high", "pending"], ["90s", "lift.high", "fired"]]
    assert (report["coverage"]["percent"], report["coverage"]["rules"][0]["touched"]) == (50.0, 3)


def test_json_names_who_and_details() -> None:
    entry = Entry(0, "r.one", "fired", "A", {"quieted_by": "suppressed", "flapping": False})
    report = as_json(Report((CaseResult("a", "b", (), (entry,)),)))
    assert report["cases"][0]["got"] == [["0s", "A", "r.one", "fired", {"quieted_by": "suppressed"}]]


def test_junit_is_well_formed_and_counts() -> None:
    suite = ET.fromstring(as_junit(REPORT))  # noqa: S314
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    failure = suite.find("testcase[@name='<down>']/failure")
    assert failure is not None
    assert "+ [90s, lift.high, fired]" in (failure.text or "")
