"""The book of the fault suite: a line for every run, from which ``report.py`` makes the table of the guide."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from gridwarden import __version__

PLACE = "GRIDWARDEN_FAULT_BOOK"
"""Environment name of the file that runs are entered in; without it nothing is kept."""
_TEST = "PYTEST_CURRENT_TEST"
_REASON_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Run:
    """One fault, once, against everything the publisher was told is safe."""

    fault: str
    """What was done, as the table groups it: ``core killed at commit.before``."""
    acknowledged: int = 0
    """Readings for which the publisher has its PUBACK."""
    lost: int = 0
    """Acknowledged readings that are neither in the records nor set aside, or are not in the history."""
    doubled: int = 0
    """Readings that are there more than once."""
    events: int = 0
    """Grid events that the workload's script calls for."""
    events_lost: int = 0
    """Those that are not in the records, or that the dashboard was not told of."""
    events_doubled: int = 0
    """Those that are there twice, or were told twice."""
    stated_loss: int = 0
    """Readings the program itself said were lost, where the medium was damaged: must be ``lost`` exactly."""
    medium_damaged: bool = False
    """Whether bytes on the disk were destroyed, so that no program could have kept everything."""
    seed: str = ""
    """What chance it was played with, where it was."""
    wrong: str = ""
    """What else did not hold, in a line; a run that could not be played to its end is wrong, too."""
    test: str = ""
    """The test that played it; this and what follows are filled in by :func:`enter`."""
    at: str = ""
    """When it was entered."""
    version: str = ""
    """Of the program."""

    @property
    def kept(self) -> bool:
        """Whether what is promised was kept."""
        excess = self.lost - self.stated_loss if self.medium_damaged else self.lost
        return not (self.wrong or excess or self.doubled or self.events_lost or self.events_doubled)


def enter(run: Run) -> None:
    """Enter ``run``; lines of several processes do not mix, since each is one small write in append mode."""
    place = os.environ.get(PLACE)
    if place:
        test = os.environ.get(_TEST, "").rpartition(" ")[0]
        at = datetime.now(UTC).isoformat(timespec="seconds")
        whole = replace(run, test=run.test or test, at=run.at or at, version=run.version or __version__)
        with Path(place).open("a", encoding="utf-8") as book:
            book.write(json.dumps(asdict(whole)) + "\n")


@dataclass
class Draft:
    """A run that is being judged; whoever has counted it puts it here before asserting anything."""

    run: Run


@contextmanager
def entering(fault: str, seed: str = "") -> Iterator[Draft]:
    """Enter the run when the block ends, red or green: what went wrong in the block stands in it."""
    draft = Draft(Run(fault))
    wrong = ""
    try:
        yield draft
    except BaseException as error:
        wrong = f"{type(error).__name__}: {error}".partition("\n")[0][:_REASON_CHARACTERS]
        raise
    finally:
        enter(replace(draft.run, seed=seed, wrong=wrong))


def read(path: Path) -> list[Run]:
    """All runs of a book."""
    return [Run(**json.loads(line)) for line in path.read_text("utf-8").splitlines()]
