"""What a check found wrong: which file, what it is, what it costs, what to do. Words for people; codes for programs."""

from __future__ import annotations

from dataclasses import dataclass, field

AGAIN = "make another backup; if the installation is gone, use the backup before this one"
RESTORE = "stop, restore the newest whole backup; see docs/guide/operations.md"
REBUILD = "stop, move the history folder away: it is followed anew as far as the records have the blocks, or restore it"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong."""

    file: str
    code: str
    what: str
    costs: str
    advice: str

    def __str__(self) -> str:
        return f"{self.file}: {self.what}. It costs: {self.costs}. What to do: {self.advice}."


@dataclass(slots=True)
class Report:
    """What was looked at and what was found."""

    path: str
    of: str
    """``backup``, ``data`` (at rest) or ``running``."""
    counts: dict[str, int] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    """What could not be looked at, and why."""

    def fault(self, file: str, code: str, what: str, costs: str, advice: str) -> None:
        """Add one."""
        self.faults.append(Fault(file, code, what, costs, advice))


def costs_of(file: str) -> str:
    """What is lost with a file of a backup or a data directory."""
    match file.partition("/")[0]:
        case "records.db":
            return "alarms, events, journal and readings that the history does not have yet"
        case "office.db":
            return "registry, accounts"
        case "history":
            return "old readings in this file"
        case "broker":
            return "passwords of gateways"
        case _:
            return "this file only"
