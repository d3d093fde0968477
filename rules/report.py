"""What came of rule tests, and how it is told: text, JSON, JUnit XML. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as ET

_UNITS = ((3_600_000, "h"), (60_000, "m"), (1000, "s"))


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """One line of a timeline: when (milliseconds since the beginning of the case), which rule, what became of it."""

    at_ms: int
    rule_id: str
    what: str
    """``pending``, ``fired``, ``cleared`` or ``resolved``."""

    def __str__(self) -> str:
        return f"[{write_duration(self.at_ms)}, {self.rule_id}, {self.what}]"


@dataclass(frozen=True, slots=True)
class CaseResult:
    """One case: what was expected and what happened, each in order of time."""

    path: str
    name: str
    expected: tuple[Entry, ...]
    got: tuple[Entry, ...]

    @property
    def passed(self) -> bool:
        """Whether just that happened which was expected."""
        return self.expected == self.got

    @property
    def missing(self) -> tuple[Entry, ...]:
        """Expected, and did not happen."""
        return _without(self.expected, self.got)

    @property
    def surplus(self) -> tuple[Entry, ...]:
        """Happened, and was not expected."""
        return _without(self.got, self.expected)


@dataclass(frozen=True, slots=True)
class Report:
    """All cases of a run."""

    cases: tuple[CaseResult, ...]
    never_fired: tuple[str, ...]
    """Rules under test that no case made fire."""

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
    """For people: each failed case with what was missing (-) and what was too much (+), then the sum."""
    lines: list[str] = []
    for case in report.failed:
        lines.append(f"FAILED {case.path}: {case.name}")
        lines += [f"  - {entry}" for entry in case.missing]
        lines += [f"  + {entry}" for entry in case.surplus]
    if report.never_fired:
        lines.append(f"never fired: {', '.join(report.never_fired)}")
    lines.append(f"{len(report.passed)} passed, {len(report.failed)} failed")
    return "\n".join(lines)


def as_json(report: Report) -> dict[str, Any]:
    """For programs: plain values."""
    return {
        "passed": len(report.passed),
        "failed": len(report.failed),
        "never_fired": list(report.never_fired),
        "cases": [
            {
                "path": case.path,
                "name": case.name,
                "passed": case.passed,
                "expected": [_row(entry) for entry in case.expected],
                "got": [_row(entry) for entry in case.got],
            }
            for case in report.cases
        ],
    }


def as_junit(report: Report) -> str:
    """For build servers: one test suite, one test case a case."""
    suite = ET.Element(
        "testsuite", name="gridwarden rules", tests=str(len(report.cases)), failures=str(len(report.failed))
    )
    for case in report.cases:
        element = ET.SubElement(suite, "testcase", classname=case.path, name=case.name)
        if not case.passed:
            failure = ET.SubElement(element, "failure", message="the timeline differs")
            lost, more = (["- " + str(e) for e in case.missing], ["+ " + str(e) for e in case.surplus])
            failure.text = "\n".join(lost + more)
    return ET.tostring(suite, encoding="unicode", xml_declaration=True)


def write_duration(duration_ms: int) -> str:
    """``90s``, ``5m``, ``250ms``: the largest unit that needs no fraction."""
    for unit_ms, unit in _UNITS:
        if duration_ms and duration_ms % unit_ms == 0:
            return f"{duration_ms // unit_ms}{unit}"
    return f"{duration_ms}ms" if duration_ms else "0s"


def _row(entry: Entry) -> list[Any]:
    return [write_duration(entry.at_ms), entry.rule_id, entry.what]


def _without(entries: tuple[Entry, ...], others: tuple[Entry, ...]) -> tuple[Entry, ...]:
    left = list(others)
    kept = []
    for entry in entries:
        if entry in left:
            left.remove(entry)
        else:
            kept.append(entry)
    return tuple(kept)
