"""What came of rule tests, and how it is told: text, JSON, JUnit XML. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree as ET

from rules.coverage import Coverage, as_rows, untouched
from rules.timeline import Entry, compare, write_duration

__all__ = ["CaseResult", "Report", "as_json", "as_junit", "as_text", "coverage_text", "write_duration"]


@dataclass(frozen=True, slots=True)
class CaseResult:
    """One case: what was expected and what happened, each in order of time."""

    path: str
    name: str
    expected: tuple[Entry, ...]
    got: tuple[Entry, ...]
    stopped: str = ""
    """The step that could not be, and why: a confirmation where nothing fires, for one. It went no further."""
    lines: tuple[tuple[str, Entry], ...] = field(init=False, repr=False, compare=False)
    """Both as one timeline; marked ``-`` what did not happen, ``+`` what was not expected, `` `` what is right."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "lines", tuple(compare(self.expected, self.got)))

    @property
    def passed(self) -> bool:
        """Whether just that happened which was expected."""
        return not self.stopped and all(mark == " " for mark, _ in self.lines)

    @property
    def missing(self) -> tuple[Entry, ...]:
        """Expected, and did not happen."""
        return tuple(entry for mark, entry in self.lines if mark == "-")

    @property
    def surplus(self) -> tuple[Entry, ...]:
        """Happened, and was not expected."""
        return tuple(entry for mark, entry in self.lines if mark == "+")

    def diff(self) -> list[str]:
        """The timeline line by line, marked; where two lines differ by their details alone, with all of these."""
        twins = {entry for mark, entry in self.lines if mark == "-"} & set(self.surplus)
        lines = [f"{mark} {entry.text(entry.details) if entry in twins else entry}" for mark, entry in self.lines]
        return [*lines, f"! {self.stopped}"] if self.stopped else lines


@dataclass(frozen=True, slots=True)
class Report:
    """All cases of a run."""

    cases: tuple[CaseResult, ...]
    coverage: Coverage = field(default_factory=Coverage)

    @property
    def passed(self) -> tuple[CaseResult, ...]:
        """Cases that went as expected."""
        return tuple(case for case in self.cases if case.passed)

    @property
    def failed(self) -> tuple[CaseResult, ...]:
        """Cases that did not."""
        return tuple(case for case in self.cases if not case.passed)

    @property
    def ok(self) -> bool:
        """Whether every case passed."""
        return not self.failed


def as_text(report: Report) -> str:
    """For people: each failed case as a timeline in which - is missing and + is too much, then the sum."""
    lines: list[str] = []
    for case in report.failed:
        lines.append(f"FAILED {case.path}: {case.name}")
        lines += [f"  {line}" for line in case.diff()]
    if report.coverage.never_fired:
        lines.append(f"never fired: {', '.join(report.coverage.never_fired)}")
    lines.append(f"{len(report.passed)} passed, {len(report.failed)} failed")
    return "\n".join(lines)


def coverage_text(coverage: Coverage) -> str:
    """For people: a line a rule, then every branch that no case touches."""
    rows = as_rows(coverage)
    width = max(len(row[0]) for row in rows)
    lines = [f"{name:<{width}}  {touched:>5} of {of:>5}  {percent:>7}" for name, touched, of, percent in rows]
    return "\n".join([*lines, *(f"not touched: {branch.rule_id}: {branch}" for branch in untouched(coverage))])


def as_json(report: Report) -> dict[str, Any]:
    """For programs: plain values."""
    coverage = report.coverage
    return {
        "passed": len(report.passed),
        "failed": len(report.failed),
        "never_fired": list(coverage.never_fired),
        "coverage": {
            "percent": coverage.percent,
            "branches": coverage.branches,
            "touched": coverage.touched,
            "rules": [
                {"rule": rule.rule_id, "branches": rule.branches, "touched": rule.touched,
                 "untouched": [str(branch) for branch in rule.untouched]}
                for rule in coverage.rules
            ],
        },
        "cases": [
            {
                "path": case.path,
                "name": case.name,
                "passed": case.passed,
                "stopped": case.stopped,
                "expected": [_row(entry) for entry in case.expected],
                "got": [_row(entry) for entry in case.got],
            }
            for case in report.cases
        ],
    }  # fmt: skip


def as_junit(report: Report) -> str:
    """For build servers: one test suite, one test case a case."""
    suite = ET.Element(
        "testsuite", name="gridwarden rules", tests=str(len(report.cases)), failures=str(len(report.failed))
    )
    for case in report.cases:
        element = ET.SubElement(suite, "testcase", classname=case.path, name=case.name)
        if not case.passed:
            failure = ET.SubElement(element, "failure", message="the timeline differs")
            failure.text = "\n".join(case.diff())
    return ET.tostring(suite, encoding="unicode", xml_declaration=True)


def _row(entry: Entry) -> list[Any]:
    words: list[Any] = [write_duration(entry.at_ms), *filter(None, (entry.who,)), entry.rule_id, entry.what]
    details = {name: value for name, value in entry.details.items() if value}
    return [*words, details] if details else words
