"""The book of the fault suite: a line for every run, from which ``report.py`` makes the table of the guide."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

PLACE = "GRIDWARDEN_FAULT_BOOK"
"""Environment name of the file that runs are entered in; without it nothing is kept."""


@dataclass(frozen=True, slots=True)
class Run:
    """One fault, once, against everything the publisher was told is safe."""

    fault: str
    """What was done, as the table groups it: ``core killed at commit.before``."""
    acknowledged: int
    """Readings for which the publisher has its PUBACK."""
    lost: int
    """Acknowledged readings that are neither in the records nor set aside."""
    doubled: int
    """Readings that are there more than once."""
    events: int
    """Grid events that the workload's script calls for."""
    events_lost: int
    events_doubled: int
    stated_loss: int = 0
    """Readings the program itself said were lost, where the medium was damaged: must be ``lost`` exactly."""
    medium_damaged: bool = False
    """Whether bytes on the disk were destroyed, so that no program could have kept everything."""


def enter(run: Run) -> None:
    """Enter ``run``; lines of several processes do not mix, since each is one small write in append mode."""
    place = os.environ.get(PLACE)
    if place:
        with Path(place).open("a", encoding="utf-8") as book:
            book.write(json.dumps(asdict(run)) + "\n")


def read(path: Path) -> list[Run]:
    """All runs of a book."""
    return [Run(**json.loads(line)) for line in path.read_text("utf-8").splitlines()]
